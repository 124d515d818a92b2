"""The mean of the weights: which, when, what is validated, kept and resumed."""

from __future__ import annotations

import pytest
import torch

from rayat.data.loader import eval_batches
from rayat.evaluation.checkpoint import evaluate_checkpoint
from rayat.registry import ATTACKS
from rayat.training import checkpoints
from rayat.training.epoch import train_epoch
from rayat.training.network import build_model
from rayat.training.run import roll_back, run, train_and_validate
from rayat.training.setup import begin
from rayat.training.validate import evaluate


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_close(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=lambda text, n=name: f"{n}: {text}")


@pytest.fixture
def recorded(small, launch):
    """Return a function that trains, and gives the training, its rows, and the network's states.

    The states are those after every step, and at the end of every epoch.
    """

    def train(**changes):
        config = small(**changes)
        prepared = launch().data(config.data)
        made = begin(config, prepared)
        rows, after, ends = [], [], []
        step = made.optimizer.step

        def record():
            step()
            after.append(state(made.model))

        made.optimizer.step = record
        while len(rows) < config.epochs:
            rows.append(train_and_validate(made, prepared.val, rows))
            ends.append(state(made.model))
        return made, rows, after, ends

    return train


def mix(mean, new, share):
    """Return the states' mean, BatchNorm's statistics included; its count is the newest."""
    return {
        name: torch.lerp(mean[name], value, share) if value.is_floating_point() else value
        for name, value in new.items()
    }


def test_ema_follows_closely_at_first_and_slowly_later(recorded):
    made, _, after, _ = recorded(epochs=3, **{"weights.average": "ema", "weights.decay": 0.5})
    mean = after[0]
    for n, new in enumerate(after[1:], 1):
        mean = mix(mean, new, 1 - min(0.5, (1 + n) / (10 + n)))
    assert made.average.count == len(after) == 12
    assert_close(state(made.validated), mean)
    assert not torch.allclose(mean["body.head.weight"], after[-1]["body.head.weight"])


def test_swa_is_the_mean_of_the_last_epochs_ends(recorded):
    made, _, _, ends = recorded(epochs=5, **{"weights.average": "swa", "weights.average_from": 0.4})
    assert made.average.count == 3
    expected = {name: torch.stack([end[name] for end in ends[2:]]) for name in ends[0]}
    expected = {n: v.mean(0) if v.is_floating_point() else v[-1] for n, v in expected.items()}
    assert_close(state(made.validated), expected)


def test_swa_starts_after_three_quarters_and_ema_at_once(small):
    assert small(**{"weights.average": "swa"}).weights.averages_after == 0.75
    assert small(**{"weights.average": "ema"}).weights.averages_after == 0.0
    assert small(**{"weights.average_from": 0.3}).weights.averages_after == 0.3


def test_averaging_changes_no_training_step_and_only_what_is_validated(recorded):
    plain, averaged = (
        recorded(**{"weights.average": kind, "weights.average_from": 0.5})
        for kind in ("none", "ema")
    )
    for one, other in zip(plain[2], averaged[2], strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    for one, other in zip(plain[1], averaged[1], strict=True):
        assert one["fwd_passes"] == other["fwd_passes"] and one["train_loss"] == other["train_loss"]
    for key in ("val_clean_acc", "val_robust_acc"):
        assert [row[key] for row in plain[1][:2]] == [row[key] for row in averaged[1][:2]]


def test_the_mean_is_validated_kept_and_evaluated(small, launch):
    config = small(**{"weights.average": "swa", "eval.final_steps": 2, "eval.final_size": None})
    context = launch()
    run(config, context)
    last = checkpoints.load(context.folder, "last", config)
    assert last.states["averaged"] == 1 and last.states["trained"] is not None
    config = small(**{"weights.average": "ema", "eval.final_steps": 2, "eval.final_size": None})
    context = launch("ema")
    run(config, context)
    last = checkpoints.load(context.folder, "last", config)
    assert last.states["averaged"] == 16
    head = "body.head.weight"
    assert not torch.equal(last.model[head], last.states["trained"][head])
    prepared = context.data(config.data)
    model = build_model(config, prepared)
    model.load_state_dict(last.model)
    attack = ATTACKS.build({"name": "pgd", "eps": 0.2, "steps": 2})
    tally = evaluate(model, eval_batches(prepared.val, 40), attack, config.seed, "val")
    assert tally.robust / tally.n == context.rows[-1]["val_robust_acc"]
    row = evaluate_checkpoint(context.folder, "last", config, prepared, "val")
    assert row["clean_acc"] == context.rows[-1]["val_clean_acc"]
    best = checkpoints.load(context.folder, "best", config)
    if best.epoch == config.epochs:
        assert all(torch.equal(best.model[name], value) for name, value in last.model.items())


@pytest.mark.parametrize("died_at", [3, 4])
@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_resume_is_exact_before_and_within_the_mean(small, launch, timeless, kind, died_at):
    config = small(
        objective="trades",
        **{"weights.average": kind, "weights.average_from": 0.5, "weights.awp": 0.01},
    )
    whole, first = launch("whole"), launch("split", die_at=died_at)
    run(config, whole)
    with pytest.raises(SystemExit):
        run(config, first)
    second = launch("split", reported=died_at - 1)
    run(config, second)
    assert timeless(first.rows + second.rows) == timeless(whole.rows)
    one, other = (checkpoints.load(c.folder, "last", config) for c in (whole, second))
    for network in ("model", "trained"):
        mine, theirs = one.states[network], other.states[network]
        assert all(torch.equal(mine[name], value) for name, value in theirs.items())


def test_a_roll_back_starts_the_mean_anew(small, launch):
    config, context = small(epochs=2, **{"weights.average": "ema"}), launch()
    run(config, context)
    training = begin(config, context.data(config.data))
    train_epoch(training, 1)
    assert training.validated is not training.model
    roll_back(training, context)
    assert training.validated is training.model
    best = checkpoints.load(context.folder, "best", config)
    assert_close(state(training.model), best.model)


@pytest.mark.slow
def test_the_means_statistics_fit_its_weights(small, launch):
    """Averaged running statistics stand for those that a pass over the images would give."""
    config = small(
        data={"name": "digits"},
        model={"name": "preactresnet", "width": 8, "blocks": [1]},
        epochs=12,
        attack="none",
        lr={"shape": "constant", "peak": 0.2},
        **{"weights.average": "swa"},
    )
    prepared = launch().data(config.data)
    made = begin(config, prepared)
    for epoch in range(1, 13):
        train_epoch(made, epoch)
        made.average.after_epoch(made.model, epoch / 12)
    mean = made.validated
    averaged = accuracy(mean, prepared.val)
    for norm in (m for m in mean.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.reset_running_stats()
        norm.momentum = None
    mean.train()
    with torch.no_grad():
        for x, _ in eval_batches(prepared.train, 64):
            mean(x)
    assert averaged > 0.85
    assert averaged == pytest.approx(accuracy(mean, prepared.val), abs=0.05)


def accuracy(model, arrays):
    model.eval()
    with torch.no_grad():
        right = [(model(x).argmax(1) == y).sum() for x, y in eval_batches(arrays, 64)]
    return int(sum(right)) / len(arrays)
