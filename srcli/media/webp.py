"""How a WebP file was coded, by the first bytes of its frame: VP8 as RFC 6386 has it, or lossless."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

_SHOWN = 10  # bytes of a key frame before what is coded bit by bit: its tag, a start code and the size
_ENOUGH = 256  # bytes of it that hold the quantizer


def coding(file: BinaryIO) -> tuple[bool, int | None]:
    """Tell whether the picture, or the first frame of an animation, is lossless, and a lossy one's quantizer, 0 to 127.

    The quantizer is the base index of section 9.6, which libwebp sets to about 36 at quality 75 and to 27 at 80.
    """
    for name, size in chunks(file, of_frames=True):
        if name == b"VP8L":
            return True, None
        if name == b"VP8 ":
            return False, _quantizer(file.read(min(size, _ENOUGH))[_SHOWN:])
    return False, None


def chunks(file: BinaryIO, *, of_frames: bool = False) -> Iterator[tuple[bytes, int]]:
    """Yield name and size of the chunks, the file at their data; `of_frames`: also those within the frames of an animation."""
    at = 12
    file.seek(at)
    while len(head := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        yield name, size
        inside = of_frames and name == b"ANMF"  # whose own chunks follow its place and duration
        at += 8 + (16 if inside else size + size % 2)
        file.seek(at)


def _quantizer(data: bytes) -> int | None:
    """Read the frame header of RFC 6386, section 9.2 to 9.6, up to the first quantizer index."""
    if len(data) < 2:
        return None
    bits = _Bits(data)
    bits.number(2)  # colour space, clamping
    if bits.flag():  # segments
        regions, values = bits.flag(), bits.flag()
        if values:
            bits.flag()
            for width in (7, 7, 7, 7, 6, 6, 6, 6):  # their quantizers and filters
                if bits.flag():
                    bits.number(width + 1)
        for _ in range(3 * regions):
            if bits.flag():
                bits.number(8)
    bits.number(1 + 6 + 3)  # the loop filter: kind, level, sharpness
    if bits.flag() and bits.flag():
        for _ in range(8):
            if bits.flag():
                bits.number(6 + 1)
    bits.number(2)  # partitions
    return bits.number(7)


class _Bits:
    """The boolean decoder of RFC 6386, section 7, for bits that are as likely 0 as 1; zeros follow the data."""

    def __init__(self, data: bytes) -> None:
        self._rest = iter(data[2:])
        self._value, self._range, self._shifted = int.from_bytes(data[:2]), 255, 0

    def flag(self) -> bool:
        split = 1 + ((self._range - 1) * 128 >> 8)
        found = self._value >= split << 8
        self._range, self._value = (self._range - split, self._value - (split << 8)) if found else (split, self._value)
        while self._range < 128:
            self._value, self._range, self._shifted = self._value << 1, self._range << 1, self._shifted + 1
            if self._shifted == 8:
                self._value, self._shifted = self._value | next(self._rest, 0), 0
        return found

    def number(self, width: int) -> int:
        value = 0
        for _ in range(width):
            value = value << 1 | self.flag()
        return value
