"""Which part of a picture to look at: the box in which versions of it differ most."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CROP = 72  # px a side where nothing else is asked for, a multiple of all the usual scales


class Box(NamedTuple):
    """A rectangle in px of the HR picture, from its upper left corner."""

    left: int
    top: int
    width: int
    height: int

    def cut(self, pixels: np.ndarray, scale: int = 1) -> np.ndarray:
        """Cut the box out of (H, W, C); where `pixels` are an LR, `scale` is how many times smaller it is."""
        rows = slice(self.top // scale, (self.top + self.height) // scale)
        return pixels[rows, self.left // scale : (self.left + self.width) // scale]


def spread(versions: Sequence[np.ndarray]) -> np.ndarray:
    """Return (H, W): how much (H, W, C) versions of one picture differ at each place, the variance over all of them."""
    stack = np.stack([v.astype(np.float32) for v in versions])
    return np.asarray(stack.var(0).mean(-1))


def busiest(weight: np.ndarray, side: int, *, step: int = 1, border: int = 0, avoid: Sequence[Box] = ()) -> Box:
    """Return the square of `side` px with the largest sum of `weight` (H, W), on a grid of `step` px.

    It keeps out of `border` px on each side, and out of `avoid`, where the picture has the room; a side longer than the
    picture becomes the picture's. Of equal squares the one nearest to the middle is taken.
    """
    height, width = (min(side, n) // step * step for n in weight.shape)
    total = np.pad(weight.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = (total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width])[
        ::step, ::step
    ]
    tops, lefts = np.arange(sums.shape[0]) * step, np.arange(sums.shape[1]) * step
    inside = _within(tops, height, weight.shape[0], border)[:, None] & _within(lefts, width, weight.shape[1], border)[None]
    for taken in avoid:
        apart = (tops >= taken.top + taken.height) | (tops + height <= taken.top)
        free = inside & (apart[:, None] | ((lefts >= taken.left + taken.width) | (lefts + width <= taken.left))[None])
        inside = free if free.any() else inside
    if inside.any():
        sums = np.where(inside, sums, -1.0)
    best = sums >= sums.max() * (1 - 1e-9)
    away = (tops[:, None] + height / 2 - weight.shape[0] / 2) ** 2 + (lefts[None] + width / 2 - weight.shape[1] / 2) ** 2
    top, left = np.unravel_index(np.where(best, away, np.inf).argmin(), sums.shape)
    return Box(int(left) * step, int(top) * step, width, height)


def _within(starts: np.ndarray, length: int, whole: int, border: int) -> np.ndarray:
    return np.asarray((starts >= border) & (starts + length <= whole - border))
