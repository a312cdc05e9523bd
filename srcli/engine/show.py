"""The part of a result that shows what was gained, before and after."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from srcli.engine.compare import read_still
from srcli.engine.crops import Box, busiest, spread

_SEARCHED = 2048  # px a side of the middle of a result, in which the part is looked for


class Room(NamedTuple):
    """What both crops and the gap between them may take, in px."""

    width: int
    height: int
    gap: int


def before_after(source: Path, result: Path, room: Room) -> np.ndarray:
    """Return (H, W, 3) uint8: a square of `source`, its px enlarged, and the same square of `result`.

    It lies where the result differs most from bicubic. Raises BadPicture.
    """
    after = read_still(result).pixels
    before = Image.fromarray(read_still(source).pixels)
    height, width = after.shape[:2]
    middle = _middle(height, width)
    down, across = before.height / height, before.width / width
    area = (
        middle.left * across,
        middle.top * down,
        (middle.left + middle.width) * across,
        (middle.top + middle.height) * down,
    )
    after = middle.cut(after)
    squares, smooth = (
        np.asarray(before.resize((middle.width, middle.height), how, box=area))
        for how in (Image.Resampling.NEAREST, Image.Resampling.BICUBIC)
    )
    box = busiest(spread([smooth, after]), max(min((room.width - room.gap) // 2, room.height), 1))
    between = np.zeros((box.height, room.gap, 3), np.uint8)
    return np.concatenate([box.cut(squares), between, box.cut(after)], axis=1)


def _middle(height: int, width: int) -> Box:
    high, wide = min(height, _SEARCHED), min(width, _SEARCHED)
    return Box((width - wide) // 2, (height - high) // 2, wide, high)
