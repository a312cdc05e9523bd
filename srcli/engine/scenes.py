"""Drawn scenes: what screens show and no lens makes. Text, lines, shapes and pixel patterns, at HR and LR.

A network that has seen photographs alone takes the steps of aliased text and lines for something else, and makes noise of
them. A scene is drawn once, far larger than HR; HR is its mean over each px, as a smooth drawing of that size. LR is what a
program would have drawn at the small size: the scene at each px's centre (aliased) or its mean over each px (anti-aliased).
"""

import math
import string
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_FINE = 4  # px of the scene for one of HR
_ALIASED, _SMOOTH = 0.5, 0.3  # how often LR is drawn so; of the rest it is made from HR, as that of photographs
_BARE = 0.7  # how often a scene has a ground of its own, instead of the photograph
_OFTEN = [0.45, 0.2, 0.15, 0.12, 0.08]  # text, lines, shapes, boxes, patterns
_SIGNS = string.ascii_letters + string.digits + ".,:;-+=/()[]#&%!?"
_TEXT = (7.0, 28.0)  # px of LR: the size of letters


class Layer(NamedTuple):
    """A scene at one size: premultiplied `color` (3, H, W) and `cover` (1, H, W), both in [0, 1]."""

    color: Tensor
    cover: Tensor

    def over(self, below: Tensor) -> Tensor:
        """Lay the scene over (3, H, W), on the device of that."""
        return self.color.to(below) + (1 - self.cover.to(below)) * below


class Scene(NamedTuple):
    """A scene at HR, and at LR where that is drawn too; None where LR is made from HR."""

    hr: Layer
    lr: Layer | None


def draw_scene(side: int, scale: int, rng: np.random.Generator) -> Scene:
    """Draw a scene of `side` px of LR a side by the choices of `rng`."""
    unit = scale * _FINE
    canvas = _Canvas(side, unit, rng)
    elements = [canvas.text, canvas.line, canvas.shape, canvas.box, canvas.pattern]
    for number in rng.choice(len(elements), size=rng.integers(2, 12), p=_OFTEN):
        elements[number]()
    hr, way = canvas.means(_FINE), rng.random()
    if way < _ALIASED:
        return Scene(hr, canvas.points())
    return Scene(hr, canvas.means(unit) if way < _ALIASED + _SMOOTH else None)


class _Canvas:
    """What is drawn, `unit` px for one of LR, without anti-aliasing."""

    def __init__(self, side: int, unit: int, rng: np.random.Generator) -> None:
        self.side, self.unit, self.rng = side, unit, rng
        bare = rng.random() < _BARE
        self.inks = [self._ink() for _ in range(rng.integers(1, 5))]
        self.color = Image.new("RGB", (side * unit, side * unit), self._ink() if bare else 0)
        self.cover = Image.new("L", self.color.size, 255 if bare else 0)
        self.brushes = [(ImageDraw.Draw(self.color), True)]
        if not bare:
            self.brushes.append((ImageDraw.Draw(self.cover), False))
        for brush, _ in self.brushes:
            brush.fontmode = "1"

    def _ink(self) -> tuple[int, int, int]:
        """Choose a colour: of two one is black, white or gray."""
        if self.rng.random() < 0.5:
            r, g, b = self.rng.integers(256, size=3)
            return int(r), int(g), int(b)
        gray = int(self.rng.choice([0, 255, int(self.rng.integers(256))]))
        return gray, gray, gray

    def _paint(self, draw: Callable[[ImageDraw.ImageDraw, Any], None]) -> None:
        """Draw with an ink, and as covered where not all is."""
        ink = self.inks[self.rng.integers(len(self.inks))]
        for brush, colored in self.brushes:
            draw(brush, ink if colored else 255)

    def _place(self, *, whole: bool = False) -> tuple[float, float]:
        """Choose a point, in px of the scene; `whole`: on the grid of LR."""
        x, y = self.rng.uniform(-0.1, 1, size=2) * self.side
        return (round(x) * self.unit, round(y) * self.unit) if whole else (x * self.unit, y * self.unit)

    def text(self) -> None:
        """Write up to three lines, begun on the grid of LR or anywhere."""
        font = _font(self.unit * round(2 * math.exp(self.rng.uniform(*np.log(_TEXT)))) // 2)  # in half px of LR
        lines = ["".join(self.rng.choice(list(_SIGNS), size=self.rng.integers(1, 16))) for _ in range(self.rng.integers(1, 4))]
        place = self._place(whole=self.rng.random() < 0.5)
        self._paint(lambda brush, ink: brush.multiline_text(place, "\n".join(lines), fill=ink, font=font))

    def line(self) -> None:
        """Draw a line as wide as programs draw them: across the axis that it is nearer to, so that aliased it has no gaps."""
        (x, y), (u, v) = self._place(), self._place()
        half = self.unit * self.rng.choice([1.0, 1.0, 1.0, 2.0, 3.0]) / 2
        dx, dy = (0.0, half) if abs(u - x) > abs(v - y) else (half, 0.0)
        corners = [(x - dx, y - dy), (u - dx, v - dy), (u + dx, v + dy), (x + dx, y + dy)]
        self._paint(lambda brush, ink: brush.polygon(corners, fill=ink))

    def shape(self) -> None:
        """Draw a polygon, or an ellipse, filled or as an outline."""
        (x, y), (u, v) = self._place(), self._place()
        box, width = (min(x, u), min(y, v), max(x, u), max(y, v)), self.unit * int(self.rng.integers(1, 4))
        kind, corners = self.rng.random(), [self._place() for _ in range(self.rng.integers(3, 6))]
        if kind < 0.5:
            self._paint(lambda brush, ink: brush.polygon(corners, fill=ink))
        elif kind < 0.75:
            self._paint(lambda brush, ink: brush.ellipse(box, fill=ink))
        else:
            self._paint(lambda brush, ink: brush.ellipse(box, outline=ink, width=width))

    def box(self) -> None:
        """Draw a rectangle on the grid of LR, filled, or as a frame of one or two px."""
        (x, y), (u, v) = self._place(whole=True), self._place(whole=True)
        box, width = (min(x, u), min(y, v), max(x, u) - 1, max(y, v) - 1), self.unit * int(self.rng.integers(1, 3))
        if box[2] < box[0] or box[3] < box[1]:
            return
        if self.rng.random() < 0.5:
            self._paint(lambda brush, ink: brush.rectangle(box, fill=ink))
        else:
            self._paint(lambda brush, ink: brush.rectangle(box, outline=ink, width=width))

    def pattern(self) -> None:
        """Draw a sprite, stripes or a checkerboard of px of LR: what is of px stays of px when it is enlarged."""
        height, width = self.rng.integers(4, 20, size=2)
        kind, inks = self.rng.random(), np.array([*self.inks, self._ink()], dtype=np.uint8)
        if kind < 0.6:  # a sprite, the right half as the left
            cells = self.rng.integers(len(inks), size=(height, width))
            cells[:, : width // 2] = cells[:, ::-1][:, : width // 2]
        else:
            rows, columns = np.mgrid[:height, :width] // self.rng.integers(1, 3)
            cells = (rows + columns if kind < 0.75 else rows if kind < 0.87 else columns) % 2
        pixels = Image.fromarray(inks[cells])
        size, (x, y) = (int(width) * self.unit, int(height) * self.unit), self._place(whole=True)
        self.color.paste(pixels.resize(size, Image.Resampling.NEAREST), (int(x), int(y)))
        self.cover.paste(255, (int(x), int(y), int(x) + size[0], int(y) + size[1]))

    def means(self, px: int) -> Layer:
        """Return the means over squares of `px`."""
        return _layer(np.asarray(self.color.reduce(px)), np.asarray(self.cover.reduce(px)))

    def points(self) -> Layer:
        """Return what lies at the centre of each px of LR: of the two px of the scene that meet there, either."""
        at = tuple(slice(self.unit // 2 - int(n), None, self.unit) for n in self.rng.integers(2, size=2))
        return _layer(np.asarray(self.color)[at], np.asarray(self.cover)[at])


def _layer(color: np.ndarray, cover: np.ndarray) -> Layer:
    """Return (H, W, 3) and (H, W) uint8 as a layer; nothing is drawn where nothing covers, so `color` is premultiplied."""
    return Layer(torch.from_numpy(color.copy()).permute(2, 0, 1) / 255, torch.from_numpy(cover.copy())[None] / 255)


@lru_cache(64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font, `size` px large."""
    return ImageFont.load_default(size)
