"""TGA whose runs of px go beyond a row, which writers of long ago made and Pillow does not decode."""

import io
from typing import BinaryIO

from PIL import ImageFile
from PIL.TgaImagePlugin import TgaImageFile


def unrolled(file: BinaryIO, image: ImageFile.ImageFile) -> TgaImageFile:
    """Give a TGA of whole bytes a px as one without runs; raise EOFError where px are missing."""
    file.seek(0)
    head = bytearray(file.read(18))
    head += file.read(head[0] + head[1] * int.from_bytes(head[5:7], "little") * head[7] // 8)  # its name and its palette
    packed = file.read()
    px, most = head[16] // 8, image.width * image.height  # bytes a px
    parts, at, count = list[bytes](), 0, 0
    while count < most:
        if at == len(packed):
            raise EOFError("pixels are missing")
        number, run = (packed[at] & 127) + 1, packed[at] > 127
        part = packed[at + 1 : at + 1 + (px if run else px * number)]
        parts.append(part * number if run else part)
        at, count = at + 1 + len(part), count + number
    head[2] &= 7
    return TgaImageFile(io.BytesIO(bytes(head) + b"".join(parts)[: px * most]))
