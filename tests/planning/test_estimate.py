"""An estimate counts what the trial then counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayat.config import TrialConfig
from rayat.data.prepare import prepare
from rayat.planning.budget import VALIDATION_BUDGET
from rayat.planning.estimate import Estimate, estimate, validations
from rayat.training.run import run


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_passes_do_not_depend_on_the_workers(workers):
    config = TrialConfig.parse(
        {
            "data": {"name": "digits", "train_size": 200, "val_size": 30},
            "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
            "batch_size": 64,
            "workers": workers,
            "attack": {"name": "pgd", "eps": 0.1, "steps": 2},
            "eval": {"steps": 3, "batch_size": 20},
        }
    )
    found = estimate(config, prepare(config.data))
    # 200 images are three whole batches.
    assert found.forward_passes == found.backward_passes == 192 * 3
    assert found.eval_forward_passes == 30 * 5
    assert found.eval_backward_passes == 30 * 3
    assert found.train_seconds > 0
    assert found.eval_seconds > 0


METHODS = {
    "plain": {},
    "once": {"data.augment": "none", "attack_refresh": "once"},
    "random": {"pruning": {"name": "random", "fraction": 0.5, "every": 2}},
    "warm": {
        "epochs": 8,
        "pruning": {"name": "random", "fraction": 0.5, "every": 2, "warm_start": 0.5},
    },
    "glister": {"pruning": {"name": "glister", "fraction": 0.5, "every": 2}, "batch_size": 32},
}


@pytest.mark.parametrize("name", METHODS)
def test_the_estimate_is_what_the_trial_then_counts(name, tmp_path):
    config = TrialConfig.parse(
        {
            "data": {"name": "digits", "train_size": 128, "val_size": 32, "augment": "crop"},
            "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
            "epochs": 3,
            "batch_size": 50,
            "attack": {"name": "fgsm-rs", "eps": 0.1},
            "eval": {"steps": 2, "size": 20, "every": 2},
        }
    ).replace(METHODS[name])
    prepared = prepare(config.data)

    class Here:
        rank, world_size, device, folder, reported = 0, 1, "cpu", tmp_path, 0

        def __init__(self):
            self.rows = []

        def data(self, source):
            return prepared

        def report(self, row):
            self.rows.append(row)

    here = Here()
    run(config, here)
    assert here.rows[-1]["passes_cum"] == estimate(config, prepared).trial_passes(config)


COSTS = st.integers(1, 5_000)


@given(COSTS, COSTS, st.integers(1, 30), st.integers(1, 30), st.integers(1, 35))
def test_each_remedy_is_enough_alone_and_the_nearest(training, images, epochs, steps, every):
    def share(**changed):
        now = {"every": every, "size": images, "steps": steps, **changed}
        config = TrialConfig.parse({"epochs": epochs, "eval": now})
        forward, backward = now["size"] * (2 + now["steps"]), now["size"] * now["steps"]
        cost = Estimate(1.0, 1.0, training, training, forward, backward)
        return cost.validation_share(config), cost.remedies(config)

    before, found = share()
    if before <= VALIDATION_BUDGET:
        return
    for key, value in found.items():
        name, step = key.removeprefix("eval."), 1 if key != "eval.every" else -1
        assert share(**{name: value})[0] <= VALIDATION_BUDGET
        assert share(**{name: value + step})[0] > VALIDATION_BUDGET
    least = {"every": epochs, "size": 1, "steps": 1}
    left_out = {f"eval.{name}" for name in least} - set(found)
    assert all(share(**{key[5:]: least[key[5:]]})[0] > VALIDATION_BUDGET for key in left_out)


@given(st.integers(1, 50), st.integers(1, 60))
def test_validations_are_the_multiples_and_the_last(epochs, every):
    config = TrialConfig.parse({"epochs": epochs, "eval.every": every})
    counted = sum(e % every == 0 or e == epochs for e in range(1, epochs + 1))
    assert validations(config) == counted
