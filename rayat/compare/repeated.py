"""Intervals that hold however often one looks: a group-sequential design for a handful of seeds.

Seeds are added one at a time to `first`, `first` + 1, ..., `most` pairs, and after each one looks.
The interval of a look is the estimate and `bound` standard errors to either side, where the bounds
are such that all looks together miss the truth with probability 0.05: repeated confidence
intervals (Jennison & Turnbull, J. R. Statist. Soc. B 51, 1989). The error is spent by the rule
0.05 (n / most)^2 (Kim & DeMets, Biometrika 74, 1987; the idea is Lan & DeMets, Biometrika 70,
1983): little while few seeds say little, and the last look is nearly that of a fixed number.

Of few pairs the joint law of Student's t at the looks is not that of a Brownian motion, whose
bounds on the scale of p-values would err in 6 % of studies instead of 5 %. It depends on nothing
unknown: the means and deviations of normal pairs in any scale have the same t. So the bounds are
quantiles of simulated paths of t. The assumptions are those of Student's t for pairs: independent
seeds and normal differences; docs/compare.md has what is left of it with skewed, heavy-tailed and
coarse costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayat.compare.bootstrap import Estimate
from rayat.resampling import LEVEL, MIN_PAIRS

POWER = 2.0
"""Of the share of pairs, in the rule by which the error is spent."""
PATHS = 200_000
"""Simulated: the error that the bounds let through is 0.05 with a standard error of 0.0005."""
PATHS_SEED = 0
MOST = 50
"""Pairs that a design may have; an error of a few paths in 200,000 is no quantile."""


@dataclass(frozen=True)
class Design:
    """Which looks there are, and how wide the interval of each is.

    Attributes:
        first, most: pairs at the first and at the last look.
        bounds: half the width of the interval in standard errors, for `first` pairs and on.
    """

    first: int
    most: int
    bounds: tuple[float, ...]

    level = LEVEL
    """With which the intervals of all looks at one comparison hold together."""
    method = "repeated interval over paired seeds, valid at every look"

    @classmethod
    def of(cls, first: int, most: int) -> Design:
        """Return the design of so many looks; 3 <= first <= most <= `MOST`."""
        return cls(first, most, bounds(first, most))

    @classmethod
    def parse(cls, record: Mapping[str, Any]) -> Design:
        """Return the design that `run.json` keeps: a run's bounds never change."""
        return cls(int(record["first"]), int(record["most"]), tuple(record["bounds"]))

    def record(self) -> dict[str, Any]:
        """Return what `run.json` keeps."""
        return {"first": self.first, "most": self.most, "bounds": list(self.bounds)}

    @property
    def least(self) -> int:
        """Pairs without which nothing is said."""
        return self.first

    def bound(self, pairs: int) -> float | None:
        """Return the standard errors to either side with so many pairs; None where no look is."""
        return self.bounds[pairs - self.first] if self.first <= pairs <= self.most else None

    def ratio(self, numerator: Sequence[float], denominator: Sequence[float]) -> Estimate:
        """Return mean(numerator) / mean(denominator), positive values paired by place."""
        value, error = _log_ratio(numerator, denominator)
        bound, ratio = self.bound(len(numerator)), math.exp(value)
        if bound is None:
            return Estimate(ratio, None, None, len(numerator))
        half = min(bound * error, 700.0)  # what a float's exponential holds
        return Estimate(ratio, ratio * math.exp(-half), ratio * math.exp(half), len(numerator))

    def difference(self, values: Sequence[float], others: Sequence[float]) -> Estimate:
        """Return mean(values - others), paired by place."""
        found = np.asarray(values, float) - np.asarray(others, float)
        value, bound = float(found.mean()), self.bound(len(found))
        if bound is None:
            return Estimate(value, None, None, len(found))
        half = bound * _error(found)
        return Estimate(value, value - half, value + half, len(found))

    def chance(self, numerator: Sequence[float], denominator: Sequence[float]) -> float:
        """Return how likely the last look shows a ratio other than 1, from what is known now.

        The predictive probability under a flat prior: given n pairs, the estimate from `most` of
        them is that of now plus Student's t(n - 1) times sd sqrt(1/n - 1/most). To stop where it is
        low costs power and never an error, as the bounds are those of going on.
        """
        n = len(numerator)
        value, error = _log_ratio(numerator, denominator)
        if n >= self.most:
            return float(abs(value) > self.bounds[-1] * error)
        if n < self.first or error == 0:  # equal seeds of coarse costs: the spread is not known
            return 1.0
        from scipy.special import stdtr

        deviation = error * math.sqrt(n)
        spread = deviation * math.sqrt(1 / n - 1 / self.most)
        needed = self.bounds[-1] * deviation / math.sqrt(self.most)
        return float(sum(stdtr(n - 1, (sign * value - needed) / spread) for sign in (-1, 1)))


def _log_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> tuple[float, float]:
    """Return the logarithm of a ratio of means, and its standard error (the delta method).

    Where the means are equal its quotient is, up to second order, Student's t of the differences.
    """
    top, bottom = np.asarray(numerator, float), np.asarray(denominator, float)
    value = math.log(top.mean() / bottom.mean())
    return value, _error(top / top.mean() - bottom / bottom.mean())


def _error(values: NDArray[np.float64]) -> float:
    """Return the standard error of a mean; 0 below rounding, so that equal values are equal."""
    if len(values) < 2:
        return math.nan
    found = float(values.std(ddof=1)) / math.sqrt(len(values))
    return found if found > 1e-12 * max(1.0, float(np.abs(values).max())) else 0.0


HOPELESS = 0.1
"""No more seeds where the chance that they show a difference is below. By simulation it costs half
a point of power, and saves a third of the seeds of arms that are equal."""
DECIDED = ("faster", "faster but less robust", "slower")


def closed(verdict: str, chance: float, seeds: int, most: int) -> str:
    """Return why an arm gets no more seeds; empty while its verdict is open.

    Args:
        verdict: of the look (`verdict.word`). chance: `Design.chance` of its costs.
        seeds: that it has. most: that it may have.
    """
    if verdict in DECIDED:
        return f"it is shown to be {verdict}"
    few = verdict.startswith("no verdict") and "seed" in verdict
    if not few and verdict not in ("no difference shown", "faster, robustness unclear"):
        return f"{verdict}, which more seeds cannot change"
    if seeds >= most:
        return f"{verdict} with all {most} seeds"
    if verdict == "no difference shown" and chance < HOPELESS:
        return f"{verdict}, and up to {most} seeds would show one with a chance of {chance:.0%}"
    return ""


@cache
def bounds(first: int, most: int) -> tuple[float, ...]:
    """Return the bounds of |t| at the looks: with probability 0.95 no path ever leaves them."""
    from scipy.special import stdtrit

    random = np.random.default_rng(PATHS_SEED)
    total, squares = np.zeros(PATHS), np.zeros(PATHS)
    inside = np.ones(PATHS, bool)
    found: list[float] = []
    for n in range(1, most + 1):
        drawn = random.standard_normal(PATHS)
        total += drawn
        squares += drawn * drawn
        if n < first:
            continue
        t = np.abs(total) / np.sqrt(n * (squares - total * total / n) / (n - 1))
        spent = (1 - LEVEL) * (n / most) ** POWER
        if n == first:
            found.append(float(-stdtrit(n - 1, spent / 2)))
        else:
            left = int(np.count_nonzero(~inside))
            leave = max(0, round(spent * PATHS) - left)
            within = np.flatnonzero(inside)
            ordered = np.partition(t[within], len(within) - leave - 1)
            found.append(float(ordered[len(within) - leave - 1]))
        inside &= t <= found[-1]
    return tuple(found)


GIVEN = "--max-seeds (max_seeds in Python)"
"""What the most of seeds is given by."""


def refuse_design(first: int, most: int) -> str:
    """Return why there is no design of so many looks; empty where there is."""
    if most < MIN_PAIRS:
        return f"a verdict needs at least {MIN_PAIRS} seeds, and {GIVEN} is {most}"
    if most > MOST:
        return f"{GIVEN} may be {MOST} at most, got {most}"
    if most < first:
        return f"the study has {first} seeds already, and {GIVEN} is {most}"
    return ""
