"""AccelAT against docs/papers.md 2.2 and 9.3-1, and against a twin in exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayat.config import TrialConfig
from rayat.errors import ConfigError
from rayat.lr_shapes.accelat import AccelAT
from rayat.registry import SHAPES


def changes(shape, epochs, history):
    """0-based epochs that are trained with another rate than the epoch before."""
    rates = shape.rates(epochs, history)
    return [e for e in range(1, epochs) if rates[e] != rates[e - 1]]


def twin(counts, n, epochs, window, quiet, threshold, factor, peak, floor):
    """Return the rates of epochs 0..epochs-1 as docs/papers.md 2.2 writes them, rounding nowhere.

    The accuracies are counts / n; every moving average is taken as it is defined.
    """
    a = [Fraction(count, n) for count in counts]

    def average(e):
        return sum(a[e - window + 1 : e + 1], Fraction(0)) / window

    rate, last, rates = peak, None, []
    for e in range(epochs):
        rates.append(rate)
        long_enough = e >= window + 1
        rested = last is None or e - last >= quiet
        if long_enough and rested and average(e) - average(e - 1) < threshold:
            rate, last = factor * rate, e
        rate = max(rate, floor)
    return rates


def test_flat_accuracy_cuts_at_7_12_17_22_by_a_factor_of_0_8():
    shape = SHAPES.build({"shape": "accelat", "peak": 1e-3})
    assert shape.feedback
    assert changes(shape, 50, [0.4] * 50) == [7, 12, 17, 22, 27, 32, 37, 42, 47]
    rates = shape.rates(50, [0.4] * 50)
    assert rates[7] == pytest.approx(0.8e-3)
    assert rates[-1] == pytest.approx(1e-3 * 0.8**9)


def test_a_gain_of_0_6_points_per_epoch_never_cuts():
    assert changes(AccelAT(), 100, [0.1 + 0.006 * e for e in range(100)]) == []


def test_a_gain_of_exactly_the_threshold_never_cuts_whatever_the_rounding():
    assert changes(AccelAT(), 100, [0.1 + 0.005 * e for e in range(100)]) == []
    assert changes(AccelAT(), 20, [0.1 + 0.00499 * e for e in range(20)]) == [7, 12, 17]


def test_falling_accuracy_cuts_too():
    assert changes(AccelAT(), 15, [0.9 - 0.02 * e for e in range(15)]) == [7, 12]


def test_the_floor_is_reached_after_31_cuts_and_held():
    shape = AccelAT(peak=1e-3)
    rates = shape.rates(400, [0.4] * 400)
    assert len(changes(shape, 400, [0.4] * 400)) == 31
    assert rates[-1] == 1e-6
    assert min(rates) == 1e-6


@settings(max_examples=300)
@given(
    counts=st.lists(st.integers(0, 200), min_size=1, max_size=60),
    window=st.integers(1, 7),
    quiet=st.integers(1, 7),
    threshold=st.integers(-20, 40),
    factor=st.sampled_from([0.5, 0.8]),
)
def test_agrees_with_the_exact_twin(counts, window, quiet, threshold, factor):
    epochs, n = len(counts), 200
    shape = AccelAT(
        peak=0.1,
        floor=1e-3,
        window=window,
        quiet=quiet,
        threshold=threshold / 1000,
        factor=factor,
    )
    expected = twin(counts, n, epochs, window, quiet, Fraction(threshold, 1000), factor, 0.1, 1e-3)
    assert shape.rates(epochs, [count / n for count in counts]) == expected


@given(st.lists(st.floats(0, 1), max_size=60), st.integers(1, 60))
def test_never_rises(history, epochs):
    rates = AccelAT(quiet=1, window=1).rates(epochs, history)
    assert all(later <= earlier for earlier, later in pairwise(rates))


@given(
    st.lists(st.floats(0, 1), min_size=20, max_size=20),
    st.lists(st.floats(0, 1), max_size=20),
    st.integers(1, 20),
)
def test_an_epochs_rate_knows_only_earlier_epochs(history, other, epoch):
    shape = AccelAT(window=2, quiet=2)
    known = history[: epoch - 1]
    steps = [(epoch - 1 + share) / 20 for share in (0.01, 0.5, 1.0)]
    now = {shape.lr(step, 20, known) for step in steps}
    assert len(now) == 1, "the rate is constant inside an epoch"
    assert now == {shape.lr(step, 20, known + other) for step in steps}
    assert now == {shape.curve(20, history)[epoch - 1]}


def test_the_expected_future_is_flat_from_now_on():
    shape = AccelAT(peak=1)
    climbing = [0.02 * e for e in range(10)]
    assert shape.curve(30, climbing) == shape.curve(30, climbing + [climbing[-1]] * 20)
    # a_9 is the last that is known: G is 0.008 after index 12 and 0.004 after index 13.
    assert changes(shape, 30, climbing) == [14, 19, 24, 29]


def test_warmup_multiplies_the_rule():
    warm, plain = AccelAT(peak=1, warmup=0.5), AccelAT(peak=1)
    history = [0.4] * 20
    assert warm.curve(20, history) == pytest.approx(
        [rate * min(1, (i + 1) / 10) for i, rate in enumerate(plain.curve(20, history))]
    )
    assert warm.lr(0.0, 20) == 0


def test_a_non_finite_accuracy_cuts_nothing_while_it_is_in_the_window():
    history = [0.4] * 20
    history[6] = math.nan
    assert changes(AccelAT(), 20, history)[0] == 8  # judged after index 7: a_7 - a_2
    history[7] = math.nan
    assert changes(AccelAT(), 20, history)[0] == 9


def test_gradient_is_the_mean_gain_over_the_window():
    history = [0.0, 0.1, 0.2, 0.3, 0.35, 0.37, 0.38]
    assert AccelAT().gradient(history, 5) is None
    assert AccelAT().gradient(history, 6) == pytest.approx((0.38 - 0.1) / 5)


def test_skipped_validations_are_refused():
    TrialConfig.parse({"lr.shape": "accelat"})
    with pytest.raises(ConfigError, match=r"eval.every must be 1, got 2"):
        TrialConfig.parse({"lr.shape": "accelat", "eval.every": 2})


@pytest.mark.parametrize("skipped", [[*range(3, 20)], [*range(20)]])
def test_epochs_without_an_accuracy_are_no_flat_ones(skipped):
    """Accuracy rises by four thresholds an epoch around a gap, as a warm start leaves it."""
    shape = SHAPES.build({"shape": "accelat", "peak": 0.1})
    history = [0.02 * epoch for epoch in range(40)]
    for epoch in skipped:
        history[epoch] = math.nan
    assert shape.rates(40, history) == [0.1] * 40
    assert shape.lr(30 / 40, 40, history[:29]) == 0.1
    # Flat again long after the gap: the rule is back.
    assert changes(shape, 60, [*history[:30], *[0.58] * 30])[0] == 34


@pytest.mark.parametrize("window", [1, 2, 5])
def test_epochs_that_are_foreseen_have_the_peak_whatever_was_seen_and_the_next_may_not(window):
    shape = AccelAT(peak=0.1, window=window, quiet=1, threshold=0.5)
    first = shape.foreseen(20)
    for history in ([0.5] * 20, [0.9 - 0.04 * e for e in range(20)], [math.nan] * 20):
        assert shape.rates(20, history)[:first] == [0.1] * first
    assert shape.rates(20, [0.5] * 20)[first] < 0.1
    assert shape.foreseen(2) == 2
