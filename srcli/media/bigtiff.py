"""Tiled BigTIFF written row by row, one row of tiles in memory; knows arrays and fields, not pictures.

BigTIFF because its offsets reach beyond 4 GiB; the layout is that of TIFF 6.0 with 64-bit counts and offsets.
"""

import struct
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from srcli.media.exif import Field
from srcli.media.picture import Array

TILE = 512  # px a side
_SHORT, _LONG, _LONG8 = 3, 4, 16
_CODES = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}


class TileWriter:
    """Takes the rows of a picture from the top and writes them as tiles; `finish` makes the file readable."""

    def __init__(
        self,
        file: BinaryIO,
        shape: tuple[int, int, int],
        dtype: np.dtype,
        *,
        fields: Sequence[Field] = (),
    ) -> None:
        """`shape` is (H, W, 1 to 4), an even number of channels with alpha; `fields` little-endian."""
        self._file = file
        self._height, self._width, self._channels = shape
        self._fields = fields
        self._dtype = dtype
        padded = -(-self._width // TILE) * TILE
        self._band = np.empty((TILE, padded, self._channels), dtype)
        self._filled = 0
        self._offsets: list[int] = []
        self._counts: list[int] = []
        file.write(b"II" + struct.pack("<HHHQ", 43, 8, 0, 0))

    @property
    def peak_bytes(self) -> int:
        """Bytes that it takes at the most, beside the rows given."""
        tile = TILE * TILE * self._channels * self._dtype.itemsize
        return self._band.nbytes + 5 * tile  # differences, joined, in order, as bytes, packed

    def write(self, rows: Array) -> None:
        """Append (n, W, C) rows."""
        while len(rows):
            count = min(TILE - self._filled, len(rows))
            self._band[self._filled : self._filled + count, : self._width] = rows[:count]
            self._filled += count
            rows = rows[count:]
            if self._filled == TILE:
                self._flush()

    def finish(self) -> None:
        """Write what is left and the directory."""
        if self._filled:
            self._flush()
        directory = _store(self._file, [*self._layout(), *self._fields])
        self._file.seek(8)
        self._file.write(struct.pack("<Q", directory))

    def _flush(self) -> None:
        # edges repeat the last px, which packs to nothing
        self._band[self._filled :] = self._band[self._filled - 1]
        self._band[:, self._width :] = self._band[:, self._width - 1 : self._width]
        self._filled = 0
        for left in range(0, self._band.shape[1], TILE):
            tile = self._band[:, left : left + TILE]
            if self._predicted:
                tile = np.concatenate([tile[:, :1], np.diff(tile, axis=1)], axis=1)  # wraps round, as it should
            data: bytes = np.ascontiguousarray(tile, self._dtype.newbyteorder("<")).tobytes()
            data = zlib.compress(data, 1)
            self._offsets.append(self._file.tell())
            self._counts.append(self._file.write(data))

    @property
    def _predicted(self) -> bool:
        return self._dtype.kind == "u"

    def _layout(self) -> list[Field]:
        channels, bits = self._channels, 8 * self._dtype.itemsize
        layout = [
            self._field(256, _LONG, self._width),
            self._field(257, _LONG, self._height),
            self._field(258, _SHORT, *[bits] * channels),
            self._field(259, _SHORT, 8),
            self._field(262, _SHORT, 1 if channels < 3 else 2),
            self._field(277, _SHORT, channels),
            self._field(284, _SHORT, 1),
            self._field(317, _SHORT, 2 if self._predicted else 1),
            self._field(322, _LONG, TILE),
            self._field(323, _LONG, TILE),
            self._field(324, _LONG8, *self._offsets),
            self._field(325, _LONG8, *self._counts),
            self._field(339, _SHORT, *[3 if self._dtype.kind == "f" else 1] * channels),
        ]
        return [*layout, self._field(338, _SHORT, 2)] if channels % 2 == 0 else layout

    def _field(self, tag: int, kind: int, *values: int) -> Field:
        return Field(tag, kind, len(values), struct.pack(f"<{len(values)}{_CODES[kind]}", *values))


def _store(file: BinaryIO, fields: Sequence[Field]) -> int:
    """Append a directory and what it points to; return where it begins."""
    directory = struct.pack("<Q", len(fields))
    for tag, kind, number, data in sorted(fields, key=lambda field: field.tag):
        directory += struct.pack("<HHQ", tag, _LONG8 if isinstance(data, list) else kind, number)
        if isinstance(data, list):
            directory += struct.pack("<Q", _store(file, data))
        elif len(data) > 8:
            directory += struct.pack("<Q", _append(file, data))
        else:
            directory += data.ljust(8, b"\0")
    return _append(file, directory + bytes(8))


def _append(file: BinaryIO, data: bytes) -> int:
    """Write at the end, on a multiple of 8 bytes."""
    file.write(bytes(-file.tell() % 8))
    start = file.tell()
    file.write(data)
    return start
