"""A trial's own learning-rate schedule as coordinates: how much of it is done, what is to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayat.policies.base import TrialView
from rayat.registry import SHAPES

Array = NDArray[np.float64]

FEATURES = 8
"""Start level, three saturating gains, annealed fraction, decades, time spent cold, drift."""
SCALES = (0.03, 0.12, 0.5)
"""Areas under the rate, in shares of training at the peak, in which the three gains saturate."""
WARM = 0.6
"""Annealed fraction from which on time counts as spent cold (papers: robust overfitting)."""
DECADES = 2.0
"""Decades of decay after which more decay changes nothing."""
DECAY = 2.0
"""A planned change of the rate by this factor is worth waiting for ..."""
COLD = 0.01
"""... unless the rate has already fallen to this share of its peak."""

FLOOR = 1e-3
"""A rate below this share of its peak trains nothing more."""
SAME = 1e-6
"""Rates that differ by less than this share are equal."""


@dataclass(frozen=True)
class Schedule:
    """The coordinates of a trial's epochs.

    Attributes:
        phi: (epochs, 8), one row per epoch; a row depends on the rates up to its epoch only.
        phase: for each epoch the first epoch (0-based) of the phase without a planned change of
            the rate that it lies in, or -1 while a change is still ahead.
    """

    phi: Array
    phase: tuple[int, ...]


@lru_cache(maxsize=4096)
def schedule(rates: tuple[float, ...]) -> Schedule:
    """Return the coordinates of the rates at the end of each epoch; non-negative, any unit."""
    rate = np.asarray(rates, float)
    top = float(rate.max()) or 1.0
    m = np.maximum(rate / top, 1e-12)
    peak = np.maximum.accumulate(m)
    n = len(m)
    area = np.cumsum(m) / n
    annealed = 1.0 - m / peak
    decades = np.minimum(1.0, -np.log10(m / peak) / DECADES)
    cold = np.cumsum(np.maximum(0.0, (annealed - WARM) / (1.0 - WARM))) / n
    gains = [1.0 - np.exp(-area / scale) for scale in SCALES]
    drift = np.arange(1, n + 1) / n
    phi = np.stack([np.ones(n), *gains, annealed, decades, cold, drift], axis=1)
    return Schedule(phi, _phases(m, peak))


@dataclass(frozen=True)
class Outlook:
    """What is still to come of a schedule.

    Attributes:
        ahead: for each epoch the decades by which the rate will still fall, and rise, below and
            above what it is; less than a thousandth of the peak counts as that.
        peak: the first epoch (1-based) at the highest rate of all.
    """

    ahead: tuple[float, ...]
    peak: int


@lru_cache(maxsize=4096)
def outlook(rates: tuple[float, ...]) -> Outlook:
    """Return what is to come of the rates at the end of each epoch; non-negative, any unit."""
    rate = np.asarray(rates, float)
    top = float(rate.max()) or 1.0
    level = np.log10(np.maximum(rate / top, FLOOR))
    lowest = np.minimum.accumulate(level[::-1])[::-1]
    highest = np.maximum.accumulate(level[::-1])[::-1]
    peak = int(np.argmax(rate >= top * (1 - SAME))) + 1
    return Outlook(tuple((highest - lowest).tolist()), peak)


def _phases(m: Array, peak: Array) -> tuple[int, ...]:
    # Smallest and largest later rate of each epoch; the last epoch has none.
    later_min = np.minimum.accumulate(m[::-1])[::-1]
    later_max = np.maximum.accumulate(m[::-1])[::-1]
    falls = (later_min * DECAY <= m) & (m >= COLD * peak)
    rises = later_max >= DECAY * np.maximum(m, COLD * peak)
    phases, start = [], -1
    for epoch, ahead in enumerate(falls | rises):
        start = -1 if ahead else (epoch if start < 0 else start)
        phases.append(start)
    return tuple(phases)


def known_rates(
    trial: TrialView, history: Sequence[float], reported: Sequence[float | None]
) -> tuple[float, ...] | None:
    """Return the rate at the end of each epoch, as far as it can be known now; None if it cannot.

    Args:
        trial: with recorded rates, or with a learning-rate shape in its configuration.
        history: robust accuracy after each finished epoch; only feedback shapes need it.
        reported: the rate that each finished epoch reported; a feedback shape's past is taken from
            it, and its future is the path that it would take if accuracy stayed flat.
    """
    if trial.rates is not None:
        return trial.rates
    spec = trial.config.get("lr")
    if not isinstance(spec, Mapping):
        return None
    shape: Any = SHAPES.build(spec)
    if not shape.feedback:
        return _fixed(shape, trial.epochs)
    curve = tuple(shape.curve(trial.epochs, history))
    past = [rate if rate is not None else curve[i] for i, rate in enumerate(reported)]
    if not past or curve[len(past) - 1] <= 0:
        return curve
    ratio = past[-1] / curve[len(past) - 1]
    return (*past, *(rate * ratio for rate in curve[len(past) :]))


def planned_rates(trial: TrialView) -> tuple[float, ...] | None:
    """Return the rate at the end of each epoch if no accuracy can change it; None otherwise."""
    spec = trial.config.get("lr")
    if trial.rates is None and isinstance(spec, Mapping) and SHAPES.build(spec).feedback:
        return None
    return known_rates(trial, (), ())


@lru_cache(maxsize=4096)
def _fixed(shape: Any, epochs: int) -> tuple[float, ...]:
    return tuple(shape.curve(epochs))
