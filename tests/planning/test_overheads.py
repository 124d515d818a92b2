from __future__ import annotations

import pytest

from rayat.cli.planning import spoken
from rayat.config import TrialConfig
from rayat.data.prepare import prepare
from rayat.planning.estimate import Estimate
from rayat.planning.overheads import RAY, final_passes, final_seconds, ray_seconds

CONFIG = {"data": "digits", "epochs": 3, "eval": {"final_steps": 20, "final_size": 100}}


@pytest.mark.parametrize(
    ("changes", "forward", "backward"),
    [
        ({}, 2 * 100 * 22, 2 * 100 * 20),
        ({"epochs": 1}, 100 * 22, 100 * 20),  # best and last are one checkpoint
        (
            {"eval.suites": ["fgsm", {"name": "pgd", "steps": 5, "restarts": 2}]},
            2 * 100 * (22 + 3 + 13),
            2 * 100 * (20 + 1 + 10),
        ),
        ({"eval.final_size": 100_000}, 2 * 500 * 22, 2 * 500 * 20),  # as many as there are
    ],
)
def test_the_final_evaluations_passes_are_exact(changes, forward, backward):
    config = TrialConfig.parse(CONFIG).replace(changes)
    assert final_passes(config, prepare(config.data)) == (forward, backward)


def test_its_seconds_are_those_of_the_validations_passes():
    cost = Estimate(1.0, 0.5, 10, 10, eval_forward_passes=60, eval_backward_passes=40)
    assert final_seconds(cost, 400) == pytest.approx(2.0)


def test_rays_seconds_are_shared_by_what_runs_together():
    start = RAY["cluster"] + RAY["process"]
    each = 10 * RAY["trial"] + 100 * RAY["epoch"]
    assert ray_seconds(10, 100, 1, True) == pytest.approx(start + each)
    assert ray_seconds(10, 100, 2, False) == pytest.approx(RAY["process"] + each / 2)


def test_what_takes_no_time_is_not_said():
    facts = {"trial_seconds": 90.0, "final_seconds": 0.0, "ray_seconds": 20.0}
    assert spoken(facts) == "1 min 30 s of training and validation over all trials, 20 s of Ray"
