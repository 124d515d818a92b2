from __future__ import annotations

import pytest

from rayat.errors import LedgerError, LockedError
from rayat.ledger.info import RUN
from rayat.ledger.log import LOG, MAGIC
from rayat.ledger.publish import MANIFEST
from rayat.ledger.reader import read_run
from rayat.ledger.repair import repair
from rayat.ledger.writer import Ledger

TABLE_FILES = ("trials.parquet", "epochs.parquet", "decisions.parquet", "evals.parquet")


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.name != "lock"}


def test_a_whole_run_stays_as_it_is(finished):
    before = contents(finished)
    report = repair(finished)
    assert contents(finished) == before
    assert report.rebuilt == () and report.set_aside is None
    assert "All tables were as the log says." in str(report)


def test_everything_but_the_log_is_rebuilt(finished):
    before = contents(finished)
    (finished / RUN).unlink()
    (finished / MANIFEST).write_text("{}")
    (finished / "trials.parquet").unlink()
    (finished / "epochs.parquet").write_bytes(b"")
    report = repair(finished)
    assert contents(finished) == before
    assert set(report.rebuilt) == {RUN, MANIFEST, "trials.parquet", "epochs.parquet"}
    assert "Rebuilt from the log: run.json, trials.parquet, epochs.parquet" in str(report)


def test_a_torn_tail_is_cut(finished):
    with (finished / LOG).open("ab") as file:
        file.write(b"\x05")
    report = repair(finished)
    assert report.torn_bytes == 1 and "Cut 1 bytes of a record" in str(report)
    Ledger.open(finished).close()


def test_damage_keeps_what_was_before_it_and_the_file_as_it_was(finished, make_row):
    data = bytearray((finished / LOG).read_bytes())
    third = data.index(b'"epoch":3')
    data[third + 20] ^= 1
    (finished / LOG).write_bytes(data)
    with pytest.raises(LedgerError, match=r"is damaged; `rayat repair .*` keeps the 5 records"):
        Ledger.open(finished)
    report = repair(finished)
    assert report.records == 5 and report.lost_bytes > 0
    assert report.set_aside.read_bytes() == bytes(data)
    assert "The log was damaged" in str(report) and "trains the rest again" in str(report)
    assert len(read_run(finished).epochs) == 2
    with Ledger.open(finished) as ledger:
        assert ledger.unfinished() == ["t"] and ledger.reported("t") == 2
        assert ledger.report("t", ledger.attempt("t"), make_row(3))
    assert len(read_run(finished).epochs) == 3


def test_a_second_damage_does_not_overwrite_the_first_copy(finished):
    for number in (1, 2):
        data = bytearray((finished / LOG).read_bytes())
        data[data.rindex(b'{"fence":') + 12] ^= 1
        (finished / LOG).write_bytes(data)
        assert repair(finished).set_aside.name == f"000001.rlog.damaged-{number}"


def test_a_damaged_header_costs_no_record(finished):
    data = (finished / LOG).read_bytes()
    (finished / LOG).write_bytes(b"X" + data[1:])
    with pytest.raises(LedgerError, match="not a rayat log"):
        Ledger.open(finished)
    assert repair(finished).lost_bytes == 0
    assert (finished / LOG).read_bytes() == data


def test_damage_in_the_first_record_starts_the_run_again(finished):
    data = bytearray((finished / LOG).read_bytes())
    data[len(MAGIC) + 30] ^= 1
    (finished / LOG).write_bytes(data)
    assert repair(finished).records == 0
    with Ledger.open(finished) as ledger:
        assert ledger.trials() == {} and ledger.info["metric"] == "val_robust_acc"


def test_what_cannot_be_repaired_is_left_alone(finished, tmp_path):
    (finished / LOG).write_bytes(b"a,b\n1,2\n" * 10)
    (finished / RUN).write_text("{")
    before = contents(finished)
    with pytest.raises(LedgerError, match=r"holds no whole record, and run\.json cannot be read"):
        repair(finished)
    assert contents(finished) == before
    (finished / LOG).unlink()
    with pytest.raises(LedgerError, match="missing; without its log a run cannot be repaired"):
        repair(finished)
    with pytest.raises(LedgerError, match="missing; without its log"):
        repair(tmp_path / "nothing")


def test_a_living_run_is_not_repaired(ledger):
    with pytest.raises(LockedError, match="is being written by process"):
        repair(ledger.folder)


def cut(folder, share=2 / 3):
    """Leave the first part of the log, as a partial copy does; return what is left."""
    data = (folder / LOG).read_bytes()
    (folder / LOG).write_bytes(data[: int(len(data) * share)])
    return (folder / LOG).read_bytes()


def test_a_cut_log_does_not_replace_tables_that_hold_more(finished):
    whole, log = read_run(finished), (finished / LOG).read_bytes()
    tables = contents(finished)
    left = cut(finished)
    report = repair(finished)
    assert report.kept == finished / "tables.kept-1"
    assert contents(report.kept) == tables
    assert read_run(report.kept).epochs.equals(whole.epochs)
    assert report.set_aside.read_bytes() == left and report.torn_bytes == 0
    held = len(read_run(finished).epochs)
    assert 0 < held < 3
    assert f"the log holds {held} reports and 0 decisions and 0 evaluations" in str(report)
    assert "the tables 3 and 1 and 1: the log was cut." in str(report)
    assert "copy" in str(report) and "acknowledged" not in str(report)
    (finished / LOG).write_bytes(log)  # where it was whole
    assert repair(finished).kept is None
    assert contents(finished) == tables


def test_a_log_cut_between_two_records_is_seen_by_its_end_alone(finished):
    data = (finished / LOG).read_bytes()
    (finished / LOG).write_bytes(data[: data.rindex(b'{"fence":') - 8])
    report = repair(finished)
    assert report.kept and report.set_aside is None
    assert "records, the tables were made from" in str(report)


def test_without_a_manifest_the_rows_of_the_tables_count(finished):
    (finished / MANIFEST).unlink()
    rows = (finished / "epochs.parquet").read_bytes()
    left = cut(finished)
    with pytest.raises(LedgerError, match=r"reports and 0 decisions .* the log was cut; copy"):
        Ledger.open(finished)
    assert (finished / LOG).read_bytes() == left
    assert (finished / "epochs.parquet").read_bytes() == rows
    assert (repair(finished).kept / "epochs.parquet").read_bytes() == rows


def test_tables_kept_once_are_not_overwritten(finished):
    for number, share in ((1, 0.8), (2, 0.6)):
        cut(finished, share)
        assert repair(finished).kept.name == f"tables.kept-{number}"
    assert len(read_run(finished / "tables.kept-1").evals) == 1


def test_tables_older_than_the_log_are_rebuilt_and_not_kept(ledger, make_row):
    ledger.report("t", 1, make_row(1))
    ledger.log.close()  # as a crash leaves it: nothing was projected since the start
    ledger.lock.release()
    ledger._closed = True
    with (ledger.folder / LOG).open("ab") as file:
        file.write(b"\x05\0")
    report = repair(ledger.folder)
    assert report.kept is None and report.cut is None and report.torn_bytes == 2
    assert "before it is acknowledged" in str(report)
    assert "epochs.parquet" in report.rebuilt
    assert len(read_run(ledger.folder).epochs) == 1


def test_damage_keeps_tables_that_hold_more(finished):
    tables = contents(finished)
    data = bytearray((finished / LOG).read_bytes())
    data[data.index(b'"epoch":3') + 20] ^= 1
    (finished / LOG).write_bytes(data)
    assert contents(repair(finished).kept) == tables
