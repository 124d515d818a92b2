from __future__ import annotations

import json
import math
import os
import shutil
import stat
import statistics
import time

import pytest

from rayat.columns import Column, Declared
from rayat.errors import ConfigError, LedgerError, LockedError
from rayat.ledger import writer
from rayat.ledger.info import RUN
from rayat.ledger.log import LOG
from rayat.ledger.publish import MANIFEST
from rayat.ledger.reader import read_run
from rayat.ledger.writer import Ledger


def test_create_writes_the_description_once(tmp_path, info):
    Ledger.create(tmp_path / "a" / "run", info).close()
    written = json.loads((tmp_path / "a" / "run" / RUN).read_text())
    assert written.items() >= info.items()
    assert written["schema_version"] == 1 and written["created_at"].endswith("Z")
    with pytest.raises(LedgerError, match="holds a run already; go on with it by `rayat resume"):
        Ledger.create(tmp_path / "a" / "run", info)


def test_create_needs_a_metric(tmp_path):
    with pytest.raises(LedgerError, match="needs a metric of the epochs, got 'val_acc'"):
        Ledger.create(tmp_path / "run", {"metric": "val_acc"})
    assert not (tmp_path / "run").exists()


def test_open_refuses_a_folder_without_a_run(tmp_path):
    with pytest.raises(LedgerError, match=r"is not a run: it has no run\.json"):
        Ledger.open(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_live_run_cannot_be_opened_or_created_again(ledger, info):
    with pytest.raises(LockedError, match=f"process {os.getpid()}"):
        Ledger.open(ledger.folder)
    with pytest.raises(LockedError, match=f"process {os.getpid()}"):
        Ledger.create(ledger.folder, info)


def test_everything_is_there_after_reopening(finished, make_row):
    with Ledger.open(finished) as ledger:
        assert ledger.status("t") == "finished" and ledger.unfinished() == []
        assert ledger.reported("t") == 3
        rows = ledger.reports("t")
        assert [r["epoch"] for r in rows] == [1, 2, 3]
        assert rows[1].items() >= make_row(2).items()
        assert rows[2]["passes_cum"] == 3 * 1221 and rows[2]["seconds_cum"] == 3 * 1.75
        decision = ledger.decisions("t")[0]
        assert (decision["rule"], decision["evidence"]) == ("asha", {"rank": 1, "of": 3})
        assert ledger.evaluations()[0]["suite"] == "pgd-20"
        assert ledger.arms() == {"t": "lr.shape=cosine"}
        assert ledger.trials()["t"]["epochs_planned"] == 3
        assert ledger.info["metric"] == "val_robust_acc"


BEND = Declared(Column("bend", "float", "nats", "how far the loss bends"), "attack 'mine'")


def test_a_trial_may_report_what_its_methods_declare_and_others_may_not(
    tmp_path, info, declare, make_row
):
    with Ledger.create(tmp_path / "run", info) as ledger:
        declare(ledger, "own", columns={"bend": BEND})
        declare(ledger, "plain", index=1)
        for name in ("own", "plain"):
            ledger.attempt(name)
        assert ledger.report("own", 1, make_row(1) | {"bend": 0.25})
        with pytest.raises(LedgerError, match="unknown key 'bend' of a report row"):
            ledger.report("plain", 1, make_row(1) | {"bend": 0.25})
        ledger.report("plain", 1, make_row(1))
    with Ledger.open(tmp_path / "run") as ledger:
        assert ledger.state.columns() == {"bend": BEND}
        seen = {trial_id: row.get("bend") for trial_id, _, row in ledger.observations()}
        assert seen == {"own": 0.25, "plain": None}
    epochs = read_run(tmp_path / "run").epochs
    assert epochs["bend"].tolist()[:1] == [0.25] and epochs["bend"].isna().tolist()[1:] == [True]


def test_two_trials_cannot_declare_a_column_differently(ledger, declare):
    declare(ledger, "own", index=1, columns={"bend": BEND})
    other = Declared(Column("bend", "int", "", "a count"), "objective 'o'")
    with pytest.raises(ConfigError, match="objective 'o' declares the column 'bend' as int"):
        declare(ledger, "other", index=2, columns={"bend": other})
    assert "other" not in ledger.trials()


def test_a_trial_is_declared_once(ledger, declare):
    records = ledger.log.records
    declare(ledger, "t")
    assert ledger.log.records == records
    with pytest.raises(LedgerError, match=r"declared with seed 0, now 1: another study belongs"):
        declare(ledger, "t", seed=1)


@pytest.mark.parametrize("bad", ["", "../x", "a/b", ".x", "-x", "a\0", "a\n", "x" * 129, "ä"])
def test_a_trial_id_cannot_leave_its_folder(ledger, declare, bad):
    with pytest.raises(LedgerError, match="a trial's id becomes a folder"):
        declare(ledger, bad)


@pytest.mark.parametrize("bad", ["", "[]", "3"])
def test_a_configuration_is_an_object(ledger, declare, bad):
    with pytest.raises(LedgerError, match="config_json"):
        declare(ledger, "u", config_json=bad)


def test_unknown_trials_name_the_nearest(ledger, declare, make_row):
    declare(ledger, "0001-abc-s0", 1)
    with pytest.raises(LedgerError, match=r"unknown trial '0001-abd-s0' \(did you mean '0001-abc"):
        ledger.report("0001-abd-s0", 1, make_row(1))
    for call in (ledger.attempt, ledger.reports, ledger.status, ledger.decisions):
        with pytest.raises(LedgerError, match="unknown trial"):
            call("nothing")


def test_the_same_epoch_counts_once(ledger, make_row):
    assert ledger.report("t", 1, make_row(1)) is True
    records = ledger.log.records
    assert ledger.report("t", 1, make_row(1, lr=9.0)) is False
    assert ledger.log.records == records
    assert ledger.reports("t")[0]["lr"] == 0.1


def test_the_last_attempt_wins_and_is_not_observed_again(ledger, make_row):
    ledger.report("t", 1, make_row(1))
    ledger.report("t", 1, make_row(2))
    assert ledger.attempt("t") == 2
    assert ledger.report("t", 2, make_row(2, lr=9.0)) is True
    assert ledger.report("t", 2, make_row(3)) is True
    assert [(r["attempt"], r["lr"]) for r in ledger.reports("t")][1] == (2, 9.0)
    seen = [(t, e, r["lr"]) for t, e, r in ledger.observations()]
    assert seen == [("t", 1, 0.1), ("t", 2, 0.05), ("t", 3, 0.1 / 3)]
    assert ledger.reports("t")[-1]["passes_cum"] == 3 * 1221


def test_an_earlier_attempt_is_not_heard_any_more(ledger, make_row):
    ledger.attempt("t")
    assert ledger.report("t", 1, make_row(1)) is False
    with pytest.raises(LedgerError, match="has 2 attempts, got a report of attempt 3; start it"):
        ledger.report("t", 3, make_row(1))


def test_epochs_leave_no_gap(ledger, make_row):
    with pytest.raises(LedgerError, match="holds epochs up to 0, got 2; report epoch 1 first"):
        ledger.report("t", 1, make_row(2))


def test_an_ended_trial_takes_no_reports_until_it_is_attempted_again(ledger, make_row):
    ledger.report("t", 1, make_row(1))
    ledger.end("t", "interrupted", "SIGINT")
    assert ledger.unfinished() == ["t"]
    assert ledger.report("t", 1, make_row(2)) is False
    ledger.attempt("t")
    assert ledger.status("t") == "running"
    assert ledger.report("t", 2, make_row(2)) is True


def test_ending_twice_is_ending_once(ledger):
    ledger.end("t", "stopped", "asha: third of three")
    records = ledger.log.records
    ledger.end("t", "stopped", "asha: third of three")
    assert ledger.log.records == records
    with pytest.raises(LedgerError, match=r"unknown status 'stoped' \(did you mean 'stopped'\?\)"):
        ledger.end("t", "stoped")


def test_the_same_decision_is_written_once(ledger):
    decision = ("t", 1, "stop", "asha", "worst of three", {"rank": 3, "value": math.nan})
    assert ledger.decision(*decision) is True
    assert ledger.decision(*decision) is False
    assert ledger.decision("t", 1, "stop", "median") is True
    assert [d["rule"] for d in ledger.decisions("t")] == ["asha", "median"]
    assert ledger.decisions("t")[0]["evidence"] == {"rank": 3, "value": None}


def test_the_last_evaluation_of_a_key_counts(ledger):
    row = {"trial_id": "t", "checkpoint": "best", "suite": "pgd-20", "split": "test"}
    ledger.evaluation({**row, "robust_acc": 0.1})
    ledger.evaluation({**row, "robust_acc": 0.2})
    ledger.evaluation({**row, "split": "val", "robust_acc": 0.3})
    assert [r["robust_acc"] for r in ledger.evaluations()] == [0.2, 0.3]


def test_a_torn_tail_is_cut_and_told(finished):
    with (finished / LOG).open("ab") as file:
        file.write(b'\x50\0\0\0abcd{"fence":1,')
    with Ledger.open(finished) as ledger:
        assert ledger.log.torn == 19
        assert ledger.events()[-1]["name"] == "torn_tail"
        assert ledger.events()[-1]["payload"] == {"bytes": 19}


def test_a_log_shorter_than_the_tables_is_refused(finished):
    data = (finished / LOG).read_bytes()
    (finished / LOG).write_bytes(data[: data.rindex(b'{"fence":') - 8])
    with pytest.raises(LedgerError, match=r"the log was cut; copy .*rlog again from where it is"):
        Ledger.open(finished)


def test_tables_without_a_log_cannot_go_on(finished):
    (finished / LOG).unlink()
    with pytest.raises(LedgerError, match="missing; the tables of this run can be read"):
        Ledger.open(finished)
    assert len(read_run(finished).epochs) == 3
    assert not (finished / LOG).exists()


def test_a_refused_log_and_its_tables_stay_to_the_byte(finished):
    (finished / LOG).write_bytes((finished / LOG).read_bytes()[:-300])
    before = {p: p.read_bytes() for p in (finished / LOG, *finished.glob("*.parquet"))}
    with pytest.raises(LedgerError, match="the log was cut"):
        Ledger.open(finished)
    assert {path: path.read_bytes() for path in before} == before


def test_tables_without_log_and_manifest_are_not_begun_again(finished):
    (finished / MANIFEST).unlink()
    shutil.rmtree(finished / "log")
    before = (finished / "epochs.parquet").read_bytes()
    with pytest.raises(LedgerError, match=r"missing; the tables .* copy .* again from where it is"):
        Ledger.open(finished)
    assert (finished / "epochs.parquet").read_bytes() == before
    assert not (finished / LOG).exists()


def test_a_changed_description_is_refused(finished):
    info = json.loads((finished / RUN).read_text())
    (finished / RUN).write_text(json.dumps({**info, "metric": "val_clean_acc"}))
    with pytest.raises(LedgerError, match="changed since the run began; `rayat repair"):
        Ledger.open(finished)


def test_a_newer_run_is_refused(finished):
    info = json.loads((finished / RUN).read_text())
    (finished / RUN).write_text(json.dumps({**info, "schema_version": 2}))
    with pytest.raises(LedgerError, match="schema version 2, this rayat reads up to 1; update"):
        Ledger.open(finished)


def test_tables_follow_on_a_cadence(ledger, make_row, monkeypatch):
    clock = [time.monotonic()]
    monkeypatch.setattr(writer.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(writer, "CADENCE_SECONDS", 2.0)
    ledger.project()
    ledger.report("t", 1, make_row(1))
    assert ledger.maybe_project() is False
    clock[0] += 2.1
    assert ledger.maybe_project() is True
    assert len(read_run(ledger.folder).epochs) == 1
    clock[0] += 100
    assert ledger.maybe_project() is False  # no news


def test_slow_tables_are_written_less_often(ledger, make_row, monkeypatch):
    ticks = iter([0.0, 1.0])
    with monkeypatch.context() as patch:
        patch.setattr(writer.time, "monotonic", lambda: next(ticks))
        ledger.project()
    ledger.report("t", 1, make_row(1))
    monkeypatch.setattr(writer.time, "monotonic", lambda: 20.9)
    assert ledger.maybe_project() is False
    monkeypatch.setattr(writer.time, "monotonic", lambda: 21.1)
    assert ledger.maybe_project() is True


def test_a_closed_ledger_writes_nothing(ledger, make_row):
    ledger.close()
    with pytest.raises(LedgerError, match="open the run again"):
        ledger.report("t", 1, make_row(1))


def test_modes_whatever_the_umask(tmp_path, info, make_row, declare):
    before = os.umask(0)
    try:
        with Ledger.create(tmp_path / "run", info) as ledger:
            declare(ledger, "t")
    finally:
        os.umask(before)
    for path in [tmp_path / "run", *(tmp_path / "run").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("name", ["lock", "log/000001.rlog", f"{MANIFEST}.next", "run.json.new"])
def test_planted_links_are_not_followed(tmp_path, info, name):
    folder, target = tmp_path / "run", tmp_path / "target"
    (folder / "log").mkdir(parents=True)
    (folder / name).symlink_to(target)
    with pytest.raises(LedgerError):
        Ledger.create(folder, info)
    assert not target.exists()


def test_a_durable_report_takes_as_long_as_few_flushes(tmp_path_factory, info, make_row, declare):
    seconds, bare = [], []
    # A folder on a real disk, unlike the other tests'.
    disk = tmp_path_factory.mktemp("disk")
    with Ledger.create(disk / "run", info) as ledger, open(disk / "bare", "wb", 0) as file:
        declare(ledger, "t")
        ledger.attempt("t")
        for epoch in range(1, 201):
            start = time.perf_counter()
            ledger.report("t", 1, make_row(epoch))
            seconds.append(time.perf_counter() - start)
            start = time.perf_counter()
            file.write(bytes(1000))
            os.fdatasync(file.fileno())
            bare.append(time.perf_counter() - start)
    p50, p99 = statistics.median(seconds), statistics.quantiles(seconds, n=100)[98]
    print(f"durable report: p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms over 200")
    # By turns, so that a slow disk or a busy machine slows both down.
    assert p50 <= 8 * statistics.median(bare)
