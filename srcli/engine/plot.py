"""PSNR against cost, as the papers draw it: one labelled point a network."""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any, Literal, NamedTuple

from srcli import checkpoint
from srcli.engine.drawing import DPI, check_format, drawn, theme_of
from srcli.engine.profile import Comparison, Profile
from srcli.engine.published import ROWS, Published
from srcli.errors import UserError
from srcli.models import ARCHS
from srcli.pages.palette import Theme
from srcli.zoo import shipped

Axis = Literal["parameters", "milliseconds", "macs"]

_TITLES = {
    "parameters": "parameters (thousand)",
    "milliseconds": "milliseconds per picture",
    "macs": "multiply-accumulates (G, 1280x720 output)",
}
_SIZE = (9.0, 6.0)  # inches
_FONT = 8.5  # pt
_MARGIN = 1.5  # pt kept free around a label
_MARKER = 4.5  # pt of a marker's radius
_STYLES = {True: ("srcli", "D", 1), False: ("published", "o", 0)}  # name, marker and place in the theme's series
_WEIGHTS = {True: "bold", False: "normal"}
_RINGS = (7.0, 13.0, 22.0, 34.0, 50.0, 70.0, 95.0)  # pt from a point to its label
_ANGLES = (0, 180, 90, 270, 45, 135, 315, 225, 22, 158, 202, 338, 67, 113, 247, 293)  # degrees; beside the point first
_ROUNDS = 8
_OVERLAP, _CROSSING = 10.0, 200.0  # what a square pt covered and a line crossed cost; a worse place costs 1
_DECADES = 1e4  # of costs, beyond which 2 and 5 have no room between the powers of ten
_LEADER = 8.0  # pt from which a line leads from the label to its point


class Point(NamedTuple):
    """A network in the plot; `cost` in the axis' unit (K parameters, ms or G), `ours`: measured by srcli, else published."""

    label: str
    cost: float
    psnr: float
    ours: bool = False


class Box(NamedTuple):
    """A rectangle in pt, from the lower left corner."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "Box") -> float:
        """Return the area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)


Segment = tuple[tuple[float, float], tuple[float, float]]


class Place(NamedTuple):
    """Where a label may stand: what that costs whatever the other labels do, its box, and the line to its point."""

    cost: float
    box: Box
    line: Segment


def tradeoff(networks: Iterable[tuple[Profile, Comparison]], scale: int, dataset: str, axis: Axis) -> list[Point]:
    """Gather the points of a plot: the weights that ship, with their cards' scores, and the papers' rows.

    Multi-adds are srcli's counts where it has the network, since papers count them differently; milliseconds are only
    of the networks given.
    """
    costs = {counted.model: _cost(counted, beside, axis) for counted, beside in networks}
    points = []
    for file in shipped():
        card = checkpoint.read_card(file.path)
        psnr = next((s["psnr"] for s in card.scores if s["dataset"] == dataset), None)
        plain = file.name == card.arch  # others, such as photo weights, are made for other LR than the papers'
        if plain and file.scale == scale and psnr is not None and card.arch in costs:
            points.append(Point(ARCHS[card.arch].label, costs[card.arch], psnr, ours=True))
    for row in ROWS:
        cost = _published_cost(row, costs.get(row.name), axis)
        if row.scale == scale and dataset in row.scores and cost and (row.name in costs or not row.ours):
            points.append(Point(row.label, cost, row.scores[dataset].psnr))
    return points


def plot_tradeoff(
    points: Sequence[Point], path: Path, *, axis: Axis = "parameters", title: str = "", dark: bool = False
) -> None:
    """Write PSNR over cost (logarithmic) to a .png or .svg file; raise UsageError or UserError where it cannot be."""
    check_format(path)
    shown = [p for p in points if p.cost > 0 and math.isfinite(p.psnr)]
    if not shown:
        raise UserError("nothing to plot: no network has both a score and a cost")
    theme = theme_of(dark)
    with drawn(path, _SIZE, theme) as figure:
        _tradeoff(figure, shown, axis, title, theme)


def _tradeoff(figure: Any, points: Sequence[Point], axis: Axis, title: str, theme: Theme) -> None:
    """Draw the points with labels that keep clear of each other."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes = figure.add_subplot()
    for ours, (name, marker, place) in _STYLES.items():
        color = theme.series[place]
        group = [p for p in points if p.ours is ours]
        if group:
            x, y = [p.cost for p in group], [p.psnr for p in group]
            axes.scatter(x, y, s=34, marker=marker, color=color, edgecolors=theme.paper, linewidths=0.6, label=name, zorder=3)
    axes.set_xscale("log")
    axes.set_xlabel(_TITLES[axis])
    axes.set_ylabel("PSNR (dB)")
    axes.set_title(title)
    axes.margins(0.08)
    costs = [p.cost for p in points]
    subs = (1.0, 2.0, 5.0) if max(costs) < _DECADES * min(costs) else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    legend = axes.legend(loc="best")

    figure.draw_without_rendering()  # lays everything out, so that places can be asked for
    figure.set_layout_engine("none")
    pt = 72 / DPI
    frame = axes.get_window_extent()
    bounds = Box(frame.x0 * pt, frame.y0 * pt, frame.x1 * pt, frame.y1 * pt)
    key = legend.get_window_extent()
    taken = [Box(key.x0 * pt, key.y0 * pt, key.x1 * pt, key.y1 * pt)]
    centres = [tuple(axes.transData.transform((p.cost, p.psnr)) * pt) for p in points]
    sizes = []
    for p in points:
        text = axes.text(p.cost, p.psnr, p.label, fontsize=_FONT, fontweight=_WEIGHTS[p.ours])
        extent = text.get_window_extent()
        sizes.append((extent.width * pt, extent.height * pt))
        text.remove()
    for p, centre, box in zip(points, centres, place_labels(centres, sizes, bounds, taken), strict=True):
        color = theme.series[_STYLES[p.ours][2]]
        near = nearest(box, centre)
        if math.dist(near, centre) > _LEADER:
            axes.annotate(
                "",
                xy=centre,
                xytext=near,
                xycoords="figure points",
                textcoords="figure points",
                arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.6, "alpha": 0.7, "shrinkA": 0, "shrinkB": 3},
            )
        axes.annotate(
            p.label,
            (box.left, box.bottom),
            xycoords="figure points",
            fontsize=_FONT,
            fontweight=_WEIGHTS[p.ours],
            va="bottom",
            zorder=4,
        )


def place_labels(
    centres: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    bounds: Box,
    taken: Sequence[Box] = (),
) -> list[Box]:
    """Place a label of each (width, height) near its centre so that labels, markers, leaders and `taken` overlap least.

    All in pt. The most crowded points choose first, then each in turn may choose again while that helps: the same
    points always give the same places.
    """
    markers = [Box(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER) for x, y in centres]
    crowd = [sum(math.dist(c, other) < _RINGS[-1] for other in centres) for c in centres]
    order = sorted(range(len(centres)), key=lambda i: (-crowd[i], centres[i]))
    places = [
        _places(centre, size, bounds, [*markers[:i], *markers[i + 1 :]], [markers[i], *taken])
        for i, (centre, size) in enumerate(zip(centres, sizes, strict=True))
    ]
    chosen: dict[int, Place] = {}
    for _ in range(_ROUNDS):
        before = dict(chosen)
        for i in order:
            others = [place for j, place in chosen.items() if j != i]
            chosen[i] = _cheapest(places[i], others)
        if chosen == before:
            break
    return [chosen[i].box for i in range(len(centres))]


def nearest(box: Box, point: tuple[float, float]) -> tuple[float, float]:
    """Return the place of `box` that is nearest to `point`."""
    return min(max(point[0], box.left), box.right), min(max(point[1], box.bottom), box.top)


def overlaps(boxes: Sequence[Box]) -> int:
    """Count the pairs of boxes that overlap."""
    return sum(a.overlap(b) > 0 for a, b in combinations(boxes, 2))


def _cost(counted: Profile, beside: Comparison, axis: Axis) -> float:
    if axis == "parameters":
        return counted.parameters / 1e3
    if axis == "macs":
        return beside.multi_adds / 1e9
    return counted.milliseconds or 0.0


def _published_cost(row: Published, ours: float | None, axis: Axis) -> float | None:
    if axis == "parameters":
        return row.parameters or ours
    return ours or (row.multi_adds if axis == "macs" else None)


def _places(
    centre: tuple[float, float], size: tuple[float, float], bounds: Box, markers: Sequence[Box], taken: Sequence[Box]
) -> list[Place]:
    """List the places around a point, the best first; a label is pushed out in its direction until it clears the ring."""
    places = []
    for rank, (ring, angle) in enumerate(product(_RINGS, _ANGLES)):
        dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        x = centre[0] + dx * (ring + size[0] / 2)
        y = centre[1] + dy * (ring + size[1] / 2)
        box = Box(x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2)
        line = (centre, nearest(box, centre))
        covered = sum(_wide(box).overlap(b) for b in (*markers, *taken)) + 2 * (size[0] * size[1] - box.overlap(bounds))
        crossed = sum(_touches(line, b) for b in markers)
        places.append(Place(rank + _OVERLAP * covered + _CROSSING * crossed, box, line))
    return sorted(places)


def _cheapest(places: Sequence[Place], others: Sequence[Place]) -> Place:
    """Return the place that disturbs the other labels least; `places` are sorted by what they cost alone."""
    best, least = places[0], math.inf
    for place in places:
        if place.cost >= least:
            break
        covered = sum(_wide(place.box).overlap(other.box) for other in others)
        crossed = sum(
            _touches(place.line, other.box) + _touches(other.line, place.box) + _cross(place.line, other.line)
            for other in others
        )
        cost = place.cost + _OVERLAP * covered + _CROSSING * crossed
        if cost < least:
            best, least = place, cost
    return best


def _wide(box: Box) -> Box:
    return Box(box.left - _MARGIN, box.bottom - _MARGIN, box.right + _MARGIN, box.top + _MARGIN)


def _cross(a: Segment, b: Segment) -> bool:
    """Tell whether two segments cross."""

    def side(p: tuple[float, float], q: tuple[float, float], r: tuple[float, float]) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(*a, b[0]) * side(*a, b[1]) < 0 and side(*b, a[0]) * side(*b, a[1]) < 0


def _touches(line: Segment, box: Box) -> bool:
    """Tell whether a segment runs through a box: it crosses a side."""
    corners = ((box.left, box.bottom), (box.right, box.bottom), (box.right, box.top), (box.left, box.top))
    return any(_cross(line, (a, b)) for a, b in zip(corners, (*corners[1:], corners[0]), strict=True))
