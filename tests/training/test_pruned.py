"""Trials on a pruned training split: what is trained when, and exact resume inside a subset."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rayat.config import TrialConfig
from rayat.data.prepare import prepare
from rayat.planning.estimate import training_on
from rayat.training.epoch import select
from rayat.training.run import by_epoch, run

PRUNERS = [
    {"name": "random"},
    {"name": "grad-match"},
    {"name": "grad-match", "variant": "per-class", "rows": "all"},
    {"name": "glister"},
]


@pytest.fixture(params=PRUNERS, ids=lambda p: "-".join(str(v) for v in p.values()))
def config(request, small):
    """Six epochs on half the images, chosen every second epoch after a warm start of two."""
    half = {"fraction": 0.5, "every": 2, "warm_start": 0.34}
    return small(epochs=6, pruning={**request.param, **half})


@pytest.mark.filterwarnings("ignore:grad-match")
def test_the_warm_start_skips_an_epoch_and_subsets_are_half(config, launch):
    context = launch("whole")
    run(config, context)
    assert [row["samples"] > 0 for row in context.rows] == [True, False, True, True, True, True]
    shares = [row["data_fraction"] for row in context.rows[2:]]
    assert all(0.4 < share < 0.6 for share in shares), shares
    assert all(row["val_robust_acc"] is not None for row in context.rows[2:])


@pytest.mark.filterwarnings("ignore:grad-match")
@pytest.mark.parametrize("died_at", [4, 6])
def test_a_resumed_trial_goes_on_with_the_subset_it_had(config, launch, timeless, died_at):
    whole = launch("whole")
    run(config, whole)
    first = launch("cut", die_at=died_at)
    with pytest.raises(SystemExit):
        run(config, first)
    second = launch("cut", reported=died_at - 1)
    run(config, second)
    assert timeless(whole.rows) == timeless(first.rows + second.rows)


def test_glisters_first_selection_under_a_warm_up_keeps_every_class():
    """A cyclic rate begins at 0; with that for its step greedy kept a few classes for 20 epochs."""
    config = TrialConfig.parse(
        {
            "data": {"name": "digits", "train_size": 600, "val_size": 100},
            "model": {"name": "cnn"},
            "lr": {"shape": "cyclic", "peak": 0.2},
            "attack": {"name": "fgsm", "eps": 0.1},
            "pruning": {"name": "glister", "fraction": 0.3},
        }
    )
    assert config.rate(0) == 0 and config.peak_rate == 0.2
    prepared = prepare(config.data)

    def classes(eta):
        asked = config.replace({"pruning.eta": eta})
        training = training_on(asked, prepared, len(prepared.train), "cpu")
        kept = prepared.train.y[select(training, 1).indices.numpy()]
        return np.bincount(kept, minlength=10)

    assert (classes(None) >= 3).all() and np.array_equal(classes(None), classes(0.2))
    assert (classes(1e-9) == 0).sum() >= 3, "what a step of nearly zero keeps"


def test_accuracies_stand_at_their_epochs():
    rows = [{"epoch": e, "val_robust_acc": a} for e, a in ((1, 0.1), (2, None), (3, 0.3))]
    found = by_epoch(rows)
    assert found[::2] == [0.1, 0.3] and math.isnan(found[1]) and by_epoch([]) == []


def test_validation_attacks_in_the_norm_of_the_training(small, launch):
    """A radius of l2 length 0.5 would be a huge one for the largest pixel: nothing would resist."""
    trained = {"attack": {"name": "pgd", "eps": 0.5, "norm": "l2", "steps": 2}, "epochs": 15}
    context = launch()
    run(small(**trained, **{"lr.peak": 0.2}), context)
    row = context.rows[-1]
    assert row["val_robust_acc"] > 0.5 * row["val_clean_acc"] > 0.1


def test_a_warm_starts_skipped_epochs_stand_in_the_history_of_feedback_shapes(small, launch):
    """A rule that cuts whenever it knows the gain: across the gap it does not know it."""
    config = small(
        epochs=24,
        lr={"shape": "accelat", "peak": 0.1, "window": 2, "quiet": 1, "threshold": 10},
        pruning={"name": "random", "fraction": 0.5, "every": 4, "warm_start": 0.5},
    )
    context = launch()
    run(config, context)
    rows = context.rows
    skipped = [row["epoch"] for row in rows if row["samples"] == 0]
    assert skipped == [*range(7, 13)], "a gap within the history"
    # 0-based epochs 3 to 5 know the gain of two epochs, and 14 onwards, behind the gap.
    cuts = [sum(3 <= e < epoch and not 6 <= e <= 13 for e in range(24)) for epoch in range(24)]
    for row in rows[12:]:
        assert row["lr"] == pytest.approx(0.1 * 0.8 ** cuts[row["epoch"] - 1]), row["epoch"]
