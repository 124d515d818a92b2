"""A simulated driver, killed at random: nothing is lost, doubled or decided otherwise."""

from __future__ import annotations

import itertools
import signal
import time

import pandas as pd
import pytest

from rayat.bench.kills import CONFIG, POLICY, kill_runs, r2, row
from rayat.bench.timing import QUICK
from rayat.ledger.reader import read_run
from rayat.replay.verify import verify
from rayat.runs.simulated import play


def test_a_simulated_run_pauses_stops_and_finishes(tmp_path):
    play(tmp_path / "run", POLICY, [CONFIG] * 9, 12, row, workers=3)
    run = read_run(tmp_path / "run")
    assert set(run.trials["status"]) == {"finished", "stopped"}
    assert (run.decisions["action"] == "pause").sum() == 9
    assert (run.trials["epochs_run"] > 2).sum() == 3
    assert verify(tmp_path / "run").difference is None


@pytest.mark.slow
def test_kills_change_nothing(tmp_path, size):
    kills = size(12, 30)
    losses = kill_runs(kills, tmp_path)
    print(losses)
    assert losses.kills == kills
    assert str(losses).endswith(
        "rows lost 0, rows doubled 0, decisions changed 0, files unreadable 0"
    )


@pytest.mark.slow
def test_signals_end_a_run_whole_and_change_nothing(tmp_path, size):
    kills = size(16, 500)
    losses = kill_runs(kills, tmp_path, signals=(signal.SIGINT, signal.SIGTERM))
    print(f"SIGINT, SIGTERM: {losses}")
    assert losses.kills == kills
    assert str(losses).endswith(
        "rows lost 0, rows doubled 0, decisions changed 0, files unreadable 0"
    )


@pytest.mark.slow
def test_the_cost_of_many_trials_is_measured():
    rows = r2(QUICK)
    _, seconds, decision, slowest = rows
    assert [row.name for row in rows] == ["R2.a", "R2.b", "R2.c", "R2.d"]
    assert {row.state for row in rows} == {"not judged"}
    assert 0 < decision.value <= decision.context["slowest_of_all_ms"]
    assert 0 < slowest.value <= decision.context["slowest_of_all_ms"]
    assert seconds.context["ms_per_report"] > 0


@pytest.mark.parametrize("jump", [-86_400, 86_400, 2**31])
def test_a_clock_that_jumps_changes_no_decision_and_no_duration(tmp_path, monkeypatch, jump):
    play(tmp_path / "calm", POLICY, [CONFIG] * 6, 12, row)
    real, calls = time.time_ns, itertools.count()
    # The wall clock is set by somebody else while the run lives.
    monkeypatch.setattr(time, "time_ns", lambda: real() + (next(calls) // 20 % 2) * jump * 10**9)
    play(tmp_path / "jumping", POLICY, [CONFIG] * 6, 12, row)
    calm, jumping = (read_run(tmp_path / name) for name in ("calm", "jumping"))
    pd.testing.assert_frame_equal(
        calm.epochs.drop(columns="reported_at"), jumping.epochs.drop(columns="reported_at")
    )
    pd.testing.assert_frame_equal(calm.decisions, jumping.decisions)
    assert (jumping.epochs["seconds_cum"] >= 0).all()
    assert not calm.epochs["reported_at"].equals(jumping.epochs["reported_at"])
