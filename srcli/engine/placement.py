"""Where labels stand so that they keep clear of each other; adjustText, which was tried, lets those of a crowd overlap."""

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

_MARGIN = 1.5  # pt kept free around a label
_MARKER = 4.5  # pt of a marker's radius
_RINGS = (7.0, 13.0, 22.0, 34.0, 50.0, 70.0, 95.0)  # pt from a point to its label
_ANGLES = (0, 180, 90, 270, 45, 135, 315, 225, 22, 158, 202, 338, 67, 113, 247, 293)  # degrees; beside the point first
_ROUNDS = 8
_OVERLAP, _CROSSING = 10.0, 200.0  # what a square pt covered and a line crossed cost; a worse place costs 1


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
