"""Every searcher proposes what Tune itself could draw: bounds, steps and types."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ray import tune
from sizes import tries

from rayat.errors import StudyError
from rayat.registry import SEARCHERS
from rayat.search.base import Told
from rayat.search.domains import as_json
from rayat.search.random import variants

STEPS = st.sampled_from([0.1, 0.25, 0.5, 2.0])
WHOLE = st.integers(1, 12)


@st.composite
def domains(draw):
    """A domain of Tune's, and a test of whether Tune could draw a value, from its documentation."""
    low = draw(st.integers(1, 30))
    high = low + draw(st.integers(1, 60))
    law = draw(st.sampled_from(["float", "q-float", "int", "q-int"]))
    log = draw(st.booleans())
    if law == "float":
        a, b = low / 8, high / 8
        domain = (tune.loguniform if log else tune.uniform)(a, b)
        # exp(log(a)) may lie an ulp beside a.
        return domain, lambda v: type(v) is float and a * (1 - 1e-15) <= v < b
    if law == "q-float":
        step = draw(STEPS)
        a, b = low * step, high * step
        domain = (tune.qloguniform if log else tune.quniform)(a, b, step)
        return domain, lambda v: type(v) is float and low <= ticks(v, step) <= high
    if law == "int":
        domain = (tune.lograndint if log else tune.randint)(low, high)
        return domain, lambda v: type(v) is int and low <= v < high
    step = draw(WHOLE)
    # Tune's rule: multiples of the step, the upper end included; with step 1 it is left out.
    assume(high // step >= -(-low // step) or step == 1)
    domain = (tune.qlograndint if log else tune.qrandint)(low, high, step)
    last = high - (step == 1)
    return domain, lambda v: type(v) is int and v % step == 0 and low <= v <= last


def ticks(value, step):
    place = value / step
    return round(place) if math.isclose(place, round(place), rel_tol=1e-9) else -1


@settings(max_examples=tries(25, 100))
@given(case=domains(), seed=st.integers(0, 2**20))
def test_what_is_proposed_is_what_tune_could_draw(case, seed):
    domain, drawn = case
    space = {"x": domain}
    for number in range(20):
        (point,) = variants(space, seed + number)
        assert drawn(point["x"]), "the rule of this test is Tune's own"
    searcher = SEARCHERS.build({"name": "optuna", "batch": 4, "startup": 4})
    told: list[Told] = []
    for _ in range(3):
        points = searcher.propose(space, 12, seed, told)
        assert all(drawn(point["x"]) for point in points), points
        told += [Told(point, 1 / (1 + point["x"])) for point in points]
    form = as_json("x", domain)
    if form["step"] is None:
        with pytest.raises(StudyError, match="continuous range"):
            SEARCHERS.build("grid").propose(space, 1, seed, [])
        return
    whole = [point["x"] for point in SEARCHERS.build("grid").propose(space, 1, seed, [])]
    assert all(drawn(value) for value in whole)
    assert whole == sorted(set(whole))
    held = [value for value in range_of(form) if drawn(value)]
    assert whole == pytest.approx(held)


def range_of(form):
    """Return multiples of the step from 0 to beyond the domain's end."""
    number = form["step"] if form["kind"] == "float" else int(form["step"])
    return [type(number)(i * number) for i in range(int(form["high"] / number) + 3)]


@pytest.mark.parametrize(
    ("domain", "whole"),
    [
        (tune.qlograndint(10, 100, 10), list(range(10, 101, 10))),
        (tune.qrandint(3, 10, 5), [5, 10]),
        (tune.qrandint(3, 5, 1), [3, 4]),
        (tune.randint(3, 5), [3, 4]),
        (tune.quniform(0, 0.3, 0.1), [0.0, 0.1, 0.2, 0.3]),
        (tune.qloguniform(0.1, 0.4, 0.1), [0.1, 0.2, 0.3, 0.4]),
        (tune.choice([1, "a", None]), [1, "a", None]),
        (tune.grid_search([(1, 2), [1]]), [(1, 2), [1]]),
    ],
)
def test_both_searchers_find_every_value_of_a_finite_domain(domain, whole):
    found = [p["x"] for p in SEARCHERS.build("grid").propose({"x": domain}, 1, 0, [])]
    assert found == whole
    assert [type(v) for v in found] == [type(v) for v in whole]
    searcher, told = SEARCHERS.build("optuna"), []
    while points := searcher.propose({"x": domain}, 50, 0, told):
        told += [Told(point, 0.5) for point in points]
    proposed = [entry.point["x"] for entry in told]
    assert sorted(map(repr, proposed)) == sorted(map(repr, whole))


@pytest.mark.parametrize(
    "domain", [tune.randn(0, 1), tune.qrandn(0, 1, 0.5), tune.sample_from(lambda spec: 1)]
)
@pytest.mark.parametrize("name", ["optuna", "grid"])
def test_what_cannot_be_translated_is_refused(domain, name):
    with pytest.raises(StudyError, match="this search needs grid_search, choice or a range"):
        SEARCHERS.build(name).propose({"x": domain}, 1, 0, [])


def test_a_stored_space_of_before_is_proposed_from_exactly():
    """Earlier versions stored bounds that are no multiples, and proposed between the steps."""
    old = {"kind": "int", "low": 10, "high": 100, "log": True, "step": 10}
    told = [Told({"x": 35}, 0.5), Told({"x": 51}, 0.4)]
    points = SEARCHERS.build("optuna").propose({"x": old}, 9, 0, told)
    assert points
    assert all(point["x"] in range(10, 101, 10) for point in points)
    snapped = {"kind": "int", "low": 3, "high": 10, "log": False, "step": 5}
    points = SEARCHERS.build("optuna").propose({"x": snapped}, 9, 0, [Told({"x": 8}, 0.1)])
    assert {point["x"] for point in points} <= {5, 10}
