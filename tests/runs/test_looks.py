"""Seeds until verdicts are decided, on made-up costs through the real driver and ledger; no Ray."""

from __future__ import annotations

import random
import re

import pytest
from ray import tune

from rayat.api.extending import _until
from rayat.compare.beside import beside
from rayat.compare.best import best
from rayat.compare.intervals import LOOKS, UNTIL
from rayat.compare.table import compare
from rayat.errors import StudyError
from rayat.ledger.reader import read_run
from rayat.ledger.writer import Ledger
from rayat.report.write import write_report
from rayat.runs.driver import Driver
from rayat.runs.extending import growth, lacking, missing
from rayat.runs.looks import (
    Looks,
    all_seeds,
    asked_for,
    begun,
    design_of,
    difference,
    first_look,
    verify,
)
from rayat.runs.merging import merge
from rayat.runs.record import declared, run_info, view
from rayat.runs.search import identity
from rayat.training.messages import Report, to_text

TARGET = 0.5
SPEED = {"base": 1.0, "fast": 2.5, "slow": 0.5, "same": 1.0, "near": 1.25}
"""How much sooner than the baseline an arm is; `never` never reaches the target."""
NOISE = 0.15


class Killed(Exception):
    """A driver that ends between two records."""


def study_of(tiny, arms=("base", "fast", "slow", "same", "never"), seeds=(0, 1, 2), **fields):
    changes = {name: {"lr.peak": 0.1 + 0.01 * n} for n, name in enumerate(arms)}
    given = {"target": TARGET, "baseline": "base", "final_eval": False, **fields}
    return tiny(arms=changes, seeds=seeds, **given)


def report(arm, seed, epoch):
    """Return a row: the target is reached at epoch 2, after a cost that arm and seed draw."""
    name = arm.removeprefix("arm=")
    noise = random.Random(f"{name} {seed}").gauss(0, NOISE)
    cost = round(1e6 * 2.718**noise / SPEED.get(name, 1.0))
    value = 0.1 if name == "never" else (0.1, 0.6, 0.6)[epoch - 1]
    return {"epoch": epoch, "val_robust_acc": value, "val_clean_acc": 0.8, "fwd_passes": cost}


def begin(folder, study, most=8):
    """Write a run that has not started; the looks are those of `rayat run --until-decided`."""
    info = {**run_info(study, [], None, ["rayat"]), UNTIL: begun(design_of(study, most))}
    with Ledger.create(folder, info) as ledger:
        ledger.extend(ledger.info, map(identity, study.trials()))
    return folder


def drive(folder, study, kill_at=None, broken=()):
    """Go on with the run to its end as `api.sweep.carry_out` does, or until it is killed.

    Args:
        kill_at: records that the log may hold. broken: (arm, seed) that fail at once.
    """
    with Ledger.open(folder) as ledger:

        def tick():
            if kill_at is not None and ledger.log.records >= kill_at:
                raise Killed

        looks, arms = Looks.of(ledger), ledger.arms()
        views = [view(t, c, arms[t]) for t, c in declared(ledger).items()]
        asked = []

        def grow():
            new = [view(t.trial_id, t.config, t.arm) for t in asked]
            asked.clear()
            return new

        driver = Driver(ledger, study.policy, views, study.metric, grow=grow)
        while True:
            while ready := driver.ready():
                trial_id = ready[0]
                entry = ledger.trials()[trial_id]
                arm, seed = entry["arm"], int(entry["seed"])
                tick()
                if (arm, seed) in broken:
                    driver.end(trial_id, "failed", "made up")
                    continue
                row = report(arm, seed, ledger.reported(trial_id) + 1)
                if row["epoch"] == 3:
                    row["outcome"] = "finished"
                driver.message(trial_id, to_text(Report(row, f"here:1:{trial_id}")))
            tick()
            asked += looks.look()
            if not asked:
                break
            tick()
        return looks.said()


def test_open_verdicts_get_seeds_and_decided_ones_none(tiny, tmp_path):
    study = study_of(tiny)
    said = drive(begin(tmp_path / "run", study), study)
    run = read_run(tmp_path / "run")
    looks = run.info[UNTIL][LOOKS]
    seeds = {arm: sorted(group["seed"]) for arm, group in run.trials.groupby("arm")}
    verdicts = {row.arm: row.verdict for row in compare(run).rows}
    assert verdicts["arm=fast"] == "faster" and verdicts["arm=slow"] == "slower"
    assert seeds["arm=never"] == [0, 1, 2], "no seed can make it reach the target"
    assert verdicts["arm=never"] == "not reached"
    assert len(seeds["arm=fast"]) < 8 and verdicts["arm=same"] == "no difference shown"
    most = max(len(each) for arm, each in seeds.items() if arm != "arm=base")
    assert len(seeds["arm=base"]) == most, "the baseline has what its arms need, and no more"
    for arm, each in seeds.items():
        assert each == list(range(len(each))), arm
    assert len(run.trials) == len(set(zip(run.trials["arm"], run.trials["seed"], strict=True)))
    # What the table shows is what the last look found: the same pairs and the same intervals.
    last = looks[-1]["arms"]
    for row in compare(run).rows:
        if not row.is_baseline:
            assert last[row.arm]["verdict"] == row.verdict
            speed, found = row.speed_up["passes"], last[row.arm]["speed_up"]
            assert found == (None if speed is None else [speed.value, speed.low, speed.high])
    assert not any(each["open"] for each in last.values()) and looks[-1]["asked"] == []
    assert "shown to be faster" in said and f"{len(looks)} looks" in said
    assert verify(tmp_path / "run").difference is None


def test_the_interval_is_wider_than_that_of_a_fixed_number(tiny, tmp_path):
    study = study_of(tiny, ("base", "near"))
    drive(begin(tmp_path / "run", study), study)
    run = read_run(tmp_path / "run")
    row = next(row for row in compare(run).rows if not row.is_baseline)
    info = {key: value for key, value in run.info.items() if key != UNTIL}
    plain = type(run)(run.folder, info, run.trials, run.epochs, run.decisions, run.evals)
    fixed = next(row for row in compare(plain).rows if not row.is_baseline)
    assert row.speed_up["passes"].value == pytest.approx(fixed.speed_up["passes"].value)
    assert row.speed_up["passes"].low < fixed.speed_up["passes"].low
    comparison = compare(run)
    assert "repeated interval" in comparison.render()
    assert any("until verdicts were decided, from 3 to at most 8" in n for n in comparison.notes)
    assert comparison.to_json()["interval"]["method"].startswith("repeated")
    page = write_report(run, tmp_path / "report.html").read_text()
    page = re.sub("<script.*?</script>", "", page, flags=re.DOTALL)  # libraries have words, too
    assert "interval holds however often one looked" in " ".join(page.split())
    assert "bootstrap" not in page
    # The rank of configurations, and a table beside another run, show no narrower one.
    standing = next(row for row in best(run, top=2).rows if not row.is_baseline)
    assert standing.speed_up["passes"] == row.speed_up["passes"]
    other = begin(tmp_path / "other", study)
    drive(other, study)
    with pytest.raises(StudyError, match="given twice"):
        beside([run, run])
    both = compare(beside([read_run(other), run]))
    assert "repeated interval" in both.render()
    speeds = [row.speed_up["passes"] for row in both.rows if "near" in row.arm]
    assert speeds == [row.speed_up["passes"]] * 2


@pytest.mark.slow
def test_a_run_that_is_killed_anywhere_has_the_same_looks(tiny, tmp_path):
    study = study_of(tiny, ("base", "fast", "near"))
    drive(begin(tmp_path / "calm", study), study)
    calm = read_run(tmp_path / "calm")
    assert len(calm.info[UNTIL][LOOKS]) > 2
    folder = begin(tmp_path / "killed", study)
    kills = 0
    for records in range(1, 400, 15):
        try:
            drive(folder, study, kill_at=records)
        except Killed:
            kills += 1
        else:
            break
    assert kills > 3
    killed = read_run(folder)
    assert killed.info[UNTIL] == calm.info[UNTIL]
    columns = ["trial_id", "arm", "seed", "status", "epochs_run"]
    assert killed.trials[columns].equals(calm.trials[columns])
    assert compare(killed).to_json()["rows"] == compare(calm).to_json()["rows"]
    assert verify(folder).difference is None


def test_looking_again_writes_nothing(tiny, tmp_path):
    study = study_of(tiny, ("base", "fast"))
    folder = begin(tmp_path / "run", study)
    drive(folder, study)
    with Ledger.open(folder) as ledger:
        records, looks = ledger.log.records, Looks(ledger)
        assert looks.over and looks.look() == [] and ledger.log.records == records


def test_a_seed_that_failed_is_no_pair_and_another_takes_its_place(tiny, tmp_path):
    study = study_of(tiny, ("base", "fast"))
    drive(begin(tmp_path / "run", study), study, broken={("arm=fast", 1)})
    run = read_run(tmp_path / "run")
    first, *_, last = (look["arms"]["arm=fast"] for look in run.info[UNTIL][LOOKS])
    assert first["pairs"] == [0, 2] and first["verdict"] == "no verdict (2 seeds)"
    assert first["open"] and 3 in last["pairs"] and last["verdict"] == "faster"
    # A run in which nothing works at all ends.
    broken = {(arm, seed) for arm in ("arm=base", "arm=fast") for seed in range(9)}
    assert drive(begin(tmp_path / "none", study), study, broken=broken) == ""


def test_two_seeds_get_a_third_before_anything_is_said(tiny, tmp_path):
    study = study_of(tiny, ("base", "fast"), seeds=(5, 9))
    drive(begin(tmp_path / "run", study, most=6), study)
    run = read_run(tmp_path / "run")
    first = run.info[UNTIL][LOOKS][0]["arms"]["arm=fast"]
    assert run.info[UNTIL]["first"] == 3
    assert (first["verdict"], first["open"]) == ("no verdict (2 seeds)", True)
    assert sorted(set(run.trials["seed"]))[:3] == [5, 9, 10]
    assert all_seeds([5, 9], 4) == [5, 9, 10, 11]


def test_a_changed_look_is_found(tiny, tmp_path):
    study = study_of(tiny, ("base", "fast", "near"))
    drive(begin(tmp_path / "run", study), study)
    run = read_run(tmp_path / "run")
    looks = run.info[UNTIL][LOOKS]
    for change, said in (
        (lambda arms: arms["arm=fast"].update(verdict="slower"), "verdict 'slower'"),
        (lambda arms: arms["arm=fast"]["speed_up"].__setitem__(1, 9.0), "speed-up"),
        (lambda arms: arms["arm=near"].update(open=False), "asked for"),
        (lambda arms: arms["arm=fast"].update(pairs=[0, 1]), "speed-up"),
    ):
        with Ledger.open(tmp_path / "run") as ledger:
            arms = {arm: {**each} for arm, each in looks[0]["arms"].items()}
            arms["arm=fast"]["speed_up"] = [*arms["arm=fast"]["speed_up"]]
            change(arms)
            wrong = [{**looks[0], "arms": arms}, *looks[1:]]
            ledger.extend({**ledger.info, UNTIL: {**run.info[UNTIL], LOOKS: wrong}}, [])
        assert said in str(difference(tmp_path / "run")), said
        assert verify(tmp_path / "run").difference.startswith("look 1")


def test_a_run_with_looks_is_its_study_and_what_they_asked_for(tiny, tmp_path):
    study = study_of(tiny, ("base", "near"))
    folder = begin(tmp_path / "run", study)
    drive(folder, study)
    with Ledger.open(folder) as ledger:
        info, held = ledger.info, ledger.trials()
    asked = asked_for(info)
    assert len(held) == 6 + len(asked) and asked
    assert missing(folder, held, study.trials(), asked) == []
    larger = study_of(tiny, ("base", "near", "fast"))
    new = missing(folder, held, larger.trials(), asked)
    assert {t.arm for t in new} == {"arm=fast"} and new[0].index == len(held)
    whole = study.replace(seeds=tuple(all_seeds(study.seeds, 8)))
    count, left = lacking(folder, whole, whole.trials())
    assert count + len(left) == 16, "what a plan shows is the most that it may become"
    assert _until(folder, info, study, growth(folder, info, study), 8) is None
    with pytest.raises(StudyError, match="give --until-decided"):
        _until(folder, info, study, growth(folder, info, study), None)
    with pytest.raises(StudyError, match=r"--max-seeds \(max_seeds in Python\) 8, got 9"):
        _until(folder, info, study, growth(folder, info, study), 9)
    more = study_of(tiny, ("base", "near"), seeds=(0, 1, 2, 3))
    with pytest.raises(StudyError, match="seeds follow from its verdicts"):
        _until(folder, info, more, growth(folder, info, more), 8)
    other = begin(tmp_path / "other", study)
    with pytest.raises(StudyError, match="added its seeds by its own verdicts"):
        merge([folder, other], tmp_path / "both", ["rayat"])


def test_the_first_look_of_a_run_that_was_extended_by_hand_is_at_what_it_began_with(tiny):
    study = study_of(tiny, seeds=(0, 1, 2, 3, 4))
    info = {**run_info(study, [], None, []), "extensions": [{"grew": {"seeds": [3, 4]}}]}
    assert first_look(info) == 3
    assert design_of(study, 8, first_look(info)).first == 3
    assert design_of(study, 8).first == 5


@pytest.mark.parametrize(
    ("fields", "most", "said"),
    [
        ({}, 2, "at least 3 seeds"),
        ({"seeds": (0, 1, 2, 3)}, 3, "has 4 seeds already"),
        ({}, 51, "50 at most"),
        ({"target": None}, 8, "give the study one"),
        ({"baseline": None}, 8, "give the study a baseline"),
        ({"policy": "median"}, 8, "give --policy none"),
        ({"arms": ("base",)}, 8, "only arm"),
        ({"space": {"batch_size": tune.choice([32, 64])}, "draws": 2}, 8, "nuisance axes"),
        (
            {
                "space": {"batch_size": tune.choice([32, 64])},
                "draws": 2,
                "budget": "4 kpasses",
            },
            8,
            "proposes configurations",
        ),
    ],
)
def test_what_cannot_be_decided_so_is_refused_in_a_sentence(tiny, fields, most, said):
    with pytest.raises(StudyError, match=said) as refused:
        design_of(study_of(tiny, **fields), most)
    assert str(refused.value).count(". ") == 0


def test_a_log_without_its_tables_is_verified_as_before(tiny, tmp_path):
    study = study_of(tiny, ("base", "fast"))
    folder = begin(tmp_path / "run", study)
    drive(folder, study)
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()
    assert verify(folder).difference is None
