"""R1, R2: a run that is killed again and again, and what ten thousand trials cost the driver."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from rayat.bench.driver_cost import report as whole_row
from rayat.bench.machine import load
from rayat.bench.rows import Bar, BenchRow
from rayat.bench.timing import Settings
from rayat.errors import LedgerError
from rayat.ledger.reader import read_run
from rayat.policies.base import TrialView
from rayat.registry import POLICIES
from rayat.replay.verify import verify
from rayat.runs.interrupts import EXIT_INTERRUPTED, interruptible
from rayat.runs.simulated import METRIC, play

TRIALS, EPOCHS, WORKERS = 16, 12, 4
POLICY = {"name": "accel", "filter": "first-look", "grace": 2, "patience": 2}
"""A policy that pauses, ranks, forecasts and stops: everything that a kill could disturb."""
CONFIG = {"lr": {"shape": "cosine", "peak": 0.1}}
DECISION_MS = 1.0
"""Bar: CPU time of a decision at 64 trials, in milliseconds."""
PASSES = 5
"""Times that the decisions are timed."""
MEMORY_KB = 60.0
"""Bar: memory of the driver for each trial of 30 epochs."""


@dataclass
class Losses:
    """What kills cost, summed over runs; all but the first two must stay 0."""

    kills: int = 0
    runs: int = 0
    rows_lost: int = 0
    rows_doubled: int = 0
    decisions_changed: int = 0
    files_unreadable: int = 0

    def __str__(self) -> str:
        """Return the line that every torture test prints."""
        return (
            f"faults injected {self.kills}, {self.runs} runs, rows lost {self.rows_lost}, "
            f"rows doubled {self.rows_doubled}, decisions changed {self.decisions_changed}, "
            f"files unreadable {self.files_unreadable}"
        )


def row(number: int, epoch: int) -> dict[str, Any]:
    """Return a made-up report: trials differ in level, peak and fall, and wobble a little."""
    noise = random.Random(f"{number} {epoch}").uniform(-0.01, 0.01)
    peak = 3 + number % 7
    value = 0.2 + 0.01 * number + 0.03 * min(epoch, peak) - 0.02 * max(0, epoch - peak) + noise
    return {METRIC: value, "val_clean_acc": value + 0.3, "train_loss": 1.0, "train_seconds": 1.0}


def _child(folder: str, pipe: Connection) -> None:
    asked: list[bool] = []

    def said(trial_id: str, epoch: int) -> None:
        pipe.send((trial_id, epoch))

    def interrupted() -> bool:
        return bool(asked)

    with interruptible(lambda: asked.append(True)):
        pipe.send(None)
        configs = [CONFIG] * TRIALS
        ended = play(Path(folder), POLICY, configs, EPOCHS, row, WORKERS, said, interrupted)
        # At once, while signals are still heard.
        os._exit(0 if ended else EXIT_INTERRUPTED)


def kill_runs(
    kills: int, folder: Path, seed: int = 0, signals: Sequence[int] = (signal.SIGKILL,)
) -> Losses:
    """Kill a driver `kills` times at random moments, resuming it each time; start new runs as due.

    Every driver is a process of its own; SIGKILL ends it without a word, SIGINT and SIGTERM ask it
    to end. Each finished run is compared with one that was never killed: its epochs, its decisions,
    its verification.

    Args:
        signals: one of them is drawn for each kill.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # Ray is imported once, not by each driver
    draw, losses = random.Random(seed), Losses()
    _drive(context, folder / "whole", None)
    expected = _contents(folder / "whole")
    length = _drive(context, folder / "timed", None)[1]
    while losses.kills < kills:
        losses.runs += 1
        run, acknowledged = folder / f"run{losses.runs}", set[tuple[str, int]]()
        ended = False
        while not ended:
            wait = draw.uniform(0, length) if losses.kills < kills else None
            ended, _ = _drive(context, run, wait, acknowledged, draw.choice(signals))
            losses.kills += not ended
        _judge(run, acknowledged, expected, losses)
    return losses


def _drive(
    context: Any,
    folder: Path,
    wait: float | None,
    acknowledged: set[tuple[str, int]] | None = None,
    number: int = signal.SIGKILL,
) -> tuple[bool, float]:
    """Run one driver, kill it after `wait` seconds; return whether it ended by itself, and when.

    Seconds count from the moment in which the driver listens for signals.

    Raises:
        RuntimeError: it failed, which no kill may bring about.
    """
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(str(folder), theirs), daemon=True)
    process.start()
    theirs.close()
    ours.recv()  # it listens for signals now
    began = time.monotonic()
    deadline = None if wait is None else began + wait
    try:
        while ours.poll(None if deadline is None else max(0.0, deadline - time.monotonic())):
            said = ours.recv()
            if acknowledged is not None:
                acknowledged.add(said)
    except EOFError:
        deadline = None
    if deadline is not None and process.pid is not None:
        os.kill(process.pid, number)
        try:
            while acknowledged is not None and ours.poll(10):
                acknowledged.add(ours.recv())
        except (EOFError, OSError):
            pass
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL, EXIT_INTERRUPTED):
        raise RuntimeError(f"the driver ended with {process.exitcode} in {folder}")
    return bool(process.exitcode == 0), time.monotonic() - began


def _contents(folder: Path) -> tuple[dict[tuple[str, int], float], list[tuple[Any, ...]]]:
    """Return a run's values by trial and epoch, and its decisions; an epoch twice is an error."""
    run = read_run(folder)
    epochs = run.epochs[["trial_id", "epoch", METRIC]].itertuples(index=False, name=None)
    keys = ["trial_id", "epoch", "action", "rule", "sentence", "evidence_json"]
    decisions = run.decisions[keys].itertuples(index=False, name=None)
    return {(str(t), int(e)): float(v) for t, e, v in epochs}, sorted(decisions)


def _judge(
    folder: Path,
    acknowledged: set[tuple[str, int]],
    expected: tuple[Mapping[tuple[str, int], float], list[tuple[Any, ...]]],
    losses: Losses,
) -> None:
    try:
        values, decisions = _contents(folder)
        difference = verify(folder).difference
    except LedgerError:
        losses.files_unreadable += 1
        return
    losses.rows_lost += len(acknowledged - set(values)) + (values != expected[0])
    losses.rows_doubled += len(read_run(folder).epochs) - len(values)
    losses.decisions_changed += len(set(decisions) ^ set(expected[1])) + (difference is not None)


def r1(settings: Settings) -> list[BenchRow]:
    """Kill a simulated driver 100 times."""
    with _scratch() as folder:
        began = time.monotonic()
        losses = kill_runs(settings.pick(100, 4), Path(folder))
        spent = time.monotonic() - began
    wrong = losses.rows_lost + losses.rows_doubled + losses.decisions_changed
    return [
        BenchRow(
            "R1",
            f"rows and decisions lost, doubled or changed by {losses.kills} SIGKILLs of a driver",
            unit="",
            value=float(wrong + losses.files_unreadable),
            rounds=1,
            bar=Bar(0, "<="),
            context={**vars(losses), "seconds": round(spent, 1), "load": load()},
        )
    ]


def r2(settings: Settings) -> list[BenchRow]:
    """Drive trials of 30 epochs through policy and ledger in one process: memory and time.

    And what one decision of the default policy costs.

    The memory of a trial is the slope between a third of the trials and all of them, each in a
    process of its own, so that what every process needs falls out.
    """
    trials, epochs = settings.pick(10_000, 90), settings.pick(30, 3)
    few = _drive_many(trials // 3, epochs)
    many = _drive_many(trials, epochs)
    slope = (many["bytes"] - few["bytes"]) / (trials - trials // 3) / 1000
    shared = {"load": load(), "trials": trials, "epochs": epochs, "policy": "asha"}
    return [
        BenchRow(
            "R2.a",
            f"memory of the driver per trial of {epochs} epochs, {trials:,} trials",
            unit="kB",
            value=slope,
            rounds=1,
            bar=Bar(MEMORY_KB, "<="),
            judged=not settings.quick,
            context={**shared, "total_mb": round(many["bytes"] / 1e6)},
        ),
        BenchRow(
            "R2.b",
            "CPU time of a report with all of them, over that with a third of them",
            value=(many["seconds"] / trials) / (few["seconds"] / (trials // 3)),
            rounds=1,
            bar=Bar(1.5, "<="),
            judged=not settings.quick,
            context={
                **shared,
                "cpu_seconds": round(many["seconds"], 1),
                "ms_per_report": round(1000 * many["seconds"] / trials / epochs, 3),
            },
        ),
        *_decisions(settings),
    ]


def _decisions(settings: Settings) -> list[BenchRow]:
    """Time the default policy's decisions with all trials alive: 64 of them, then 16.

    The slowest is of times that are each the least of several passes: one pass has moments in which
    another process had the processor's caches.
    """
    trials, epochs = settings.pick(64, 16), settings.pick(40, 8)
    passes = [_decide(trials, epochs) for _ in range(PASSES)]
    fewer = _decide(trials // 4, epochs)
    times = [1000 * time for found in passes for time in found]
    least = [1000 * min(found) for found in zip(*passes, strict=True)]
    shared: dict[str, Any] = {"unit": "ms", "bar": Bar(DECISION_MS, "<="), "rounds": PASSES}
    shared |= {"judged": not settings.quick}
    what = f"{trials} trials alive for {epochs} epochs"
    return [
        BenchRow(
            "R2.c",
            f"CPU time of a decision of accel, mean over {what}",
            value=sum(times) / len(times),
            context={
                "load": load(),
                "slowest_of_all_ms": round(max(times), 2),
                f"ms_at_{trials // 4}": round(1000 * sum(fewer) / len(fewer), 3),
            },
            **shared,
        ),
        BenchRow(
            "R2.d",
            f"CPU time of the slowest decision of accel, each the least of {PASSES}, {what}",
            value=max(least),
            context={"load": load()},
            **shared,
        ),
    ]


def _decide(trials: int, epochs: int) -> list[float]:
    """Return the seconds of each decision; trials go on whatever is decided."""
    policy = POLICIES.build("accel").fresh()
    views = [TrialView(f"t{n}", CONFIG, epochs) for n in range(trials)]
    policy.expect(views)
    times = []
    for epoch in range(1, epochs + 1):
        for number, view in enumerate(views):
            began = time.process_time()
            policy.observe(view, epoch, row(number, epoch), METRIC)
            times.append(time.process_time() - began)
    return times


def _many(trials: int, epochs: int, pipe: Connection) -> None:
    before = _resident()
    with _scratch() as folder:
        configs = [CONFIG] * trials
        began = time.process_time()
        play(Path(folder) / "run", {"name": "asha"}, configs, epochs, _plain_row, 64)
        pipe.send({"seconds": time.process_time() - began, "bytes": _resident() - before})


def _plain_row(number: int, epoch: int) -> dict[str, Any]:
    # Equal for all trials: none is stopped, so that every one costs its whole length.
    return whole_row(epoch)


def _drive_many(trials: int, epochs: int) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_many, args=(trials, epochs, theirs))
    process.start()
    theirs.close()
    found: dict[str, float] = ours.recv()
    process.join()
    return found


def _resident() -> int:
    """Return this process' resident memory in bytes."""
    return int(psutil.Process().memory_info().rss)


def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a folder in memory where there is one: flushes then cost nothing."""
    memory = "/dev/shm"
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)
