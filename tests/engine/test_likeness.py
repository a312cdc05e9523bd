import math

import numpy as np
import pytest

from srcli.engine.likeness import likeness
from srcli.engine.resizer import resampled
from srcli.media.picture import Picture
from srcli.ops.pixels import to_tensor
from srcli.ops.resize import resize
from tests.conftest import photograph


def test_the_figure_is_that_of_the_whole_picture_shrunk_at_once():
    source, result = photograph(150, 53), photograph(600, 212, seed=3)
    small = resize(to_tensor(result), 150, 53).clamp(0, 1)
    error = (small - to_tensor(source)).double()
    found = likeness(Picture(result), Picture(source))
    assert found.psnr == pytest.approx(-10 * math.log10(error.square().mean()), abs=1e-4)
    assert found.drift == pytest.approx((255 * error.mean((0, 2, 3))).tolist(), abs=1e-4)
    assert found.far


def test_a_constant_picture_equals_itself_and_a_brighter_one_has_drifted():
    source = Picture(np.full((7, 9, 3), 100, np.uint8))
    same = likeness(Picture(np.full((28, 36, 3), 100, np.uint8)), source)
    assert (same.psnr > 120, same.far) == (True, False)
    brighter = likeness(Picture(np.full((28, 36, 3), (100, 110, 90), np.uint8)), source)
    assert brighter.drift == pytest.approx((0, 10, -10), abs=1e-3)


def test_sixteen_bits_and_gray_count_in_levels_of_255():
    source = Picture(np.full((7, 9, 1), 100 * 257, np.uint16))
    assert likeness(Picture(np.full((14, 18, 1), 103 * 257, np.uint16)), source).drift == pytest.approx((3,), abs=1e-3)


def test_colour_that_is_not_seen_does_not_count():
    alpha = np.zeros((12, 10), np.uint8)
    alpha[:, :5] = 255
    source = Picture(np.full((12, 10, 3), 100, np.uint8), alpha)
    larger = resampled(source, 24, 20)
    larger.pixels[:, 14:] = 0
    assert likeness(larger, source).psnr > 120
    nowhere = Picture(source.pixels, np.zeros_like(alpha))
    assert likeness(larger, nowhere) is None


def test_what_became_smaller_is_not_compared():
    assert likeness(Picture(photograph(20, 60)), Picture(photograph(21, 53))) is None
