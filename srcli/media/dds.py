"""DDS, textures of games: what Pillow does not tell of them, and px of bit fields, which it decodes one by one in Python."""

import struct
from typing import BinaryIO, cast

import numpy as np
from PIL import ImageFile
from PIL.DdsImagePlugin import DdsImageFile

from srcli.media.picture import Array

_HEADER = 128  # bytes; DX10 has 20 more


def open_dds(file: BinaryIO) -> ImageFile.ImageFile:
    """Open a DDS; raise NotImplementedError for luminance and alpha of 4 bits each, of which Pillow makes one of 8."""
    (flags,), bits = _numbers(file, 80, 1), dds_bits(file)
    if flags & 0x20001 == 0x20001 and bits == 8:
        raise NotImplementedError("DDS of 4 bits of luminance and 4 of alpha")
    return DdsImageFile(file)


def has_bit_fields(image: ImageFile.ImageFile) -> bool:
    """Tell whether a file is a DDS whose channels are bit fields of each px."""
    return bool(image.tile) and image.tile[0].codec_name == "dds_rgb"


def read_bit_fields(file: BinaryIO, image: ImageFile.ImageFile) -> Array:
    """(H, W, 3 or 4) of 8 bits; raise EOFError where px are missing."""
    bits, masks = _fields(image)
    file.seek(_HEADER)
    rows = np.frombuffer(file.read(image.height * image.width * bits // 8), np.uint8)
    values = np.zeros(image.height * image.width, np.uint32)
    if rows.size < values.size * bits // 8:
        raise EOFError("pixels are missing")
    for i, part in enumerate(rows.reshape(-1, bits // 8).T):
        values |= part.astype(np.uint32) << 8 * i
    channels = []
    for mask in masks:
        shift = max((mask & -mask).bit_length() - 1, 0)
        most = mask >> shift
        level = (values & mask) >> shift
        channels.append((level.astype(np.float32) * (255 / max(most, 1)) + 0.5).astype(np.uint8))
    return np.stack(channels, axis=-1).reshape(image.height, image.width, -1)


def _fields(image: ImageFile.ImageFile) -> tuple[int, tuple[int, ...]]:
    """Return the bits a px and the mask of each channel."""
    return cast(tuple[int, tuple[int, ...]], image.tile[0].args)


def dds_bits(file: BinaryIO) -> int:
    """Bits a px of a file without compression."""
    return _numbers(file, 88, 1)[0]


def _numbers(file: BinaryIO, at: int, count: int) -> tuple[int, ...]:
    """Read numbers of 32 bits, and leave the file where it was: Pillow reads on from there."""
    place = file.tell()
    file.seek(at)
    found = struct.unpack(f"<{count}I", file.read(4 * count).ljust(4 * count, b"\0"))
    file.seek(place)
    return found


def losses_of_dds(file: BinaryIO, image: ImageFile.ImageFile) -> list[str]:
    """Name the further pictures of a file, and levels between those of 8 bits."""
    (mipmaps,), (kind,), (further,) = (_numbers(file, at, 1) for at in (28, 84, 112))
    cube, volume, several = bool(further & 0x200), bool(further & 0x200000), False
    if kind == int.from_bytes(b"DX10", "little"):
        _, dimension, flags, count, _ = _numbers(file, _HEADER, 5)
        cube, volume, several = cube or bool(flags & 4), volume or dimension == 4, count > 1
    masks = _fields(image)[1] if has_bit_fields(image) else ()
    fine = getattr(image, "pixel_format", "") in ("BC6H", "BC6HS") or any(mask.bit_count() > 8 for mask in masks)
    names = {
        "the smaller copies (mipmaps)": mipmaps > 1,
        "further sides of the cube": cube,
        "further slices of the volume": volume,
        "further pictures of the array": several,
        "levels between those of 8 bits": fine,
    }
    return [name for name, there in names.items() if there]
