"""What a search seeks, what it may spend, and that a killed one goes on as the whole one."""

from __future__ import annotations

import json
import math
import random

import pytest
import searches
from ray import tune

from rayat.errors import StudyError
from rayat.ledger.log import LOG, MAGIC, encode, read_log
from rayat.ledger.repair import repair
from rayat.ledger.status import Status
from rayat.ledger.writer import Ledger
from rayat.replay.verify import verify
from rayat.runs.record import run_info
from rayat.runs.search import Search
from rayat.study import Study

EPOCHS = 4
PASSES = 100
"""Of each epoch."""


def study(**fields):
    return Study(
        **{
            "name": "searched",
            "base": {"epochs": EPOCHS, "lr.shape": "cosine"},
            "controls": {"constant": {"lr": {"shape": "constant", "peak": 0.1}}},
            "space": {"lr.peak": tune.loguniform(1e-3, 1)},
            "seeds": (0,),
            "draws": 400,
            "budget": "5 kpasses",
            "target": 0.45,
            "baseline": "arm=constant",
            **fields,
        }
    )


def value(config, epoch):
    """Return an accuracy that rises with the epochs, the sooner the nearer the rate is to 0.1."""
    return 0.5 - 0.1 * abs(math.log10(config.lr.peak) + 1) - 0.05 / epoch


def play(ledger, **how):
    """Go on with the run, two workers in step."""
    searches.drive(ledger, value, **how)


def begin(asked, folder):
    return Ledger.create(folder, run_info(asked, [], None, ["test"]))


def found(ledger):
    return [
        (t["arm"], json.loads(t["config_json"])["lr"]["peak"], str(ledger.status(i)))
        for i, t in ledger.trials().items()
    ]


def test_a_budget_is_spent_and_not_exceeded_by_more_than_what_runs(tmp_path):
    with begin(study(), tmp_path / "run") as ledger:
        play(ledger)
        trials = found(ledger)
        spent = sum(
            PASSES * ledger.reported(i)
            for i, t in ledger.trials().items()
            if t["arm"] == "arm=searched"
        )
        assert not ledger.unfinished()
        ends = [str(ledger.state.trials[i].reason) for i in ledger.trials()]
    assert trials[0] == ("arm=constant", 0.1, "finished"), "a control costs none of the budget"
    assert 5_000 <= spent < 5_000 + 2 * PASSES
    assert len({peak for arm, peak, _ in trials if arm == "arm=searched"}) == len(trials) - 1
    assert any("budget of 5 kpasses is spent" in text for text in ends)
    assert verify(tmp_path / "run").difference is None


def test_the_policy_makes_a_budget_go_further(tmp_path):
    counts = {}
    for policy in ("none", "asha"):
        with begin(study(policy=policy), tmp_path / policy) as ledger:
            play(ledger)
            counts[policy] = len(ledger.trials())
        assert verify(tmp_path / policy).difference is None
    assert counts["asha"] > counts["none"]


@pytest.mark.parametrize("search", ["random", {"name": "optuna", "batch": 3, "startup": 3}])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_killed_search_with_a_budget_goes_on_to_what_the_whole_one_found(tmp_path, search, share):
    if search != "random":
        pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
    folder = tmp_path / "run"
    asked = study(search=search, objective="accuracy" if search == "random" else "cost")
    with begin(asked, folder) as ledger:
        play(ledger)
        expected = found(ledger)
    path, records = folder / LOG, []
    read_log(path, records.append)
    path.write_bytes(MAGIC + b"".join(map(encode, records[: int(share * len(records))])))
    repair(folder)
    with Ledger.open(folder) as ledger:
        play(ledger)
        assert [t[:2] for t in found(ledger)] == [t[:2] for t in expected]
    assert verify(folder).difference is None


def test_random_points_do_not_depend_on_the_budget_and_more_of_it_keeps_them(tmp_path):
    peaks = {}
    for budget in ("3 kpasses", "6 kpasses"):
        with begin(study(budget=budget), tmp_path / budget[0]) as ledger:
            play(ledger)
            peaks[budget] = [t[1] for t in found(ledger)]
    assert peaks["6 kpasses"][: len(peaks["3 kpasses"])] == peaks["3 kpasses"]
    assert len(peaks["6 kpasses"]) > len(peaks["3 kpasses"])


@pytest.mark.parametrize("search", ["random", {"name": "optuna", "batch": 2, "startup": 4}])
def test_a_point_that_is_a_controls_own_is_not_trained_again_and_worth_what_that_is(
    tmp_path, search
):
    if search != "random":
        pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
    asked = study(
        controls={"fixed": {"lr.peak": 0.1}},
        space={"lr.peak": tune.choice([0.01, 0.1, 1.0])},
        baseline="arm=fixed",
        search=search,
        draws=8,
    )
    folder = tmp_path / "run"
    with begin(asked, folder) as ledger:
        play(ledger)
        trials = found(ledger)
        rounds = [e["payload"]["points"] for e in ledger.events() if e["name"] == "proposed"]
        assert Search.of(ledger).grow() == []
    assert {"lr.peak": 0.1} in [point for each in rounds for point in each], "this test's case"
    assert [arm for arm, peak, _ in trials if peak == 0.1] == ["arm=fixed"]
    assert verify(folder).difference is None


def rows(*values, passes=1_000_000):
    return [
        {"val_robust_acc": value, "passes_cum": passes * (place + 1)}
        for place, value in enumerate(values)
    ]


@pytest.fixture
def worth(tmp_path):
    pytest.importorskip("optuna", reason="the extra `optuna` is not installed")

    def of(objective):
        asked = study(search="optuna", objective=objective)
        with begin(asked, tmp_path / objective) as ledger:
            return Search.of(ledger).worth

    return of


def test_sooner_at_the_target_is_better_and_what_never_was_there_is_worse(worth):
    cost = worth("cost")
    order = [
        cost(rows(0.5, passes=10), False),
        cost(rows(0.1, 0.45, None), False),
        cost(rows(0.1, 0.2, 0.9), False),
        cost(rows(0.1, 0.44, 0.3), False),
        cost(rows(0.1, None), False),
        cost(rows(0.44), True),
    ]
    assert order == sorted(order, reverse=True)
    assert len(set(order)) == len(order)
    assert order[2][0] > 1 > order[3][0]
    assert cost(rows(0.5, 0.01), True) == cost(rows(0.5), False), "it was there before it diverged"
    assert cost(rows(None), False) is None


def test_a_front_has_the_best_value_and_what_it_cost_until_then(worth):
    front = worth("front")
    assert front(rows(0.1, 0.4, 0.4, 0.2), False) == (0.4, -math.log10(2_000_000))
    assert front(rows(0.4), True) == (0.0, None)
    assert worth("accuracy")(rows(0.1, 0.4), False) == (0.4, None)


def test_the_search_for_the_front_proposes_and_goes_on(tmp_path):
    pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
    search = {"name": "optuna", "batch": 2, "startup": 2}
    with begin(study(search=search, objective="front"), tmp_path / "run") as ledger:
        play(ledger, upto=20)
    with Ledger.open(tmp_path / "run") as ledger:
        play(ledger)
        assert len(ledger.trials()) > 8
        assert all(ledger.status(i) is not Status.PENDING for i in ledger.trials())


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"objective": "cost", "target": None, "search": "optuna"}, "give the study target="),
        ({"objective": "cost"}, "search 'random' learns from no result"),
        ({"draws": 1}, "draws is the most points of an arm, got draws=1"),
        ({"search": "grid"}, "search 'grid' tries every point"),
        ({"budget": "5 kpass"}, "a budget is a number and a unit"),
        ({"order_seed": 1}, "search 'random' with a budget proposes trials in its own order"),
        ({"policy": "first-look"}, "waits for all trials"),
        ({"space": {"lr.peak": tune.sample_from(lambda c: 1)}}, "axis 'lr.peak' is a sample_from"),
        ({"controls": {"searched": {}}}, "control 'searched' has another arm's name"),
        ({"arms": {"constant": {}}}, "control 'constant' has another arm's name"),
        ({"controls": {"a": {"seed": 3}}}, "would have no effect"),
        ({"controls": {"a": {"lr.peak": tune.uniform(0, 1)}}}, "holds a domain"),
    ],
)
def test_what_a_search_cannot_do_is_refused(fields, text):
    with pytest.raises(StudyError, match=text):
        study(**fields)


def test_controls_stand_beside_arms_and_axes_and_are_at_no_point_of_them():
    shapes = tune.grid_search(["cosine", "linear"])
    asked = study(space={"lr.shape": shapes, "lr.peak": tune.uniform(0.1, 1)}, budget=None, draws=2)
    assert [t.arm for t in asked.trials()] == [
        "arm=constant",
        *["lr.shape=cosine", "lr.shape=linear"][:1] * 2,
        *["lr.shape=linear"] * 2,
    ]
    assert asked.trials()[0].config.lr.peak == 0.1
    chosen = asked.replace(only=("constant",))
    assert [t.arm for t in chosen.trials()] == ["arm=constant"]


SEARCH = {"name": "optuna", "batch": 2, "startup": 2}


@pytest.fixture
def searching(tiny):
    pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
    return tiny(
        base={"epochs": 2},
        space={
            "lr.shape": tune.grid_search(["constant", "cosine"]),
            "lr.peak": tune.loguniform(1e-3, 1),
        },
        draws=5,
        seeds=(0, 1),
        search=SEARCH,
    )


def at_random(order):
    """Return a choice of who reports next that depends on nothing but `order`."""
    draw = random.Random(order)
    return lambda live, ledger: draw.choice(live)


def proposals(folder):
    with Ledger.open(folder) as ledger:
        trials = sorted(
            (t["arm"], t["seed"], json.loads(t["config_json"])["lr"]["peak"])
            for t in ledger.trials().values()
        )
        assert len({t["trial_index"] for t in ledger.trials().values()}) == len(trials)
    return trials


def test_every_arm_has_its_budget_whoever_reports_first(searching, tmp_path):
    for order in (0, 1):
        with begin(searching, tmp_path / str(order)) as ledger:
            play(ledger, pick=at_random(order))
    first, second = (proposals(tmp_path / str(order)) for order in (0, 1))
    assert first == second
    assert len(first) == 2 * 5 * 2
    assert verify(tmp_path / "0").difference is None


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_a_killed_search_goes_on_to_the_proposals_of_the_whole_one(searching, tmp_path, share):
    with begin(searching, tmp_path / "run") as ledger:
        play(ledger, pick=at_random(0))
    expected = proposals(tmp_path / "run")
    path, records = tmp_path / "run" / LOG, []
    read_log(path, records.append)
    path.write_bytes(MAGIC + b"".join(map(encode, records[: int(share * len(records))])))
    repair(tmp_path / "run")
    with Ledger.open(tmp_path / "run") as ledger:
        play(ledger, pick=at_random(5))
    assert proposals(tmp_path / "run") == expected


def test_the_plan_of_a_study_foresees_its_whole_budget(searching):
    assert len(searching.trials()) == 2 * 2 * 2
    assert len(searching.foreseen()) == 2 * 5 * 2


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"policy": "first-look"}, "policy 'first-look' waits for all trials"),
        ({"space": {"lr.shape": tune.grid_search(["cosine"])}}, "has no axis to tune"),
        ({"space": {"data.train_size": tune.randint(64, 128)}}, "cannot tune 'data.train_size'"),
    ],
)
def test_what_a_growing_run_cannot_do_is_refused(tiny, fields, text):
    space = {"lr.peak": tune.loguniform(1e-3, 1)}
    with pytest.raises(StudyError, match=text):
        tiny(**{"space": space, "search": "optuna", **fields})
