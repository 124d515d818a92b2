"""`rayat evaluate`: suites on the checkpoints of a run, and on networks trained elsewhere."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rayat.config import TrialConfig
from rayat.data.base import Prepared, Source
from rayat.data.prepare import prepare
from rayat.errors import ConfigError, LedgerError, RayatError, nearest, quoted
from rayat.evaluation.checkpoint import evaluate_checkpoint
from rayat.evaluation.foreign import Guarded, check_network, guest, load_network
from rayat.evaluation.journal import forget
from rayat.evaluation.masking import at_chance, flagged
from rayat.evaluation.measure import Question, measure
from rayat.evaluation.request import CHECKPOINTS, Request
from rayat.ledger.files import checkpoint_folder, located
from rayat.ledger.info import RUN, read_info
from rayat.ledger.state import EVAL_KEY
from rayat.ledger.writer import Ledger
from rayat.own.parts import adopt
from rayat.training import checkpoints
from rayat.training.checkpoints import Name
from rayat.training.process import prepare_process
from rayat.training.validate import evaluation_eps

Row = dict[str, Any]
Tell = Callable[[str], object]
Part = tuple[list[Row], set[tuple[Any, ...]], list[str]]
"""Rows, the keys of those that were asked for so far, and what failed so far."""


def raised(line: str) -> None:
    """Raise what failed: the way of a caller that wants to hear of no other. `ConfigError`."""
    raise ConfigError(line)


def one_line(error: BaseException) -> str:
    """Return the first line of an error, with its kind where that is none of ours."""
    lines = str(error).strip().splitlines() or [""]
    return lines[0] if isinstance(error, RayatError) else f"{type(error).__name__}: {lines[0]}"


class Evaluator:
    """Measures checkpoints; reads each data set once and checks that it is the run's.

    Args:
        data: what `run.json` says of the data sets; None: nothing does. tell: told in one line
            what is being done.

    Attributes:
        asked: the keys (`EVAL_KEY`) of the rows that the request asked for, so far.
        failed: a line for each suite that failed; the others' rows are there all the same.
    """

    def __init__(self, request: Request, data: Sequence[dict[str, Any]] | None, tell: Tell) -> None:
        self.request, self.tell = request, tell
        self.asked: set[tuple[Any, ...]] = set()
        self.failed: list[str] = []
        self._known = data
        self._prepared: dict[Any, Prepared] = {}

    def rows(self, folder: Path, name: Name, config: TrialConfig, held: Iterable[Row]) -> list[Row]:
        """Return all rows of one checkpoint and split, flagged; none if it is not there.

        Args:
            folder: the trial's, named after it. name: of the checkpoint.
            held: the ledger's rows of this trial. Where one of this epoch answers a question it is
                not measured again, also if it is of the other checkpoint and that has the same
                weights.

        Raises:
            LedgerError, DataError: the checkpoint or the data does not do.
        """
        found = checkpoints.load(folder, name, config)
        if found is None:
            self.tell(f"{folder.name} has no checkpoint {name}")
            return []
        request = self.request
        of_now = [
            r for r in held if (r.get("split"), r.get("epoch")) == (request.split, found.epoch)
        ]
        known = {key(row): row for row in of_now}
        rows = {k: row for k, row in known.items() if row["checkpoint"] == name}
        prepare_process(config.threads, request.device)
        prepared = self._data(config)
        size = self._size(config, prepared)
        for suite, eps in request.questions(evaluation_eps(config), config.attack.norm):
            line = f"{folder.name} {name} {suite.title} at {eps:g}"
            row_key = (folder.name, name, suite.title, request.split, eps, size)
            self.asked.add(row_key)
            if row_key in rows and not request.again:
                self.tell(f"{line}: held")
                continue
            twin = None if request.again else _twin(folder, name, config, found, row_key, known)
            if twin is not None:
                self.tell(f"{line}: held of {twin['checkpoint']}, which has the same weights")
                rows[row_key] = {**twin, "checkpoint": name}
                continue
            try:
                suite.sized(eps)
                suite.fits(prepared.shape, len(prepared.classes))
                measured = evaluate_checkpoint(
                    folder,
                    name,
                    config,
                    prepared,
                    request.split,
                    request.device,
                    suite,
                    eps=eps,
                    size=size,
                    journal=folder,
                    tell=_batches(self.tell, line),
                )
            except Exception as error:  # one suite's failure, whatever it is, costs no other's row
                self.failed.append(f"{line} failed: {one_line(error)}")
                continue
            rows[row_key] = {"trial_id": folder.name, **measured}
        return flagged(list(rows.values()))

    def _size(self, config: TrialConfig, prepared: Prepared) -> int:
        arrays = prepared.test if self.request.split == "test" else prepared.val
        return min(len(arrays), self.request.size or config.eval.final_size or len(arrays))

    def _data(self, config: TrialConfig) -> Prepared:
        from rayat.data.identity import describe, same_data, source_key

        key = source_key(config.data)
        if key not in self._prepared:
            prepared = prepare(config.data)
            if self._known is not None:
                same_data(list(self._known), [describe(prepared)])
            self._prepared[key] = prepared
        return self._prepared[key]


def _twin(
    folder: Path,
    name: Name,
    config: TrialConfig,
    found: checkpoints.Checkpoint,
    row_key: tuple[Any, ...],
    known: Mapping[tuple[Any, ...], Row],
) -> Row | None:
    """Return the row that answers a question for another checkpoint with the weights of `found`."""
    for other in (each for each in CHECKPOINTS if each != name):
        row = known.get((row_key[0], other, *row_key[2:]))
        kept = None if row is None else checkpoints.load(folder, other, config)
        if kept is not None and all(
            torch.equal(value, found.model[weight]) for weight, value in kept.model.items()
        ):
            return row
    return None


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


def key(row: Row) -> tuple[Any, ...]:
    """Return what names a row of the evals table."""
    return tuple(row.get(name) for name in EVAL_KEY)


def evaluate_network(
    factory: str,
    weights: str | Path | None,
    source: Source,
    request: Request,
    seed: int = 0,
    journal: str | Path | None = None,
    tell: Tell = lambda line: None,
    fail: Tell = raised,
    weights_key: str | None = None,
) -> list[Row]:
    """Evaluate a network that rayat did not train (`training.foreign`).

    Args:
        source: of the images. request: with a radius. seed: of the random starts.
        journal: folder of the finished batches; None: an interruption costs everything.
        fail: told in one line of each suite that failed; the rows of the others are returned.
        weights_key: of the weights in their file (`training.weights_file`).

    Raises:
        ConfigError, DataError: the network, its weights or the data do not do.
    """
    weights = None if weights is None else located(weights)
    journal = None if journal is None else located(journal)
    if not request.eps:
        raise ConfigError("a network that rayat did not train has no radius: give --eps")
    questions = request.questions(request.eps[0], "linf")
    with guest():
        net = load_network(factory, weights, request.device, weights_key, tell)
        prepared = prepare(source)
        for note in prepared.notes:
            tell(f"warning: {note}")
        for suite, eps in questions:
            suite.sized(eps)
            suite.fits(prepared.shape, len(prepared.classes))
        model = Guarded(net, len(prepared.classes))
        gradients = any(suite.kind != "square" for suite, _ in questions)
        looked = check_network(model, prepared, request.device, request.split, gradients)
        rows: list[Row] = []
        for suite, eps in questions:
            line = f"{factory} {suite.title} at {eps:g}"
            question = Question(
                suite,
                eps,
                size=request.size,
                seed=seed,
                split=request.split,
                device=request.device,
                journal=journal,
                tell=_batches(tell, line),
            )
            name = weights.name if weights else "-"
            row = {"trial_id": factory, "checkpoint": name, "epoch": None}
            try:
                measured_row = {**row, **measure(model, prepared, question)}
                rows.append(at_chance(measured_row, len(prepared.classes)))
            except Exception as error:
                fail(f"{line} failed: {one_line(error)}")
    if rows:
        rows[0]["fwd_passes"] += looked  # the checks' passes; the first row's are theirs too
    return flagged(rows)


def _batches(tell: Tell, line: str) -> Callable[[int, int], object]:
    return lambda done, of: tell(f"{line}: batch {done} of {of}")
