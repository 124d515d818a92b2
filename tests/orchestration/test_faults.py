"""Workers, drivers and trainers of trials that are killed or hang: the trial goes on, exactly."""

from __future__ import annotations

import re
import signal
from collections import Counter

import pandas as pd
import psutil
import pytest
import ray
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from rayat.api.sweep import run
from rayat.ledger.reader import read_run
from rayat.ledger.schema import EPOCHS
from rayat.ledger.writer import Ledger
from rayat.orchestration.execute import Options
from rayat.orchestration.faults import Fault
from rayat.runs.driver import Observer
from rayat.training.launched import limit_collectives

TIMES = [name for name in EPOCHS.names if "seconds" in name] + ["reported_at", "attempt"]
BASE = {
    "model": {"name": "cnn"},
    "data.train_size": 128,
    "workers": 2,
    "epochs": 25,
    "checkpoint_every": 1,
}
AHEAD = 3
"""Epochs that a dying start may still report: one on its way, one in the queue, one that waits."""
WAIT_S = 10.0
"""Time-out of collectives where a worker hangs: waiting costs no work, and on a busy machine a
worker that is well may be silent for seconds."""
RANK, TRAINER = ("ray::Rank", "GroupTrial"), ("RayTrainWorker", "TrainController", "NestedTrial")
OURS = (*RANK, *TRAINER, "_QueueActor")
"""Words in the titles of the processes that a trial of several workers starts."""

KILL, HANG = signal.SIGKILL, signal.SIGSTOP
VICTIMS = {
    "ranks": (
        [(RANK[0], KILL), (RANK[0], HANG), (RANK[1], KILL)],
        [(RANK[0], KILL)] * 5
        + [(RANK[1], KILL), (RANK[0], HANG)]
        + [(RANK[0], KILL)] * 4
        + [(RANK[1], KILL), (RANK[1], KILL), (RANK[0], HANG)],
    ),
    "trainer": (
        [(TRAINER[1], KILL), (TRAINER[0], HANG), (TRAINER[2], KILL), (TRAINER[0], KILL)],
        [(TRAINER[0], KILL)] * 4
        + [(TRAINER[1], KILL), (TRAINER[0], HANG), (TRAINER[0], KILL), (TRAINER[2], KILL)]
        + [(TRAINER[1], KILL)],
    ),
}
"""Who is killed or stopped in turn: at the size for CI, at that for the long run."""


def processes(*words: str) -> list[psutil.Process]:
    """Return the living descendants of this process whose title holds one of the words."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            title = " ".join(process.cmdline())
            if process.status() != psutil.STATUS_ZOMBIE and any(word in title for word in words):
                found.append(process)
        except psutil.Error:
            continue
    return sorted(found, key=lambda process: process.pid)


def nothing_is_left(cpus: float) -> bool:
    """Return whether all processes, placement groups and CPUs of the trials are given back."""
    groups = [g["state"] for g in ray.util.placement_group_table().values()]
    free = ray.available_resources().get("CPU", 0.0)
    return not processes(*OURS) and set(groups) <= {"REMOVED"} and free == cpus


class Injector(Observer):
    """Sends a signal to a process at the first new epoch of each start, while victims are left.

    Only one a start: after the signal a dying start may still report epochs that were on their way,
    and a second signal then would hit the same start.

    Args:
        victims: words in the title of each process in turn, and the signal that it gets.
    """

    def __init__(self, victims: list[tuple[str, int]]) -> None:
        self.victims = list(victims)
        self.seen: set[tuple[str, int]] = set()
        self.starts: set[str] = set()
        self.hit: list[tuple[str, int]] = []

    def begin(self, driver, concurrency) -> None:
        self.driver = driver

    def changed(self, trial_id: str, what: str) -> None:
        if what != "report":
            return
        epoch = self.driver.ledger.reported(trial_id)
        if (trial_id, epoch) in self.seen:
            return
        self.seen.add((trial_id, epoch))
        start = self.driver._starts[trial_id][0]
        if self.victims and start not in self.starts:
            alive = processes(self.victims[0][0])
            if alive:
                self.starts.add(start)
                # By turns the first and the last: worker 0 and another one.
                process = alive[-1 if len(self.hit) % 2 else 0]
                process.send_signal(self.victims[0][1])
                self.hit.append(self.victims.pop(0))


def table(folder) -> pd.DataFrame:
    epochs = read_run(folder).epochs
    return epochs.drop(columns=TIMES).sort_values(["trial_id", "epoch"]).reset_index(drop=True)


def weights(folder) -> dict:
    (path,) = (folder / "checkpoints").glob("*/last/model.safetensors")
    return load_file(path)


def lost(folder) -> list[dict]:
    with Ledger.open(folder) as ledger:
        return [event["payload"] for event in ledger.events() if event["name"] == "lost"]


@pytest.fixture(scope="module")
def whole(local_ray, tiny, tmp_path_factory, size):
    """Return a study and the folder of a run of it that nothing disturbed.

    It has epochs enough for every victim, though a dying start may report some on its way.
    """
    epochs = 1 + (1 + AHEAD) * max(len(VICTIMS[name][size(0, 1)]) for name in VICTIMS)
    study = tiny(base={**BASE, "epochs": epochs}, stop_collapsed=False, final_eval=False)
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run(study, folder).statuses == {"finished": 1}
    return study, folder


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("launcher", ["ranks", "trainer"])
def test_kills_and_hangs_lose_no_row_double_none_and_change_no_weight(
    local_ray, whole, tmp_path, launcher, size, eventually
):
    study, folder = whole
    victims = VICTIMS[launcher][size(0, 1)]
    observer = Injector(victims)
    # Restarts to spare: where other work takes a core for long, one that is well may be late too.
    options = Options(max_failures=len(victims) + 5, launcher=launcher, collective_timeout=WAIT_S)
    summary = run(study, tmp_path / "hit", options=options, observer=observer)
    before, after = table(folder), table(tmp_path / "hit")
    rows = set(zip(after["trial_id"], after["epoch"], strict=True))
    missing, doubled = len(observer.seen - rows), len(after) - len(rows)
    attempts = read_run(tmp_path / "hit").trials["attempts"].item()
    kinds = Counter(event["kind"] for event in lost(tmp_path / "hit"))
    print(
        f"faults injected {len(observer.hit)}, 1 run by {launcher}, rows lost {missing}, "
        f"rows doubled {doubled}, attempts {attempts}, {dict(kinds)}"
    )
    assert observer.hit == victims
    assert summary.statuses == {"finished": 1}
    assert (missing, doubled) == (0, 0)
    hangs = sum(number == HANG for _, number in victims)
    assert kinds["hung"] >= hangs, "one that hangs is told from one that died"
    late = kinds["hung"] - hangs
    assert kinds.total() - late == len(victims) and attempts == 1 + kinds.total()
    pd.testing.assert_frame_equal(before, after)
    expected, found = weights(folder), weights(tmp_path / "hit")
    assert all(expected[name].equal(found[name]) for name in expected)
    assert eventually(lambda: nothing_is_left(local_ray.cpus)), processes(*OURS)


@pytest.mark.slow
def test_a_trial_whose_workers_hang_too_often_is_lost_with_the_reason(
    local_ray, whole, tmp_path, eventually
):
    study, _ = whole
    observer = Injector([(RANK[0], HANG)])
    options = Options(max_failures=0, collective_timeout=WAIT_S)
    summary = run(study, tmp_path / "run", options=options, observer=observer)
    assert summary.statuses == {"lost": 1}
    reason = read_run(tmp_path / "run").trials["stop_reason"].item()
    assert re.fullmatch("worker [01] did not answer within 10 s", reason)
    assert eventually(lambda: nothing_is_left(local_ray.cpus)), processes(*OURS)


def test_collectives_give_up_after_the_time_out_once_the_workers_have_met(tmp_path):
    dist.init_process_group(
        "gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1
    )
    try:
        group = dist.group.WORLD._get_backend(torch.device("cpu"))
        before = group.options._timeout
        limit_collectives(7)
        assert before.total_seconds() > 600 and group.options._timeout.total_seconds() == 7
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_the_next_trial_gets_the_workers_of_the_one_before(
    local_ray, whole, tiny, tmp_path, eventually
):
    """Three trials of which the second is stopped: all in the processes of the first.

    The third, which comes after one that ended and one that was stopped, is as in the fresh
    processes of the whole run. Then everything is given back.
    """

    class Watch(Observer):
        def begin(self, driver, concurrency):
            self.driver, self.pids = driver, set()

        def changed(self, trial_id, what):
            if what == "report":
                self.pids |= {process.pid for process in processes(*RANK)}
                second = list(self.driver.trials)[1]
                if trial_id == second and self.driver.ledger.reported(trial_id) == 2:
                    self.driver.ledger.end(trial_id, "stopped", "the test stops it here")

    study, folder = whole
    epochs = study.trials()[0].config.epochs
    base = {**BASE, "epochs": epochs}
    several = tiny(base=base, seeds=(1, 2, *study.seeds), stop_collapsed=False, final_eval=False)
    watch = Watch()
    summary = run(several, tmp_path / "run", observer=watch)
    assert summary.statuses == {"stopped": 1, "finished": 2}
    # Two workers and the trial itself.
    assert len(watch.pids) == 3
    reused, fresh = table(tmp_path / "run"), table(folder)
    third = reused[reused["trial_id"].str.endswith("-s0")].reset_index(drop=True)
    assert len(third) == len(fresh) == epochs
    pd.testing.assert_frame_equal(*(each.drop(columns="trial_id") for each in (third, fresh)))
    assert eventually(lambda: nothing_is_left(local_ray.cpus)), processes(*OURS)


def test_of_many_faults_the_one_that_explains_most_is_told():
    cut = Fault.of(0, RuntimeError("[gloo] Connection closed by peer [127.0.0.1]:1"))
    hung = Fault.of(1, RuntimeError("Timed out waiting 2000ms for recv operation to complete"))
    died = Fault.of(2, ray.exceptions.RayActorError())
    raised = Fault.of(3, RuntimeError("out of memory\nmore"))
    assert [f.kind for f in (cut, hung, died, raised)] == ["cut", "hung", "died", "raised"]
    assert raised.text == "worker 3: RuntimeError: out of memory"
    assert Fault.worst([cut, raised]) is raised
    assert Fault.worst([raised, cut, hung]) is hung
    assert Fault.worst([cut, hung, died]) is died
