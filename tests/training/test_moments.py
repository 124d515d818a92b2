"""Attacks and schedules that change with the training: counts, reports, exact resume."""

from __future__ import annotations

import pytest

from rayat.training.run import run


def rows(config, context):
    run(config, context)
    return context.rows


METHODS = {
    "dynamic": {"attack": {"name": "dynamic", "eps": 0.2, "steps": 3, "c_max": 0.1}},
    "self-weighted": {"objective.loss_weighting": "self"},
}


@pytest.mark.parametrize("name", METHODS)
def test_a_trial_killed_after_its_first_epoch_goes_on_as_if_it_never_was(
    name, small, launch, timeless
):
    config = small(epochs=2, **METHODS[name])
    whole = rows(config, launch("whole"))
    first = launch("cut", die_at=2)
    with pytest.raises(SystemExit):
        run(config, first)
    again = rows(config, launch("cut", reported=1))
    assert timeless(whole) == timeless(first.rows + again)
    assert all("outcome" not in row for row in whole)


@pytest.mark.parametrize(
    ("threshold", "steps", "passes"), [(1e9, 1, 3), (-1.0, 3, 5)], ids=["least", "most"]
)
def test_dynamic_costs_three_to_k_plus_two_passes(threshold, steps, passes, small, launch):
    attack = {"name": "dynamic", "eps": 0.2, "steps": 3, "threshold": threshold}
    (row,) = rows(small(epochs=1, attack=attack), launch())
    assert row["attack_steps"] == steps
    assert row["fwd_passes"] == row["bwd_passes"] == 256 * passes
    assert row["fosc"] >= 0 and row["grad_l1"] > 0


def test_dynamic_steps_more_as_its_threshold_falls(small, launch):
    attack = {"name": "dynamic", "eps": 0.2, "steps": 4, "c_max": 0.1, "until": 1.0}
    first, *_, last = rows(small(attack=attack), launch())
    assert 1 <= first["attack_steps"] < last["attack_steps"] <= 4
    assert last["fwd_passes"] > first["fwd_passes"]


def test_early_stopped_attacks_count_the_steps_that_moved(small, launch):
    attack = {"name": "pgd-early", "eps": 0.3, "steps": 4}
    (row,) = rows(small(epochs=1, attack=attack), launch())
    assert 256 * row["attack_steps"] < row["bwd_passes"] - 256
    assert row["fosc"] is None and row["grad_l1"] is None


def test_attacks_of_all_steps_report_their_gradient_and_not_what_costs_a_pass(small, launch):
    (row,) = rows(small(epochs=1), launch())
    assert row["grad_l1"] > 0 and row["fosc"] is None
