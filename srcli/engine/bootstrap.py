"""Bootstrap intervals of a mean: seeded, percentile method (Efron and Tibshirani 1993, chapter 13)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
_AT_ONCE = 1 << 22  # drawn values held at a time


class Interval(NamedTuple):
    """Where the mean lies at the given level; nan where fewer than two values, or infinite ones, say nothing about it."""

    low: float
    high: float

    def text(self, digits: int) -> str:
        """Return it as tables print it, - for none."""
        return "-" if math.isnan(self.low) else f"{rounded(self.low, digits)}..{rounded(self.high, digits)}"


NOTHING = Interval(math.nan, math.nan)


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the interval of the mean of `values`; equal calls return equal intervals."""
    sample = np.asarray(values, np.float64)
    if len(sample) < 2 or not np.isfinite(sample).all():
        return NOTHING
    rng = np.random.default_rng(0)
    at_once = max(_AT_ONCE // len(sample), 1)
    means = [
        sample[rng.integers(len(sample), size=(min(at_once, RESAMPLES - start), len(sample)))].mean(1)
        for start in range(0, RESAMPLES, at_once)
    ]
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail])
    return Interval(float(low), float(high))


def rounded(value: float | None, digits: int, *, sign: bool = False) -> str:
    """Return a score as tables print it: never as -0.00, and - for none or nan."""
    if value is None or math.isnan(value):
        return "-"
    return f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}"


def differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """Return a - b, value by value; 0 where both are the same infinity."""
    return [0.0 if x == y else x - y for x, y in zip(a, b, strict=True)]
