"""Frames as H.264 leaves them, encoded and decoded in memory; and how coarsely those of a file were quantized."""

import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

from srcli.media.encoding import siting_left
from srcli.media.video import EXACT, FULL, LIMITED, real_videos

RATE = Fraction(25)  # frames/s
COARSE = 24  # quantizer from which weights for compressed videos are ahead (benchmarks/compressed.py)
_MEASURED = 12  # frames: of the kinds that differ, some of each
_HEAD = struct.Struct("@IPPii")  # AVVideoEncParams: blocks, where they begin, bytes of each, the codec, the frame's quantizer


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


def quantizer(path: Path) -> float | None:
    """Return the mean quantizer (QP, 0 to 51) of the first frames of a file's first H.264 track; None where it has none.

    A step of 6 doubles what is rounded away; x264's CRF is about the QP of frames that others refer to.
    """
    found: list[float] = []
    with suppress(av.FFmpegError, OSError, ValueError), av.open(str(path.absolute())) as container:
        stream = next(iter(real_videos(container)), None)
        if stream is None or stream.codec_context.codec.canonical_name != "h264":
            return None
        stream.codec_context.options = {"export_side_data": "venc_params"}
        found += (_quantizer(frame) for frame in islice(container.decode(stream), _MEASURED))
    return sum(found) / len(found) if found else None


def _quantizer(frame: av.VideoFrame) -> float:
    data = bytes(cast(Mapping[Type, Any], frame.side_data)[Type.VIDEO_ENC_PARAMS])
    count, begin, size, _, of_frame = _HEAD.unpack_from(data)
    blocks = np.frombuffer(data, np.uint8, count * size, begin).reshape(count, size)
    offsets = np.ascontiguousarray(blocks[:, 16:20]).view(np.int32)  # behind a block's left, top and sides
    return float(of_frame + offsets.mean())
