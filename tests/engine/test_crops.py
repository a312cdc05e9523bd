import numpy as np
import pytest

from srcli.engine.crops import Box, busiest, spread
from tests.conftest import photograph


def test_the_box_lies_where_the_difference_is():
    weight = np.zeros((60, 90))
    weight[31:43, 52:64] = 1.0
    assert busiest(weight, 12) == Box(52, 31, 12, 12)


def test_the_box_lies_on_the_grid_and_within_the_border():
    weight = np.zeros((60, 90))
    weight[:6, 80:] = 1.0
    box = busiest(weight, 12, step=4, border=4)
    assert (box.left % 4, box.top % 4) == (0, 0)
    assert (box.top, box.left + box.width) == (4, 84)


def test_a_second_box_keeps_out_of_the_first():
    weight = np.random.default_rng(0).random((60, 90))
    first = busiest(weight, 20)
    second = busiest(weight, 20, avoid=[first])
    apart = abs(first.left - second.left) >= 20 or abs(first.top - second.top) >= 20
    assert apart


def test_of_equal_places_the_middle_is_taken():
    assert busiest(np.zeros((50, 70)), 10) == Box(30, 20, 10, 10)


@pytest.mark.parametrize("shape", [(7, 9), (12, 200), (8, 8)])
def test_a_picture_smaller_than_the_box_is_taken_as_far_as_it_goes(shape):
    box = busiest(np.ones(shape), 24, step=4, border=4, avoid=[Box(0, 0, 4, 4)])
    assert (box.height, box.width) == tuple(min(n, 24) // 4 * 4 for n in shape)
    assert box.top + box.height <= shape[0] and box.left + box.width <= shape[1]


def test_the_lr_cut_is_the_same_place():
    hr = photograph(40, 60)
    lr = hr[::4, ::4]
    box = Box(8, 12, 16, 20)
    assert (box.cut(lr, 4) == box.cut(hr)[::4, ::4]).all()


def test_spread_is_the_variance_over_the_versions():
    a, b = photograph(9, 11), photograph(9, 11, 1)
    expected = ((a.astype(float) - b) ** 2 / 4).mean(-1)
    np.testing.assert_allclose(spread([a, b]), expected, rtol=1e-5)
