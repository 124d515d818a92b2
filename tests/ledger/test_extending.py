"""A ledger that becomes a larger run's: all or nothing, readable at every moment."""

from __future__ import annotations

import json
import shutil

import pytest

from rayat.errors import LedgerError
from rayat.ledger.info import RUN
from rayat.ledger.log import LOG
from rayat.ledger.publish import MANIFEST
from rayat.ledger.reader import read_run
from rayat.ledger.repair import repair
from rayat.ledger.writer import Ledger

NEW = {
    "arm": "lr.shape=cosine",
    "config_id": "abcdef012345",
    "config_sha256": "11" * 32,
    "config_json": '{"epochs":3,"seed":1}',
    "seed": 1,
    "epochs": 3,
    "workers": 1,
}
LARGER = {"metric": "val_robust_acc", "study": {"name": "tiny", "seeds": [0, 1]}}


def extend(ledger) -> None:
    ledger.extend(LARGER, [{**NEW, "trial_id": f"new-{n}", "index": n} for n in (1, 2)])


def test_an_extension_changes_the_description_and_keeps_every_row(finished):
    before = read_run(finished)
    with Ledger.open(finished) as ledger:
        extend(ledger)
        extended = read_run(finished)
        assert list(extended.trials["trial_id"]) == ["t", "new-1", "new-2"]
        assert extended.info["study"] == LARGER["study"]
        for name in ("schema_version", "created_at"):
            assert extended.info[name] == before.info[name]
    assert extended.epochs.equals(before.epochs) and extended.evals.equals(before.evals)
    with Ledger.open(finished) as ledger:
        assert ledger.unfinished() == ["new-1", "new-2"]
        assert ledger.state.earlier == [before.info]
    assert repair(finished).rebuilt == ()


def test_a_trial_that_no_ledger_takes_leaves_the_run_as_it_was(finished):
    before = read_run(finished).info
    with Ledger.open(finished) as ledger:
        fields = [{**NEW, "trial_id": "new", "index": 1}, {**NEW, "trial_id": "../x", "index": 2}]
        with pytest.raises(LedgerError, match=r"becomes a folder"):
            ledger.extend(LARGER, fields)
        assert ledger.info == before and list(ledger.trials()) == ["t"]
    assert json.loads((finished / RUN).read_text()) == before


@pytest.mark.slow
def test_a_crash_at_any_call_leaves_the_smaller_or_the_larger_run(
    finished, tmp_path, faulty_os, crash
):
    shutil.copytree(finished, tmp_path / "counted")
    with Ledger.open(tmp_path / "counted") as ledger, faulty_os(None) as calls:
        extend(ledger)
    small, seen = read_run(finished), set()
    for at in range(1, calls.calls + 1):
        folder = tmp_path / str(at)
        shutil.copytree(finished, folder)
        ledger = Ledger.open(folder)
        with faulty_os(at), pytest.raises(crash):
            extend(ledger)
        ledger.log.close()
        ledger.lock.release()
        found = read_run(folder)  # as whoever looks at it sees it
        larger = found.info["study"] == LARGER["study"]
        assert len(found.trials) == (3 if larger else 1)
        assert found.epochs.equals(small.epochs)
        with Ledger.open(folder) as again:  # the same command
            seen.add((larger, len(again.trials())))
            assert len(again.trials()) in (1, 3)
            assert again.info == json.loads((folder / RUN).read_text())
            extend(again)
        assert read_run(folder).info["study"] == LARGER["study"]
        assert len(read_run(folder).trials) == 3
    print(f"crashes: {calls.calls} calls of an extension, {calls.calls} runs readable and whole")
    assert {(False, 1), (False, 3), (True, 3)} <= seen, "before, between and after"


def test_another_run_json_than_the_log_ever_held_is_refused(finished):
    with Ledger.open(finished) as ledger:
        extend(ledger)
    held = json.loads((finished / RUN).read_text())
    (finished / RUN).write_text(json.dumps({**held, "study": {"name": "other"}}))
    with pytest.raises(LedgerError, match="changed since the run began"):
        Ledger.open(finished)


def test_repair_of_a_log_that_lost_the_extension_is_the_smaller_run(finished):
    whole = (finished / LOG).read_bytes()
    small = read_run(finished).info
    with Ledger.open(finished) as ledger:
        extend(ledger)
    (finished / LOG).write_bytes(whole)
    (finished / MANIFEST).unlink()
    assert repair(finished).kept is not None
    assert read_run(finished).info == small and len(read_run(finished).trials) == 1
