"""Charts as inline SVG, in the colours of the page; what they show is also in a table or a tooltip."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from srcli.pages import Html, element, markup

SERIES = 6  # colours and shapes; further series begin again

_WIDTH, _HEIGHT = 560.0, 380.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 12.0, 12.0, 48.0
_RADIUS = 5.0


class Dot(NamedTuple):
    """A point with what a reader is told about it."""

    x: float
    y: float
    text: str


class Series(NamedTuple):
    """Points of one kind."""

    name: str
    dots: Sequence[Dot]


def scatter(title: str, series: Sequence[Series], *, x: str, y: str) -> Html:
    """Draw points with axes called `x` and `y`, a line where y is 0, and a legend. Values that are not finite are left out."""
    shown = [Series(s.name, [d for d in s.dots if math.isfinite(d.x) and math.isfinite(d.y)]) for s in series]
    dots = [d for s in shown for d in s.dots]
    if not dots:
        return element("p", f"{title}: nothing to draw", class_="faint")
    x_low, x_high = _padded([d.x for d in dots])
    y_low, y_high = _padded([*(d.y for d in dots), 0.0])

    def across(value: float) -> float:
        return _LEFT + (value - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)

    def down(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for tick in ticks(x_low, x_high):
        parts.append(_line("grid", across(tick), _TOP, across(tick), _HEIGHT - _BOTTOM))
        parts.append(_text(f"{tick:g}", across(tick), _HEIGHT - _BOTTOM + 18))
    for tick in ticks(y_low, y_high):
        parts.append(_line("grid" if tick else "zero", _LEFT, down(tick), _WIDTH - _RIGHT, down(tick)))
        parts.append(_text(f"{tick:g}", _LEFT - 8, down(tick) + 4.5, anchor="end"))
    frame = f"M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}"
    parts.append(Html(f'<path class="axis" d="{frame}"/>'))
    parts.append(_text(x, (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8))
    parts.append(_text(y, 16, (_TOP + _HEIGHT - _BOTTOM) / 2, turned=True))
    for i, s in enumerate(shown):
        marks = [
            element("path", element("title", d.text), class_="dot", d=_shape(i, across(d.x), down(d.y), _RADIUS))
            for d in s.dots
        ]
        parts.append(element("g", *marks, class_=_series(i)))
    drawing = element("svg", *parts, class_="chart", viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}", role="img", aria_label=title)
    return element("figure", element("figcaption", title), drawing, legend([s.name for s in shown]))


def legend(names: Sequence[str]) -> Html:
    """Name the series by their colours and shapes."""
    items = []
    for i, name in enumerate(names):
        mark = Html(f'<svg viewBox="0 0 14 14" aria-hidden="true"><path class="dot" d="{_shape(i, 7, 7, 5.5)}"/></svg>')
        items.append(element("li", mark, name, class_=_series(i)))
    return element("ul", *items, class_="legend")


def whisker(value: float, low: float, high: float, *, least: float, most: float, series: int = 0, text: str) -> Html:
    """Draw a value with its interval on a line from `least` to `most`, and where 0 is."""
    span = (most - least) or 1.0

    def across(v: float) -> float:
        return 8 + (v - least) / span * 184

    parts = [_line("zero", across(0), 0, across(0), 24)] if least <= 0 <= most else []
    if math.isfinite(low) and math.isfinite(high):
        parts.append(_line("", across(low), 12, across(high), 12))
    if math.isfinite(value):
        parts.append(Html(f'<circle cx="{across(value):.1f}" cy="12" r="5"/>'))
    return element("svg", *parts, class_=f"whisker {_series(series)}", viewBox="0 0 200 24", role="img", aria_label=text)


def ticks(low: float, high: float) -> list[float]:
    """Return about 6 round numbers from `low` to `high`, a step of 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 10) + 0.0 for n in range(first, last + 1)]


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.06 or 0.5
    return low - margin, high + margin


def _series(i: int) -> str:
    return f"s{i % SERIES}"


def _shape(i: int, x: float, y: float, r: float) -> str:
    """Return the path of one of six shapes of like area around a place."""
    shapes = (
        [(math.cos(a * math.pi / 8) * r, math.sin(a * math.pi / 8) * r) for a in range(16)],  # a disc
        [(-r, -r), (r, -r), (r, r), (-r, r)],
        [(0, -1.3 * r), (1.2 * r, 0.9 * r), (-1.2 * r, 0.9 * r)],
        [(0, -1.35 * r), (1.35 * r, 0), (0, 1.35 * r), (-1.35 * r, 0)],
        [(0, 1.3 * r), (1.2 * r, -0.9 * r), (-1.2 * r, -0.9 * r)],
        [(-1.3 * r, -0.45 * r), (1.3 * r, -0.45 * r), (1.3 * r, 0.45 * r), (-1.3 * r, 0.45 * r)],
    )
    points = shapes[i % SERIES]
    return "M" + "L".join(f"{x + dx:.1f} {y + dy:.1f}" for dx, dy in points) + "Z"


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Html:
    return Html(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')


def _text(text: str, x: float, y: float, *, anchor: str = "middle", turned: bool = False) -> Html:
    turn = f' transform="rotate(-90 {x:g} {y:g})"' if turned else ""
    return Html(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}>{markup(text)}</text>')


def spread_of(values: Sequence[float]) -> tuple[float, float]:
    """Return the range that whiskers share, 0 inside it."""
    finite = [v for v in values if math.isfinite(v)]
    return min([0.0, *finite]), max([0.0, *finite])
