"""Tile plans: integers only."""

from typing import NamedTuple


class Span(NamedTuple):
    """One tile along one axis, in input px: it reads [first, last) and gives [start, stop)."""

    first: int
    start: int
    stop: int
    last: int


class Tile(NamedTuple):
    """What one tile reads and gives along both axes."""

    rows: Span
    columns: Span


def plan_tiles(height: int, width: int, side: int, overlap: int, phase: int = 1) -> list[Tile]:
    """Cut a picture into tiles that give at most `side` px a side and read `overlap` px more on each.

    What a tile reads starts at a multiple of `phase`, so `side` is rounded down (but not to 0) and `overlap` up to one.
    """
    rows, columns = (_spans(size, side, overlap, phase) for size in (height, width))
    return [Tile(r, c) for r in rows for c in columns]


def _spans(size: int, side: int, overlap: int, phase: int) -> list[Span]:
    side = max(side // phase, 1) * phase
    overlap = -(-overlap // phase) * phase
    return [
        Span(max(start - overlap, 0), start, min(start + side, size), min(start + side + overlap, size))
        for start in range(0, size, side)
    ]
