"""AVIF of more than 8 bits, which Pillow reduces, and what it does not tell of any AVIF."""

import struct
from typing import Any, BinaryIO

import numpy as np
from PIL import ImageFile

from srcli.media.picture import Array


def avif_color(file: BinaryIO) -> dict[bytes, bytes]:
    """Give the colour box that Pillow drops (BT.2020, PQ, HLG) as PNG has it; the matrix belongs to YCbCr and goes."""
    head = _boxes(file)
    start = head.find(b"colrnclx")  # ISO/IEC 14496-12, 12.1.5: primaries, transfer, matrix, range
    primaries, transfer = struct.unpack_from(">HH", head, start + 8) if 0 <= start < len(head) - 12 else (2, 2)
    # 2 is unspecified; 1 with 1, 6 or 13 is what everyone takes for sRGB
    plain = primaries in (1, 2) and transfer in (1, 2, 6, 13)
    return {} if plain or max(primaries, transfer) > 255 else {b"cICP": bytes([primaries, transfer, 0, 1])}


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
    """Decode 10 or 12 bits to 16, as stored: Pillow turns its own. ffmpeg's conversion to RGB is within one level of the 10."""
    import av

    file.seek(0)
    with av.open(file, mode="r", format="mov") as container:
        count = len(container.streams.video)
        frame = next(container.decode(video=0))
        if (frame.width, frame.height) != image.size:
            raise ValueError("its parts are of another size")
        gray = frame.format.name.startswith("gray")
        pixels = _gray(frame)[..., None] if gray else frame.to_ndarray(format="rgb48le")
    if not image.has_transparency_data:
        return pixels, None
    file.seek(0)
    with av.open(file, mode="r", format="mov") as container:
        alpha = _gray(next(container.decode(video=count - 1)))
    if alpha.shape != pixels.shape[:2]:
        raise ValueError("its alpha is of another size")
    return pixels, alpha


def _gray(frame: Any) -> Array:
    """(H, W) of 16 bits; ffmpeg would leave the lowest of them empty."""
    bits = frame.format.components[0].bits
    kind = "<u2" if bits > 8 else "u1"
    plane = frame.planes[0]
    rows = np.frombuffer(plane, kind).reshape(frame.height, -1)[:, : frame.width].astype(np.float32)
    # limited range (1) begins at 16 and ends at 235 of 8 bits
    black, white = (16 << bits - 8, 235 << bits - 8) if frame.color_range == 1 else (0, 2**bits - 1)
    levels: Array = (np.clip((rows - black) / (white - black), 0, 1) * 65535 + 0.5).astype(np.uint16)
    return levels


def _boxes(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(65536)
