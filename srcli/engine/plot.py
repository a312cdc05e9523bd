"""PSNR against cost, as the papers draw it: one labelled point a network."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from srcli import checkpoint
from srcli.engine.drawing import DPI, check_format, drawn
from srcli.engine.placement import Box, nearest, place_labels
from srcli.engine.profile import Comparison, Profile
from srcli.engine.published import ROWS, Published
from srcli.errors import UserError
from srcli.models import ARCHS
from srcli.pages.palette import DARK, LIGHT, Theme
from srcli.zoo import shipped

Axis = Literal["parameters", "milliseconds", "macs"]

_TITLES = {
    "parameters": "parameters (thousand)",
    "milliseconds": "milliseconds per picture",
    "macs": "multiply-accumulates (G, 1280x720 output)",
}
_SIZE = (9.0, 6.0)  # inches
_FONT = 8.5  # pt
_STYLES = {True: ("srcli", "D", 1), False: ("published", "o", 0)}  # name, marker and place in the theme's series
_WEIGHTS = {True: "bold", False: "normal"}
_DECADES = 1e4  # of costs, beyond which 2 and 5 have no room between the powers of ten
_LEADER = 8.0  # pt from which a line leads from the label to its point


class Point(NamedTuple):
    """A network in the plot; `cost` in the axis' unit (K parameters, ms or G), `ours`: measured by srcli, else published."""

    label: str
    cost: float
    psnr: float
    ours: bool = False


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
    theme = DARK if dark else LIGHT
    with drawn(path, _SIZE, theme) as figure:
        _tradeoff(figure, shown, axis=axis, title=title, theme=theme)


def _tradeoff(figure: Any, points: Sequence[Point], *, axis: Axis, title: str, theme: Theme) -> None:
    """Draw the points over a logarithmic axis, with their labels."""
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
    _label(figure, axes, axes.legend(loc="best"), points=points, theme=theme)


def _label(figure: Any, axes: Any, legend: Any, *, points: Sequence[Point], theme: Theme) -> None:
    """Write names beside the points that keep clear of each other and of the legend, with lines to those farther off."""
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
