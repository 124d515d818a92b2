"""What every searcher promises, and what each of them does."""

from __future__ import annotations

import json
import sys

import pytest
from ray import tune

from rayat.errors import StudyError
from rayat.registry import SEARCHERS
from rayat.search.base import Told
from rayat.search.domains import as_json, values
from rayat.search.labels import domain_json
from rayat.study import Study

SPACE = {"lr.peak": tune.loguniform(1e-3, 1), "attack": tune.choice(["pgd", {"name": "fgsm"}])}
FINITE = {"epochs": tune.randint(2, 5), "lr.warmup": tune.quniform(0.0, 0.3, 0.1)}


def build(name):
    if name == "optuna":
        pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
    return SEARCHERS.build(name)


@pytest.mark.parametrize("name", SEARCHERS.names())
def test_equal_input_gives_equal_points_and_another_seed_may_give_others(name):
    space = FINITE if name == "grid" else SPACE
    draws = 1 if name == "grid" else 4
    points = build(name).propose(space, draws, 0, [])
    assert points == build(name).propose(space, draws, 0, [])
    assert all(list(point) == list(space) for point in points)
    if name != "grid":
        assert points != build(name).propose(space, draws, 1, [])


def test_more_random_draws_keep_the_earlier_ones():
    few, many = (build("random").propose(SPACE, draws, 7, []) for draws in (2, 5))
    assert many[:2] == few


def test_the_grid_is_every_combination():
    points = build("grid").propose(FINITE, 1, 0, [])
    assert len(points) == 12
    assert points[:5] == [
        {"epochs": 2, "lr.warmup": 0.0},
        {"epochs": 2, "lr.warmup": 0.1},
        {"epochs": 2, "lr.warmup": 0.2},
        {"epochs": 2, "lr.warmup": 0.3},
        {"epochs": 3, "lr.warmup": 0.0},
    ]


@pytest.mark.parametrize(
    ("space", "draws", "text"),
    [
        ({"lr.peak": tune.uniform(0, 1)}, 1, "axis 'lr.peak' is a continuous range"),
        (FINITE, 2, "draws must be 1, got 2"),
        ({"epochs": tune.sample_from(lambda spec: 1)}, 1, "axis 'epochs': this search needs"),
    ],
)
def test_what_has_no_grid_is_refused(space, draws, text):
    with pytest.raises(StudyError, match=text):
        build("grid").propose(space, draws, 0, [])


@pytest.mark.parametrize(
    ("domain", "form"),
    [
        (tune.uniform(0, 1), {"low": 0.0, "high": 1.0, "log": False, "step": None}),
        (tune.loguniform(1e-3, 1), {"low": 1e-3, "high": 1.0, "log": True, "step": None}),
        (tune.quniform(0, 1, 0.5), {"low": 0.0, "high": 1.0, "log": False, "step": 0.5}),
        (tune.randint(1, 4), {"low": 1, "high": 3, "log": False, "step": 1}),
        (tune.qrandint(2, 8, 2), {"low": 2, "high": 8, "log": False, "step": 2}),
        (tune.lograndint(1, 9), {"low": 1, "high": 8, "log": True, "step": 1}),
    ],
)
def test_a_range_as_json_holds_what_tune_samples(domain, form):
    found = as_json("x", domain)
    assert {key: found[key] for key in form} == form
    assert as_json("x", json.loads(json.dumps(found))) == found
    drawn = [domain.sample() for _ in range(200)]
    assert min(drawn) >= found["low"]
    assert max(drawn) <= found["high"]
    if found["kind"] == "int":
        assert set(drawn) <= set(values("x", domain))


def told_by(points, value):
    return [Told(point, value(point)) for point in points]


def test_optuna_goes_where_it_was_good_and_tries_nothing_twice():
    searcher = build({"name": "optuna", "batch": 4, "startup": 8})
    told = []
    while points := searcher.propose({"lr.peak": SPACE["lr.peak"]}, 40, 3, told):
        assert len(points) <= 4
        told += told_by(points, lambda point: -abs(point["lr.peak"] - 0.03))
    assert len(told) == 40
    assert len({entry.point["lr.peak"] for entry in told}) == 40

    near = sum(0.01 < entry.point["lr.peak"] < 0.09 for entry in told[20:]) / 20
    assert near > 0.5, "by chance it would be log(9) / log(1000) = 0.32"


def test_optuna_ends_when_the_space_is_exhausted():
    searcher, told = build("optuna"), []
    space = {"epochs": tune.choice([1, 2, 3])}
    while points := searcher.propose(space, 20, 0, told):
        told += told_by(points, lambda point: 0.5)
    assert sorted(entry.point["epochs"] for entry in told) == [1, 2, 3]


def test_optuna_reads_the_stored_form_of_a_space_as_the_space():
    searcher = build("optuna")
    stored = {axis: as_json(axis, domain) for axis, domain in SPACE.items()}
    stored = json.loads(json.dumps(stored, default=domain_json))
    told = told_by(searcher.propose(SPACE, 8, 0, []), lambda point: point["lr.peak"])
    assert searcher.propose(SPACE, 8, 0, told) == searcher.propose(stored, 8, 0, told)


def test_a_point_without_a_value_repels():
    searcher = build({"name": "optuna", "startup": 2, "batch": 8})
    points = [{"lr.peak": 0.001 * (i + 1)} for i in range(6)] + [
        {"lr.peak": 0.5 + 0.01 * i} for i in range(6)
    ]
    told = [Told(point, None if point["lr.peak"] < 0.1 else 0.5) for point in points]
    found = searcher.propose({"lr.peak": SPACE["lr.peak"]}, 99, 0, told)
    assert sum(point["lr.peak"] > 0.1 for point in found) >= 6


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    study = Study(name="a", space={"lr.peak": tune.uniform(0.1, 1)}, draws=2, search="optuna")
    with pytest.raises(StudyError, match=r"pip install 'rayat\[optuna\]'"):
        study.trials()
