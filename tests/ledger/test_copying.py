"""A run goes to a URI and comes back the same; what is no run, or half of one, is refused."""

from __future__ import annotations

import pytest

from rayat.errors import LedgerError
from rayat.ledger import copying
from rayat.ledger.copying import copy_run
from rayat.ledger.publish import MANIFEST
from rayat.ledger.reader import read_run
from rayat.ledger.writer import Ledger


@pytest.fixture
def finished(tmp_path, info, make_row):
    folder = tmp_path / "run"
    with Ledger.create(folder, info) as ledger:
        ledger.trial(
            trial_id="0000-a",
            index=0,
            arm="a",
            config_id="c",
            config_sha256="0" * 64,
            config_json="{}",
            seed=0,
            epochs=2,
            workers=1,
        )
        attempt = ledger.attempt("0000-a")
        for epoch in (1, 2):
            ledger.report("0000-a", attempt, make_row(epoch))
        ledger.project()
    best = folder / "checkpoints" / "0000-a" / "best"
    best.mkdir(parents=True)
    (best / "model.safetensors").write_bytes(bytes(range(256)) * 100)
    (folder / ".ray").mkdir()
    (folder / ".ray" / "scratch").write_text("the driver's own")
    return folder


def contents(folder):
    files = (p for p in folder.rglob("*") if p.is_file() and ".ray" not in p.parts)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.name != "lock"}


def test_a_run_comes_back_from_a_uri_as_it_was(finished, tmp_path):
    store, back = f"file://{tmp_path}/store/first", tmp_path / "back"
    done = copy_run(str(finished), store)
    assert done == copy_run(store, str(back))
    assert contents(back) == contents(finished) == contents(tmp_path / "store/first")
    assert done["bytes"] == sum(map(len, contents(finished).values()))
    assert read_run(back).epochs.equals(read_run(finished).epochs)
    assert (back / "run.json").stat().st_mode & 0o777 == 0o600


def test_what_is_there_is_never_written_over(finished, tmp_path):
    target = f"file://{tmp_path}/store"
    copy_run(str(finished), target)
    before = contents(tmp_path / "store")
    with pytest.raises(LedgerError, match="holds files already; copy to a new place"):
        copy_run(str(finished), target)
    assert contents(tmp_path / "store") == before


@pytest.mark.parametrize("place", ["no/such", "nowhere://bucket/run", "file://relative"])
def test_what_is_no_run_is_refused(tmp_path, place):
    source = place if "://" in place else str(tmp_path / place)
    with pytest.raises(LedgerError, match=r"no run|no place that Arrow can reach"):
        copy_run(source, str(tmp_path / "to"))
    assert not (tmp_path / "to").exists()


def test_a_copy_that_was_cut_off_is_no_run(finished, tmp_path, monkeypatch):
    write, written = copying._write, []

    def fail_late(store, path, data):
        if len(written) == 3:
            raise OSError("connection reset")
        written.append(path)
        write(store, path, data)

    monkeypatch.setattr(copying, "_write", fail_late)
    with pytest.raises(LedgerError, match=r"cannot copy .* connection reset"):
        copy_run(str(finished), f"file://{tmp_path}/store")
    assert written and MANIFEST not in contents(tmp_path / "store")


def test_a_byte_that_changes_on_the_way_is_noticed(finished, tmp_path, monkeypatch):
    write = copying._write

    def flip(store, path, data):
        write(store, path, data if not path.endswith("trials.parquet") else data[:-1] + b"?")

    monkeypatch.setattr(copying, "_write", flip)
    with pytest.raises(LedgerError, match=r"trials\.parquet came out different"):
        copy_run(str(finished), f"file://{tmp_path}/store")


def test_a_link_out_of_the_run_publishes_nothing(finished, tmp_path):
    (tmp_path / "secret").write_text("key")
    (finished / "checkpoints" / "notes").symlink_to(tmp_path / "secret")
    with pytest.raises(LedgerError, match="notes: a link out of the run"):
        copy_run(str(finished), f"file://{tmp_path}/store")
    assert not (tmp_path / "store").exists()
