from __future__ import annotations

import hashlib
import json
import random
import shutil
import threading
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayat.errors import LedgerError
from rayat.ledger import reader
from rayat.ledger.info import RUN
from rayat.ledger.publish import MANIFEST, NEXT, seal
from rayat.ledger.reader import read_run, require_reports
from rayat.ledger.repair import repair
from rayat.ledger.schema import TABLES
from rayat.ledger.writer import Ledger

FILES = [RUN, MANIFEST, *(f"{name}.parquet" for name in TABLES)]
GOLDEN = Path(__file__).parent / "golden"


def vouch(folder, name, data):
    """Put `data` under `name` with a manifest that is right about it."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest["sha256"] = seal(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_a_run_as_frames(finished):
    run = read_run(finished)
    assert run.info["metric"] == "val_robust_acc"
    assert list(run.epochs["val_robust_acc"]) == pytest.approx([0.1, 0.2, 0.3])
    assert run.epochs["passes_cum"].dtype == "int64"
    assert run.trials.loc[0, "cfg.lr.shape"] == "cosine"
    assert run.decisions.loc[0, "evidence_json"] == '{"of":3,"rank":1}'
    assert run.evals.loc[0, "suite"] == "pgd-20"
    assert str(run.epochs["reported_at"].dt.tz) == "UTC"
    assert require_reports(run) is run


def test_every_table_is_readable_alone_by_others(finished):
    for name in TABLES:
        path = str(finished / f"{name}.parquet")
        rows = len(getattr(read_run(finished), name))
        assert len(pd.read_parquet(path)) == rows
        assert len(pl.read_parquet(path)) == rows
        assert duckdb.sql(f"select count(*) from '{path}'").fetchall() == [(rows,)]
    query = f"select max(val_robust_acc) from '{finished / 'epochs.parquet'}'"
    assert duckdb.sql(query).fetchall()[0][0] == pytest.approx(0.3)


def test_times_are_read_by_every_tool_alike(finished):
    """DuckDB gives times with a zone by pytz, which is among what rayat installs."""
    path = finished / "trials.parquet"
    by_pandas = pd.read_parquet(path)["started_at"].to_list()
    by_polars = pl.read_parquet(path)["started_at"].to_list()
    by_duckdb = [row[0] for row in duckdb.sql(f"select started_at from '{path}'").fetchall()]
    assert len(by_pandas) > 0 and by_pandas[0].tzinfo is not None
    assert [t.timestamp() for t in by_pandas] == [t.timestamp() for t in by_polars]
    assert [t.timestamp() for t in by_pandas] == [t.timestamp() for t in by_duckdb]


def test_a_living_run_without_reports_says_so(tmp_path, info, declare):
    with Ledger.create(tmp_path / "run", info) as ledger:
        declare(ledger, "t")
        run = read_run(tmp_path / "run")
        with pytest.raises(LedgerError, match=r"holds no reports yet \(0 trials declared\); wait"):
            require_reports(run)


def test_reading_while_the_driver_writes(ledger, make_row):
    """Every read is one generation, and later reads are never older."""
    done, read, errors = threading.Event(), [], []

    def follow():
        try:
            while not done.is_set() or not read:
                run = read_run(ledger.folder)
                assert run.trials["epochs_run"].sum() == len(run.epochs)
                read.append(len(run.epochs))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    for epoch in range(1, 41):
        ledger.report("t", 1, make_row(epoch))
        ledger.project()
    done.set()
    thread.join()
    assert not errors
    assert read == sorted(read)
    print(f"living run: {len(read)} reads during 40 rewrites, all whole")


def test_every_flipped_bit_is_noticed(finished, size):
    rng = random.Random(0)
    flips = 0
    for name in FILES:
        data = (finished / name).read_bytes()
        for _ in range(size(200, 1700)):
            flipped = bytearray(data)
            flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            (finished / name).write_bytes(flipped)
            with pytest.raises(LedgerError, match=rf"{name}: .*(rayat repair|update rayat)"):
                read_run(finished)
            flips += 1
        (finished / name).write_bytes(data)
    print(f"tables: {flips} flips, 0 silent")


def test_every_truncation_is_noticed_and_repaired(finished):
    whole = read_run(finished)
    rng = random.Random(2)
    for name in FILES:
        data = (finished / name).read_bytes()
        for size in [0, len(data) - 2, *(rng.randrange(len(data) - 1) for _ in range(48))]:
            (finished / name).write_bytes(data[:size])
            with pytest.raises(LedgerError, match=name):
                read_run(finished)
        (finished / name).write_bytes(data[:10])
        repair(finished)
        assert (finished / name).read_bytes() == data
    pd.testing.assert_frame_equal(read_run(finished).epochs, whole.epochs)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(finished, name):
    (finished / name).unlink()
    with pytest.raises(LedgerError, match=name):
        read_run(finished)


def test_a_foreign_table_is_named(finished):
    (finished / "epochs.parquet").write_text("trial_id,epoch\n1,2\n")
    with pytest.raises(LedgerError, match=r"epochs.parquet: has 19 bytes instead of \d+ .*repair"):
        read_run(finished)


def test_a_table_that_the_manifest_knows_may_still_be_no_table(finished):
    vouch(finished, "epochs.parquet", b"trial_id,epoch\n1,2\n")
    with pytest.raises(LedgerError, match=r"epochs.parquet: not a readable table .*repair"):
        read_run(finished)


class Secret(pa.ExtensionType):
    def __init__(self):
        super().__init__(pa.int64(), "rayat.test.secret")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls()


@pytest.mark.parametrize("registered", [True, False])
def test_extension_types_are_refused(finished, registered):
    table = pq.read_table(finished / "epochs.parquet")
    column = pa.ExtensionArray.from_storage(Secret(), pa.array([1] * len(table)))
    sink = pa.BufferOutputStream()
    pq.write_table(table.append_column("x", column), sink)
    vouch(finished, "epochs.parquet", sink.getvalue().to_pybytes())
    if registered:
        pa.register_extension_type(Secret())
    try:
        with pytest.raises(LedgerError, match=r"column 'x' has the type .* file is foreign"):
            read_run(finished)
    finally:
        if registered:
            pa.unregister_extension_type("rayat.test.secret")


def test_nested_types_are_refused(finished):
    table = pq.read_table(finished / "epochs.parquet")
    sink = pa.BufferOutputStream()
    pq.write_table(table.append_column("x", pa.array([[1]] * len(table))), sink)
    vouch(finished, "epochs.parquet", sink.getvalue().to_pybytes())
    with pytest.raises(LedgerError, match="which a ledger never writes"):
        read_run(finished)


def test_a_table_that_claims_too_much_is_not_unpacked(finished, monkeypatch):
    monkeypatch.setattr(reader, "MAX_CELLS", 50)
    with pytest.raises(LedgerError, match="claims more than 50 values"):
        read_run(finished)


def test_a_newer_schema_is_refused(finished):
    manifest = json.loads((finished / MANIFEST).read_text())
    manifest["schema_version"] = 2
    manifest["sha256"] = seal(manifest)
    (finished / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(LedgerError, match="written with schema version 2, this rayat reads up to"):
        read_run(finished)


def test_columns_that_came_later_are_null_and_unknown_ones_stay(finished):
    table = pq.read_table(finished / "epochs.parquet")
    sink = pa.BufferOutputStream()
    table = table.drop_columns(["fosc"]).append_column("note", pa.array(["x"] * len(table)))
    pq.write_table(table, sink)
    vouch(finished, "epochs.parquet", sink.getvalue().to_pybytes())
    epochs = read_run(finished).epochs
    assert epochs["fosc"].isna().all() and list(epochs["note"]) == ["x"] * 3


def test_a_generation_in_the_middle_of_its_renames_is_read(finished):
    for name in ("epochs.parquet", "evals.parquet", MANIFEST):
        (finished / name).rename(finished / (name + NEXT))
    assert len(read_run(finished).epochs) == 3


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(
        LedgerError, match=r"is not a run: it has no run\.json; give a run's folder"
    ):
        read_run(tmp_path / "nothing")


@pytest.mark.parametrize("version", sorted(p.name for p in GOLDEN.glob("v*") if p.is_dir()))
def test_every_earlier_version_is_read_and_goes_on(tmp_path, version):
    expected = json.loads((GOLDEN / f"{version}.json").read_text())
    run = read_run(GOLDEN / version)
    for name, rows in expected.items():
        frame = getattr(run, name)
        for column, values in rows.items():
            found = [None if pd.isna(v) else v for v in frame[column]]
            assert found == values, (name, column)
    copy = shutil.copytree(GOLDEN / version, tmp_path / "run")
    with Ledger.open(copy) as ledger:
        assert ledger.unfinished() == ["0001-bbbbbbbb-s0"]
        ledger.attempt("0001-bbbbbbbb-s0")
    for name in ("epochs", "decisions", "evals"):
        pd.testing.assert_frame_equal(getattr(read_run(copy), name), getattr(run, name))


def test_a_trial_runs_only_as_long_as_a_driver_holds_the_run(tmp_path, info, declare):
    with Ledger.create(tmp_path / "run", info) as ledger:
        declare(ledger, "t")
        ledger.attempt("t")
        ledger.project()
        assert list(read_run(tmp_path / "run").trials["status"]) == ["running"]
    assert list(read_run(tmp_path / "run").trials["status"]) == ["interrupted"]
    (tmp_path / "run" / "lock").unlink()  # a copy, whose driver may live elsewhere
    assert list(read_run(tmp_path / "run").trials["status"]) == ["running"]
