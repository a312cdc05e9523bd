"""AVIF of more than 8 bits, which Pillow reduces, and what it does not tell of any AVIF."""

import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import ImageFile

from srcli.errors import BadPicture
from srcli.media.picture import Array


def avif_color(file: BinaryIO) -> dict[bytes, bytes]:
    """Give the colour box that Pillow drops (BT.2020, PQ, HLG) as PNG has it; the matrix belongs to YCbCr and goes."""
    primaries, transfer, _ = _code_points(file)
    return color_tag(primaries, transfer)


def color_tag(primaries: int, transfer: int) -> dict[bytes, bytes]:
    """Give code points of H.273 as PNG has them; nothing of those that everyone takes for granted."""
    # 2 is unspecified; 1 with 1, 6 or 13 is what everyone takes for sRGB
    plain = primaries in (1, 2) and transfer in (1, 2, 6, 13)
    return {} if plain or max(primaries, transfer) > 255 else {b"cICP": bytes([primaries, transfer, 0, 1])}


def is_lossless_avif(file: BinaryIO) -> bool:
    """Tell whether colours are coded as they are, by the identity matrix, which is for lossless files."""
    return _code_points(file)[2] == 0


def avif_depth(file: BinaryIO) -> int:
    """Tell the bits a channel: 8, 10 or 12."""
    head = _boxes(file)
    start = head.find(b"av1C")  # AV1 in ISOBMFF, 2.3.3: the third byte holds high_bitdepth and twelve_bit
    flags = head[start + 6] if 0 <= start < len(head) - 6 else 0
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def is_deep_avif(file: BinaryIO, image: ImageFile.ImageFile) -> bool:
    """Tell whether all bits can be had: one still of one piece, its alpha not multiplied in."""
    pieces = any(word in _boxes(file) for word in (b"grid", b"prem", b"sato", b"clap"))
    return avif_depth(file) > 8 and not pieces and getattr(image, "n_frames", 1) == 1


def read_deep_avif(file: BinaryIO, image: ImageFile.ImageFile) -> tuple[Array, Array | None]:
    """Decode 10 or 12 bits to 16, not turned; ffmpeg's own way to RGB leaves white at 65283 of 65535, so it is done here."""
    import av

    file.seek(0)
    with av.open(file, mode="r", format="mov") as container:
        count = len(container.streams.video)
        frame = next(container.decode(video=0))
    if (frame.width, frame.height) != image.size:
        raise ValueError("its parts are of another size")
    pixels = _levels(frame)
    if not image.has_transparency_data:
        return pixels, None
    file.seek(0)
    with av.open(file, mode="r", format="mov") as container:
        alpha = _levels(next(container.decode(video=count - 1)))
    if (*pixels.shape[:2], 1) != alpha.shape:
        raise ValueError("its alpha is of another size")
    return pixels, alpha[..., 0]


def _levels(frame: Any) -> Array:
    """(H, W, 1 or 3) of 16 bits."""
    name, bits = frame.format.name, frame.format.components[0].bits
    if not name.startswith(("gray", "gbr", "yuv444")):
        frame = frame.reformat(format=f"yuv444p{bits}le" if bits > 8 else "yuv444p")
    planes = [
        np.frombuffer(plane, "<u2" if bits > 8 else "u1").reshape(frame.height, -1)[:, : frame.width] for plane in frame.planes
    ]
    whole, step = 2**bits - 1, 2 ** (bits - 8)
    limited = frame.color_range != 2  # luma from 16 to 235 of 8 bits, colour differences 112 to either side
    black, luma, chroma = (16 * step, 219 * step, 224 * step) if limited else (0, whole, whole)
    out = np.empty((frame.height, frame.width, len(planes)), np.uint16)
    for top in range(0, frame.height, 256):
        strip = [plane[top : top + 256].astype(np.float32) for plane in planes]
        y, *others = ((values - black) / luma for values in strip)
        if name.startswith("gbr"):
            levels = [others[1], y, others[0]]
        elif others:
            levels = _rgb(y, *((values - 128 * step) / chroma for values in strip[1:]), matrix=int(frame.colorspace))
        else:
            levels = [y]
        for channel, values in enumerate(levels):
            out[top : top + 256, :, channel] = np.clip(values, 0, 1) * 65535 + 0.5
    return out


# Shares of red and blue in luma by ITU-T H.273, table 4; 2 is unspecified, for which libavif too takes that of 6
_LUMA = {1: (0.2126, 0.0722), 2: (0.299, 0.114), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def _rgb(y: Array, blue: Array, red: Array, *, matrix: int) -> list[Array]:
    if matrix not in _LUMA:
        raise BadPicture(f"colours coded by matrix {matrix} of H.273, which is not read in more than 8 bits")
    kr, kb = _LUMA[matrix]
    r, b = y + 2 * (1 - kr) * red, y + 2 * (1 - kb) * blue
    return [r, (y - kr * r - kb * b) / (1 - kr - kb), b]


def outer_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start, end) of the boxes of an AVIF or HEIC at the outmost level; the file may end before the last does."""
    at, size = 0, os.fstat(file.fileno()).st_size
    while at < size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4])
        length = int.from_bytes(head[8:]) if length == 1 else length or size - at
        yield head[4:8], at, at + max(length, 8)
        at += max(length, 8)


def _code_points(file: BinaryIO) -> tuple[int, int, int]:
    """Return primaries, transfer and matrix as H.273 numbers them; 2, unspecified, where the file does not say."""
    head = _boxes(file)
    start = head.find(b"colrnclx")  # ISO/IEC 14496-12, 12.1.5
    return struct.unpack_from(">HHH", head, start + 8) if 0 <= start < len(head) - 14 else (2, 2, 2)


def _boxes(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(65536)
