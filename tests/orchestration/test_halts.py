"""What ends a sweep in order before its trials have ended, and running a broken trial again."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pandas as pd
import pytest
from ray import tune

from rayat.api.sweep import resume, run
from rayat.cli.options import seconds
from rayat.compare.table import compare
from rayat.errors import ConfigError, LedgerError
from rayat.ledger.reader import read_run
from rayat.ledger.schema import EPOCHS
from rayat.ledger.status import Status
from rayat.ledger.writer import Ledger
from rayat.orchestration.execute import Options
from rayat.policies.base import TrialView
from rayat.registry import POLICIES
from rayat.replay.verify import verify
from rayat.runs.driver import Driver, Halts
from rayat.runs.record import run_info
from rayat.runs.resuming import to_retry
from rayat.runs.search import declare
from rayat.training.messages import Failed, Report, parse, to_text


@pytest.fixture
def sweep(tiny, tmp_path):
    """Return a maker of drivers over one ledger of four trials of nine epochs."""
    ledgers = []

    def make(policy="none", **more) -> Driver:
        if not ledgers:
            study = tiny(base={"epochs": 9}, seeds=(0, 1, 2, 3), policy=policy)
            ledgers.append(Ledger.create(tmp_path / "run", run_info(study, [], None, ["test"])))
            for trial in study.trials():
                declare(ledgers[0], trial)
            make.views = [TrialView(t.trial_id, t.config.tree(), 9, t.arm) for t in study.trials()]
            make.policy = POLICIES.build(policy)
        return Driver(ledgers[0], make.policy, make.views, "val_robust_acc", **more)

    yield make
    for ledger in ledgers:
        ledger.close()


def report(epoch: int, value: float = 0.5, start: str = "host:1:a") -> str:
    row = {"epoch": epoch, "train_loss": 1.0, "val_robust_acc": value, "samples": 10}
    return to_text(Report({**row, "fwd_passes": 100}, start, "cpu"))


FAILED = to_text(Failed("OSError: no space", "cpu"))


@pytest.mark.parametrize(
    ("text", "value"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2 d", 172800), (None, None)]
)
def test_a_time_has_its_unit(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["30", "", "m", "0m", "-1h", "1w", "1h30m", "nan s", "1e3s"])
def test_a_time_without_a_unit_or_a_sense_is_refused(text):
    with pytest.raises(ConfigError, match=r"such as 90s, 30m, 1\.5h or 2d"):
        seconds(text)


def test_the_first_failed_trial_ends_the_sweep_and_what_runs_is_unfinished(sweep):
    driver = sweep(halts=Halts(fail_fast=True))
    first, second, third, _ = driver.ready()
    driver.message(first, report(1))
    driver.message(second, FAILED)
    assert (driver.interrupted, driver.halted) == (True, f"trial {second} failed")
    driver.message(third, FAILED)  # it was under way: kept, and the reason stays the first
    driver.leave()
    assert driver.halted == f"trial {second} failed"
    statuses = [driver.ledger.status(trial) for trial in driver.trials]
    assert statuses == ["interrupted", "failed", "failed", "pending"]
    assert sweep().ready() == [first, list(driver.trials)[3]]


def test_without_it_a_failed_trial_ends_nothing(sweep):
    driver = sweep()
    driver.message(driver.ready()[0], FAILED)
    assert (driver.interrupted, driver.halted) == (False, "")


def test_a_budget_ends_the_sweep_at_the_first_report_past_it(sweep):
    now = [0.0]
    driver = sweep(halts=Halts(seconds=1800, clock=lambda: now[0]))
    first, second, *_ = driver.ready()
    now[0] = 1799
    driver.message(first, report(1))
    assert not driver.interrupted
    now[0] = 1800
    driver.message(second, report(1))
    assert driver.interrupted
    driver.leave()
    state = driver.ledger.state.trials[second]
    assert (state.status, state.reason) == ("interrupted", "the time budget of 1800 s is spent")
    assert state.last == 1, "the report that came past the budget counts"


def test_a_budget_that_the_last_report_exceeds_ends_nothing(sweep):
    driver = sweep(halts=Halts(seconds=0))
    for trial in driver.ready()[1:]:
        driver.end(trial, Status.STOPPED)
    (last,) = driver.ready()
    for epoch in range(1, 9):
        driver.ledger.report(last, driver.ledger.attempt(last), parse(report(epoch)).row)
    driver.message(last, report(9, start="host:2:b"))
    assert (driver.ledger.status(last), driver.interrupted) == ("finished", False)


LOOK = {"name": "first-look", "grace": 2, "eta": 2}


@pytest.mark.parametrize("policy", ["none", "asha", "ray:hyperband", LOOK], ids=str)
def test_a_retried_trial_is_an_attempt_more_and_counts_once(sweep, policy):
    driver = sweep(policy)
    ids = list(driver.trials)
    for epoch in (1, 2):
        for trial in ids:
            driver.message(trial, report(epoch, 0.1 * (1 + ids.index(trial)), f"host:{trial}"))
    driver._broke(ids[0], Status.FAILED, "OSError: no space")
    ledger = driver.ledger
    assert to_retry(ledger, ["failed"]) == to_retry(ledger, [ids[0]]) == [ids[0]]
    ledger.retry([ids[0]])
    driver = sweep(policy)
    assert ids[0] in driver.ready()
    for epoch in (2, 3):  # from its checkpoint of epoch 1
        driver.message(ids[0], report(epoch, 0.1, "host:again"))
    state = ledger.state.trials[ids[0]]
    assert (state.status in ("running", "paused", "stopped"), state.attempts) == (True, 2)
    assert [state.held[epoch].attempt for epoch in (1, 2)] == [1, 2]
    rows = list(state.rows())
    assert rows[-1]["passes_cum"] == 100 * len(rows)
    assert verify(ledger.folder).difference is None


def test_only_what_broke_can_be_retried(sweep):
    driver = sweep()
    first, second, *_ = driver.ready()
    with pytest.raises(ConfigError, match=r"no trial of .* failed or was lost"):
        to_retry(driver.ledger, ["failed"])
    driver.message(first, report(1))
    driver.end(first, Status.STOPPED)
    driver.end(second, Status.LOST, "its process died")
    with pytest.raises(ConfigError, match=f"--retry {first}: the trial is stopped"):
        to_retry(driver.ledger, [first])
    with pytest.raises(ConfigError, match="did you mean"):
        to_retry(driver.ledger, [f"{second}x"])
    with pytest.raises(LedgerError, match="is stopped: only one that failed"):
        driver.ledger.retry([first])
    assert to_retry(driver.ledger, ["failed", second]) == [second]


def times_apart(folder) -> pd.DataFrame:
    times = [name for name in EPOCHS.names if "seconds" in name] + ["reported_at", "attempt"]
    table = read_run(folder).epochs.drop(columns=times)
    return table.sort_values(["trial_id", "epoch"]).reset_index(drop=True)


@pytest.mark.slow
def test_a_broken_trial_ends_a_real_run_and_runs_again_also_after_a_kill(local_ray, tiny, tmp_path):
    """Its checkpoints cannot be written; then they can; then the driver that retries is killed."""
    study = tiny(base={"epochs": 60}, space={"lr.shape": tune.grid_search(["constant", "cosine"])})
    first = study.trials()[0].trial_id
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / first).write_text("in the way")
    options = Options(at_once=1, halts=Halts(fail_fast=True))
    summary = run(study, folder, options=options)
    assert summary.statuses == {"failed": 1, "pending": 1}
    assert summary.halted == f"trial {first} failed"
    (folder / "checkpoints" / first).unlink()

    command = [sys.executable, "-m", "rayat.cli", "resume", str(folder), "--retry", "failed"]
    # Not to a pipe, which Ray's last processes hold for some time after the kill.
    with (tmp_path / "said").open("w") as said:
        again = subprocess.Popen([*command, "--concurrency", "1"], stdout=said, stderr=said)
    log, kind = folder / "log" / "000001.rlog", b'"kind":"report"'
    while log.read_bytes().count(kind) < 3:
        with contextlib.suppress(subprocess.TimeoutExpired):
            again.wait(0.1)
            raise AssertionError((tmp_path / "said").read_text())
    again.kill()
    again.wait()

    summary = resume(folder, options=Options(at_once=1, halts=Halts(seconds=0)))
    assert summary.halted == "the time budget of 0 s is spent"
    assert summary.statuses.get("interrupted")
    text = compare(read_run(folder)).render()
    assert "not reached" not in text and "The run is not over" in text, text

    assert resume(folder, options=Options(at_once=1)).statuses == {"finished": 2}
    result = read_run(folder)
    assert len(result.epochs) == 2 * 60
    assert result.trials.set_index("trial_id")["attempts"][first] >= 2
    assert verify(folder).difference is None
    run(study, tmp_path / "whole", options=Options(at_once=1))
    pd.testing.assert_frame_equal(times_apart(folder), times_apart(tmp_path / "whole"))
