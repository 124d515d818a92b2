"""Intervals: exact where nothing varies, honest about few seeds, the same on every call."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayat.compare.bootstrap import mean_difference, ratio_of_means

costs = st.lists(st.floats(0.5, 50), min_size=3, max_size=8)


def test_equal_ratios_have_an_interval_without_width():
    estimate = ratio_of_means([10, 20, 40], [5, 10, 20])
    assert (estimate.value, estimate.pairs, estimate.bound) == (2.0, 3, "")
    assert estimate.low == pytest.approx(2.0) and estimate.high == pytest.approx(2.0)


def test_the_estimate_is_the_ratio_of_means_not_the_mean_of_ratios():
    assert ratio_of_means([10, 30, 20], [10, 10, 10]).value == pytest.approx(2.0)
    assert ratio_of_means([10, 10, 10], [10, 30, 20]).value == pytest.approx(0.5)


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_pairs_have_no_interval(n):
    assert ratio_of_means([2.0] * n, [1.0] * n).low is None
    assert mean_difference([2.0] * n, [1.0] * n).high is None


@given(costs, st.data())
@settings(max_examples=25, deadline=None)
def test_swapping_the_arms_inverts_the_ratio(top, data):
    bottom = data.draw(st.lists(st.floats(0.5, 50), min_size=len(top), max_size=len(top)))
    one, other = ratio_of_means(top, bottom), ratio_of_means(bottom, top)
    assert one == ratio_of_means(top, bottom)
    assert one.value == pytest.approx(1 / other.value)
    assert one.low == pytest.approx(1 / other.high) and one.high == pytest.approx(1 / other.low)
    # The arms of an interval may not cross, and neither cost's unit may matter.
    assert one.low <= one.value * (1 + 1e-9) and one.high >= one.value * (1 - 1e-9)
    scaled = ratio_of_means([7 * cost for cost in top], [7 * cost for cost in bottom])
    assert scaled.low == pytest.approx(one.low) and scaled.high == pytest.approx(one.high)


def test_pairing_removes_what_the_seeds_share():
    seeds = np.array([1.0, 5.0, 20.0, 60.0])
    paired = ratio_of_means(2.0 * seeds, seeds)
    crossed = ratio_of_means(2.0 * seeds, seeds[::-1])
    assert paired.high - paired.low < 1e-9 < 1 < crossed.high - crossed.low


@pytest.mark.parametrize("n", [3, 5, 10])
def test_equal_arms_are_told_apart_in_about_one_of_twenty_comparisons(n):
    # The plain percentile interval would do so in one of four at three seeds.
    random = np.random.default_rng(n)
    ratios, differences, studies = 0, 0, 400
    for _ in range(studies):
        x, y = np.exp(random.normal(0, 0.2, (2, n)))
        estimate = ratio_of_means(x, y)
        ratios += estimate.low <= 1 <= estimate.high
        x, y = random.normal(0.5, 0.01, (2, n))
        estimate = mean_difference(x, y)
        differences += estimate.low <= 0 <= estimate.high
    print(f"{n} seeds: covers {ratios / studies:.3f} and {differences / studies:.3f}")
    assert 0.90 <= ratios / studies <= 0.99
    assert 0.90 <= differences / studies <= 0.99
