"""Coordinates of a schedule: causal, in range, and what is still to come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayat.policies.base import TrialView
from rayat.policies.schedule import known_rates, schedule
from rayat.registry import SHAPES

rates = st.lists(st.floats(0, 1), min_size=2, max_size=40)


@given(rates, st.floats(1e-3, 1e3))
def test_coordinates_are_shares_and_have_no_unit(curve, unit):
    phi = schedule(tuple(curve)).phi
    assert phi.shape == (len(curve), 8)
    assert (phi >= -1e-12).all()
    assert (phi <= 1 + 1e-12).all()
    if max(curve) > 1e-3:
        assert np.allclose(schedule(tuple(unit * rate for rate in curve)).phi, phi, atol=1e-6)


@given(rates, st.data())
def test_coordinates_do_not_know_the_future(curve, data):
    cut = data.draw(st.integers(1, len(curve)))
    other = [*curve[:cut], *[0.5 * max(curve[:cut])] * (len(curve) - cut)]
    if max(curve[:cut]) == max(curve):  # the unit is the whole curve's peak
        assert np.allclose(schedule(tuple(curve)).phi[:cut], schedule(tuple(other)).phi[:cut])


def test_a_constant_rate_anneals_never():
    phi = schedule((0.1,) * 10).phi
    assert (phi[:, 4:7] == 0).all()
    assert phi[:, 7] == pytest.approx(np.arange(1, 11) / 10)
    assert phi[-1, 1] == pytest.approx(1 - np.exp(-1 / 0.03))


@pytest.mark.parametrize(
    ("curve", "phase"),
    [
        ([1, 1, 1], (0, 0, 0)),
        ([1, 1, 0.1, 0.1, 0.1], (-1, -1, 2, 2, 2)),
        ([1, 0.1, 0.1, 0.01, 0.01], (-1, -1, -1, 3, 3)),
        ([1, 0.009, 0.009, 0.001], (-1, 1, 1, 1)),  # below 1 % nothing counts as ahead
        ([1, 0.1, 1, 0.1, 0.1], (-1, -1, -1, 3, 3)),  # it will rise again
    ],
)
def test_phases_begin_when_no_change_is_planned(curve, phase):
    assert schedule(tuple(map(float, curve))).phase == phase


def test_rates_come_from_the_record_or_the_configuration():
    recorded = TrialView("a", {"lr": {"shape": "constant"}}, 3, rates=(0.3, 0.2, 0.1))
    assert known_rates(recorded, (), ()) == (0.3, 0.2, 0.1)
    piecewise = {"shape": "piecewise", "peak": 0.1}
    configured = TrialView("b", {"lr": piecewise}, 6)
    assert known_rates(configured, (), ()) == SHAPES.build(piecewise).curve(6)
    assert known_rates(TrialView("c", {}, 3), (), ()) is None


def test_a_feedback_shape_has_its_reported_past_and_an_expected_future():
    view = TrialView("a", {"lr": {"shape": "accelat", "peak": 0.1, "window": 1, "quiet": 1}}, 8)
    flat = known_rates(view, (), ())
    told = known_rates(view, (0.3, 0.3), (0.1, 0.05))
    assert told[:2] == (0.1, 0.05)
    assert told[2:] == pytest.approx([rate * 0.05 / flat[1] for rate in flat[2:]])
