"""The training body: rows, repeatability, resuming, divergence."""

from __future__ import annotations

import math

import pytest
import torch

from rayat.attacks.base import Adversarial, Attack
from rayat.errors import LedgerError
from rayat.ledger.keys import REPORT_KEYS
from rayat.training import checkpoints
from rayat.training.run import run


def weights(context, config, name="last"):
    return checkpoints.load(context.folder, name, config).model


def assert_equal_weights(first, second):
    assert set(first) == set(second)
    for name in first:
        assert torch.equal(first[name], second[name]), name


def train(config, context):
    run(config, context)
    return context


@pytest.fixture
def done(small, launch):
    """Return the finished small trial and its context."""
    config = small()
    return config, train(config, launch("done"))


def test_rows_hold_every_key_of_the_ledger_as_plain_values(done):
    config, context = done
    assert [row["epoch"] for row in context.rows] == [1, 2, 3, 4]
    for row in context.rows:
        assert set(row) == REPORT_KEYS
        assert all(v is None or type(v) in (int, float) for v in row.values()), row
        assert row["eps"] == 0.2 and row["attack_steps"] == 2.0 and row["data_fraction"] == 1.0
        assert row["train_clean_acc"] is None and row["fosc"] is None and row["comm_bytes"] == 0
        for key in ("train_robust_acc", "val_clean_acc", "val_robust_acc"):
            assert 0 <= row[key] <= 1
        assert row["val_robust_acc"] <= row["val_clean_acc"] + 0.05
        assert row["train_loss"] > 0 and row["grad_norm"] > 0
    assert context.rows[-1]["lr"] == pytest.approx(config.lr.lr(1.0))
    assert context.rows[1]["lr"] == pytest.approx(config.lr.lr(0.5))


def test_counts_are_the_cost_model_of_the_papers(done):
    """PGD-K is K + 1 passes per image; validation is PGD-K and two more forwards."""
    for epoch, row in enumerate(done[1].rows, 1):
        assert row["samples"] == 256
        assert row["fwd_passes"] == row["bwd_passes"] == 256 * 3
        assert row["eval_fwd_passes"] == 64 * 4 and row["eval_bwd_passes"] == 64 * 2
        assert row["passes_cum"] == epoch * (2 * 256 * 3 + 64 * 6)


@pytest.mark.parametrize(("attack", "passes"), [("fgsm", 2), ("fgsm-rs", 2), ("none", 1)])
def test_counts_of_cheap_attacks(small, launch, attack, passes):
    row = train(small(epochs=1, **{"attack.name": attack}), launch()).rows[0]
    assert row["fwd_passes"] == row["bwd_passes"] == 256 * passes
    assert row["attack_steps"] == passes - 1


def test_standard_training_reports_clean_and_no_robust_training_accuracy(small, launch):
    row = train(small(epochs=1, **{"attack.name": "none"}), launch()).rows[0]
    assert row["train_robust_acc"] is None and 0 <= row["train_clean_acc"] <= 1
    assert row["eps"] == 0.0


def test_seconds_add_up(done):
    total = 0.0
    for row in done[1].rows:
        parts = [v for k, v in row.items() if k.endswith("_seconds")]
        assert len(parts) == 6 and min(parts) >= 0
        assert row["attack_seconds"] > 0 and row["train_seconds"] > 0 and row["eval_seconds"] > 0
        assert row["seconds_exchange"] == 0.0, "one worker"
        own = sum(row[f"{part}_seconds"] for part in ("data", "attack", "train"))
        assert row["seconds_slowest"] == pytest.approx(own)
        total += sum(parts)
        assert row["seconds_cum"] == pytest.approx(total)
    assert done[1].rows[1]["checkpoint_seconds"] > 0


def test_same_seed_same_bits(done, launch, timeless):
    config, first = done
    torch.manual_seed(99)
    torch.set_default_dtype(torch.float64)  # what a trial before it might have left behind
    second = train(config, launch("again"))
    assert timeless(first.rows) == timeless(second.rows)
    assert_equal_weights(weights(first, config), weights(second, config))


def test_another_seed_differs(done, small, launch, timeless):
    other = train(small(seed=1), launch("other"))
    assert timeless(done[1].rows) != timeless(other.rows)


@pytest.mark.parametrize("shape", ["onecycle", "accelat"])
def test_resume_is_exact(small, launch, timeless, shape):
    config = small(**{"lr.shape": shape})
    whole = train(config, launch("whole"))
    first = launch("split", die_at=3)
    with pytest.raises(SystemExit):
        run(config, first)
    assert [row["epoch"] for row in first.rows] == [1, 2]
    second = train(config, launch("split", reported=2))
    assert [row["epoch"] for row in second.rows] == [3, 4]
    assert timeless(first.rows + second.rows) == timeless(whole.rows)
    assert_equal_weights(weights(second, config), weights(whole, config))
    assert_equal_weights(weights(second, config, "best"), weights(whole, config, "best"))


def test_resume_from_an_older_checkpoint_trains_again_what_was_reported(small, launch, timeless):
    config = small(checkpoint_every=2)
    whole = train(config, launch("whole"))
    first = launch("split", die_at=4)  # the checkpoint of epoch 4 is there, its report is not
    with pytest.raises(SystemExit):
        run(config, first)
    checkpoints.save(  # go back to the moment before: the last one is that of epoch 2
        first.folder, "last", *earlier(config, launch)
    )
    second = train(config, launch("split", reported=3))
    assert [row["epoch"] for row in second.rows] == [4]
    assert timeless(first.rows + second.rows) == timeless(whole.rows)
    assert_equal_weights(weights(second, config), weights(whole, config))


def earlier(config, launch):
    """Return what the checkpoint of epoch 2 holds."""
    context = launch("earlier", die_at=2)
    with pytest.raises(SystemExit):
        run(config, context)
    kept = checkpoints.load(context.folder, "last", config)
    assert kept.epoch == 2
    return config, kept.rows, {**kept.states, "exchange": []}


def test_killed_between_checkpoint_and_report_the_row_is_reported_again(done, launch, timeless):
    config, whole = done
    first = launch("killed", die_at=4)
    with pytest.raises(SystemExit):
        run(config, first)
    second = train(config, launch("killed", reported=3))
    assert timeless(second.rows) == timeless(whole.rows[3:])


def test_a_finished_trial_started_again_reports_only_what_is_missing(done, launch):
    config, _ = done
    assert train(config, launch("done", reported=4)).rows == []
    assert [row["epoch"] for row in train(config, launch("done", reported=1)).rows] == [2, 3, 4]


def test_evaluating_less_often_changes_no_training_step(done, small, launch):
    often = done[1]
    seldom = train(small(**{"eval.every": 3, "eval.steps": 5, "eval.size": 20}), launch("seldom"))
    for a, b in zip(often.rows, seldom.rows, strict=True):
        assert a["train_loss"] == b["train_loss"] and a["grad_norm"] == b["grad_norm"]
    measured = [row["epoch"] for row in seldom.rows if row["val_robust_acc"] is not None]
    assert measured == [3, 4]
    assert seldom.rows[0]["eval_fwd_passes"] == 0 and seldom.rows[0]["val_clean_acc"] is None
    assert seldom.rows[2]["eval_fwd_passes"] == 20 * 7


def test_a_huge_rate_is_one_diverged_row(small, launch):
    config = small(**{"lr.shape": "constant", "lr.peak": 1e6, "epochs": 3})
    context = train(config, launch())
    *before, last = context.rows
    assert all("outcome" not in row for row in before)
    assert last["outcome"] == "diverged"
    assert set(last) == REPORT_KEYS | {"outcome"}
    assert all(v is None or not isinstance(v, float) or math.isfinite(v) for v in last.values())
    kept = checkpoints.load(context.folder, "last", config)
    assert (kept.epoch if kept else 0) == len(before), "a broken model must not be kept"
    again = train(config, launch(reported=len(before)))
    assert [row.get("outcome") for row in again.rows] == ["diverged"]


def test_best_is_the_first_epoch_with_the_highest_validation_robust_accuracy(done):
    config, context = done
    values = [row["val_robust_acc"] for row in context.rows]
    best = checkpoints.load(context.folder, "best", config)
    assert best.epoch == values.index(max(values)) + 1
    assert not best.resumable


def test_another_configuration_does_not_resume_this_one(done, small, launch):
    with pytest.raises(LedgerError, match="belongs to another configuration"):
        run(small(epochs=5), launch("done"))


def test_a_training_split_smaller_than_the_batch_is_one_batch(small, launch):
    row = train(small(epochs=1, batch_size=1000), launch()).rows[0]
    assert row["samples"] == 256


def test_an_incomplete_last_batch_is_dropped(small, launch):
    row = train(small(epochs=1, batch_size=100), launch()).rows[0]
    assert row["samples"] == 200 and row["fwd_passes"] == 200 * 3


def test_bf16_trains_to_about_the_same_loss(done, small, launch):
    rows = train(small(precision="bf16"), launch("bf16")).rows
    assert rows != done[1].rows
    assert rows[-1]["train_loss"] == pytest.approx(done[1].rows[-1]["train_loss"], rel=0.1)


@pytest.mark.slow
def test_learns_digits_far_above_chance(small, launch):
    config = small(
        data={"name": "digits"},
        model={"name": "preactresnet", "width": 16, "blocks": [1, 1]},
        epochs=6,
        attack={"name": "fgsm-rs", "eps": 0.3},
        lr={"shape": "onecycle", "peak": 0.2},
    )
    last = train(config, launch()).rows[-1]
    assert last["val_clean_acc"] > 0.7 and last["val_robust_acc"] > 0.2


class Noise(Attack):
    """Noise of the radius, which costs no pass."""

    def perturb(self, model, x, y, generator):
        sign = torch.empty_like(x).uniform_(-1, 1, generator=generator).sign()
        return Adversarial((x + self.eps * sign).clamp(0, 1), 0, 0)


def test_an_attack_without_passes_has_its_radius_and_no_steps(small, launch):
    config = small(epochs=1).model_copy(update={"attack": Noise(eps=0.1)})
    (row,) = train(config, launch()).rows
    assert row["eps"] == 0.1 and row["attack_steps"] == 0
