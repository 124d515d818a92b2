"""Many sweeps under many policies: what each costs and delivers, paired, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from rayat.compare.bootstrap import mean_interval
from rayat.policies.base import Policy
from rayat.policies.groups import PeerPolicy, configuration
from rayat.registry import POLICIES
from rayat.replay.curves import Array, Curve
from rayat.replay.simulate import Outcome, simulate
from rayat.search.ordering import SUCCESSIVE, Order

MOST, SHARE = 64, 0.9
"""A sweep draws this share of the recorded trials, and no more than so many."""
WORSE = 0.01
"""Robust accuracy: a sweep that ends further below full training counts as worse."""


@dataclass(frozen=True)
class Result:
    """One policy over all sweeps; arrays have an entry per sweep.

    Attributes:
        compute, makespan: shares of what training everything to its end takes.
        final: robust accuracy delivered, a fraction.
        final_gain: that minus what full training delivers.
        worse_share: 1 where final_gain is below -0.01.
        split: share of the configurations with several seeds of which a part was stopped.
        spearman: rank correlation of what each trial delivered with what it delivers in full.
    """

    policy: str
    values: Mapping[str, Array]
    outcomes: tuple[Outcome, ...]

    def row(self) -> dict[str, Any]:
        """Return the means, and `<key>_ci` at 95 % over sweeps (None for fewer than 3)."""
        row: dict[str, Any] = {"policy": self.policy}
        for key, values in self.values.items():
            row[key] = float(np.mean(values))
        for key, values in self.values.items():
            row[f"{key}_ci"] = mean_interval(values)
        return row


def draw(
    curves: Sequence[Curve], sweep: int, seed: int = 0, order: Order = "configurations"
) -> list[Curve]:
    """Return the trials of a sweep in its order: a random subset, the same for every policy.

    Configurations are drawn, each with all its seeds one after another, as a study orders them, or
    all of them on their first seed, then on their second, and so on.
    """
    seeds: dict[str, list[Curve]] = {}
    for curve in curves:
        seeds.setdefault(configuration(curve.view), []).append(curve)
    drawn = list(seeds.values())
    size = max(1, min(MOST, math.ceil(SHARE * len(drawn))))
    chosen = np.random.default_rng([seed, sweep]).permutation(len(drawn))[:size]
    if order == SUCCESSIVE:
        rounds = zip_longest(*(drawn[i] for i in chosen))
        return [curve for each in rounds for curve in each if curve is not None]
    return [curve for i in chosen for curve in drawn[i]]


def replay(
    curves: Sequence[Curve],
    policies: Sequence[str],
    workers: int = 8,
    sweeps: int = 30,
    seed: int = 0,
    peers: str | None = None,
    order: Order = "configurations",
) -> list[Result]:
    """Return a result per policy, `none` first.

    Args:
        curves: recorded trials.
        policies: names, such as `asha` or `accel:median`; order is kept, repetitions are not.
        workers: trials that run at once.
        sweeps: sweeps drawn from the curves.
        seed: of the drawing.
        order: in which trials start, as a study's.
        peers: whom policies that rank compare (`groups.PeerPolicy.peers`); None: their default.

    Raises:
        ConfigError: a name that no policy has, or peers that there are not.
    """
    names = list(dict.fromkeys(["none", *policies]))
    built: dict[str, Policy] = {name: _built(name, peers) for name in names}
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
    for sweep in range(sweeps):
        drawn = draw(curves, sweep, seed, order)
        for name, policy in built.items():
            outcomes[name].append(simulate(policy, drawn, workers, order=order))
    full = outcomes["none"]
    return [_result(name, outcomes[name], full) for name in names]


def _built(name: str, peers: str | None) -> Policy:
    policy: Policy = POLICIES.build(name)
    if peers is None or not isinstance(policy, PeerPolicy):
        return policy
    ranked: Policy = POLICIES.build({**policy.spec(), "peers": peers})
    return ranked


def _result(name: str, outcomes: Sequence[Outcome], full: Sequence[Outcome]) -> Result:
    pairs = list(zip(outcomes, full, strict=True))
    gain = np.array([o.final - f.final for o, f in pairs])
    values = {
        "compute": np.array([o.compute / f.compute for o, f in pairs]),
        "makespan": np.array([o.makespan / f.makespan for o, f in pairs]),
        "final": np.array([o.final for o in outcomes]),
        "final_gain": gain,
        "worse_share": (gain < -WORSE - 1e-9).astype(float),
        "spearman": np.array([spearman(o.delivered, f.delivered) for o, f in pairs]),
        "split": np.array([o.split for o in outcomes]),
    }
    return Result(name, values, tuple(outcomes))


def spearman(values: Mapping[str, float], others: Mapping[str, float]) -> float:
    """Return the rank correlation over common names, ties at their mean rank; 1 without spread."""
    names = [n for n in values if np.isfinite(values[n]) and np.isfinite(others[n])]
    first, second = ([m[n] for n in names] for m in (values, others))
    if len(set(first)) < 2 or len(set(second)) < 2:
        return 1.0
    from scipy.stats import spearmanr  # a second to import, for those who replay

    return float(spearmanr(first, second).statistic)
