"""`rayat evaluate`: suites on the checkpoints of a run, and on networks trained elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayat.compare.masking import flagged
from rayat.config import TrialConfig
from rayat.data.base import Prepared, Source
from rayat.data.prepare import prepare
from rayat.errors import ConfigError, LedgerError, nearest
from rayat.ledger.reader import read_run
from rayat.ledger.state import EVAL_KEY
from rayat.ledger.writer import Ledger
from rayat.orchestration.request import CHECKPOINTS, Request
from rayat.training import checkpoints
from rayat.training.checkpoints import Name
from rayat.training.evaluate import evaluate_checkpoint, evaluation_eps
from rayat.training.foreign import check_network, load_network
from rayat.training.journal import forget
from rayat.training.measure import Question, measure
from rayat.training.process import prepare_process

ENDED = ("finished", "stopped", "collapsed", "diverged")
Row = dict[str, Any]
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Place:
    """A trial as the ledger tells it: where its checkpoints lie and what they were trained by."""

    trial_id: str
    folder: Path
    config: TrialConfig
    sha256: str


def place(run: Path, declared: Mapping[Any, Any]) -> Place:
    """Return a trial's place from its row of the trials table (`Ledger.trials`, `Run.trials`).

    Raises:
        ConfigError: this version of rayat does not know a key of the trial's configuration.
    """
    config = TrialConfig.parse(json.loads(declared["config_json"]))
    trial_id = declared["trial_id"]
    return Place(trial_id, run / "checkpoints" / trial_id, config, declared["config_sha256"])


class Evaluator:
    """Measures checkpoints; reads each data set once and checks that it is the run's.

    Args:
        data: what `run.json` says of the data sets. tell: told in one line what is being done.

    Attributes:
        asked: the keys (`EVAL_KEY`) of the rows that the request asked for, so far.
    """

    def __init__(self, request: Request, data: Sequence[dict[str, Any]], tell: Tell) -> None:
        self.request, self.tell = request, tell
        self.asked: set[tuple[Any, ...]] = set()
        self._known = list(data)
        self._prepared: dict[Any, Prepared] = {}

    def rows(self, at: Place, name: Name, held: Iterable[Row]) -> list[Row]:
        """Return all rows of one checkpoint and split, flagged; none if it is not there.

        Args:
            held: the ledger's rows of this checkpoint. Where one of this epoch answers a question
                it is not measured again.

        Raises:
            LedgerError, DataError, ConfigError: the checkpoint, the data or a suite does not do.
        """
        found = checkpoints.load(at.folder, name, at.config, at.sha256)
        if found is None:
            self.tell(f"{at.trial_id} has no checkpoint {name}")
            return []
        request, config = self.request, at.config
        of_now = [
            r for r in held if (r.get("split"), r.get("epoch")) == (request.split, found.epoch)
        ]
        rows = {key(row): row for row in of_now}
        prepare_process(config.threads, request.device)
        prepared = self._data(config)
        size = self._size(config, prepared)
        for suite, eps in request.questions(evaluation_eps(config), config.attack.norm):
            line = f"{at.trial_id} {name} {suite.title} at {eps:g}"
            row_key = (at.trial_id, name, suite.title, request.split, eps, size)
            self.asked.add(row_key)
            if row_key in rows and not request.again:
                self.tell(f"{line}: held")
                continue
            measured = evaluate_checkpoint(
                at.folder,
                name,
                config,
                prepared,
                request.split,
                request.device,
                suite,
                at.sha256,
                eps=eps,
                size=size,
                journal=at.folder,
                tell=_batches(self.tell, line),
            )
            rows[row_key] = {"trial_id": at.trial_id, **measured}
        return flagged(list(rows.values()))

    def _size(self, config: TrialConfig, prepared: Prepared) -> int:
        arrays = prepared.test if self.request.split == "test" else prepared.val
        return min(len(arrays), self.request.size or config.eval.final_size or len(arrays))

    def _data(self, config: TrialConfig) -> Prepared:
        from rayat.orchestration.shared_data import describe, source_key
        from rayat.orchestration.sweep import same_data

        key = source_key(config.data)
        if key not in self._prepared:
            prepared = prepare(config.data)
            same_data(self._known, [describe(prepared)])
            self._prepared[key] = prepared
        return self._prepared[key]


def evaluate_run(
    folder: Path,
    request: Request,
    trial_ids: Sequence[str] = (),
    tell: Tell = lambda line: None,
) -> list[Row]:
    """Evaluate the checkpoints of a run's ended trials; return the rows that were asked for.

    Each checkpoint's rows are durable when it is done. Interrupted and started again, it goes on
    behind the last finished batch.

    Args:
        trial_ids: only these; all that have ended if left out.

    Raises:
        LockedError: a driver is writing the run.
        LedgerError: an unknown trial, one that has not ended, or a damaged checkpoint.
    """
    with Ledger.open(folder) as ledger:
        declared = ledger.trials()
        for trial_id in trial_ids:
            if trial_id not in declared:
                raise LedgerError(
                    f"no trial {trial_id!r} in {folder}{nearest(trial_id, declared)}; "
                    f"`rayat status {folder}` lists them"
                )
            if ledger.status(trial_id) not in ENDED:
                raise LedgerError(
                    f"trial {trial_id} is {ledger.status(trial_id)}: its checkpoints may still "
                    f"change; end it first by `rayat resume {folder}`"
                )
        chosen = trial_ids or [t for t in declared if ledger.status(t) in ENDED]
        evaluator = Evaluator(request, ledger.info["data"], tell)
        for trial_id in chosen:
            at = place(folder, declared[trial_id])
            for name in request.checkpoints:
                held = [
                    row
                    for row in ledger.evaluations()
                    if (row["trial_id"], row["checkpoint"]) == (trial_id, name)
                ]
                for row in evaluator.rows(at, name, held):
                    ledger.evaluation(row)
            forget(at.folder)
        return [row for row in ledger.evaluations() if key(row) in evaluator.asked]


def evaluate_one(checkpoint: Path, request: Request, tell: Tell = lambda line: None) -> list[Row]:
    """Evaluate one checkpoint in its place below a run; its ledger is read and not written.

    Args:
        checkpoint: `RUN/checkpoints/TRIAL/best` or `last`.

    Raises:
        LedgerError: it does not lie in a run, or is damaged.
    """
    checkpoint = checkpoint.absolute()
    name, trial_id = checkpoint.name, checkpoint.parent.name
    if name not in CHECKPOINTS or checkpoint.parents[1].name != "checkpoints":
        raise LedgerError(
            f"{checkpoint} is neither a run nor a checkpoint of one: give RUN or "
            "RUN/checkpoints/TRIAL/best; for a network from elsewhere use --model and --weights"
        )
    run = read_run(checkpoint.parents[2])
    found = run.trials[run.trials["trial_id"] == trial_id].to_dict("records")
    if not found:
        raise LedgerError(
            f"{run.folder} has no trial {trial_id!r}{nearest(trial_id, run.trials['trial_id'])}"
        )
    evaluator = Evaluator(request, run.info["data"], tell)
    at = place(run.folder, found[0])
    rows = evaluator.rows(at, name, [])
    if not rows:
        raise LedgerError(f"no checkpoint {checkpoint}: the trial ended before its first one")
    forget(at.folder)
    return rows


def key(row: Row) -> tuple[Any, ...]:
    """Return what names a row of the evals table."""
    return tuple(row.get(name) for name in EVAL_KEY)


def evaluate_network(
    factory: str,
    weights: Path | None,
    source: Source,
    request: Request,
    seed: int = 0,
    journal: Path | None = None,
    tell: Tell = lambda line: None,
) -> list[Row]:
    """Evaluate a network that rayat did not train (`training.foreign`).

    Args:
        source: of the images. request: with a radius. seed: of the random starts.
        journal: folder of the finished batches; None: an interruption costs everything.

    Raises:
        ConfigError, DataError: the network, its weights or the data do not do.
    """
    model = load_network(factory, weights, request.device)
    prepared = prepare(source)
    check_network(model, prepared, request.device)
    if request.eps is None:
        raise ConfigError("a network that rayat did not train has no radius: give --eps")
    rows = []
    for suite, eps in request.questions(request.eps, "linf"):
        question = Question(
            suite,
            eps,
            size=request.size,
            seed=seed,
            split=request.split,
            device=request.device,
            journal=journal,
            tell=_batches(tell, f"{factory} {suite.title} at {eps:g}"),
        )
        row = {"trial_id": factory, "checkpoint": weights.name if weights else "-", "epoch": None}
        rows.append({**row, **measure(model, prepared, question)})
    return flagged(rows)


def _batches(tell: Tell, line: str) -> Callable[[int, int], object]:
    return lambda done, of: tell(f"{line}: batch {done} of {of}")
