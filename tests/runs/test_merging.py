"""Runs of one study as one: each row once, each decision as it was made, contradictions refused."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from ray import tune

from rayat.compare.again import all_again
from rayat.compare.table import compare
from rayat.errors import DataError, LedgerError, LockedError, StudyError
from rayat.ledger.log import LOG, MAGIC, encode, read_log
from rayat.ledger.reader import read_run
from rayat.ledger.repair import repair
from rayat.ledger.writer import Ledger
from rayat.replay.verify import verify
from rayat.runs.driver import Driver
from rayat.runs.extending import growth, missing
from rayat.runs.merging import merge
from rayat.runs.record import run_info, view
from rayat.runs.resuming import refuse_merged
from rayat.runs.search import declare
from rayat.training.messages import Evaluated, Report, to_text

ASHA = {"name": "asha", "grace": 1, "eta": 2}
LOOK = {"name": "first-look", "grace": 1, "eta": 2}
DATA = [{"name": "digits", "checksum": "c" * 16, "split_hash": "s", "classes": 10, "val": 64}]


@pytest.fixture
def study(tiny):
    """Return a maker of parts of one study: `study((0, 1), peaks)`."""

    def make(seeds=(0, 1), peaks=(0.1, 0.2, 0.3), **fields):
        space = {"lr.peak": tune.grid_search(list(peaks))}
        return tiny(space=space, seeds=seeds, scientific=("lr.peak",), **fields)

    return make


@pytest.fixture(scope="module")
def environment():
    """One description of this machine: it asks git, which takes a while."""
    return {"python": "3.12", "hardware": {"processor": "here"}, "packages": {"torch": "2"}}


def value(config, epoch):
    """Return what a trial reaches: the smaller its rate the better, seeds a little apart."""
    return 0.6 - config.lr.peak + 0.01 * config.seed + 0.02 * epoch


@pytest.fixture
def train(tmp_path, environment):
    """Return what runs a study in a folder as the driver does: `train("a", study, stop=5)`."""

    def make(name, study, stop=10**9, value=value, data=DATA, machine=environment, share=False):
        fresh = {**run_info(study, data, None, ["rayat", "run", "s.py", "--out", name])}
        fresh["environment"] = machine
        trials = study.trials()
        views = [view(t.trial_id, t.config, t.arm) for t in trials]
        with Ledger.create(tmp_path / name, fresh) as ledger:
            for trial in trials:
                declare(ledger, trial)
            configs = {t.trial_id: t.config for t in trials}
            driver = Driver(ledger, study.policy, views, "val_robust_acc")
            count = 0
            while (ready := driver.ready()) and count < stop:
                count += 1
                trial_id = min(ready, key=lambda name: (ledger.reported(name), name))
                epoch = ledger.reported(trial_id) + 1
                row = {"epoch": epoch, "train_loss": 1.0, "fwd_passes": 100, "train_seconds": 1.5}
                row["val_robust_acc"] = value(configs[trial_id], epoch)
                first = next(t for t in configs if configs[t].seed == configs[trial_id].seed)
                if share and epoch == 1 and first != trial_id:
                    row["shared_from"] = first
                driver.message(trial_id, to_text(Report(row, f"h:1:{name}:{trial_id}")))
                if ledger.status(trial_id) == "finished":
                    test = {"trial_id": trial_id, "checkpoint": "best", "suite": "pgd-3"}
                    test |= {"split": "test", "n": 64, "robust_acc": row["val_robust_acc"]}
                    driver.message(trial_id, to_text(Evaluated([test])))
            driver.strand()
            for trial_id in configs:
                if ledger.reported(trial_id):
                    place = ledger.folder / "checkpoints" / trial_id / "best"
                    place.mkdir(parents=True)
                    (place / "model.safetensors").write_text(f"{name} {trial_id}")
        return tmp_path / name

    return make


def rows(*folders):
    """Return every epoch of runs by arm and seed, times included."""
    frames = []
    for folder in folders:
        run = read_run(folder)
        named = run.epochs.merge(run.trials[["trial_id", "arm", "seed"]], on="trial_id")
        frames.append(named.drop(columns="trial_id"))
    table = pd.concat(frames).sort_values(["arm", "seed", "epoch"])
    return table.reset_index(drop=True)


def test_seeds_of_two_machines_are_one_run(study, train, tmp_path, environment):
    there = {**environment, "hardware": {"processor": "there"}}
    a, b = train("a", study((0, 1))), train("b", study((2, 3)), machine=there)
    before = {folder: sorted(p.read_bytes() for p in folder.glob("*.*")) for folder in (a, b)}
    merged = merge([a, b], tmp_path / "c", ["rayat", "merge", "a", "b", "--out", "c"])
    run = read_run(merged)
    pd.testing.assert_frame_equal(rows(merged), rows(a, b))
    assert run.info["study"]["seeds"] == [0, 1, 2, 3]
    assert list(run.trials["trial_index"]) == list(range(12))
    assert run.trials["started_at"].notna().all() and len(run.evals) == 12
    assert run.info["data"] == DATA
    parts = run.info["origin"]["merged"]
    assert [part["run"] for part in parts] == [str(a), str(b)]
    assert [part["environment"]["hardware"]["processor"] for part in parts] == ["here", "there"]
    for part, name in zip(parts, "ab", strict=True):
        for new, old in part["trials"].items():
            path = merged / "checkpoints" / new / "best" / "model.safetensors"
            assert path.read_text() == f"{name} {old}"
    notes = compare(run).notes
    assert any(
        "Seconds are of different machines" in note and "there in b" in note for note in notes
    )
    assert any(note.startswith(f"Merged from {a} (6), {b} (6)") for note in notes)
    assert all_again(run.info).splitlines() == [
        "rayat run s.py --out a-again",
        "rayat run s.py --out b-again",
        "rayat merge a b --out c-again",
    ]
    done = verify(merged)
    assert done.difference is None and done.note == "" and repair(merged).rebuilt == ()
    assert {
        folder: sorted(p.read_bytes() for p in folder.glob("*.*")) for folder in (a, b)
    } == before
    assert not list(tmp_path.glob(".c*"))


def owners(*folders):
    """Return of every row that is another trial's which one's it is: arm and seed of both."""
    found = {}
    for folder in folders:
        run = read_run(folder)
        names = {row.trial_id: (row.arm, row.seed) for row in run.trials.itertuples()}
        for row in run.epochs.dropna(subset="shared_from").to_dict("records"):
            found[names[row["trial_id"]], row["epoch"]] = names[row["shared_from"]]
    return found


def test_whose_a_shared_epoch_is_is_said_by_the_new_ids(study, train, tmp_path):
    """Ids of b's trials are other trials' in a; seed 1, which both have, a trained further."""
    a = train("a", study((0, 1)), share=True)
    b = train("b", study((2, 1)), stop=10, share=True)
    merged = merge([b, a], tmp_path / "c", [])
    found = owners(merged)
    assert found == {**owners(b), **owners(a)}
    assert len(found) == 2 * 3 and all(seed == of for ((_, seed), _), (_, of) in found.items())
    old, new = (set(read_run(f).epochs["shared_from"].dropna()) for f in (a, merged))
    assert len(new) == 3 and new != old
    assert new <= set(read_run(merged).trials["trial_id"])


@pytest.mark.parametrize("policy", [ASHA, LOOK], ids=["asha", "first-look"])
def test_every_decision_is_as_its_own_run_made_it(study, train, tmp_path, policy):
    a = train("a", study((0, 1), policy=policy))
    b = train("b", study((2, 3), policy=policy))
    merged = merge([a, b], tmp_path / "c", ["test"])
    run, count = read_run(merged), sum(len(read_run(folder).decisions) for folder in (a, b))
    assert len(run.decisions) == count > 4
    done = verify(merged)
    assert done.difference is None and done.decisions == count and done.note == ""
    counts = [read_run(folder).trials["status"].value_counts() for folder in (a, b)]
    assert run.trials["status"].value_counts().to_dict() == (counts[0] + counts[1]).to_dict()
    ids = set(run.trials["trial_id"])
    for sentence in run.decisions["sentence"]:
        named = [word.strip(":") for word in sentence.split() if "-s" in word]
        assert set(named) <= ids, "a decision names a trial by the id that it has here"
    with pytest.raises(LedgerError, match=r"judged apart, so it cannot go on as one; go on with"):
        refuse_merged(merged, run.info)
    with pytest.raises(StudyError, match="was merged itself"):
        merge([merged, train("d", study((4,), policy=policy))], tmp_path / "e", ["test"])


def test_a_changed_decision_is_noticed_in_its_part(study, train, tmp_path):
    a, b = train("a", study((0, 1), policy=ASHA)), train("b", study((2, 3), policy=ASHA))
    merged = merge([a, b], tmp_path / "c", ["test"])
    records = []
    read_log(merged / LOG, records.append)
    decided = [record for record in records if record["kind"] == "decision"]
    decided[-1]["decision"]["evidence"]["cutoff"] = 0.9
    (merged / LOG).write_bytes(MAGIC + b"".join(map(encode, records)))
    repair(merged)  # which trusts the log
    assert "cutoff recorded 0.9" in verify(merged).difference


def test_a_trial_that_both_hold_is_taken_once(study, train, tmp_path):
    a, b = train("a", study((0, 1))), train("b", study((1, 2)))
    merged = merge([a, b], tmp_path / "c", ["test"])
    whole = rows(train("whole", study((0, 1, 2))))
    times = ["reported_at"]
    pd.testing.assert_frame_equal(rows(merged).drop(columns=times), whole.drop(columns=times))
    first, second = read_run(merged).info["origin"]["merged"]
    assert (len(first["trials"]), len(first["left_out"])) == (6, 0)
    assert (len(second["trials"]), len(second["left_out"])) == (3, 3)
    assert verify(merged).note == ""


def test_of_two_records_the_one_that_ended_is_taken(study, train, tmp_path):
    a, b = train("a", study((0,)), stop=4), train("b", study((0,)))
    merged = read_run(merge([a, b], tmp_path / "c", ["test"]))
    assert set(merged.trials["status"]) == {"finished"} and len(merged.epochs) == 9
    assert [len(part["trials"]) for part in merged.info["origin"]["merged"]] == [0, 3]


def test_decisions_that_rest_on_trials_left_out_are_not_claimed(study, train, tmp_path):
    a = train("a", study((0,), policy=ASHA))
    more = train("more", study((0,), (0.1, 0.2, 0.3, 0.4), policy=ASHA))
    done = verify(merge([a, more], tmp_path / "c", ["test"]))
    assert done.difference is None
    assert done.note.startswith(f"the decisions of {more} rest on trials that are here as another")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda config, epoch: value(config, epoch) + 0.1 * (epoch == 2), "after epoch 2 is"),
        (lambda config, epoch: None if epoch == 3 else value(config, epoch), "after epoch 3 is"),
    ],
)
def test_rows_that_contradict_are_refused_by_name(study, train, tmp_path, change, text):
    a, b = train("a", study((0, 1))), train("b", study((1, 2)), value=change)
    with pytest.raises(StudyError, match=rf"a and b both hold lr.peak=0.1 with seed 1 .*{text}"):
        merge([a, b], tmp_path / "c", ["test"])
    assert not (tmp_path / "c").exists()


def test_arms_and_draws_grow_together(tiny, study, train, tmp_path):
    a, b = train("a", study((0,), (0.1,))), train("b", study((0,), (0.2, 0.3)))
    merged = read_run(merge([a, b], tmp_path / "c", ["test"]))
    assert merged.info["study"]["space"] == {"lr.peak": {"grid_search": [0.1, 0.2, 0.3]}}
    assert list(merged.trials["arm"].unique()) == ["lr.peak=0.1", "lr.peak=0.2", "lr.peak=0.3"]
    whole = study((0, 1), (0.1, 0.2, 0.3))
    with Ledger.open(tmp_path / "c") as ledger:
        assert growth(ledger.folder, ledger.info, whole).seeds == [1]
        new = missing(ledger.folder, ledger.trials(), whole.trials())
        assert [(t.index, t.config.seed) for t in new] == [(3, 1), (4, 1), (5, 1)]
    named = [tiny(arms={name: {"lr.peak": peak}}) for name, peak in (("x", 0.1), ("y", 0.2))]
    folders = [train(name, each) for name, each in zip("pq", named, strict=True)]
    arms = read_run(merge(folders, tmp_path / "r", ["test"])).info["study"]["arms"]
    assert list(arms) == ["x", "y"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"policy": "asha"}, r'policy\.name is "none" in the one and "asha" in the other'),
        ({"target": 0.5}, r"target is not set in the one and 0\.5"),
        ({"base": {"epochs": 4}}, r"base\.epochs is 3 in the one and 4"),
    ],
)
def test_other_studies_are_refused_by_the_field(study, train, tmp_path, fields, text):
    a, b = train("a", study((0,))), train("b", study((1,), **fields))
    with pytest.raises(StudyError, match=text):
        merge([a, b], tmp_path / "c", ["test"])


def test_what_cannot_be_merged_is_said(study, train, tmp_path):
    a, b = train("a", study((0,))), train("b", study((1,)))
    with pytest.raises(LedgerError, match="holds something already"):
        merge([a, b], a, ["test"])
    with pytest.raises(StudyError, match="is given twice"):
        merge([a, a], tmp_path / "c", ["test"])
    with pytest.raises(StudyError, match="at least two"):
        merge([a], tmp_path / "c", ["test"])
    with Ledger.open(b), pytest.raises(LockedError, match="is being written"):
        merge([a, b], tmp_path / "c", ["test"])
    other = train("d", study((2,)), data=[{**DATA[0], "checksum": "d" * 16}])
    with pytest.raises(DataError, match="checksum cccccccccccc and dddddddddddd"):
        merge([a, other], tmp_path / "c", ["test"])
    shutil.rmtree(b / "log")
    with pytest.raises(LedgerError, match="runs are merged from their logs"):
        merge([a, b], tmp_path / "c", ["test"])
    assert not (tmp_path / "c").exists()


def test_verdicts_that_were_spared_for_one_run_are_not_merged(study, train, tmp_path):
    spared = {"policy": "verdict", "target": 0.45, "baseline": "lr.peak=0.1"}
    a, b = (train(n, study(s, **spared)) for n, s in (("a", (0, 1, 2)), ("b", (3, 4, 5))))
    with pytest.raises(StudyError, match="'verdict' has judged which arms can still be called"):
        merge([a, b], tmp_path / "c", ["test"])
    spared["ends"] = "at-target"
    a, b = (train(n, study(s, **spared)) for n, s in (("d", (0, 1, 2)), ("e", (3, 4, 5))))
    whole = merge([a, b], tmp_path / "c", ["test"])
    assert len(read_run(whole).trials) == 18
    assert verify(whole).difference is None


def test_a_merge_that_was_killed_is_made_again(study, train, tmp_path, monkeypatch):
    a, b = train("a", study((0,))), train("b", study((1,)))
    monkeypatch.setattr("rayat.ledger.merging.publish", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        merge([a, b], tmp_path / "c", ["test"])
    assert not (tmp_path / "c").exists() and (tmp_path / ".c.merging").is_dir()
    monkeypatch.undo()
    assert len(read_run(merge([a, b], tmp_path / "c", ["test"])).trials) == 6
    assert not (tmp_path / ".c.merging").exists()
