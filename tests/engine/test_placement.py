"""Labels keep clear of each other, of the points and of the legend, and on the page."""

from itertools import combinations

import pytest

from srcli.engine.placement import Box, nearest, place_labels

PAGE = Box(0, 0, 648, 432)


def test_labels_of_a_crowd_do_not_overlap_each_other_or_the_points() -> None:
    centres = [(300 + 13 * (i % 5) + 3 * (i // 5), 200 + 9 * (i // 5)) for i in range(25)]
    boxes = place_labels(centres, [(60, 10)] * 25, PAGE)
    assert not any(a.overlap(b) for a, b in combinations(boxes, 2))
    assert not any(box.overlap(Box(x, y, x + 1, y + 1)) for box in boxes for x, y in centres)


def test_labels_stay_on_the_page() -> None:
    boxes = place_labels([(2, 2), (646, 2), (2, 430), (646, 430)], [(90, 10)] * 4, PAGE)
    assert all(box.overlap(PAGE) == pytest.approx(900) for box in boxes)


def test_labels_avoid_what_is_taken() -> None:
    legend = Box(105, 90, 250, 110)
    (box,) = place_labels([(100, 100)], [(40, 10)], PAGE, [legend])
    assert box.overlap(legend) == 0


def test_a_lonely_label_stands_right_beside_its_point() -> None:
    (box,) = place_labels([(100, 100)], [(40, 10)], PAGE)
    assert box == pytest.approx((107, 95, 147, 105))


def test_the_same_points_give_the_same_places() -> None:
    centres = [(100 + 7 * i, 100 + (i * i) % 11) for i in range(12)]
    sizes = [(30 + i, 10) for i in range(12)]
    assert place_labels(centres, sizes, PAGE) == place_labels(centres, sizes, PAGE)


def test_the_nearest_place_of_a_box_is_on_its_edge() -> None:
    assert nearest(Box(10, 20, 30, 40), (0, 25)) == (10, 25)
