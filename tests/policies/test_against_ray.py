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
from rayat.policies.ray_tune import RayTune


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


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_ray_as_a_policy_decides_as_ours(scheduler, seed):
    draw = random.Random(seed)
    epochs, eta, grace = draw.randint(6, 40), draw.choice([2, 3, 4]), draw.randint(1, 5)
    ours = ASHA(eta=eta, grace=grace) if scheduler == "asha" else Median(grace=grace)
    theirs = RayTune(scheduler=scheduler, eta=eta, grace=grace)
    for name, epoch, value, done in interleaved(draw, epochs, draw.randint(2, 12)):
        trial = TrialView(name, {}, epochs)
        found, expected = (p.observe(trial, epoch, {"m": value}, "m") for p in (theirs, ours))
        assert found.action == expected.action
        if found.action == "stop":
            done.add(name)


def test_rays_hyperband_pauses_at_its_rungs_and_halves():
    epochs, draw = 27, random.Random(0)
    trials = [TrialView(f"t{i}", {}, epochs) for i in range(12)]
    policy = RayTune(scheduler="hyperband")
    policy.expect(trials)
    reached, state = {t.trial_id: 0 for t in trials}, {t.trial_id: "run" for t in trials}
    values = {t.trial_id: draw.random() for t in trials}
    while running := [t for t in trials if state[t.trial_id] == "run"]:
        trial = draw.choice(running)
        reached[trial.trial_id] += 1
        epoch = reached[trial.trial_id]
        decision = policy.observe(trial, epoch, {"m": values[trial.trial_id]}, "m")
        if epoch >= epochs:
            state[trial.trial_id] = "end"
            policy.ended(trial.trial_id)
        elif decision.action != "continue":
            state[trial.trial_id] = decision.action
        for name, verdict in policy.verdicts().items():
            assert state[name] == "pause"
            state[name] = "run" if verdict.action == "continue" else "stop"
    assert "pause" not in state.values()
    ended = [name for name, how in state.items() if how == "end"]
    stopped = [name for name, how in state.items() if how == "stop"]
    assert ended and stopped
    assert {reached[name] for name in stopped} <= {1, 3, 9}


def test_rays_hyperband_does_not_wait_for_a_trial_that_is_lost():
    """27 epochs: the first bracket takes 4 trials and never halves, the next 6 halve at epoch 9."""
    trials = [TrialView(f"t{i}", {}, 27) for i in range(10)]
    policy = RayTune(scheduler="hyperband")
    policy.expect(trials)
    for number, trial in enumerate(trials[5:]):
        said = [policy.observe(trial, e, {"m": 0.1 * number}, "m").action for e in range(1, 10)]
        assert said == ["continue"] * 8 + ["pause"]
    assert policy.verdicts() == {}
    policy.ended("t4")
    actions = {name: verdict.action for name, verdict in policy.verdicts().items()}
    assert actions == {"t5": "stop", "t6": "stop", "t7": "stop", "t8": "continue", "t9": "continue"}
