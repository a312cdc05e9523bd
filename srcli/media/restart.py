"""Packets at which decoding can begin anew, so that the picture and all that are shown after it are exactly the same.

A container's key frame is not enough: from within an intra refresh, for one, a decoder only comes near the right values.
Where the codec's standard does not promise the same values the answer is no.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_H264_IDR, _H264_SEI, _RECOVERY_POINT = 5, 6, 6
_HEVC_IRAP = range(16, 22)  # BLA, IDR and CRA: no picture that is shown later refers to what came before (H.265, 3.74)
_SEQUENCE_HEADER = b"\0\0\1\xb3"  # of MPEG-1 and MPEG-2, with the matrices of quantization
_START_CODE = re.compile(b"\0\0\1")


def is_restart(packet: "Packet[VideoStream]", codec: str, extradata: bytes, *, intra_only: bool = False) -> bool:
    """Tell whether decoding can begin at this packet; `codec` is FFmpeg's name, `extradata` the header of the stream."""
    if not packet.is_keyframe or packet.is_corrupt:
        return False
    if intra_only or codec in ("vp8", "vp9", "av1", "ffv1"):  # whose key frames forget all that was before
        return True
    data = bytes(packet)
    if codec == "h264":
        size = 1 + (extradata[4] & 3) if extradata[:1] == b"\1" and len(extradata) > 4 else 0
        return any(
            nal[0] & 31 == _H264_IDR or (nal[0] & 31 == _H264_SEI and _recovers_exactly(nal[1:])) for nal in _nals(data, size)
        )
    if codec == "hevc":
        size = 1 + (extradata[21] & 3) if extradata[:1] == b"\1" and len(extradata) > 21 else 0
        return any(nal[0] >> 1 & 63 in _HEVC_IRAP for nal in _nals(data, size))
    return codec in ("mpeg1video", "mpeg2video") and _SEQUENCE_HEADER in data


def _nals(data: bytes, size: int) -> Iterator[bytes]:
    """Yield the first bytes of the units of H.264 and HEVC, behind lengths of `size` bytes or, where that is 0, start codes."""
    most = 64  # bytes of a unit that are looked at
    if not size:
        for match in _START_CODE.finditer(data):
            if match.end() < len(data):
                yield data[match.end() : match.end() + most]
        return
    at = 0
    while at + size < len(data):
        length = int.from_bytes(data[at : at + size])
        if not length:
            return
        yield data[at + size : at + size + min(length, most)]
        at += size + length


def _recovers_exactly(sei: bytes) -> bool:
    """Look for a recovery point with recovery_frame_cnt 0 and exact_match_flag 1 (H.264, D.1.8 and D.2.8)."""
    sei, at = sei.replace(b"\0\0\3", b"\0\0"), 0  # without the bytes that keep start codes out
    while at + 2 < len(sei) and sei[at] != 0x80:
        kind, at = _sei_number(sei, at)
        length, at = _sei_number(sei, at)
        if kind == _RECOVERY_POINT:
            return sei[at : at + 1] >= b"\xc0"
        at += length
    return False


def _sei_number(sei: bytes, at: int) -> tuple[int, int]:
    number = 0
    while at < len(sei) and sei[at] == 0xFF:
        number, at = number + 255, at + 1
    return number + (sei[at] if at < len(sei) else 0), at + 1
