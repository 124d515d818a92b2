"""The schedule of pruned epochs, selections, the weighted loss."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayat.config import TrialConfig
from rayat.errors import ConfigError
from rayat.pruning.base import Selection
from rayat.pruning.weighted import weighted_mean
from rayat.registry import PRUNERS


def phases(epochs, **fields):
    pruner = PRUNERS.build({"name": "random", **fields})
    return [pruner.schedule(epoch, epochs) for epoch in range(1, epochs + 1)]


def test_schedule_of_acs():
    """f=0.5, R=20, kappa=0.5, E=120; epochs counted from 0 as in docs/papers.md 5.6."""
    plan = phases(120, fraction=0.5, every=20, warm_start=0.5)
    assert plan[:30] == ["full"] * 30
    assert plan[30:60] == ["skip"] * 30
    assert [i for i, phase in enumerate(plan) if phase == "select"] == [60, 80, 100]
    assert plan.count("subset") == 57


def test_without_a_warm_start_the_first_epoch_selects():
    assert phases(5, fraction=0.3, every=2) == ["select", "subset", "select", "subset", "select"]


def test_a_warm_start_that_is_no_multiple_of_every_selects_at_once():
    plan = phases(10, fraction=0.5, every=4, warm_start=0.2)
    assert plan == ["full", "skip", "select", *["subset"] * 3, "select", *["subset"] * 3]


def test_a_product_just_below_an_integer_loses_no_epoch():
    assert PRUNERS.build({"name": "random", "warm_start": 0.29}).first(100) == 29


def test_a_fixed_subset_is_selected_once():
    plan = phases(8, fraction=0.5, every=2, warm_start=0.5, redraw=False)
    assert plan == ["full", "full", "skip", "skip", "select", "subset", "subset", "subset"]


def test_everything_is_kept_without_a_selection():
    assert phases(3, fraction=1.0) == ["full"] * 3
    assert [PRUNERS.build("none").schedule(e, 3) for e in (1, 2, 3)] == ["full"] * 3


@settings(deadline=None)
@given(fraction=st.floats(0.01, 0.99), warm_start=st.floats(0, 0.99), epochs=st.integers(2, 300))
def test_the_data_is_visited_fraction_times_epochs_whatever_the_warm_start(
    fraction, warm_start, epochs
):
    plan = phases(epochs, fraction=fraction, warm_start=warm_start)
    visits = plan.count("full") + fraction * (plan.count("select") + plan.count("subset"))
    assert abs(visits - fraction * epochs) <= 0.5 + 1e-6


def test_a_warm_start_without_an_epoch_of_training_is_refused():
    with pytest.raises(ConfigError) as error:
        TrialConfig.parse(
            {"epochs": 10, "pruning": {"name": "random", "fraction": 0.1, "warm_start": 0.3}}
        )
    assert str(error.value) == (
        "pruning.warm_start=0.3 of epochs=10 trains round(0.1 * 3) = 0 epochs before the first "
        "selection; raise it, or give 0 for no warm start"
    )


def test_no_pruning_takes_the_rooms_parameters_so_that_it_can_be_an_arm():
    config = TrialConfig.parse({"pruning": {"name": "grad-match", "fraction": 0.3}})
    assert config.replace({"pruning.name": "none"}).pruning.fraction == 0.3


def test_an_unknown_parameter_names_the_nearest():
    with pytest.raises(ConfigError, match=r"did you mean 'pruning\.fraction'"):
        TrialConfig.parse({"pruning.fracton": 0.3, "pruning.name": "random"})


def test_a_selection_is_sorted_with_its_weights():
    selection = Selection.sort(torch.tensor([7, 2, 5]), torch.tensor([0.7, 0.2, 0.5]))
    assert selection.indices.tolist() == [2, 5, 7]
    torch.testing.assert_close(selection.weights, torch.tensor([0.2, 0.5, 0.7]))
    dense = selection.row_weights(9)
    assert dense.nonzero().flatten().tolist() == [2, 5, 7]
    torch.testing.assert_close(dense[7], torch.tensor(0.7))


def test_random_draws_every_row_equally_often(context):
    pruner, given_ = PRUNERS.build({"name": "random", "fraction": 0.2}), context()
    counts = torch.zeros(150)
    for _ in range(300):
        counts += pruner.select(1, given_).row_weights(150)
    # Each count is binomial(300, 0.2): mean 60, deviation 7.
    assert counts.sum() == 300 * 30
    assert (counts - 60).abs().max() < 5 * 7


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(0, 9))
def test_weighted_mean_is_the_loss_of_papers_5_3(n, seed):
    g = torch.Generator().manual_seed(seed)
    loss, weights = torch.rand(n, generator=g), torch.rand(n, generator=g) + 0.1
    expected = sum(w * v for w, v in zip(weights, loss, strict=True)) / sum(weights)
    torch.testing.assert_close(weighted_mean(loss, weights), expected)
    torch.testing.assert_close(weighted_mean(loss, torch.full((n,), 3.0)), loss.mean())


def test_two_workers_give_the_loss_of_one():
    g = torch.Generator().manual_seed(0)
    loss, weights = torch.rand(10, generator=g), torch.rand(10, generator=g)
    total = weights.sum() / 2
    halves = [weighted_mean(loss[i : i + 5], weights[i : i + 5], total) for i in (0, 5)]
    torch.testing.assert_close(sum(halves) / 2, weighted_mean(loss, weights))
