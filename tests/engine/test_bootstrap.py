import math

import numpy as np
import pytest

from srcli.engine import bootstrap
from srcli.engine.bootstrap import Interval, differences, mean_interval, rounded


def test_scores_and_intervals_are_printed_in_one_way():
    assert [rounded(v, 2) for v in (28.4567, -0.004, math.inf, math.nan, None)] == ["28.46", "0.00", "inf", "-", "-"]
    assert [rounded(v, 2, sign=True) for v in (0.126, -0.126, -0.001)] == ["+0.13", "-0.13", "+0.00"]
    assert (Interval(-0.0049, 0.126).text(2), Interval(math.nan, math.nan).text(4)) == ("0.00..0.13", "-")


def test_the_interval_of_many_values_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(30, 3, 400)
    low, high = mean_interval(list(values))
    error = 1.96 * values.std() / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - error, abs=0.02)
    assert high == pytest.approx(values.mean() + error, abs=0.02)


def test_equal_calls_give_equal_intervals():
    values = [28.1, 30.5, 27.7, 33.0, 29.37, 31.19, 26.43]
    assert mean_interval(values) == mean_interval(values)


def test_drawing_in_parts_changes_nothing(monkeypatch):
    values = list(np.random.default_rng(2).random(37))
    whole = mean_interval(values)
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 1000)
    assert mean_interval(values) == whole


@pytest.mark.parametrize("values", [[], [30.0], [30.0, math.inf], [30.0, math.nan]])
def test_what_says_nothing_has_no_interval(values):
    assert all(math.isnan(end) for end in mean_interval(values))


def test_equal_infinities_do_not_differ():
    assert differences([math.inf, 30.0, math.inf], [math.inf, 29.5, 40.0]) == [0.0, 0.5, math.inf]
