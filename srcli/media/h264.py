"""Frames as H.264 leaves them: encoded and decoded in memory."""

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from srcli.media.encoding import siting_left
from srcli.media.video import EXACT, FULL, LIMITED

RATE = Fraction(25)  # frames/s


def coded(frames: Sequence[np.ndarray], crf: int) -> list[np.ndarray]:
    """Return a clip of (H, W, 3) uint8 frames, H and W even, as x264 leaves them: 4:2:0, its own settings, one thread.

    Decoded frames become RGB as those of videos do for the networks.
    """
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.pix_fmt, encoder.framerate, encoder.thread_count, encoder.options = "yuv420p", RATE, 1, {"crf": str(crf)}
    encoder.height, encoder.width = frames[0].shape[:2]
    pictures = [av.VideoFrame.from_ndarray(pixels, format="rgb24") for pixels in frames]
    sited, convert = siting_left(pictures[0]), VideoReformatter().reformat  # made once: they take longer than a patch
    packets = []
    for n, picture in enumerate(pictures):
        frame = convert(
            sited(picture), format="yuv420p", interpolation=EXACT, src_color_range=FULL, dst_color_range=LIMITED, threads=1
        )
        frame.pts = n
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder = av.VideoCodecContext.create("h264", "r")
    decoder.thread_count = 1
    found = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    convert = VideoReformatter().reformat
    return [
        convert(
            frame, format="rgb24", interpolation=EXACT, src_color_range=LIMITED, dst_color_range=FULL, threads=1
        ).to_ndarray()
        for frame in found
    ]
