"""Frames as H.264 leaves them, encoded and decoded in memory; and how coarsely those of a file were quantized."""

import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any, cast

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

from srcli.media.encoding import repeatable, siting_left
from srcli.media.video import EXACT, FULL, LIMITED, open_video, real_videos

RATE = Fraction(25)  # frames/s
_IN_A_ROW = 12  # frames: of the kinds that differ, some of each
_MEASURED = 3 * _IN_A_ROW  # at a place
_HEAD = struct.Struct("@IPPii")  # AVVideoEncParams: blocks, where they begin, bytes of each, the codec, the frame's quantizer


def coded(frames: Sequence[np.ndarray], crf: int) -> list[np.ndarray]:
    """Return a clip of (H, W, 3) uint8 frames, H and W even, as x264 leaves them: 4:2:0, its own settings, one thread.

    Decoded frames become RGB as those of videos do for the networks.
    """
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.options = {"crf": str(crf)} | repeatable()
    encoder.pix_fmt, encoder.framerate, encoder.thread_count = "yuv420p", RATE, 1
    encoder.height, encoder.width = frames[0].shape[:2]
    pictures = [av.VideoFrame.from_ndarray(pixels, format="rgb24") for pixels in frames]
    convert = partial(VideoReformatter().reformat, interpolation=EXACT, threads=1)
    sited = siting_left(pictures[0])  # made once: both take longer than a patch
    packets = []
    for n, picture in enumerate(pictures):
        frame = convert(sited(picture), format="yuv420p", src_color_range=FULL, dst_color_range=LIMITED)
        frame.pts = n
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder = av.VideoCodecContext.create("h264", "r")
    decoder.thread_count = 1
    found = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return [convert(f, format="rgb24", src_color_range=LIMITED, dst_color_range=FULL).to_ndarray() for f in found]


def quantizer(path: Path) -> float | None:
    """Return the mean quantizer (QP) of frames of a file's first video track; None where that is not H.264.

    From 0 to 51 at any depth: a step of 6 doubles what is rounded away, and x264's CRF is 1 to 4 below it. Of frames from the
    beginning and from the middle, the twelve in a row that have the largest: what is black, as films begin, costs nothing.
    """
    means = []
    with suppress(av.FFmpegError, OSError, ValueError, LookupError), open_video(path) as container:
        stream = next(iter(real_videos(container)), None)
        if stream is None or stream.codec_context is None or stream.codec_context.codec.canonical_name != "h264":
            return None
        stream.codec_context.options = {"export_side_data": "venc_params"}
        for place in (0, (container.duration or 0) // 2):  # microseconds
            if place:
                container.seek(max(container.start_time or 0, 0) + place)
            found = [_quantizer(frame) for frame in islice(container.decode(stream), _MEASURED)]
            rows = range(0, len(found), _IN_A_ROW)[: max(len(found) // _IN_A_ROW, 1)]  # a shorter one only where it is alone
            means += [mean(found[first : first + _IN_A_ROW]) for first in rows]
    return max(means, default=None)


def _quantizer(frame: av.VideoFrame) -> float:
    data = bytes(cast(Mapping[Type, Any], frame.side_data)[Type.VIDEO_ENC_PARAMS])
    count, begin, size, _, of_frame = _HEAD.unpack_from(data)
    blocks = np.frombuffer(data, np.uint8, count * size, begin).reshape(count, size)
    offsets = np.ascontiguousarray(blocks[:, 16:20]).view(np.int32)  # behind a block's left, top and sides
    return float(of_frame + offsets.mean()) - 6 * (frame.format.components[0].bits - 8)  # FFmpeg counts from that of 8 bits
