"""Frames as H.264 leaves them: encoded and decoded in memory."""

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

RATE = Fraction(25)  # frames/s


def coded(frames: Sequence[np.ndarray], crf: int) -> list[np.ndarray]:
    """Return a clip of (H, W, 3) uint8 frames, H and W even, as x264 leaves them: 4:2:0, its own settings, one thread."""
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.pix_fmt, encoder.framerate, encoder.thread_count, encoder.options = "yuv420p", RATE, 1, {"crf": str(crf)}
    encoder.height, encoder.width = frames[0].shape[:2]
    pictures = [av.VideoFrame.from_ndarray(pixels, format="rgb24") for pixels in frames]
    packets = [packet for picture in [*pictures, None] for packet in encoder.encode(picture)]
    decoder = av.VideoCodecContext.create("h264", "r")
    decoder.thread_count = 1
    return [frame.to_ndarray(format="rgb24") for packet in [*packets, None] for frame in decoder.decode(packet)]
