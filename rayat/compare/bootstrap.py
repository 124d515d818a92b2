"""Intervals for paired comparisons over a handful of seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rayat.resampling import LEVEL, MIN_PAIRS, resample


@dataclass(frozen=True)
class Estimate:
    """A paired comparison of two arms.

    Attributes:
        value: the estimate, or the limit named by `bound`.
        low, high: ends of the interval; None with fewer than three pairs, or with a bound.
        pairs: seeds that both arms have.
        bound: `<` or `>` where trials never reached the target: the truth lies below or above.
    """

    value: float
    low: float | None
    high: float | None
    pairs: int
    bound: Literal["", "<", ">"] = ""


class Intervals(Protocol):
    """How a paired comparison gets its interval."""

    @property
    def level(self) -> float:
        """With which an interval holds."""

    @property
    def least(self) -> int:
        """Pairs without which there is no interval, and no verdict."""

    @property
    def method(self) -> str:
        """What it is, in words."""

    def ratio(self, numerator: Sequence[float], denominator: Sequence[float]) -> Estimate:
        """Return mean(numerator) / mean(denominator), positive values paired by place."""
        ...

    def difference(self, values: Sequence[float], others: Sequence[float]) -> Estimate:
        """Return mean(values - others), paired by place."""
        ...


@dataclass(frozen=True)
class Once:
    """The bootstrap interval of a number of seeds that was fixed beforehand."""

    level: float = LEVEL
    least: int = MIN_PAIRS
    method: str = "bootstrap interval over paired seeds"

    def ratio(self, numerator: Sequence[float], denominator: Sequence[float]) -> Estimate:
        """Return `ratio_of_means`."""
        return ratio_of_means(numerator, denominator, self.level)

    def difference(self, values: Sequence[float], others: Sequence[float]) -> Estimate:
        """Return `mean_difference`."""
        return mean_difference(values, others, self.level)


ONCE = Once()


def ratio_of_means(
    numerator: Sequence[float], denominator: Sequence[float], level: float = LEVEL
) -> Estimate:
    """Return mean(numerator) / mean(denominator), the pairs resampled together.

    Args:
        numerator, denominator: positive values, paired by place; at least one pair.
        level: of the interval, such as 0.95.
    """
    top, bottom = np.asarray(numerator, float), np.asarray(denominator, float)
    value = float(top.mean() / bottom.mean())
    if len(top) < MIN_PAIRS:
        return Estimate(value, None, None, len(top))
    drawn = resample(len(top))
    # A ratio's natural scale is the logarithm: twice as fast and half as fast are equally far.
    logs = np.log(top[drawn].mean(axis=1) / bottom[drawn].mean(axis=1))
    low, high = _interval(logs, math.log(value), len(top), level)
    return Estimate(value, math.exp(low), math.exp(high), len(top))


def mean_difference(
    values: Sequence[float], others: Sequence[float], level: float = LEVEL
) -> Estimate:
    """Return mean(values - others), the pairs resampled together; at least one pair."""
    differences = np.asarray(values, float) - np.asarray(others, float)
    value = float(differences.mean())
    if len(differences) < MIN_PAIRS:
        return Estimate(value, None, None, len(differences))
    means = differences[resample(len(differences))].mean(axis=1)
    low, high = _interval(means, value, len(differences), level)
    return Estimate(value, low, high, len(differences))


def _interval(
    resampled: NDArray[np.float64], value: float, n: int, level: float
) -> tuple[float, float]:
    """Return the percentile interval, widened by `stretch` for few seeds."""
    tail = (1 - level) / 2
    low, high = np.percentile(resampled, [100 * tail, 100 * (1 - tail)])
    wider = stretch(n, level)
    return value - wider * (value - float(low)), value + wider * (float(high) - value)


def stretch(n: int, level: float = LEVEL) -> float:
    """Return by how much the percentile interval of n pairs is widened.

    The plain percentile interval of three values is little more than their range: two equal arms
    would be told apart in up to one comparison of four. Both arms of the interval are therefore
    stretched by sqrt(n / (n - 1)), the bootstrap's bias in scale, and by Student's over the normal
    quantile (the two corrections named by Hesterberg, The American Statistician 69(4), 2015, there
    applied to the percentiles, which for three seeds are at the range's ends already).
    """
    from scipy.special import ndtri, stdtrit  # 0.4 s to import, for those who compare

    tail = (1 - level) / 2
    return math.sqrt(n / (n - 1)) * float(stdtrit(n - 1, tail) / ndtri(tail))


def mean_interval(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of the mean; None with fewer than three values."""
    estimate = mean_difference(list(values), [0.0] * len(values))
    if estimate.low is None or estimate.high is None:
        return None
    return estimate.low, estimate.high
