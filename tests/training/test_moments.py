"""Attacks and schedules that change with the training: counts, reports, exact resume."""

from __future__ import annotations

import pytest

from rayat.training import checkpoints
from rayat.training.run import run


def rows(config, context):
    run(config, context)
    return context.rows


METHODS = {
    "dynamic": {"attack": {"name": "dynamic", "eps": 0.2, "steps": 3, "c_max": 0.1}},
    "self-weighted": {"objective.loss_weighting": "self"},
    "ramp": {"attack_schedule": {"name": "ramp", "eps": 0.0, "steps": 0}},
    "curriculum": {"attack_schedule": {"name": "curriculum"}},
    "stages": {"attack_schedule": {"name": "stages", "stages": [[0.3, {"steps": 1}], [0.6, {}]]}},
    "bullet-train": {"attack": {"name": "bullet-train", "eps": 0.2, "steps": 3}},
    "switch": {"attack_schedule": {"name": "switch", "to": "dynamic"}},
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


def test_a_curriculum_begins_with_clean_images_and_each_epoch_counts_its_own_steps(small, launch):
    found = rows(small(epochs=3, attack_schedule="curriculum"), launch())
    assert [row["attack_steps"] for row in found] == [0, 1, 2]
    assert [row["fwd_passes"] for row in found] == [256 * (1 + k) for k in range(3)]
    assert [row["eps"] for row in found] == [0.0, 0.2, 0.2]
    assert found[0]["train_robust_acc"] is None and found[0]["train_clean_acc"] is not None
    assert all(row["eval_bwd_passes"] == 64 * 2 for row in found), "the evaluation does not follow"


def test_the_radius_reported_is_that_of_the_epochs_last_step(small, launch):
    ramp = {"name": "ramp", "eps": 0.0, "until": 0.5}
    found = rows(small(attack_schedule=ramp), launch())
    assert [row["eps"] for row in found] == pytest.approx([0.1, 0.2, 0.2, 0.2])
    stages = {"name": "stages", "stages": [[0.25, {"eps": 0.05}], [0.75, {}]]}
    found = rows(small(attack_schedule=stages), launch("stages"))
    assert [row["eps"] for row in found] == [0.2, 0.05, 0.05, 0.2]


def test_an_attack_of_half_an_epoch_reports_the_mean_of_its_own_images(small, launch):
    """A switch in the middle: FOSC is known of the second half alone.

    The network hardly moves, so both halves have the same mean but for their images: a mean over
    all images would be half of it.
    """
    switch = {"name": "switch", "at": 0.5, "to": {"name": "dynamic", "eps": 0.1, "threshold": 1e9}}
    still = {"lr.peak": 1e-9, "model.norm": "none"}
    (row,) = rows(small(epochs=1, attack="none", attack_schedule=switch, **still), launch())
    assert row["attack_steps"] == 0.5 and row["fwd_passes"] == 256 * 2
    (whole,) = rows(small(epochs=1, attack=switch["to"], **still), launch("whole"))
    assert row["fosc"] == pytest.approx(whole["fosc"], rel=0.25)


def test_selectors_look_with_the_attack_of_the_epoch_that_follows(small, launch):
    """PGD-2 to the middle, then clean images: the second selection attacks nothing."""
    config = small(
        epochs=2,
        pruning={"name": "glister", "every": 1},
        attack_schedule={"name": "switch", "at": 0.5, "to": "none"},
    )
    first, second = rows(config, launch())
    assert first["bwd_passes"] > 256 * 2 and second["bwd_passes"] == 128


def test_bullet_train_counts_each_groups_own_steps_and_keeps_its_estimate(small, launch):
    """1 forward + F_B N_B + F_R N_R + 1 (docs/papers.md 1.3)."""
    attack = {"name": "bullet-train", "eps": 0.1, "steps": 4, "robust_steps": 1}
    config = small(epochs=6, attack=attack, **{"lr.peak": 0.2})
    context = launch()
    found = rows(config, context)
    for row in found:
        steps = round(row["attack_steps"] * 256)
        assert row["bwd_passes"] == steps + 256
        assert row["fwd_passes"] == steps + 2 * 256
        assert row["attack_steps"] < 4, "outliers take none"
    inner = checkpoints.load(context.folder, "last", config).states["inner"]
    assert 0 < inner["bullet-train"]["robust"] < 0.8
