"""The suites of a request on one checkpoint after another, each question asked once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.data.identity import describe, same_data, source_key
from rayat.data.prepare import prepare
from rayat.errors import ConfigError, RayatError
from rayat.evaluation.checkpoint import evaluate_checkpoint
from rayat.evaluation.masking import flagged
from rayat.evaluation.request import CHECKPOINTS, Request
from rayat.ledger.state import EVAL_KEY
from rayat.training import checkpoints
from rayat.training.checkpoints import Name
from rayat.training.process import prepare_process
from rayat.training.validate import evaluation_eps

Row = dict[str, Any]
Tell = Callable[[str], object]


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
                    tell=batches(self.tell, line),
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


def key(row: Row) -> tuple[Any, ...]:
    """Return what names a row of the evals table."""
    return tuple(row.get(name) for name in EVAL_KEY)


def batches(tell: Tell, line: str) -> Callable[[int, int], object]:
    """Return what tells each finished batch of one suite, after `line`."""
    return lambda done, of: tell(f"{line}: batch {done} of {of}")
