"""The papers' figure of one picture: the HR with a marked box, and that box cut out of the HR and of every model's result."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from srcli.engine.bootstrap import rounded
from srcli.engine.crops import Box, busiest, spread
from srcli.engine.evaluate import BASELINE, Protocol, Result, read_pair, restore
from srcli.errors import UsageError
from srcli.media.probe import probe
from srcli.pages.palette import SIGNAL

MARK = ImageColor.getrgb(SIGNAL)
_CELL = 240  # px that a crop's longer side is enlarged to, or a little less
_GAP, _FONT, _LINE = 12, 17, 22
_WIDEST = 3  # times the figure's height: the whole picture


class _View(NamedTuple):
    """A crop, enlarged, and the two lines below it."""

    pixels: Image.Image
    name: str
    scores: str


def check_figure(path: Path) -> None:
    """Raise UsageError where `path` is no kind of file that a figure can be."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"a figure is a .png file, not '{path.name}'")


def check_box(box: Box, picture: Path, protocol: Protocol) -> None:
    """Raise UsageError where the box does not lie inside the HR picture."""
    facts = probe(picture)
    _check_inside(box, *(side // protocol.scale * protocol.scale for side in (facts.height, facts.width)))


def draw_figure(results: Sequence[Result], protocol: Protocol, *, box: Box | None = None) -> tuple[Image.Image, Box]:
    """Draw the first picture of the results' data set and return the box too; without one, where the models differ most.

    `box` is in px of the HR; its scores are those of the whole picture. Raises UsageError where it does not lie inside.
    """
    dataset = results[0].dataset
    pair = read_pair(dataset, dataset.pictures[0], protocol)
    restored = [restore(r.entry, dataset, dataset.pictures[0], pair, scored=r.scores[0]) for r in results]
    if box is None:
        models = [sr for sr, r in zip(restored, results, strict=True) if r.entry.name != BASELINE]
        height, width = pair.hr.shape[:2]
        side = max(min(max(min(height, width) // 5, 48), 128) // protocol.scale, 1) * protocol.scale
        versions = models if len(models) > 1 else [*restored, pair.hr][:2]
        box = busiest(spread(versions), side, step=protocol.scale, border=protocol.shave)
    _check_inside(box, *pair.hr.shape[:2])

    zoom = max(_CELL // max(box.width, box.height), 1)
    views = [_View(_enlarged(box.cut(pair.hr), zoom), "HR", "PSNR / SSIM")]
    for result, sr in zip(results, restored, strict=True):
        score = result.scores[0]
        scores = f"{rounded(score.psnr, 2)} / {rounded(score.ssim, 4)}"
        views.append(_View(_enlarged(box.cut(sr), zoom), result.entry.label, scores))
    if len(views) % 2:  # two full rows
        lr = pair.lr.repeat(protocol.scale, 0).repeat(protocol.scale, 1)
        views.insert(1, _View(_enlarged(box.cut(lr), zoom), "LR", f"x{protocol.scale}"))
    title = f"{Path(dataset.pictures[0]).stem} ({dataset.name}), x{protocol.scale}"
    return _compose(Image.fromarray(pair.hr), box, views, title), box


def parse_box(text: str, flag: str = "--box") -> Box:
    """Read x,y,w,h, the value of `flag`, as a box; raise UsageError."""
    parts = [part.strip() for part in text.split(",")]
    numbers = [int(part) for part in parts if part.isdecimal()]
    if len(parts) != 4 or len(numbers) != 4 or min(numbers[2:]) < 1:
        raise UsageError(f"{flag} is X,Y,WIDTH,HEIGHT in px, such as 120,80,64,64, not '{text}'")
    return Box(*numbers)


def _check_inside(box: Box, height: int, width: int) -> None:
    if box.left + box.width > width or box.top + box.height > height:
        raise UsageError(f"--box {','.join(map(str, box))} reaches out of the {width}x{height} picture")


def _enlarged(pixels: np.ndarray, zoom: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)


def _compose(hr: Image.Image, box: Box, views: Sequence[_View], title: str) -> Image.Image:
    """Lay the whole picture to the left of two rows of crops; each is in the middle of what its words need."""
    crop = views[0].pixels
    cell_width = max(crop.width, _room(*(text for view in views for text in view[1:])))
    cell_height = crop.height + 2 * _LINE
    rows, columns = 2, len(views) // 2
    height = rows * cell_height + (rows - 1) * _GAP
    ratio = min((height - _LINE) / hr.height, _WIDEST * height / hr.width)
    whole_width, whole_height = max(round(hr.width * ratio), 1), max(round(hr.height * ratio), 1)
    how = Image.Resampling.LANCZOS if ratio <= 1 else Image.Resampling.BICUBIC
    whole = _marked(hr.resize((whole_width, whole_height), how), box, ratio)
    left_width = max(whole_width, _room(title))
    figure = Image.new("RGB", (left_width + columns * (cell_width + _GAP) + 2 * _GAP, height + 2 * _GAP), "white")
    figure.paste(whole, (_GAP + (left_width - whole_width) // 2, _GAP))
    draw = ImageDraw.Draw(figure)
    _write(draw, title, _GAP + left_width / 2, _GAP + whole_height + _LINE / 2, left_width)
    for i, view in enumerate(views):
        x = 2 * _GAP + left_width + i % columns * (cell_width + _GAP)
        y = _GAP + i // columns * (cell_height + _GAP)
        figure.paste(view.pixels, (x + (cell_width - crop.width) // 2, y))
        middle, below = x + cell_width / 2, y + crop.height
        _write(draw, view.name, middle, below + _LINE / 2 + 1, cell_width)
        _write(draw, view.scores, middle, below + 1.5 * _LINE, cell_width)
    return figure


def _room(*texts: str) -> int:
    """Return the px that the longest of these lines takes, at most what a crop has."""
    font = ImageFont.load_default(size=_FONT)
    return min(max(math.ceil(font.getlength(_line(text))) for text in texts), _CELL)


def _marked(whole: Image.Image, box: Box, ratio: float) -> Image.Image:
    """Draw the box, dark below bright so that it shows on any picture."""
    draw = ImageDraw.Draw(whole)
    edges = (box.left, box.top, box.left + box.width, box.top + box.height)
    left, top, right, bottom = (round(edge * ratio) for edge in edges)
    draw.rectangle((left - 4, top - 4, right + 3, bottom + 3), outline=(0, 0, 0), width=5)
    draw.rectangle((left - 3, top - 3, right + 2, bottom + 2), outline=MARK, width=3)
    return whole


def _write(draw: ImageDraw.ImageDraw, text: str, x: float, y: float, width: float) -> None:
    """Write a line around (x, y), its middle left out where it is wider than `width`."""
    font = ImageFont.load_default(size=_FONT)
    kept = text = _line(text)
    for length in range(len(text) - 1, 0, -1):
        if draw.textlength(kept, font) <= width:
            break
        kept = text[: length // 2] + "..." + text[len(text) - length + length // 2 :]
    draw.text((x, y), kept, fill="black", font=font, anchor="mm")


def _line(text: str) -> str:
    return " ".join(text.split())  # a name may hold a line feed
