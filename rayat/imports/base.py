"""What every importer gives, and the ledger that it becomes."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rayat.errors import LedgerError
from rayat.ledger.files import located
from rayat.ledger.provenance import describe_environment
from rayat.ledger.status import Status
from rayat.ledger.writer import Ledger

METRIC = "val_robust_acc"
"""The column that holds robust accuracy, whatever it was measured on (`Imported.measured_on`)."""


@dataclass(frozen=True)
class Imported:
    """One training that was recorded elsewhere.

    Attributes:
        name: becomes the trial's id. arm: the label it is compared under.
        seed: of the training; None where it is not recorded, and becomes a number (`gather`).
        config: what is known of its configuration, as plain values.
        rows: the epochs, keys as in the ledger's `epochs` table; gaps are filled with nulls.
        planned: epochs that it should have had.
        measured_on: `val`, `test` or `unknown`: what its accuracies were measured on.
        shifted: whether its epochs were counted from 0. sorted: whether they stood out of order.
    """

    name: str
    arm: str
    seed: int | None
    config: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    planned: int
    measured_on: str = "unknown"
    shifted: bool = False
    sorted: bool = False


@dataclass(frozen=True)
class Source:
    """Where imported trials come from.

    Attributes:
        kind: the importer. files: every file that was read. skipped: what was not, and why.
        notes: what was read otherwise than it stands there, a sentence without a stop each.
    """

    kind: str
    trials: Sequence[Imported]
    files: Sequence[Path]
    skipped: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def gather(
    kind: str,
    trials: Sequence[Imported],
    files: Sequence[Path],
    skipped: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Source:
    """Return the source that an importer has read, with a number for every unknown seed.

    Trials whose seed is not recorded are numbered within their arm, in the order in which they
    stand, leaving out the seeds that the arm has: with one seed for all, a comparison would take
    the best of them for the arm.
    """
    numbered, taken = [], defaultdict[str, set[int]](set)
    for trial in trials:
        if trial.seed is not None:
            taken[trial.arm].add(trial.seed)
    for trial in trials:
        seed = trial.seed
        if seed is None:
            seed = next(n for n in itertools.count() if n not in taken[trial.arm])
            taken[trial.arm].add(seed)
        numbered.append(replace(trial, seed=seed, config={**trial.config, "seed": seed}))
    unknown = [trial for trial in trials if trial.seed is None]
    said = list(notes)
    if len(unknown) > len({trial.arm for trial in unknown}):
        said.append(
            f"the seeds of {len(unknown)} of {len(trials)} trials are not recorded: the trials of "
            "an arm are numbered from 0 in the order in which they stand, and a comparison pairs "
            "equal numbers"
        )
    return Source(kind, numbered, files, skipped or {}, [*said, *_reading_notes(numbered)])


def _reading_notes(trials: Sequence[Imported]) -> list[str]:
    """Return what is read otherwise than it stands there, or may be meant otherwise.

    Epochs that were counted from 0 or out of order, seconds that look like a clock that runs on,
    and trials of one arm that share a recorded seed.
    """
    notes = []
    for found, what in (
        ([t.name for t in trials if t.shifted], "counted from 0: here epoch 0 is epoch 1"),
        ([t.name for t in trials if t.sorted], "out of order: they are sorted here"),
    ):
        if found:
            names = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            notes.append(f"the epochs of {len(found)} of {len(trials)} trials are {what} ({names})")
    clocks = [_rises([row.get("train_seconds") for row in t.rows]) for t in trials if t.rows[2:]]
    if clocks and all(clocks):
        notes.append(
            "the seconds rise at every epoch of every trial, as a clock that runs on does, and are "
            "read as what each epoch took: if it is a clock, name its column with "
            "--map seconds_cum=COLUMN"
        )
    twice = Counter((trial.arm, trial.seed) for trial in trials)
    for (arm, seed), number in [item for item in twice.items() if item[1] > 1][:1]:
        notes.append(
            f"arm {arm!r} has {number} trials of seed {seed}, of which comparisons show the best "
            "alone: give each its seed (--map seed=COLUMN of a table)"
        )
    return notes


def _rises(values: Sequence[Any]) -> bool:
    """Return whether all values are known and each is above the one before."""
    known = [value for value in values if value is not None and value == value]
    return len(known) == len(values) and all(a < b for a, b in itertools.pairwise(known))


def write(source: Source, root: Path, folder: str | Path, command: Sequence[str]) -> None:
    """Write a ledger folder; every trial has its end, so nothing can go on with it.

    Args:
        root: what the files' names in the provenance are relative to.

    Raises:
        LedgerError: nothing to import, a folder that holds a run, or rows that no ledger takes.
    """
    root, folder = located(root), located(folder)
    if not source.trials:
        why = "; ".join(f"{name}: {reason}" for name, reason in source.skipped.items())
        raise LedgerError(f"{root}: nothing to import{f' ({why})' if why else ''}")
    measured_on = sorted({trial.measured_on for trial in source.trials})
    info: dict[str, Any] = {
        "study": {
            "name": _identifier(f"import-{root.stem}")[:64],
            "description": f"imported by `rayat import {source.kind}`",
            "policy": {"name": "none"},
            "nuisance": [],
            "protocol": "honest" if measured_on == ["val"] else "as-published",
            "stop_collapsed": False,
            "final_eval": False,
            "max_failures": 0,
        },
        "metric": METRIC,
        "data": [],
        "environment": describe_environment(),
        "cluster": None,
        "command": list(command),
        "imported": {
            "from": source.kind,
            "measured_on": measured_on,
            "files": {
                str(path.relative_to(root) if path != root else path.name): hashlib.sha256(
                    path.read_bytes()
                ).hexdigest()
                for path in source.files
            },
            "skipped": dict(source.skipped),
            "notes": list(source.notes),
        },
    }
    ids = _ids([trial.name for trial in source.trials])
    with Ledger.create(folder, info) as ledger:
        for index, (trial_id, trial) in enumerate(zip(ids, source.trials, strict=True)):
            _write_trial(ledger, index, trial_id, trial)


def _write_trial(ledger: Ledger, index: int, trial_id: str, trial: Imported) -> None:
    text = json.dumps(trial.config, sort_keys=True, separators=(",", ":"))
    if trial.seed is None:
        raise LedgerError(f"trial {trial.name!r} has no seed; `gather` numbers those without one")
    other = {key: value for key, value in trial.config.items() if key != "seed"}
    identity = json.dumps([trial.arm, other], sort_keys=True)
    ledger.trial(
        trial_id=trial_id,
        index=index,
        arm=trial.arm,
        config_id=hashlib.sha256(identity.encode()).hexdigest()[:12],
        config_sha256=hashlib.sha256(text.encode()).hexdigest(),
        config_json=text,
        seed=trial.seed,
        epochs=max(trial.planned, len(trial.rows)),
        workers=1,
    )
    attempt = ledger.attempt(trial_id)
    rows = {int(row["epoch"]): row for row in trial.rows}
    last = max(rows)
    for epoch in range(1, last + 1):
        ledger.report(trial_id, attempt, rows.get(epoch, {"epoch": epoch}))
    if last >= trial.planned:
        ledger.end(trial_id, Status.FINISHED)
    else:
        ledger.end(trial_id, Status.STOPPED, f"its record ends at epoch {last} of {trial.planned}")


def _ids(names: Sequence[str]) -> list[str]:
    """Return ids that can name folders; a name that occurs again gets a number."""
    ids: list[str] = []
    for name in names:
        plain = _identifier(name)[:100]
        found, number = plain, 2
        while found in ids:
            found, number = f"{plain}-{number}", number + 1
        ids.append(found)
    return ids


def _identifier(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")
    return plain or "trial"


def arm_label(key: str, value: str) -> str:
    """Return `key=value` as the label of an arm, in which commas and equals signs separate."""
    return f"{key}={re.sub('[,=]+', '-', value)}"
