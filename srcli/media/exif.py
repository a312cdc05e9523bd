"""EXIF as bytes: walked and patched in place, never parsed and rebuilt, so that nothing in it is lost."""

import struct
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from PIL import ExifTags


class Entry(NamedTuple):
    """One entry of an EXIF directory."""

    at: int
    tag: int
    kind: int
    number: int
    order: Literal["<", ">"]  # of bytes


POINTERS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop)


_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}


def entries(exif: bytes) -> Iterator[Entry]:
    """Walk the main directory and those that it points to, as far as they are whole."""
    if not exif.startswith((b"II*\0", b"MM\0*")) or len(exif) < 8:
        return
    order: Literal["<", ">"] = "<" if exif.startswith(b"II") else ">"
    queue = [struct.unpack_from(order + "I", exif, 4)[0]]
    for start in queue:
        try:
            (count,) = struct.unpack_from(order + "H", exif, start)
            for at in range(start + 2, start + 2 + 12 * count, 12):
                tag, kind, number = struct.unpack_from(order + "HHI4x", exif, at)
                entry = Entry(at, tag, kind, number, order)
                yield entry
                if entry.tag in POINTERS and (target := value_of(exif, entry)) not in queue:
                    queue.append(target)
        except struct.error:
            continue


def value_of(exif: bytes, entry: Entry) -> int:
    """Read a single SHORT or LONG; 0 for anything else."""
    code = {3: "H", 4: "I"}.get(entry.kind)
    if code is None or entry.number != 1:
        return 0
    return int(struct.unpack_from(entry.order + code, exif, entry.at + 8)[0])


def orientation_of(exif: bytes | None) -> int:
    values = (value_of(exif, entry) for entry in entries(exif or b"") if exif and entry.tag == ExifTags.Base.Orientation)
    value = next(values, 1)
    return value if 1 <= value <= 8 else 1


def patched(exif: bytes, values: Mapping[int, int]) -> bytes:
    """Overwrite single SHORT or LONG values in place, so that nothing else moves."""
    patched = bytearray(exif)
    for at, tag, kind, number, order in entries(exif):
        if tag in values and number == 1 and (kind == 4 or (kind == 3 and values[tag] < 2**16)):
            struct.pack_into(order + ("H" if kind == 3 else "I"), patched, at + 8, values[tag])
    return bytes(patched)


def moved(exif: bytes, by: int) -> bytes:
    """Shift all offsets, so that the directories can live at another place of a TIFF."""
    moved = bytearray(exif)
    for at, tag, kind, number, order in entries(exif):
        if tag in POINTERS or _SIZES.get(kind, 0) * number > 4:
            (offset,) = struct.unpack_from(order + "I", exif, at + 8)
            struct.pack_into(order + "I", moved, at + 8, (offset + by) % 2**32)
    return bytes(moved)
