"""What nobody means is said before the start: rates of 0, attacks that never come, long steps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayat.config import TrialConfig
from rayat.planning.advice import LITTLE, advise, easy, idle, steps_per_epoch
from rayat.registry import SHAPES


def said(changes, images=64) -> list[str]:
    config = TrialConfig.parse({"epochs": 1, "batch_size": 64, **changes})
    return advise([("a", config, images)])


@pytest.mark.parametrize("shape", ["cosine", "linear", "cyclic", "trapezoid"])
def test_one_step_at_the_end_of_the_curve_is_a_rate_of_zero(shape):
    (text,) = said({"lr.shape": shape})
    assert text.startswith("a: every step has the learning rate 0, so nothing is trained")
    assert f"lr.shape={shape}, and n is 1" in text
    assert not said({"lr.shape": shape}, images=640)
    assert not said({"lr.shape": shape, "epochs": 8})


def test_a_peak_that_no_step_comes_near_is_said_too():
    (text,) = said({"lr.shape": "onecycle", "lr.peak": 0.2})
    assert "the largest learning rate is 0.0002, of lr.peak=0.2" in text
    (text,) = said({"lr.shape": "piecewise", "lr.peak": 0.1})
    assert "the largest learning rate is 0.001" in text
    for changes in (
        {"lr.shape": "constant"},
        {"lr.shape": "accelat", "epochs": 8},
        {"lr.floor": 0.1},
    ):
        assert not said({"lr.peak": 0.2, **changes})


@settings(max_examples=60)
@given(
    shape=st.sampled_from([n for n in SHAPES.names() if n != "accelat"]),
    epochs=st.integers(1, 5),
    images=st.integers(1, 400),
    scaling=st.sampled_from(["none", "linear"]),
)
def test_it_is_said_exactly_where_no_step_comes_near_the_peak(shape, epochs, images, scaling):
    changes = {"lr.shape": shape, "epochs": epochs, "optimizer.scaling": scaling}
    config = TrialConfig.parse({"batch_size": 64, **changes})
    steps = epochs * steps_per_epoch(config, images)
    largest = max(config.rate((i + 1) / steps) for i in range(steps))
    scale = 0.5 if scaling == "linear" else 1
    assert bool(said({**changes}, images)) == (largest < LITTLE * config.lr.peak * scale)


def test_a_curriculum_that_never_attacks():
    (text,) = said({"lr.shape": "constant", "attack_schedule": "curriculum"}, images=640)
    assert "attack_schedule=curriculum attacks in none of the 10 steps" in text
    more = {"lr.shape": "constant", "attack_schedule": "curriculum", "epochs": 11}
    assert not said(more, images=640)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"attack.eps": 0.1, "attack.step_size": 0.3}, "attack.step_size=0.3 is above 2 eps = 0.2"),
        (
            {"attack": {"name": "pgd", "norm": "l2", "eps": 1, "step_size": 3}},
            "above 2 eps = 2, so every step crosses the whole ball and ends on its edge; both are",
        ),
        (
            {"attack.eps": 0.1, "attack_schedule": {"name": "switch", "to": {"step_size": 0.4}}},
            "attack_schedule.step_size=0.4 is above",
        ),
        (
            {
                "attack.eps": 0.1,
                "attack_schedule": {"name": "stages", "stages": [[0, {"eps": 0.01}]]},
            }
            | {"attack.step_size": 0.05},
            "attack_schedule.step_size=0.05 is above 2 eps = 0.02",
        ),
        (
            {"attack": {"name": "pgd", "eps": 0.1, "step_size": 0.1}}
            | {"attack_schedule": {"name": "ramp", "step_size": 0.5}},
            "attack_schedule.step_size=0.5 is above",
        ),
        (
            {"attack": {"name": "bullet-train", "eps": 0.1, "robust_step_size": 0.3}},
            "attack.robust_step_size=0.3 is above",
        ),
        ({"eval.eps": 0.5}, "eval.eps=0.5 lets every image become grey"),
    ],
)
def test_lengths_that_do_not_fit_are_said(changes, text):
    found = said({"lr.shape": "constant", **changes})
    assert len(found) == 1
    assert text in found[0]


def test_ordinary_lengths_are_not():
    for changes in (
        {"attack": {"name": "fgsm-rs", "eps": 0.1}},
        {"attack": {"name": "pgd", "eps": 0.1, "step_size": 0.2}},
        {"attack": {"name": "none", "eps": 0.1}},
        {"attack.step_size": 0.01, "attack_schedule": {"name": "ramp", "eps": 0}},
    ):
        assert not said({"lr.shape": "constant", **changes})


def test_what_is_true_of_several_arms_is_said_once():
    config = TrialConfig.parse({"lr.shape": "cosine", "epochs": 1})
    arms = [(f"a{seed // 2}", config, 8) for seed in range(6)]
    (text,) = advise(arms)
    assert text.startswith("a0 and 2 more arms: every step")


LONG = {"epochs": 10, "lr.shape": "constant"}


@pytest.mark.parametrize(
    ("beyond", "within", "text"),
    [
        ({"eval.every": 11}, {"eval.every": 10}, "eval.every=11 is above epochs=10, so only"),
        ({"checkpoint_every": 11}, {"checkpoint_every": 10}, "checkpoint_every=11 is above"),
        (
            {"lr.shape": "accelat", "lr.window": 8},
            {"lr.shape": "accelat", "lr.window": 7},
            "lr.window=8 needs 11 epochs",
        ),
        (
            {"pruning": {"name": "random", "every": 11}},
            {"pruning": {"name": "random", "every": 10}},
            "pruning.every=11 is above the 10 epochs from the first selection on",
        ),
        (
            {"pruning": {"name": "random", "every": 6, "warm_start": 0.5}},
            {"pruning": {"name": "random", "every": 5, "warm_start": 0.5}},
            "above the 5 epochs from",
        ),
    ],
)
def test_an_interval_beyond_the_training_is_said(beyond, within, text):
    (warning,) = said({**LONG, **beyond}, images=640)
    assert text in warning
    assert not said({**LONG, **within}, images=640)


def test_a_feedback_shape_is_said_to_be_constant_exactly_where_it_never_cuts():
    for epochs in range(1, 14):
        config = TrialConfig.parse({"epochs": epochs, "lr": {"shape": "accelat", "window": 4}})
        cuts = len(set(config.lr.rates(epochs, [0.5] * epochs))) > 1
        assert bool(list(idle(config))) is not cuts


def test_a_target_at_chance_is_said_with_the_fewest_images():
    """Ten classes and 100 images: 0.1, and three standard errors of 0.03 above it."""
    configs = [TrialConfig.parse({"eval.size": size}) for size in (None, 100)]
    trials = [(config, 10, 5000) for config in configs]
    (text,) = easy("val_robust_acc", 0.19, trials)
    assert text.startswith("The target of 0.190 is no more than chance") and "100 images" in text
    assert not easy("val_robust_acc", 0.19, trials[:1]), "5,000 images give up to 0.113"
    assert not easy("val_robust_acc", 0.2, trials) and not easy("val_robust_acc", None, trials)


def test_bf16_that_the_cpu_emulates_is_said_once_and_only_there():
    def told(native, **changes):
        config = TrialConfig.parse({"epochs": 8, "precision": "bf16", **changes})
        return advise([(arm, config, 640) for arm in "ab"], native)

    (text,) = told(False)
    assert text.startswith("a and 1 more arms: precision=bf16 is emulated on this machine's CPU")
    assert "set precision=fp32" in text
    for native in (True, None):
        assert not told(native)
    assert not told(False, precision="fp32")
    assert not told(False, gpus_per_worker=1)
