"""Tile plans: integers only."""

import math
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


def plan_tiles(height: int, width: int, side: int | tuple[int, int], overlap: int, phase: int = 1) -> list[Tile]:
    """Cut a picture into tiles that give at most `side` (or height, width) px and read `overlap` px more on each side.

    What a tile reads starts at a multiple of `phase`: a side that cuts is rounded down (but not to 0), `overlap` up to one.
    """
    sides = (side, side) if isinstance(side, int) else side
    rows, columns = (_spans(0, size, size, side, overlap, phase) for size, side in zip((height, width), sides, strict=True))
    return [Tile(r, c) for r in rows for c in columns]


def split(tile: Tile, height: int, width: int, side: int, overlap: int, phase: int = 1) -> list[Tile]:
    """Cut what `tile` of a (height, width) picture gives into tiles of at most `side` px, as `plan_tiles` does."""
    rows, columns = (
        _spans(span.start, span.stop, size, side, overlap, phase) for span, size in zip(tile, (height, width), strict=True)
    )
    return [Tile(r, c) for r in rows for c in columns]


def fewest_reads(height: int, width: int, area: float, overlap: int, phase: int = 1, *, beside: float = 0.0) -> tuple[int, int]:
    """Return the (height, width) a tile should give so that none reads more than `area` px and all read as little as can be.

    As small as one phase where even that reads more. `beside`: px of the area that each row a tile gives takes besides.
    """
    best, least = (phase, phase), math.inf
    across = _costs(width, overlap, phase)
    for rows, tallest, read_down in _costs(height, overlap, phase):
        for columns, widest, read_across in across:
            if tallest * widest + rows * beside <= area:
                if read_down * read_across < least:
                    best, least = (rows, columns), read_down * read_across
                break  # narrower tiles only read more
    return best


def _costs(size: int, overlap: int, phase: int) -> list[tuple[int, int, int]]:
    """Return what a tile may give along an axis, the largest first, with the most that one and the sum that all read."""
    shares = (-(-size // count) for count in range(1, -(-size // phase) + 1))
    sides = dict.fromkeys(size if share == size else -(-share // phase) * phase for share in shares)
    costs = []
    for side in sides:
        reads = [span.last - span.first for span in _spans(0, size, size, side, overlap, phase)]
        costs.append((side, max(reads), sum(reads)))
    return costs


def _spans(begin: int, end: int, size: int, side: int, overlap: int, phase: int) -> list[Span]:
    side = side if side >= end - begin else max(side // phase, 1) * phase
    overlap = -(-overlap // phase) * phase
    return [
        Span(max(start - overlap, 0), start, stop, min(stop + overlap, size))
        for start in range(begin, end, side)
        for stop in [min(start + side, end)]
    ]
