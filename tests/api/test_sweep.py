"""Whole sweeps on a real local Ray: rows, outcomes, determinism, faults."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from ray import tune
from ray._private.state import actors

from rayat.api.sweep import resume, run
from rayat.errors import DataError, LedgerError, PlacementError
from rayat.evaluation.request import Request
from rayat.evaluation.run import evaluate_run
from rayat.ledger.copying import copy_run
from rayat.ledger.reader import read_run
from rayat.ledger.repair import repair
from rayat.ledger.schema import EPOCHS
from rayat.orchestration.cluster import Where
from rayat.orchestration.execute import Options
from rayat.registry import SUITES
from rayat.replay.curves import read_curves
from rayat.replay.verify import verify
from rayat.report.write import write_report
from rayat.runs.driver import Observer
from rayat.runs.record import Summary
from rayat.study import Study

TIMES = [name for name in EPOCHS.names if "seconds" in name] + ["reported_at"]
ALONE = Options(at_once=1)
"""One process for all trials of a run: what starts it takes longer than all that it trains."""


def epochs_of(folder) -> pd.DataFrame:
    table = read_run(folder).epochs.drop(columns=TIMES)
    return table.sort_values(["trial_id", "epoch"]).reset_index(drop=True)


@dataclass(frozen=True)
class Whole:
    """A run that nothing disturbed, for all tests of the file; they do not write into it.

    Attributes:
        base: of its study. study: of four trials. folder: of the run. summary: what `run` returned.
        left: what lay in the folder after a first start, which failed.
    """

    base: dict[str, object]
    study: Study
    folder: Path
    summary: Summary
    left: list[str]

    @property
    def epochs(self) -> pd.DataFrame:
        """Return its epochs without times and attempts."""
        return epochs_of(self.folder).drop(columns="attempt")


def cut_out(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the rows of a seed, told apart by what two studies call alike."""
    own = table[table["trial_id"].str.endswith(f"-s{seed}")]
    names = own["trial_id"].str.partition("-")[2]
    return own.assign(trial_id=names).reset_index(drop=True)


@pytest.fixture(scope="module")
def whole(local_ray, tiny, tmp_path_factory):
    """One trial at once, all in one process; a relative path, and a start that fails before it."""
    base = {"epochs": 6}
    space = {"lr.shape": tune.grid_search(["constant", "accelat"])}
    study = tiny(base=base, space=space, seeds=(0, 1))
    root = tmp_path_factory.mktemp("whole")
    folder = root / "runs" / "whole"
    folder.mkdir(parents=True)
    (folder / ".ray").write_text("in the way of Ray's own files")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        with pytest.raises(OSError):
            run(study, "runs/whole", options=ALONE)
        left = [path.name for path in folder.iterdir()]
        (folder / ".ray").unlink()
        summary = run(study, "runs/whole", options=ALONE)
    return Whole(base, study, folder, summary, left)


@pytest.mark.slow
def test_a_study_leaves_one_row_per_trial_and_one_per_epoch(whole):
    assert whole.summary.statuses == {"finished": 4}
    result = read_run(whole.folder)
    assert len(result.trials) == 4
    assert len(result.epochs) == 4 * 6
    assert set(result.trials["arm"]) == {"lr.shape=constant", "lr.shape=accelat"}
    for column in ("lr", "val_robust_acc", "train_loss", "fwd_passes", "passes_cum"):
        assert result.epochs[column].notna().all(), column
    assert set(result.evals["checkpoint"]) == {"best", "last"}
    assert len(result.evals) == 8
    assert not list(whole.folder.glob("**/*.pkl")), "a pickle was left on disk"


@pytest.mark.slow
def test_the_same_study_twice_gives_the_same_epochs_in_reused_and_fresh_processes(
    whole, tiny, tmp_path
):
    """The second and the last of four trials in one process, and each in one of its own."""
    study = tiny(base=whole.base, space=whole.study.space, seeds=(1,))
    run(study, tmp_path / "fresh", options=Options(fresh_processes=True))
    fresh = epochs_of(tmp_path / "fresh").drop(columns="attempt")
    pd.testing.assert_frame_equal(cut_out(whole.epochs, 1), cut_out(fresh, 1))


@pytest.mark.slow
def test_relative_paths_and_the_users_folder_are_what_they_say(whole, tmp_path, monkeypatch):
    """Ray reads a relative path as a URI; every public function takes one."""
    assert whole.summary.folder == whole.folder
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    shutil.copytree(whole.folder, "runs/api")
    assert resume("runs/api").folder == tmp_path / "runs" / "api"
    assert run(whole.study, "~/api", observer=AtOnce()).folder == tmp_path / "home" / "api"
    assert read_run("~/api").info["study"] == read_run("runs/api").info["study"]
    assert verify("runs/api").difference is None
    assert repair("runs/api").rebuilt == ()
    assert read_curves("runs/api")[0].rows
    assert copy_run("runs/api", "~/copy")["files"] > 0
    result = read_run("~/copy")
    assert result.info == read_run("runs/api").info
    assert write_report(result, "~/report.html") == tmp_path / "home" / "report.html"
    asked = Request((SUITES.build({"name": "fgsm"}),), size=8)
    rows = evaluate_run("runs/api", asked, [whole.study.trials()[0].trial_id])
    assert {row["checkpoint"] for row in rows} == {"best", "last"}


@pytest.mark.slow
def test_a_start_that_fails_leaves_what_was_there_and_can_be_tried_again(whole):
    assert whole.left == [".ray"]
    assert whole.summary.statuses == {"finished": 4}


def trial_processes() -> set[str]:
    """Return the actors of this Ray that were ever asked for by a sweep: each has its own process.

    Of the cluster's table, where one stands from the moment it is asked for: a process writes its
    name into its log only when it has started.
    """
    return {key for key, actor in actors().items() if "ImplicitFunc" in actor["ActorClassName"]}


@pytest.mark.slow
def test_two_places_take_two_processes_however_short_the_trials(local_ray, tiny, tmp_path):
    before = trial_processes()
    # A trial is over long before a process has started: none may be begun in vain meanwhile.
    study = tiny(base={"epochs": 1, "eval.final_size": 1}, seeds=range(12), final_eval=False)
    summary = run(study, tmp_path / "run")
    assert summary.statuses == {"finished": 12}
    assert len(trial_processes() - before) == 2


@pytest.mark.slow
def test_a_huge_rate_diverges_and_the_study_goes_on(local_ray, tiny, tmp_path):
    study = tiny(
        base={"optimizer": {"name": "sgd", "momentum": 0.0, "nesterov": False}},
        space={"lr.peak": tune.grid_search([1e6, 0.1])},
    )
    summary = run(study, tmp_path / "run", options=ALONE)
    assert summary.statuses == {"diverged": 1, "finished": 1}
    trials = read_run(tmp_path / "run").trials.set_index("arm")
    assert trials.loc["lr.peak=0.1", "status"] == "finished"


class KillOnce(Observer):
    """Kills the process of the first trial that reports, once."""

    def __init__(self) -> None:
        self.killed: list[int] = []

    def begin(self, driver, concurrency) -> None:
        self.driver = driver

    def changed(self, trial_id: str, what: str) -> None:
        if what == "report" and not self.killed:
            start = self.driver._starts[trial_id][0]
            pid = int(start.split(":")[1])
            self.killed.append(pid)
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def one(whole, tiny):
    """The study of the second of the whole run's trials alone, and that trial's epochs."""
    space = {"lr.shape": tune.grid_search(["constant"])}
    study = tiny(base=whole.base, space=space, seeds=(1,))
    (trial,) = study.trials()
    kind = trial.trial_id.partition("-")[2]
    rows = cut_out(whole.epochs, 1)
    return study, rows[rows["trial_id"] == kind].reset_index(drop=True)


@pytest.mark.slow
def test_a_killed_worker_goes_on_from_its_checkpoint(one, tmp_path):
    study, before = one
    observer = KillOnce()
    killed = run(study, tmp_path / "killed", observer=observer)
    assert observer.killed
    assert killed.statuses == {"finished": 1}
    after = epochs_of(tmp_path / "killed")
    assert after["attempt"].max() == 2
    pd.testing.assert_frame_equal(before, cut_out(after, 1).drop(columns="attempt"))


class Interrupt(Observer):
    """Sends one SIGINT to this process at the n-th report, as Ctrl-C does."""

    def __init__(self, at: int) -> None:
        self.left = at

    def changed(self, trial_id: str, what: str) -> None:
        if what == "report":
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_uninterrupted_table(whole, tmp_path):
    """Two trials at once are interrupted; then they go on one after the other."""
    assert threading.current_thread() is threading.main_thread()
    summary = run(whole.study, tmp_path / "cut", observer=Interrupt(at=3))
    assert summary.interrupted
    assert not all(status.is_final for status in summary.statuses)
    again = resume(tmp_path / "cut", options=ALONE)
    assert all(status.is_final for status in again.statuses)
    after = epochs_of(tmp_path / "cut").drop(columns="attempt")
    pd.testing.assert_frame_equal(whole.epochs, after)
    assert len(read_run(tmp_path / "cut").evals) == 8


class AtOnce(Observer):
    """As a user does who sees at the first line that it is the wrong study."""

    def begin(self, driver, at_once):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_run_that_is_interrupted_before_its_first_trial_starts_none(local_ray, tiny, tmp_path):
    summary = run(tiny(seeds=(0, 1)), tmp_path / "run", observer=AtOnce())
    assert summary.interrupted
    assert summary.statuses == {"pending": 2}


@pytest.mark.slow
def test_asha_stops_trials_and_says_why(local_ray, tiny, tmp_path):
    study = tiny(
        base={"epochs": 6},
        space={"lr.peak": tune.grid_search([0.2, 0.1, 0.001, 0.0001, 0.00001, 0.000001])},
        policy={"name": "asha", "grace": 1, "eta": 2},
    )
    summary = run(study, tmp_path / "run", options=ALONE)
    assert summary.statuses.get("stopped", 0) >= 1
    result = read_run(tmp_path / "run")
    stopped = result.trials[result.trials["status"] == "stopped"]
    assert stopped["stop_reason"].str.len().min() > 10
    assert (stopped["epochs_run"] < 6).all()
    assert set(result.decisions[result.decisions["action"] == "stop"]["trial_id"]) == set(
        stopped["trial_id"]
    )


@pytest.mark.slow
def test_first_look_pauses_every_trial_and_resumes_the_best_also_after_an_interrupt(
    local_ray, tiny, tmp_path
):
    peaks = [0.2, 0.1, 0.05, 0.001, 0.0001]
    study = tiny(
        base={"epochs": 4, "data.train_size": 128},
        space={"lr.peak": tune.grid_search(peaks)},
        policy={"name": "accel", "filter": "first-look", "grace": 1},
        final_eval=False,
    )
    summary = run(study, tmp_path / "run", options=ALONE)
    assert summary.statuses == {"finished": 2, "stopped": 3}
    whole = read_run(tmp_path / "run")
    assert sorted(whole.trials["epochs_run"]) == [1, 1, 1, 4, 4]
    assert (whole.decisions["action"] == "pause").sum() == 5
    assert verify(tmp_path / "run").difference is None
    first = run(study, tmp_path / "cut", options=ALONE, observer=Interrupt(at=3))
    assert first.interrupted
    assert set(first.statuses) <= {"pending", "running", "paused"}
    assert resume(tmp_path / "cut", options=ALONE).statuses == summary.statuses
    before, after = epochs_of(tmp_path / "run"), epochs_of(tmp_path / "cut")
    pd.testing.assert_frame_equal(before.drop(columns="attempt"), after.drop(columns="attempt"))


def test_more_gpus_than_there_are_is_refused_before_anything_is_written(tiny, tmp_path):
    study = tiny(base={"gpus_per_worker": 64})
    with pytest.raises(PlacementError, match="needs 1 CPU and 64 GPUs and no node has that"):
        run(study, tmp_path / "run", Where(cpus=2))
    assert not (tmp_path / "run").exists()


def test_missing_data_is_refused_before_anything_is_written(local_ray, tiny, tmp_path):
    study = tiny(base={"data": {"name": "cifar10", "root": str(tmp_path / "nowhere")}})
    with pytest.raises(DataError, match=r"nowhere"):
        run(study, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_folder_with_a_run_is_refused(whole):
    before = sorted(whole.folder.rglob("*"))
    with pytest.raises(LedgerError, match="rayat resume"):
        run(whole.study, whole.folder)
    assert sorted(whole.folder.rglob("*")) == before


class Hang(Observer):
    """Stops the process of the first trial that reports (SIGSTOP), `times` times."""

    def __init__(self, times: int) -> None:
        self.left, self.seen = times, set[str]()

    def begin(self, driver, concurrency) -> None:
        self.driver = driver

    def changed(self, trial_id: str, what: str) -> None:
        if what != "report" or not self.left:
            return
        start = self.driver._starts[trial_id][0]
        if start not in self.seen:
            self.seen.add(start)
            self.left -= 1
            os.kill(int(start.split(":")[1]), signal.SIGSTOP)


@pytest.mark.slow
def test_a_hung_trial_is_started_again_and_then_lost(one, tmp_path):
    """It hangs, goes on and hangs again, more often than it may; run again, it goes through."""
    study, before = one
    folder = tmp_path / "hung"
    options = Options(max_failures=1, trial_timeout=10.0)
    summary = run(study, folder, options=options, observer=Hang(times=2))
    assert summary.statuses == {"lost": 1}
    (reason,) = read_run(folder).trials["stop_reason"]
    assert reason.startswith("timed out: no report for")

    assert resume(folder, retry=["failed"]).statuses == {"finished": 1}
    after = epochs_of(folder)
    assert after["attempt"].max() == 3
    pd.testing.assert_frame_equal(before, cut_out(after, 1).drop(columns="attempt"))
    print("hung trials: 2 SIGSTOP, 1 restarted, 1 lost at its last restart, 0 sweeps held up")
