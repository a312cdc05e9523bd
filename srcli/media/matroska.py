"""How long a Matroska or WebM file says that it is, which FFmpeg does not compare with what there is."""

from pathlib import Path

_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
_HEAD = 4096  # bytes, in which the one element before the segment ends


def cut_short(path: Path) -> bool:
    """Tell whether the file ends before its segment does; False of one whose writer could not say, as of a live recording."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        there = path.stat().st_size
    except OSError:
        return False
    if not head.startswith(_EBML):
        return False
    size, at = _vint(head, len(_EBML))
    at += size or 0
    if head[at : at + len(_SEGMENT)] != _SEGMENT:
        return False
    size, at = _vint(head, at + len(_SEGMENT))
    return size is not None and at + size > there


def _vint(data: bytes, at: int) -> tuple[int | None, int]:
    """Read a size as EBML (RFC 8794, section 4) writes it, None where it is unknown, and return where it ends."""
    length = 9 - data[at].bit_length() if data[at : at + 1] else 0
    field = data[at : at + length]
    if not 1 <= length <= 8 or len(field) < length:
        return None, len(data)
    value, most = int.from_bytes(field) & (1 << 7 * length) - 1, (1 << 7 * length) - 1
    return None if value == most else value, at + length
