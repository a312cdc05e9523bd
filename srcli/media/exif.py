"""EXIF as bytes: walked and patched in place, never parsed and rebuilt, so that nothing in it is lost."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from PIL import ExifTags

Order = Literal["<", ">"]


class Entry(NamedTuple):
    """One entry of an EXIF directory."""

    at: int
    tag: int
    kind: int
    number: int
    order: Order  # of bytes


class Field(NamedTuple):
    """One value of a directory, taken out of its place; a list is a directory of its own."""

    tag: int
    kind: int
    number: int  # of values
    data: "bytes | list[Field]"


POINTERS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop)
_MOST = 8  # directories; made-up ones could point to each other for hours
_UNITS = {3: 2, 8: 2, 4: 4, 5: 4, 9: 4, 10: 4, 11: 4, 12: 8}  # bytes that change places with the order; a fraction has two
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}


def entries(exif: bytes) -> Iterator[Entry]:
    """Walk the main directory and those that it points to, as far as they are whole."""
    if not exif.startswith((b"II*\0", b"MM\0*")) or len(exif) < 8:
        return
    queue = [_start(exif)]
    for start in queue:
        for entry in _directory(exif, start):
            yield entry
            if entry.tag in POINTERS and (target := value_of(exif, entry)) not in [0, *queue] and len(queue) < _MOST:
                queue.append(target)


def fields_of(exif: bytes, start: int | None = None, depth: int = 0, *, order: Order = "<") -> list[Field]:
    """Take a directory apart, the main one unless told, with those that it points to; what is not whole is left out.

    Values are in `order`, whatever theirs was. Made-up data could repeat tags and values without end: a tag counts
    once, and all values together are no longer than the data.
    """
    fields: list[Field] = []
    seen, left = set(), len(exif)
    for entry in _directory(exif, _start(exif) if start is None else start):
        if entry.tag in seen:
            continue
        seen.add(entry.tag)
        if entry.tag in POINTERS:
            if depth < 2 and (target := value_of(exif, entry)) and (below := fields_of(exif, target, depth + 1, order=order)):
                fields.append(Field(entry.tag, 4, 1, below))
            continue
        data = _data_of(exif, entry)
        if data and len(data) <= left:
            left -= len(data)
            if entry.order != order:
                data = np.frombuffer(data, f"u{_UNITS.get(entry.kind, 1)}").byteswap().tobytes()
            fields.append(Field(entry.tag, entry.kind, entry.number, data))
    return fields


def _data_of(exif: bytes, entry: Entry) -> bytes:
    """Take the values of an entry in the order of bytes that they have; empty where they are not whole."""
    size = SIZES.get(entry.kind, 0) * entry.number
    at = struct.unpack_from(entry.order + "I", exif, entry.at + 8)[0] if size > 4 else entry.at + 8
    return exif[at : at + size] if at + size <= len(exif) else b""


def laid(fields: Sequence[Field], order: Order, start: int = 0) -> bytes:
    """Lay fields, whose values are in `order`, out as EXIF data; from `start` on without the header, as a directory below."""
    head = b"" if start else {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    directory, values = struct.pack(order + "H", len(fields)), b""
    behind = start + len(head) + 2 + 12 * len(fields) + 4
    for tag, kind, number, data in sorted(fields, key=lambda field: field.tag):
        directory += struct.pack(order + "HHI", tag, 4 if isinstance(data, list) else kind, number)
        place = behind + len(values)
        if isinstance(data, list):
            values += laid(data, order, place)
            directory += struct.pack(order + "I", place)
        elif len(data) > 4:
            values += data + bytes(len(data) % 2)  # all begin at even offsets
            directory += struct.pack(order + "I", place)
        else:
            directory += data.ljust(4, b"\0")
    return head + directory + bytes(4) + values


def order_of(exif: bytes) -> Order:
    """Return the order of bytes, as `struct` has it."""
    return ">" if exif.startswith(b"MM") else "<"


def _start(exif: bytes) -> int:
    return int(struct.unpack_from(order_of(exif) + "I", exif, 4)[0])


def _directory(exif: bytes, start: int) -> Iterator[Entry]:
    order = order_of(exif)
    try:
        (count,) = struct.unpack_from(order + "H", exif, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(order + "HHI4x", exif, at)
            yield Entry(at, tag, kind, number, order)
    except struct.error:
        return


def value_of(exif: bytes, entry: Entry) -> int:
    """Read a single SHORT or LONG; 0 for anything else."""
    code = {3: "H", 4: "I", 13: "I"}.get(entry.kind)  # 13: a LONG that points to a directory
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


def size_tags(height: int, width: int) -> dict[int, int]:
    """Return the tags that say how many px a picture has, with their values, for `patched`."""
    return {0xA002: width, 0xA003: height}


def without(exif: bytes, tag: int) -> bytes:
    """Cut a tag out of the main directory; what its values and other directories are in stays where it is."""
    start, order = _start(exif), order_of(exif)
    at = next((entry.at for entry in _directory(exif, start) if entry.tag == tag), None)
    if at is None:
        return exif
    (count,) = struct.unpack_from(order + "H", exif, start)
    end = start + 2 + 12 * count + 4  # of the directory, with the link to the next
    less = struct.pack(order + "H", count - 1)
    return exif[:start] + less + exif[start + 2 : at] + exif[at + 12 : end] + bytes(12) + exif[end:]


def without_preview(exif: bytes) -> bytes:
    """Cut the link from the main directory to the one behind it, which holds a small picture; nothing else moves."""
    start, order = _start(exif), order_of(exif)
    try:
        at = start + 2 + 12 * struct.unpack_from(order + "H", exif, start)[0]
        (following,) = struct.unpack_from(order + "I", exif, at)
    except struct.error:
        return exif
    return exif[:at] + bytes(4) + exif[at + 4 :] if following else exif


def exchanged(exif: bytes, one: int, other: int) -> bytes:
    """Let two fractions of the main directory change places."""
    found = {entry.tag: entry.at + 8 for entry in _directory(exif, _start(exif)) if entry.kind == 5 and entry.number == 1}
    if one not in found or other not in found:
        return exif
    a, b = found[one], found[other]
    exchanged = bytearray(exif)
    exchanged[a : a + 4], exchanged[b : b + 4] = exif[b : b + 4], exif[a : a + 4]
    return bytes(exchanged)
