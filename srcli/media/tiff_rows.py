"""Rows of a TIFF page, of which only the strips or tiles that hold them are decoded; knows arrays, not pictures."""

import io
import math
import struct
import zlib
from collections import OrderedDict
from typing import Any, BinaryIO

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from srcli.media.picture import Array

_NONE, _LZW, _DEFLATE, _PACKBITS = 1, 5, (8, 32946), 32773
_LARGEST = 2**28  # bytes of one strip or tile; what is cut more coarsely is better read whole
_KEPT = 2**26  # bytes of decoded bands that stay for the next call


def is_streamable(page: Any) -> bool:
    """Tell whether a page of tifffile can be read in strips: 8 or 16 bits, samples side by side, packed without loss."""
    return bool(
        page.dtype in (np.uint8, np.uint16)
        and page.bitspersample == 8 * page.dtype.itemsize  # not 12 bits in two bytes
        and page.planarconfig == 1
        and page.imagedepth == 1
        and page.fillorder == 1
        and page.predictor in (1, 2)
        and page.compression in (_NONE, _LZW, *_DEFLATE, _PACKBITS)
        and ((page.compression == _NONE and not page.is_tiled) or _segment_bytes(page) <= _LARGEST)
    )


class TiffRows:
    """The rows of a streamable page, from an open file; to be used by one thread."""

    def __init__(self, file: BinaryIO, page: Any) -> None:
        """Raise EOFError where the file is shorter than it says."""
        self._file, self._page = file, page
        self._stored_dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
        self._dtype = self._stored_dtype.newbyteorder("=")
        self._height, self._width, self._samples = page.imagelength, page.imagewidth, page.samplesperpixel
        self._band = page.tilelength if page.is_tiled else min(page.rowsperstrip, self._height)  # rows of one strip or tile
        self._bands: OrderedDict[int, Array] = OrderedDict()
        across = math.ceil(self._width / page.tilewidth) if page.is_tiled else 1
        needed = across * math.ceil(self._height / self._band)
        ends = [at + count for at, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
        if len(ends) < needed or max(ends) > file.seek(0, io.SEEK_END) or min(page.databytecounts[:needed]) < 1:
            raise EOFError("pixels are missing")

    @property
    def kept_bytes(self) -> int:
        """Bytes of decoded rows that stay from one call to the next, at the most."""
        if self._page.compression == _NONE and not self._page.is_tiled:
            return 0
        row = self._width * self._samples * self._dtype.itemsize
        band = self._band * row
        return int(min(max(_KEPT, band) + band, self._height * row))  # the next is decoded before one goes

    def rows(self, start: int, stop: int) -> Array:
        """Return (stop - start, W, samples) in the machine's byte order."""
        out = np.empty((stop - start, self._width, self._samples), self._dtype)
        for index in range(start // self._band, math.ceil(stop / self._band)):
            top = index * self._band
            first, last = max(start, top), min(stop, top + self._band)
            if self._page.compression == _NONE and not self._page.is_tiled:
                part = self._read(index, first - top, last - first)
            else:
                part = self._decoded(index)[first - top : last - top]
            out[first - start : last - start] = part
        return out

    def _read(self, index: int, first: int, rows: int) -> Array:
        """Read rows of a strip that is not packed, and no more of it."""
        size = self._width * self._samples * self._dtype.itemsize
        if (first + rows) * size > self._page.databytecounts[index]:
            raise EOFError("pixels are missing")
        self._file.seek(self._page.dataoffsets[index] + first * size)
        return self._array(self._file.read(rows * size), rows, self._width)

    def _decoded(self, index: int) -> Array:
        """Decode a strip, or a row of tiles, unless it is at hand."""
        if index in self._bands:
            self._bands.move_to_end(index)
            return self._bands[index]
        rows = min(self._band, self._height - index * self._band)
        if self._page.is_tiled:
            width = self._page.tilewidth
            band = np.empty((rows, self._width, self._samples), self._dtype)
            across = math.ceil(self._width / width)
            for column in range(across):
                left = column * width
                tile = self._segment(index * across + column, self._band, width)
                band[:, left : left + width] = tile[:rows, : self._width - left]
        else:
            band = self._segment(index, rows, self._width)
        self._bands[index] = band
        while len(self._bands) > 1 and sum(band.nbytes for band in self._bands.values()) > _KEPT:
            self._bands.popitem(last=False)
        return band

    def _segment(self, index: int, rows: int, width: int) -> Array:
        self._file.seek(self._page.dataoffsets[index])
        data = self._file.read(self._page.databytecounts[index])
        row_bytes = width * self._samples * self._dtype.itemsize
        return self._array(_unpacked(data, self._page.compression, rows, row_bytes), rows, width)

    def _array(self, data: bytes, rows: int, width: int) -> Array:
        size = rows * width * self._samples * self._dtype.itemsize
        if len(data) < size:
            raise EOFError("pixels are missing")
        array = np.frombuffer(data, self._stored_dtype, size // self._dtype.itemsize).astype(self._dtype)
        array = array.reshape(rows, width, self._samples)
        if self._page.predictor == 2:  # each value is stored less the one to its left
            np.cumsum(array, axis=1, dtype=array.dtype, out=array)
        return array


def _segment_bytes(page: Any) -> int:
    rows, width = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    if not page.is_tiled:
        rows = min(rows, page.imagelength)
    return int(rows * width * page.samplesperpixel * page.dtype.itemsize)


def _unpacked(data: bytes, compression: int, rows: int, row_bytes: int) -> bytes:
    """Undo the packing of one strip or tile, never to more than it should hold."""
    if compression == _NONE:
        return data
    if compression in _DEFLATE:
        return zlib.decompressobj().decompress(data, rows * row_bytes)
    # libtiff does LZW and PackBits: shown as a gray picture of bytes of its own
    values = (row_bytes, rows, 8, compression, 1, 8 + 2 + 12 * 9 + 4, 1, rows, len(data))
    entries = zip((256, 257, 258, 259, 262, 273, 277, 278, 279), values, strict=True)
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    head = b"II*\0" + struct.pack("<IH", 8, 9) + directory + bytes(4)
    return TiffImageFile(io.BytesIO(head + data)).tobytes()
