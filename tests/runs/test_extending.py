"""What makes a run larger, what contradicts it, and where new trials get their numbers."""

from __future__ import annotations

import json

import pytest
from ray import tune

from rayat.errors import LedgerError, StudyError
from rayat.ledger.writer import Ledger
from rayat.registry import POLICIES
from rayat.replay.verify import verify
from rayat.runs.driver import Driver
from rayat.runs.extending import (
    EXTENSIONS,
    growth,
    larger,
    missing,
    ranked_apart,
)
from rayat.runs.record import run_info, view
from rayat.runs.search import Search, declare, identity
from rayat.training.messages import Report, to_text

TINY = {
    "attack": {"name": "pgd", "eps": 0.2, "steps": 2},
    "data": {"name": "digits", "train_size": 256, "val_size": 64},
}

SPACE = {
    "lr.shape": tune.grid_search(["constant", "cosine"]),
    "lr.peak": tune.loguniform(1e-3, 1),
    "attack.steps": 2,
}


@pytest.fixture
def small(tiny):
    return tiny(space=SPACE, draws=2, seeds=(0, 1), target=0.4, sets={"epochs": 4})


def info_of(study):
    """Return what `run.json` says of a study; of the machine nothing."""
    plan = study.plan()
    search = {"search": json.loads(json.dumps(plan.tree(), default=str))} if plan.grows else {}
    return {"study": study.tree(), **search}


def held_of(study):
    """Return the declarations of a study's trials as a ledger has them."""
    return {
        trial.trial_id: {
            "trial_index": trial.index,
            "arm": trial.arm,
            "config_id": trial.config.config_id,
            "config_sha256": trial.config.sha256(),
            "config_json": trial.config.canonical(),
            "seed": trial.config.seed,
        }
        for trial in study.trials()
    }


def test_the_same_study_lacks_nothing(small, tmp_path):
    assert not growth(tmp_path, info_of(small), small)
    assert not growth(tmp_path, info_of(small), small.replace(description="x", max_failures=9))
    assert missing(tmp_path, held_of(small), small.trials()) == []


def test_seeds_draws_and_values_may_be_more(small, tmp_path):
    shapes = tune.grid_search(["accelat", "cosine", "constant"])
    more = small.replace(seeds=(2, 1, 0), draws=3, space={**SPACE, "lr.shape": shapes})
    found = growth(tmp_path, info_of(small), more)
    assert found.record() == {
        "seeds": [2],
        "values": {"lr.shape": ["accelat"]},
        "draws": [2, 3],
    }
    held, new = held_of(small), missing(tmp_path, held_of(small), more.trials())
    assert len(held) == 8 and len(new) == 3 * 3 * 3 - 8
    assert [trial.index for trial in new] == list(range(8, 27))
    assert not {t.trial_id for t in new} & set(held)
    every = {*((e["arm"], e["config_sha256"]) for e in held.values())}
    every |= {(t.arm, t.config.sha256()) for t in new}
    assert every == {(t.arm, t.config.sha256()) for t in more.trials()}


def test_a_named_arm_may_be_added(tiny, tmp_path):
    one = tiny(arms={"a": {"lr.shape": "constant"}})
    both = tiny(arms={"b": {"lr.shape": "cosine"}, "a": {"lr.shape": "constant"}})
    assert growth(tmp_path, info_of(one), both).arms == ["b"]
    assert [t.arm for t in missing(tmp_path, held_of(one), both.trials())] == ["arm=b"]
    with pytest.raises(StudyError, match=r"arms\.b .*\"cosine\".* has not set"):
        growth(tmp_path, info_of(both), one)
    with pytest.raises(StudyError, match=r"arms not set.*every label of an arm would change"):
        growth(tmp_path, info_of(tiny()), one)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"seeds": (1, 2)}, r"seeds \[0, 1\], and the study has \[1, 2\].*give the run's seeds"),
        ({"draws": 1}, r"draws 2, and the study has 1.*at least as many"),
        ({"target": 0.5}, r"target 0\.4, and the study has 0\.5"),
        ({"target": None}, r"target 0\.4, and the study has not set"),
        ({"metric": "val_clean_acc"}, r"metric \"val_robust_acc\", and .*\"val_clean_acc\""),
        ({"policy": "asha"}, r"policy\.name \"none\", and the study has \"asha\""),
        ({"search": "grid", "draws": 2}, r"search\.name \"random\", and the study has \"grid\""),
        ({"sets": {"epochs": 5}}, r"sets\.epochs 4, and the study has 5"),
        ({"draw_seed": 7}, r"draw_seed 0, and the study has 7"),
        ({"order_seed": 7}, r"order_seed not set, and the study has 7"),
        ({"baseline": "lr.shape=cosine"}, r"baseline not set"),
        ({"stop_collapsed": False}, r"stop_collapsed true, and the study has false"),
        ({"final_eval": False}, r"final_eval true"),
        ({"protocol": "as-published"}, r"protocol \"honest\""),
        ({"name": "other"}, r"name \"tiny\", and the study has \"other\""),
        ({"space": {**SPACE, "attack.steps": 3}}, r"space\.attack\.steps 2, and the study has 3"),
        ({"space": {**SPACE, "lr.peak": tune.uniform(0, 1)}}, r"space\.lr\.peak .*LogUniform"),
        ({"space": {**SPACE, "lr.shape": tune.grid_search(["cosine", "accelat"])}}, "lr.shape"),
        ({"space": {**SPACE, "epochs": tune.grid_search([3, 4])}}, r"scientific|space\.epochs"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_contradicts_the_run_is_refused_with_both_values(small, tmp_path, changes, text):
    with pytest.raises(StudyError, match=text) as error:
        growth(tmp_path, info_of(small), small.replace(**changes))
    assert "choose another folder with --out" in str(error.value) and "\n" not in str(error.value)


def test_another_base_is_refused_by_its_leaf(tiny, tmp_path):
    with pytest.raises(StudyError, match=r"base\.attack\.eps 0\.2, and the study has 0\.3"):
        growth(tmp_path, info_of(tiny()), tiny(base={"attack": {**TINY["attack"], "eps": 0.3}}))
    with pytest.raises(StudyError, match=r"base\.data\.train_size 256, and the study has 128"):
        growth(tmp_path, info_of(tiny()), tiny(base={"data": {**TINY["data"], "train_size": 128}}))


def test_a_control_may_be_added(tiny, tmp_path):
    space = {"lr.peak": tune.loguniform(1e-3, 1)}
    arms = {"a": {"lr.shape": "constant"}, "b": {"lr.shape": "cosine"}}
    one = tiny(space=space, arms=arms, controls={"c": {"attack.steps": 3}})
    two = one.replace(controls={"c": {"attack.steps": 3}, "d": {"attack.steps": 4}})
    assert growth(tmp_path, info_of(one), two).arms == ["d"]
    assert len(missing(tmp_path, held_of(one), two.trials())) == 1
    other = one.replace(controls={"c": {"attack.steps": 5}})
    with pytest.raises(StudyError, match=r"controls\.c\.attack\.steps 3, and the study has 5"):
        growth(tmp_path, info_of(one), other)


def test_fewer_arms_and_what_a_study_computes_are_checked_by_the_trials(small, tiny, tmp_path):
    fewer = small.replace(only=("lr.shape=cosine",))
    assert not growth(tmp_path, info_of(small), fewer)
    with pytest.raises(StudyError, match=r"arm 'lr.shape=constant', which is not among the arms"):
        missing(tmp_path, held_of(small), fewer.trials())
    new = missing(tmp_path, held_of(fewer), small.trials())
    assert {trial.arm for trial in new} == {"lr.shape=constant"} and len(new) == 4

    def peak(value):
        def draw(config):
            return value

        return tiny(space={"lr.peak": tune.sample_from(draw)})

    assert not growth(tmp_path, info_of(peak(0.1)), peak(0.2)), "nothing of a function is stored"
    with pytest.raises(StudyError, match=r"lr\.peak of trial 0000-\w+-s0 .* 0\.1, and .* 0\.2"):
        missing(tmp_path, held_of(peak(0.1)), peak(0.2).trials())


def test_imported_runs_and_policies_that_rank_all_at_once_do_not_grow(tiny, tmp_path):
    with pytest.raises(LedgerError, match="was imported"):
        growth(tmp_path, {"imported": {}, **info_of(tiny())}, tiny())
    look = tiny(policy="accel:first-look")
    assert not growth(tmp_path, info_of(look), look)
    with pytest.raises(StudyError, match=r"has ranked all trials .* at once.*rayat compare"):
        growth(tmp_path, info_of(look), look.replace(seeds=(0, 1)))


def test_seeds_join_a_run_of_verdict_only_where_the_cost_alone_is_asked(tiny, tmp_path):
    space = {"lr.shape": tune.grid_search(["constant", "cosine"])}
    asked = {"space": space, "baseline": "lr.shape=constant", "target": 0.5, "policy": "verdict"}
    for ends in ("at-end", "at-target"):
        three = tiny(**asked, ends=ends, seeds=(0, 1, 2))
        four = three.replace(seeds=(0, 1, 2, 3))
        if ends == "at-target":
            assert growth(tmp_path, info_of(three), four).seeds == [3]
            continue
        with pytest.raises(StudyError, match=r"by 3 seeds, so seeds \[3\] cannot be added"):
            growth(tmp_path, info_of(three), four)


def test_a_study_of_an_earlier_version_has_the_defaults_of_later_fields(small, tmp_path):
    info = info_of(small)
    for name in ("only", "draw_seed", "order_seed", "stop_collapsed", "max_failures", "search"):
        info["study"].pop(name, None)
    assert not growth(tmp_path, info, small)


def test_only_policies_that_compare_trials_have_a_note():
    assert ranked_apart({"name": "none"}, 4) == ranked_apart({"name": "patience"}, 4) == ""
    assert "policy asha judged what the first 4 trials had reported" in ranked_apart(
        {"name": "asha"}, 4
    )


def drive(ledger, policy, values, grow=tuple, views=None):
    """Report every trial that may go on, in the order of their ids, until none may."""
    driver = Driver(ledger, POLICIES.build(policy), views, "val_robust_acc", grow=grow)
    while ready := driver.ready():
        trial_id = min(ready)
        epoch = ledger.reported(trial_id) + 1
        row = {"epoch": epoch, "train_loss": 1.0, "val_robust_acc": values(trial_id, epoch)}
        driver.message(trial_id, to_text(Report(row, f"h:1:{trial_id}")))


def test_a_run_under_asha_grows_and_what_was_decided_stays(tiny, tmp_path):
    small = tiny(
        space={"lr.peak": tune.grid_search([0.1, 0.2, 0.3])},
        policy={"name": "asha", "grace": 1, "eta": 2},
        scientific=("lr.peak",),
    )
    large = small.replace(seeds=(0, 1), space={"lr.peak": tune.grid_search([0.1, 0.2, 0.3, 0.4])})

    def value(trial_id, epoch):
        return {"0000": 0.5, "0001": 0.4, "0002": 0.3}.get(trial_id[:4], 0.45) + 0.01 * epoch

    with Ledger.create(tmp_path / "run", run_info(small, [], None, ["small"])) as ledger:
        for trial in small.trials():
            declare(ledger, trial)
        views = [view(t.trial_id, t.config, t.arm) for t in small.trials()]
        drive(ledger, small.policy, value, views=views)
        statuses = {name: ledger.status(name) for name in ledger.trials()}
        assert list(statuses.values()) == ["finished", "stopped", "stopped"]
        rows = {name: ledger.reports(name) for name in statuses}
        decided = {name: ledger.decisions(name) for name in statuses}
    with Ledger.open(tmp_path / "run") as ledger:
        found = growth(ledger.folder, ledger.info, large)
        new = missing(ledger.folder, ledger.trials(), large.trials())
        fresh = run_info(large, [], None, ["large"])
        ledger.extend(larger(ledger, fresh, [], found, 8), map(identity, new))
        views += [view(t.trial_id, t.config, t.arm) for t in new]
        drive(ledger, large.policy, value, views=views)
        for name, status in statuses.items():
            assert ledger.status(name) == status
            assert ledger.reports(name) == rows[name] and ledger.decisions(name) == decided[name]
        seeds = {(e["arm"], e["seed"]): name for name, e in ledger.trials().items()}
        for peak in (0.2, 0.3):
            late = seeds[f"lr.peak={peak}", 1]
            assert ledger.status(late) == "stopped" and ledger.reported(late) == 1
            assert (
                "its configuration was stopped with trial" in ledger.decisions(late)[0]["sentence"]
            )
        (entry,) = ledger.info[EXTENSIONS]
        assert entry["trials"] == {"before": 3, "after": 8} and "asha judged" in entry["note"]
        again = growth(ledger.folder, ledger.info, large)
        assert not again and not missing(ledger.folder, ledger.trials(), large.trials())
    assert verify(tmp_path / "run").difference is None


class TestSearch:
    """An adaptive search that gets more draws, or another arm."""

    @pytest.fixture
    def searching(self, tiny):
        pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
        return tiny(
            base={"epochs": 1},
            space={"lr.shape": tune.grid_search(["constant"]), "lr.peak": tune.loguniform(1e-3, 1)},
            draws=5,
            search={"name": "optuna", "batch": 4, "startup": 2},
        )

    @staticmethod
    def search(ledger):
        found = Search.of(ledger)
        points = {}

        def grow():
            new = found.grow()
            points.update({t.trial_id: t.config.lr.peak for t in new})
            return [view(t.trial_id, t.config, t.arm) for t in new]

        entries = ledger.trials().items()
        points |= {name: json.loads(e["config_json"])["lr"]["peak"] for name, e in entries}
        from rayat.runs.record import declared

        views = [view(n, config, ledger.arms()[n]) for n, config in declared(ledger).items()]
        drive(ledger, "none", lambda name, epoch: 0.5 - points[name] / 4, grow, views)
        return [(t["arm"], points[name]) for name, t in ledger.trials().items()]

    def extended(self, study, folder):
        with Ledger.open(folder) as ledger:
            found = growth(folder, ledger.info, study)
            fresh = run_info(study, [], None, ["more"])
            ledger.extend(larger(ledger, fresh, [], found, None), [])
            return self.search(ledger)

    def test_more_draws_go_on_as_if_they_had_been_there_from_the_start(self, searching, tmp_path):
        more = searching.replace(draws=10)
        with Ledger.create(tmp_path / "whole", run_info(more, [], None, ["test"])) as ledger:
            whole = self.search(ledger)
        with Ledger.create(tmp_path / "run", run_info(searching, [], None, ["test"])) as ledger:
            small = self.search(ledger)
        assert len(small) == 5 and small == whole[:5], "a round of four and one of one"
        assert self.extended(searching.replace(draws=7), tmp_path / "run") == whole[:7]
        assert self.extended(more, tmp_path / "run") == whole
        with Ledger.open(tmp_path / "run") as ledger:
            assert self.search(ledger) == whole, "nothing is left to propose"

    def test_another_arm_searches_for_itself(self, searching, tmp_path):
        space = {**searching.space, "lr.shape": tune.grid_search(["constant", "cosine"])}
        with Ledger.create(tmp_path / "run", run_info(searching, [], None, ["test"])) as ledger:
            small = self.search(ledger)
        both = self.extended(searching.replace(space=space), tmp_path / "run")
        assert both[:5] == small and [arm for arm, _ in both[5:]] == ["lr.shape=cosine"] * 5

    def test_an_arm_less_is_refused(self, searching, tmp_path):
        space = {**searching.space, "lr.shape": tune.grid_search(["constant", "cosine"])}
        both = searching.replace(space=space)
        with pytest.raises(StudyError, match=r"arm 'lr\.shape=constant', which is not"):
            growth(tmp_path, info_of(both), both.replace(only=("lr.shape=cosine",)))

    def test_more_seeds_are_refused(self, searching, tmp_path):
        with pytest.raises(StudyError, match=r"from what seeds \[0\] reached.*rayat confirm"):
            growth(tmp_path, info_of(searching), searching.replace(seeds=(0, 1)))
