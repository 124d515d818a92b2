"""ASHA and the median rule give the decisions of Ray Tune's own schedulers on the same reports."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest
from ray.tune.schedulers import MedianStoppingRule, TrialScheduler
from ray.tune.schedulers.async_hyperband import _Bracket

from rayat.policies.asha import ASHA
from rayat.policies.base import TrialView
from rayat.policies.median import Median


class RayTrial(NamedTuple):
    """All that Ray's rules ask of a trial."""

    trial_id: str


def interleaved(draw, epochs, trials):
    """Yield (trial, epoch, value) in a random order until every trial is in `done`."""
    reached, done = dict.fromkeys(map(str, range(trials)), 0), set()
    while live := sorted(set(reached) - done):
        name = draw.choice(live)
        reached[name] += 1
        yield name, reached[name], draw.random(), done
        if reached[name] >= epochs:
            done.add(name)


@pytest.mark.parametrize("seed", range(60))
def test_asha(seed):
    draw = random.Random(seed)
    epochs, eta, grace = draw.randint(6, 40), draw.choice([2, 3, 4]), draw.randint(1, 5)
    ours = ASHA(eta=eta, grace=grace)
    theirs = _Bracket(grace, epochs, eta, 0, stop_last_trials=False)
    for name, epoch, value, done in interleaved(draw, epochs, draw.randint(1, 12)):
        if epoch == epochs:
            continue  # Ray's scheduler ends a trial at its last epoch without asking the bracket
        expected = theirs.on_result(RayTrial(name), epoch, value)
        decision = ours.observe(TrialView(name, {}, epochs), epoch, {"m": value}, "m")
        assert (decision.action == "stop") == (expected == TrialScheduler.STOP)
        if decision.action == "stop":
            done.add(name)


class Hard(MedianStoppingRule):
    """Ray's rule; with too few samples it goes on instead of pausing for others."""

    def _on_insufficient_samples(self, *_):
        return TrialScheduler.CONTINUE


@pytest.mark.parametrize("seed", range(60))
def test_median(seed):
    draw = random.Random(seed)
    epochs, grace, samples = draw.randint(6, 20), draw.randint(1, 5), draw.randint(1, 4)
    ours = Median(grace=grace, min_samples=samples)
    theirs = Hard("epoch", "m", "max", grace_period=grace, min_samples_required=samples)
    for name, epoch, value, done in interleaved(draw, epochs, draw.randint(1, 12)):
        row = {"epoch": epoch, "m": value}
        decision = ours.observe(TrialView(name, {}, epochs), epoch, row, "m")
        expected = theirs.on_trial_result(None, RayTrial(name), row)
        if epoch == epochs:
            continue  # nothing is left to stop
        assert (decision.action == "stop") == (expected == TrialScheduler.STOP)
        if decision.action == "stop":
            done.add(name)
