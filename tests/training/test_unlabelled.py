"""Images without labels: a teacher's, the divergence alone, what is refused, what it costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rayat.config import TrialConfig
from rayat.data.prepare import prepare
from rayat.distributed.exchange import Exchange
from rayat.errors import ConfigError, DataError
from rayat.planning.estimate import estimate
from rayat.registry import OBJECTIVES, PRUNERS
from rayat.training import checkpoints
from rayat.training.counters import Clock, Counters
from rayat.training.epoch import train_epoch
from rayat.training.run import run
from rayat.training.setup import begin
from rayat.training.step import Step
from rayat.training.teacher import taught

QUARTER = {"data.labelled": 0.25}
DAT = {"name": "dat", "consistency": 1.0}


def test_a_stratified_share_keeps_its_labels(small):
    source = small().data
    whole, part = prepare(source), prepare(source.replace(labelled=0.25))
    known = part.train.y >= 0
    assert known.sum() == 64
    assert np.array_equal(part.train.x, whole.train.x), "the same images"
    assert np.array_equal(part.train.y[known], whole.train.y[known])
    shares = np.bincount(part.train.y[known]) - np.bincount(whole.train.y) / 4
    assert np.abs(shares).max() < 1
    assert part.split_hash != whole.split_hash and part.mean == whole.mean
    for other in (part.val, part.test):
        assert other.y.min() >= 0


def test_which_labels_are_kept_is_drawn_from_a_stream_of_its_own(small):
    source = small().data.replace(labelled=0.25)
    first, again, other = (
        prepare(each).train.y < 0 for each in (source, source, source.replace(split_seed=1))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first[:64].any() and first[-64:].any(), "not the first or the last of the split"


def test_no_label_at_all_is_refused(small):
    with pytest.raises(DataError, match=r"data\.labelled=0\.001 of 256 training images leaves no"):
        prepare(small().data.replace(labelled=0.001))


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_an_objective_that_needs_labels_says_so(small, name):
    if OBJECTIVES.build(name).label_free:
        small(objective=name, **QUARTER)
        return
    with pytest.raises(ConfigError, match=rf"objective '{name}' needs labels, .*teacher\.epochs"):
        small(objective=name, **QUARTER)
    small(objective=name, **QUARTER, **{"teacher.epochs": 1})


@pytest.mark.parametrize("name", PRUNERS.names())
def test_a_pruner_that_reads_labels_says_so(small, name):
    changes = {"objective": "trades", "pruning": name, **QUARTER}
    if name in ("none", "random"):
        small(**changes)
        return
    with pytest.raises(ConfigError, match=rf"pruning '{name}' chooses by labels, .*teacher\."):
        small(**changes)
    small(**changes, **{"teacher.epochs": 1})


def test_a_teacher_of_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"teacher\.epochs must be 0 where .*, got 3"):
        TrialConfig.parse({"teacher.epochs": 3})


@pytest.mark.parametrize(
    "spec", [{"name": "trades"}, DAT, {**DAT, "label_smoothing": 0.1}], ids=str
)
def test_without_a_label_the_loss_is_the_weighted_divergence(case, spec):
    model, x, adv, y = case
    objective = OBJECTIVES.build(spec)
    some = y.clone()
    some[2:5] = -1
    loss = objective.loss(model, x, adv, some).loss
    p, q = model(x).softmax(1), model(adv.x).softmax(1)
    divergence = (p * (p / q).log()).sum(1)
    weight = 6.0 if spec["name"] == "trades" else 1.0
    torch.testing.assert_close(loss[2:5], weight * divergence[2:5])
    labelled = objective.loss(model, x, adv, y).loss
    torch.testing.assert_close(loss[:2], labelled[:2])
    torch.testing.assert_close(loss[5:], labelled[5:])


@pytest.fixture
def case():
    """Return a linear network, images, adversarial images and labels, in double precision."""
    from rayat.attacks.base import Adversarial

    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    x = torch.rand(7, 1, 3, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(4, (7,), generator=generator)
    return lambda z: z.flatten(1) @ weight, x, Adversarial((x + 0.1).clamp(0, 1), 7, 7), y


def test_the_attack_sees_the_predicted_class_and_the_objective_none(small, launch):
    config = small(objective=DAT, **QUARTER)
    training = begin(config, launch().data(config.data))
    step = Step(training, Counters(), torch.Generator())
    plan = training.loader.plan(torch.Generator().manual_seed(0))
    x, y = training.loader.batch(plan, 0, 64)
    before = y.clone()
    guessed = step.guess(x, y)
    assert torch.equal(y, before) and (y < 0).any() and (y >= 0).any()
    assert torch.equal(guessed[y >= 0], y[y >= 0])
    training.model.eval()
    assert torch.equal(guessed[y < 0], training.model(x).argmax(1)[y < 0])
    assert step.counters.fwd_passes == int((y < 0).sum())
    seen = []
    loss = config.objective.loss
    objective = type("Spy", (), {"loss": lambda self, *args: seen.append(args[-1]) or loss(*args)})
    step.objective = objective()
    step.learn(x, step.attack(config.attack, x, guessed), guessed)
    assert torch.equal(seen[0], y)


def test_guessing_is_counted_and_accuracy_is_of_the_labelled(small, launch):
    config = small(objective="trades", **QUARTER, **{"lr": {"shape": "constant", "peak": 1e-9}})
    prepared = launch().data(config.data)
    row = train_epoch(begin(config, prepared), 1)
    assert row["fwd_passes"] == 256 * (2 + 1 + 2) + 192
    known = prepared.train.y >= 0
    assert row["train_clean_acc"] * known.sum() == pytest.approx(
        round(row["train_clean_acc"] * known.sum())
    )


def test_a_teachers_labels_are_in_place_of_the_missing_ones(small, launch, tmp_path):
    config = small(**QUARTER, **{"teacher.epochs": 2})
    prepared = launch().data(config.data)
    first, cost = taught(config, prepared, Exchange(), tmp_path, Clock())
    assert first.train.y.min() >= 0
    known = prepared.train.y >= 0
    assert np.array_equal(first.train.y[known], prepared.train.y[known])
    # Two epochs of one batch of 64; a look at each of the 192 others.
    assert cost == {"samples": 128, "fwd_passes": 128 + 192, "bwd_passes": 128, "comm_bytes": 0}
    clock = Clock()
    again, same = taught(config, prepared, Exchange(), tmp_path, clock)
    assert np.array_equal(again.train.y, first.train.y) and same == cost
    kept = checkpoints.load(tmp_path, "teacher", config)
    assert kept.rows == [cost]


@pytest.mark.slow
def test_a_teacher_is_right_about_most_digits(small, launch, tmp_path):
    config = small(
        data={"name": "digits", "labelled": 0.3},
        model={"name": "preactresnet", "width": 16, "blocks": [1]},
        **{"teacher.epochs": 15, "lr.peak": 0.2},
    )
    prepared = launch().data(config.data)
    truth = prepare(config.data.replace(labelled=1.0)).train.y
    found, _ = taught(config, prepared, Exchange(), tmp_path, Clock())
    assert (found.train.y == truth)[prepared.train.y < 0].mean() > 0.85


@pytest.mark.parametrize(
    "changes", [{"teacher.epochs": 1}, {"objective": DAT}], ids=["teacher", "consistency"]
)
def test_resume_is_exact_and_the_first_row_holds_the_cost(small, launch, timeless, changes):
    config = small(epochs=2, **QUARTER, **changes)
    whole, first = launch("whole"), launch("split", die_at=2)
    run(config, whole)
    with pytest.raises(SystemExit):
        run(config, first)
    second = launch("split", reported=1)
    run(config, second)
    assert timeless(first.rows + second.rows) == timeless(whole.rows)
    one, two = whole.rows
    if config.teacher.epochs:
        assert one["fwd_passes"] - two["fwd_passes"] == 64 + 192
        assert one["bwd_passes"] - two["bwd_passes"] == 64
        estimated = estimate(config, whole.data(config.data))
        assert estimated.trial_passes(config) == two["passes_cum"]
    else:
        assert one["fwd_passes"] == two["fwd_passes"] == 256 * 4 + 192
