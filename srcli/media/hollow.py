"""Files too short for the pixels that their header promises, told before memory is taken for these."""

import mmap
import os
from typing import BinaryIO

import numpy as np
from PIL import ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from srcli.media.avif import outer_boxes
from srcli.media.dds import dds_bits
from srcli.media.png import is_complete_png, png_type

_DEFLATE = 1032  # bytes that one byte can unpack to (zlib's technical details); LZW of 12 bits no more than that
# Every block of 64 px takes a bit at least in Huffman coding, which is 512 px a byte; the rare arithmetic coding less
_JPEG = 4096
_TIFF = {1: 1, 5: 1366, 8: _DEFLATE, 32946: _DEFLATE, 32773: 64}  # bytes out of one, by compression; fax and JPEG have no bound


def refuse_hollow(file: BinaryIO, image: ImageFile.ImageFile, format: str) -> None:
    """Raise EOFError where an everyday file cannot hold its pixels; formats without a bound pass."""
    size, (width, height) = _size(file), image.size
    if format == "png":
        bits, colour = png_type(file)
        if not is_complete_png(file):
            raise EOFError("no IEND chunk")
        needed = height * -(-width * bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1) // 8) / _DEFLATE
    elif format == "jpeg":
        if not _jpeg_ends(file):
            raise EOFError("no end marker")
        needed = height * width / _JPEG
    elif format in ("bmp", "ppm") and image.tile and image.tile[0].codec_name != "bmp_rle":
        bits = bmp_bits(file) if format == "bmp" else 1 if image.mode == "1" else 8
        needed = image.tile[0].offset + height * width * bits / 8
    elif format == "tga" and image.tile:
        file.seek(16)
        bits = file.read(1)[0]
        # a packet of 8 bits and a px can stand for 128 px
        needed = image.tile[0].offset + height * width * (bits / 8 if image.tile[0].codec_name == "raw" else (8 + bits) / 1024)
    elif format == "dds" and image.tile and image.tile[0].codec_name == "bcn":
        needed = 128 + -(-height // 4) * -(-width // 4) * 8  # of blocks of 4 x 4 px, as the smallest kind has them
    elif format == "dds":
        needed = 128 + height * width * dds_bits(file) / 8
    elif format in ("avif", "heic"):  # whose libraries pass over tiles that are missing
        needed = max((end for _, _, end in outer_boxes(file)), default=0)
    else:
        return
    if needed > size:
        raise EOFError("pixels are missing")


def refuse_hollow_tiff(file: BinaryIO, tags: ImageFileDirectory_v2) -> None:
    """Raise EOFError where strips or tiles end behind the file or cannot hold the pixels."""
    offsets, counts = (np.atleast_1d(tags.get(a, tags.get(b, ()))).astype(np.int64) for a, b in ((273, 324), (279, 325)))
    samples, bits = tags.get(277, 1), int(np.min(tags.get(258, 1)))
    needed = int(tags.get(257, 0)) * -(-int(tags.get(256, 0)) * samples * bits // 8)
    packing = _TIFF.get(tags.get(259, 1))
    if tags.get(259, 1) == 6:  # JPEG of the old kind has its pixels elsewhere
        return
    ends = offsets[: len(counts)] + counts[: len(offsets)]
    if not len(ends) or ends.max() > _size(file) or (packing and needed > packing * counts.sum()):
        raise EOFError("pixels are missing")


def bmp_bits(file: BinaryIO) -> int:
    """Bits a px, which headers of 12 bytes have elsewhere."""
    file.seek(14)
    head = file.read(16)
    at = 10 if int.from_bytes(head[:4], "little") == 12 else 14
    return int.from_bytes(head[at : at + 2], "little")


def _jpeg_ends(file: BinaryIO) -> bool:
    """Tell whether an end marker follows the first scan; that of a preview in the EXIF data stands before it."""
    at = 2
    while True:
        file.seek(at)
        head = file.read(4)
        if len(head) < 4:
            return False
        if head[:2] == b"\xff\xff" or head[0] != 0xFF:  # fill bytes, or what Pillow passes over too
            at += 1
            continue
        if head[1] == 0xDA:
            break
        at += 2 if head[1] in (0x00, 0x01, *range(0xD0, 0xD9)) else 2 + int.from_bytes(head[2:], "big")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.rfind(b"\xff\xd9", at) >= 0


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size
