"""A driver that searches, then confirms, killed many times: the same rows, points and answer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from rayat.ledger.reader import read_run
from rayat.replay.verify import verify

KILLS = 8, 20
"""In CI, and in the long run."""
TIMES = ("started_at", "ended_at", "reported_at", "attempt", "attempts", "device", "host")


def tables(folder: Path) -> list[pd.DataFrame]:
    """Return what a run holds, without times and attempts."""
    run, found = read_run(folder), []
    for table in (run.trials, run.epochs, run.decisions, run.evals):
        kept = table.drop(columns=[c for c in (*TIMES, "position") if c in table])
        found.append(kept.reset_index(drop=True))
    return found


@pytest.mark.slow
def test_kills_of_a_search_and_its_confirmation_change_nothing(tmp_path, size):
    pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
    import searches

    kills = size(*KILLS)
    done = subprocess.run(
        [sys.executable, searches.__file__, str(tmp_path), str(kills)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] == kills
    assert {"search", "confirm"} <= {re.split("[ -]", word)[0] for word in told["ends"]}, "in both"
    for number, acknowledged in enumerate(told["acknowledged"], 1):
        same(tmp_path / "whole", tmp_path / f"killed-{number}", set(acknowledged))


def same(one: Path, other: Path, acknowledged: set[str]) -> None:
    """Fail unless a driver that was killed has what the other has, and all that it acknowledged."""
    held = set()
    for name in ("search", "confirm"):
        for ours, theirs in zip(tables(one / name), tables(other / name), strict=True):
            assert len(ours) or name == "confirm", "one of each table"
            pd.testing.assert_frame_equal(ours, theirs)
        assert verify(other / name).difference is None
        epochs = read_run(other / name).epochs
        assert not epochs.duplicated(["trial_id", "epoch"]).any()
        rows = epochs[["trial_id", "epoch"]].itertuples(index=False, name=None)
        held |= {f"{name} {trial_id} {epoch}" for trial_id, epoch in rows}
    assert acknowledged <= held, "no acknowledged row is lost"
    for name in ("answer", "confirm/train-with.json"):
        assert (one / name).read_text() == (other / name).read_text()
    assert "Train with this: lr.shape=" in (other / "answer").read_text()
