"""The published values of each shape, point by point."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayat.errors import ConfigError
from rayat.registry import SHAPES


def rates(spec, points):
    shape = SHAPES.build(spec)
    return [shape.lr(point) for point in points]


def near(values):
    return pytest.approx(values, rel=1e-12, abs=1e-15)


def test_constant():
    assert rates({"shape": "constant", "peak": 0.3}, [0, 0.5, 1]) == [0.3] * 3


def test_cosine():
    values = rates({"shape": "cosine", "peak": 0.2, "floor": 0.1}, [0, 1 / 3, 0.5, 1])
    assert values == near([0.2, 0.175, 0.15, 0.1])


def test_linear_with_power_and_early_end():
    assert rates({"shape": "linear", "peak": 1}, [0, 0.25, 1]) == near([1, 0.75, 0])
    bent = {"shape": "linear", "peak": 1, "power": 2, "until": 0.5, "floor": 0.2}
    assert rates(bent, [0, 0.25, 0.5, 1]) == near([1, 0.2 + 0.8 * 0.25, 0.2, 0.2])


def test_exponential_decays_and_the_range_test_grows_ten_decades():
    decay = {"shape": "exponential", "peak": 1, "ratio": 0.01}
    assert rates(decay, [0, 0.5, 1]) == near([1, 0.1, 0.01])
    # The released formula: 1e-8 * 10 ** (e / (T / 10)), docs/papers.md 2.3.
    released = {"shape": "exponential", "form": "range-test", "peak": 100, "ratio": 1e-10}
    points = [e / 50 for e in range(51)]
    assert rates(released, points) == pytest.approx([1e-8 * 10 ** (10 * t) for t in points])


@pytest.mark.parametrize("epochs", [3, 6, 9, 30, 99, 300])
@pytest.mark.parametrize("steps", [1, 7, 10])
def test_piecewise_thirds_end_with_their_epoch(epochs, steps):
    shape, total = SHAPES.build({"shape": "piecewise", "peak": 1}), epochs * steps
    by_epoch = [
        {shape.lr((epoch * steps + step + 1) / total) for step in range(steps)}
        for epoch in range(epochs)
    ]
    third = epochs // 3
    assert by_epoch == [{1.0}] * third + [{0.1}] * third + [{0.01}] * third


def test_piecewise_drops_one_epoch_after_the_milestone():
    shape = SHAPES.build({"shape": "piecewise", "milestones": (0.5, 0.75)})
    curve = shape.curve(200)
    assert [epoch for epoch in range(2, 201) if curve[epoch - 1] < curve[epoch - 2]] == [101, 151]
    assert curve[-1] / curve[0] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"milestones": (0.6, 0.3)}, r"milestones must rise inside \(0, 1\), got \(0.6, 0.3\)"),
        ({"milestones": (0.3, 1.0)}, r"milestones must rise inside \(0, 1\)"),
        ({"milestones": (0.3,)}, "1 milestones need 2 multipliers, got 3"),
        ({"multipliers": (1, 2, 0)}, r"multipliers must be in \[0, 1\], got \(1.0, 2.0, 0.0\)"),
    ],
)
def test_piecewise_refuses_impossible_pieces(parameters, text):
    with pytest.raises(ConfigError, match=text):
        SHAPES.build({"shape": "piecewise", **parameters})


def test_onedrop_is_the_schedule_of_rice_et_al():
    shape = SHAPES.build({"shape": "onedrop", "peak": 0.1})
    assert shape.curve(200) == near([0.1] * 100 + [0.01] * 100)


def test_triangles_touch_floor_and_peak():
    one = {"shape": "cyclic", "peak": 1}
    assert rates(one, [0, 0.25, 0.5, 0.75, 1]) == near([0, 0.5, 1, 0.5, 0])
    two = {"shape": "cyclic", "peak": 1, "cycles": 2, "floor": 0.2}
    assert rates(two, [0, 0.25, 0.5, 0.75, 1]) == near([0.2, 1, 0.2, 1, 0.2])


@given(st.integers(1, 40))
def test_sawtooth_is_the_released_formula_at_each_epochs_end(tooth):
    epochs = 5 * tooth
    shape = SHAPES.build({"shape": "cyclic", "form": "sawtooth", "peak": 1e-4, "floor": 1e-5})

    def released(epoch):  # docs/papers.md 2.3, epoch 0-based, P = T / 5, q = 1
        end = tooth * math.ceil((epoch + 1) / tooth)
        return (1e-4 - 1e-5) * (1 - (epoch + 1) / end) + 1e-5

    assert shape.curve(epochs) == pytest.approx([released(e) for e in range(epochs)])


@pytest.mark.parametrize("cycles", [5, 25, 29, 41])
def test_every_tooth_ends_at_the_floor_whatever_the_rounding(cycles):
    shape = SHAPES.build({"shape": "cyclic", "form": "sawtooth", "cycles": cycles, "floor": 1e-3})
    for steps in range(1, 40):
        ends = [shape.lr(steps * tooth / (steps * cycles)) for tooth in range(1, cycles + 1)]
        assert ends == pytest.approx([1e-3] * cycles, abs=1e-9)


def test_onecycle_is_the_released_one_scaled_to_its_top():
    start = 1e-4  # the paper's eta: its top is 10 eta, its end 0.01 eta
    shape = {"shape": "onecycle", "peak": 10 * start}
    points = [0, 0.2, 0.4, 0.6, 0.8, 0.9, 1]
    expected = [start * k for k in (1, 5.5, 10, 5.5, 1, 0.505, 0.01)]
    assert rates(shape, points) == near(expected)


def test_onecycle_refuses_a_top_after_its_end():
    with pytest.raises(ConfigError, match=r"lr: top_at=0.9 must be before back_at, got 0.8"):
        SHAPES.build({"shape": "onecycle", "top_at": 0.9})


def test_trapezoid_has_three_pieces_and_makes_superconverge():
    shape = {"shape": "trapezoid", "peak": 1, "rise": 0.2, "decay": 0.4}
    assert rates(shape, [0, 0.1, 0.2, 0.6, 0.8, 1]) == near([0, 0.5, 1, 1, 0.5, 0])
    superconverge = {"shape": "trapezoid", "peak": 1, "rise": 0.4, "decay": 0.6}
    assert rates(superconverge, [0, 0.2, 0.4, 0.7, 1]) == near([0, 0.5, 1, 0.5, 0])
    with pytest.raises(ConfigError, match=r"at most 1 together, got 0.6 \+ 0.6"):
        SHAPES.build({"shape": "trapezoid", "rise": 0.6, "decay": 0.6})


@pytest.mark.parametrize(
    "name", ["constant", "cosine", "linear", "exponential", "piecewise", "onedrop"]
)
def test_decays_never_rise(name):
    curve = SHAPES.build(name).curve(97)
    assert all(later <= earlier for earlier, later in pairwise(curve))
