"""`rayat evaluate RUN`: suites on the checkpoints of a run, or on one checkpoint."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayat.config import TrialConfig
from rayat.errors import LedgerError, nearest, quoted
from rayat.evaluation.evaluator import Evaluator, Row, Tell, key, raised
from rayat.evaluation.journal import forget
from rayat.evaluation.request import CHECKPOINTS, Request
from rayat.ledger.files import checkpoint_folder, located
from rayat.ledger.info import RUN, read_info
from rayat.ledger.writer import Ledger
from rayat.own.parts import adopt
from rayat.training import checkpoints
from rayat.training.checkpoints import Name

Part = tuple[list[Row], set[tuple[Any, ...]], list[str]]
"""Rows, the keys of those that were asked for so far, and what failed so far."""


def evaluate_run(
    folder: str | Path,
    request: Request,
    trial_ids: Sequence[str] = (),
    tell: Tell = lambda line: None,
    workers: int = 1,
    fail: Tell = raised,
) -> list[Row]:
    """Evaluate the checkpoints of a run's ended trials; return the rows that were asked for.

    Each checkpoint's rows are durable when it is done. Interrupted and started again, it goes on
    behind the last finished batch.

    Args:
        trial_ids: only these; all that have ended if left out.
        workers: processes that measure at the same time, each one trial, whose rows are durable
            together; they do not depend on the number.
        fail: told in one line of each suite that failed on a checkpoint.

    Raises:
        LockedError: a driver is writing the run.
        LedgerError: an unknown trial, one that has not ended, or a damaged checkpoint.
    """
    folder = located(folder)
    with Ledger.open(folder) as ledger:
        adopt(folder)
        declared = ledger.trials()
        for trial_id in trial_ids:
            if trial_id not in declared:
                raise LedgerError(
                    f"no trial {trial_id!r} in {folder}{nearest(trial_id, declared)}; "
                    f"`rayat status {quoted(folder)}` lists them"
                )
            if not ledger.status(trial_id).is_measurable:
                raise LedgerError(
                    f"trial {trial_id} is {ledger.status(trial_id)}: its checkpoints may still "
                    f"change; end it first by `rayat resume {quoted(folder)}`"
                )
        chosen = trial_ids or [t for t in declared if ledger.status(t).is_measurable]
        known, held = ledger.info["data"], list(ledger.evaluations())
        tasks = [
            Task(
                request,
                known,
                checkpoint_folder(folder, trial_id),
                declared[trial_id]["config_json"],
                [row for row in held if row["trial_id"] == trial_id],
            )
            for trial_id in chosen
        ]
        asked: set[tuple[Any, ...]] = set()
        broken: dict[str, None] = {}
        for task, name, (rows, keys, failed) in measured(tasks, workers, tell):
            asked |= keys
            broken.update(dict.fromkeys(failed))
            for row in rows:
                ledger.evaluation(row)
            if name == request.checkpoints[-1]:
                forget(task.place)
        for line in broken:
            fail(line)
        found = {key(row): row for row in ledger.evaluations()}
        return [found[name] for name in sorted(asked) if name in found]


@dataclass(frozen=True)
class Task:
    """One trial's checkpoints to measure, in whichever process.

    Attributes:
        known: what `run.json` says of the data sets. place: the trial's folder of checkpoints.
        config: its configuration as JSON. held: the ledger's evaluations of it.
    """

    request: Request
    known: Sequence[dict[str, Any]] | None
    place: Path
    config: str
    held: list[Row]

    def parts(self, tell: Tell) -> Iterator[tuple[Name, Part]]:
        """Yield the rows of each checkpoint, and the keys of those that were asked for so far."""
        evaluator = Evaluator(self.request, self.known, tell)
        adopt(self.place.parents[1], check=False)
        config = TrialConfig.parse(json.loads(self.config))
        for name in self.request.checkpoints:
            rows = evaluator.rows(self.place, name, config, self.held)
            yield name, (rows, evaluator.asked, evaluator.failed)

    def whole(self) -> list[tuple[Name, Part]]:
        """Return all parts, in a process that has nobody to tell."""
        return list(self.parts(lambda line: None))


def measured(tasks: Sequence[Task], workers: int, tell: Tell) -> Iterator[tuple[Task, Name, Part]]:
    """Yield what each checkpoint of each task gave; several processes tell no batches."""
    if workers == 1:
        for task in tasks:
            yield from ((task, name, part) for name, part in task.parts(tell))
        return
    # Spawned: a fork of a process that has used torch's threads may hang.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, initializer=end_with_parent) as pool:
        waiting = {pool.submit(task.whole): task for task in tasks}
        for number, future in enumerate(as_completed(waiting), 1):
            task = waiting[future]
            tell(f"{task.place.name} measured; {number} of {len(tasks)} trials")
            yield from ((task, name, part) for name, part in future.result())


def end_with_parent() -> None:
    """End this process when the one that started it is gone, however that ended.

    A pool's process would go on with its task, minutes of an attack, and write its journal beside
    whoever goes on with it.
    """
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def evaluate_one(
    checkpoint: str | Path,
    request: Request,
    tell: Tell = lambda line: None,
    fail: Tell = raised,
) -> list[Row]:
    """Evaluate one checkpoint where it lies; the ledger of its run, if any, is not written.

    Args:
        checkpoint: a trial's folder `best` or `last`. fail: told of each suite that failed.

    Raises:
        LedgerError: it is damaged, or of a version that did not store the configuration.
    """
    checkpoint = located(checkpoint)
    folder, name = checkpoint.parent, checkpoint.name
    if name not in CHECKPOINTS:
        raise LedgerError(f"a checkpoint's folder is named best or last, got {checkpoint}")
    run = folder.parents[1]
    adopt(run)
    config = checkpoints.configuration(checkpoint)
    known = read_info(run)["data"] if (run / RUN).exists() else None
    evaluator = Evaluator(request, known, tell)
    rows = evaluator.rows(folder, name, config, [])
    for line in evaluator.failed:
        fail(line)
    forget(folder)
    return rows
