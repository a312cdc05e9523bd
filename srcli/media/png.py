"""PNG where Pillow does not suffice: 16 bits, colour chunks, and a faster writer."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
from PIL import ImageFile

from srcli.media.picture import Array, Picture

_AT_ONCE = 2**24  # bytes of rows that are filtered together
PNG_LEVEL = 1  # with the Up filter a 4K picture takes 0.2 s; level 6 takes 5 times as long and saves a tenth


def png_type(file: BinaryIO) -> tuple[int, int]:
    """Bits a channel and colour type: 0 gray, 2 RGB, 3 palette, 4 gray + alpha, 6 RGBA."""
    file.seek(24)
    bits, colour = file.read(2)
    return bits, colour


def png_color(file: BinaryIO) -> dict[bytes, bytes]:
    """Collect the colour chunks that Pillow does not hand over."""
    return {name: file.read(size) for name, size in png_walk(file) if name in _COLOUR and size <= 32}


def png_exif(file: BinaryIO) -> bytes | None:
    """Find EXIF data wherever they are: Pillow sees what stands behind the pixels only after these."""
    return next((file.read(size) for name, size in png_walk(file) if name == b"eXIf"), None)


def is_complete_png(file: BinaryIO) -> bool:
    """Tell whether the chunks reach the end."""
    return any(name == b"IEND" for name, _ in png_walk(file))


_COLOUR = (b"cHRM", b"gAMA", b"sRGB", b"cICP")


def png_walk(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Go from chunk to chunk; yield name and size with the file at the data."""
    at = file.seek(8)
    while len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        yield name, size
        at = file.seek(at + 12 + size)


def read_png16(file: BinaryIO, image: ImageFile.ImageFile) -> tuple[Array, Array | None]:
    """Read the pixels of 16 bits; ffmpeg takes a damaged stream for a whole one, so let Pillow decode it before."""
    import av  # not through imageio, whose plugin collects garbage at every close: half a second beside torch

    _, colour = png_type(file)
    gray, alpha = colour in (0, 4), image.has_transparency_data
    # read as rgba64: the default of 16-bit gray + alpha is 8-bit RGB
    format = "rgba64le" if alpha else "gray16le" if gray else "rgb48le"
    file.seek(0)
    with av.open(file, mode="r", format="png_pipe") as container:
        array = next(container.decode(video=0)).to_ndarray(format=format)
    array = array.reshape(*array.shape[:2], -1)  # (H, W, 1, 3 or 4)
    return array[..., : 1 if gray else 3].copy(), array[..., 3].copy() if alpha else None


class PngWriter:
    """Takes the rows of a picture from the top; 8 or 16 bits a channel, every row by the Up filter.

    Pillow's writer has 8 bits only and tries five filters on every row: on upscaled pictures twice the time for 1 % less.
    """

    def __init__(
        self,
        file: BinaryIO,
        shape: tuple[int, int, int],
        dtype: np.dtype,
        *,
        chunks: Iterable[tuple[bytes, bytes]] = (),
        level: int = PNG_LEVEL,
    ) -> None:
        """`shape` is (H, W, 1 to 4), an even number of channels with alpha."""
        height, width, channels = shape
        self._file, self._packer = file, zlib.compressobj(level)
        self._above = np.zeros((1, width * channels * dtype.itemsize), np.uint8)
        file.write(b"\x89PNG\r\n\x1a\n")
        colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
        _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * dtype.itemsize, colour, 0, 0, 0))
        for name, data in chunks:
            _chunk(file, name, data)

    @property
    def peak_bytes(self) -> int:
        """Bytes that it takes at the most, beside the rows given."""
        return 5 * max(_AT_ONCE, self._above.size)  # in order, above, filtered, packed before and after

    def write(self, rows: Array) -> None:
        """Append (n, W, C) rows."""
        step = max(_AT_ONCE // self._above.size, 1)
        for top in range(0, len(rows), step):
            self._write(rows[top : top + step])

    def finish(self) -> None:
        """Write what is left and the end."""
        _chunk(self._file, b"IDAT", self._packer.flush())
        _chunk(self._file, b"IEND", b"")

    def _write(self, rows: Array) -> None:
        stored = np.ascontiguousarray(rows, rows.dtype.newbyteorder(">")).view(np.uint8).reshape(len(rows), -1)
        filtered = np.full((len(rows), 1 + stored.shape[1]), 2, np.uint8)
        np.subtract(stored, np.concatenate([self._above, stored[:-1]]), out=filtered[:, 1:])
        self._above = stored[-1:].copy()
        if packed := self._packer.compress(filtered.data):
            _chunk(self._file, b"IDAT", packed)


def _chunk(file: BinaryIO, name: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + name)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))


def png_chunks(picture: Picture) -> Iterator[tuple[bytes, bytes]]:
    """Lay the metadata of a picture out as chunks."""
    if picture.icc:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc)
    for name, data in picture.chunks.items():
        if name != b"sRGB" or not picture.icc:  # the two exclude each other
            yield name, data
    if picture.dpi:
        yield b"pHYs", struct.pack(">IIB", *(round(dpi / 0.0254) for dpi in picture.dpi), 1)
    if picture.exif:
        yield b"eXIf", picture.exif
    if picture.xmp:
        yield b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + picture.xmp
    for key, text in picture.text.items():
        keyword = key.encode("latin-1", "replace")[:79] + b"\0"
        try:
            yield b"tEXt", keyword + text.replace("\0", " ").encode("latin-1")
        except UnicodeEncodeError:
            yield b"iTXt", keyword + b"\0\0\0\0" + text.replace("\0", " ").encode()
