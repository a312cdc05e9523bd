"""Steps between neighbouring px that no lens makes: those of text, screenshots, drawings, pixel art and dither."""

from functools import reduce
from typing import NamedTuple

import numpy as np

from srcli.media.picture import Array
from srcli.ops.pixels import MAXIMA

_EVEN = 0.4  # share of px equal to their neighbour from which a picture counts as drawn
_STEEP = 0.15  # mean step in the steepest cell, of the whole range, from which it does


class Edges(NamedTuple):
    """Where a picture is hardest for a network, and whether networks may never have seen its like."""

    top: int  # px, of the cell with the largest mean step
    left: int
    drawn: bool


def edges(pixels: Array, side: int) -> Edges:
    """Look at the steps from left to right in (H, W, C), in cells of `side` px a side; the last ones are moved inwards."""
    height, width, _ = pixels.shape
    if width < 2:
        return Edges(max(height - side, 0) // 2, 0, drawn=False)
    lefts = range(0, width - 1, side)
    spans = np.diff([*lefts, width - 1])
    even, steepest, found = 0, -1.0, (0, 0)
    for top in range(0, height, side):  # one row of cells in memory at a time
        rows = pixels[top : top + side]
        here, before = rows[:, 1:], rows[:, :-1]
        apart = np.maximum(here, before) - np.minimum(here, before)  # (side, W - 1, C), without a wider type
        steps = reduce(np.maximum, np.moveaxis(apart, 2, 0))
        even += int(np.count_nonzero(steps == 0))
        means = np.add.reduceat(steps.sum(axis=0, dtype=np.float64), lefts) / (spans * len(rows))
        if means.max() > steepest:
            steepest, found = float(means.max()), (top, lefts[int(means.argmax())])
    top, left = (max(min(start, length - side), 0) for start, length in zip(found, (height, width), strict=True))
    drawn = even >= _EVEN * height * (width - 1) or steepest >= _STEEP * MAXIMA[pixels.dtype]
    return Edges(top, left, drawn)
