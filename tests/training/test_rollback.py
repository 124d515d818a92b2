"""A collapse that a trial survives: whose weights go on, what starts anew, exact resume."""

from __future__ import annotations

import pytest
import torch

from rayat import collapse
from rayat.attacks.base import Moment
from rayat.errors import ConfigError
from rayat.training import checkpoints
from rayat.training.run import roll_back, run
from rayat.training.setup import begin

PARTS = [
    {"name": "fgsm", "eps": 0.2},
    {"name": "free", "eps": 0.2, "replays": 2},
    {"name": "fgsm-sdi", "eps": 0.2, "width": 4, "every": 2},
]


@pytest.fixture
def touchy(monkeypatch):
    """Make every epoch whose training accuracy rises a collapse, whatever was validated."""
    monkeypatch.setattr(collapse, "FALL", -1.0)


@pytest.fixture(params=PARTS, ids=lambda p: p["name"])
def config(request, small):
    return small(attack=request.param, on_collapse="rollback", epochs=5, **{"lr.shape": "constant"})


def test_an_epoch_that_collapsed_is_reported_and_the_best_weights_go_on(config, launch, touchy):
    context = launch()
    run(config, context)
    backs = [row["rollback_epoch"] for row in context.rows]
    assert backs[0] is None and any(back is not None for back in backs)
    for epoch, (row, back) in enumerate(zip(context.rows, backs, strict=True), 1):
        if back is not None:
            vals = [r["val_robust_acc"] for r in context.rows[: epoch - 1]]
            assert back == vals.index(max(vals)) + 1
            assert row["val_robust_acc"] is not None and row["samples"] == 256


def test_weights_optimiser_and_memory_after_a_rollback(config, launch, touchy):
    whole = launch("whole")
    run(config, whole)
    first = next(row["epoch"] for row in whole.rows if row["rollback_epoch"] is not None)
    context = launch(die_at=first)
    with pytest.raises(SystemExit):
        run(config, context)
    last, best = (checkpoints.load(context.folder, n, config) for n in ("last", "best"))
    assert last.rows[-1]["rollback_epoch"] == best.epoch
    assert all(torch.equal(last.model[name], best.model[name]) for name in best.model)
    assert last.states["optimizer"]["state"] == {} and last.states["inner"] == {}


def test_what_led_into_the_collapse_starts_anew(config, launch):
    context = launch()
    run(config.replace({"on_collapse": "stop", "epochs": 5}), context)
    training = begin(config, context.data(config.data))
    fresh = training.inner.at(Moment(1, 5, 0.1, 0))._memory
    checkpoint = checkpoints.load(context.folder, "last", config.replace({"on_collapse": "stop"}))
    training.optimizer.load_state_dict(checkpoint.states["optimizer"])
    training.inner.load_state_dict(checkpoint.states["inner"])
    model = {"model": training.model.state_dict()}
    checkpoints.save(context.folder, "best", config, checkpoint.rows[:3], model)
    assert roll_back(training, context) == 3
    again = training.inner.at(Moment(4, 5, 0.7, 0))._memory
    if fresh is not None:
        one, other = flat(fresh.state_dict()), flat(again.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def flat(state):
    if isinstance(state, torch.Tensor):
        return [state]
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list) else ()
    return [tensor for part in parts for tensor in flat(part)]


@pytest.mark.parametrize("died_at", [2, 3, 5])
def test_resume_across_a_rollback_is_exact(config, launch, timeless, touchy, died_at):
    whole, first = launch("whole"), launch("cut", die_at=died_at)
    run(config, whole)
    with pytest.raises(SystemExit):
        run(config, first)
    second = launch("cut", reported=died_at - 1)
    run(config, second)
    assert timeless(whole.rows) == timeless(first.rows + second.rows)


def test_without_a_collapse_nothing_is_different(small, launch, timeless):
    kept, plain = launch("kept"), launch("plain")
    run(small(on_collapse="rollback"), kept)
    run(small(), plain)
    assert timeless(kept.rows) == timeless(plain.rows)
    assert all(row["rollback_epoch"] is None for row in kept.rows)


def test_stop_leaves_the_end_to_the_run(small, launch, touchy):
    context = launch()
    run(small(on_collapse="stop"), context)
    assert [row["rollback_epoch"] for row in context.rows] == [None] * 4


def test_validations_too_far_apart_are_refused(small):
    with pytest.raises(ConfigError, match=r"at most 2 epochs apart, got eval\.every=3"):
        small(on_collapse="rollback", **{"eval.every": 3})
