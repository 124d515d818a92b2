"""Trials on a pruned training split: what is trained when, and exact resume inside a subset."""

from __future__ import annotations

import pytest

from rayat.training.run import run

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
