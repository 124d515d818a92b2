"""Several runs as one, for a comparison: tables side by side, arms labelled by run where equal.

Nothing is averaged over runs and nothing is trained: what the runs measured differently keeps its
settings, so that the comparison makes no verdict of it (`measured`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rayat.compare.intervals import UNTIL
from rayat.compare.intervals import shared as shared_looks
from rayat.compare.select import arms, match_arm
from rayat.compare.text import printable
from rayat.errors import StudyError
from rayat.ledger.provenance import machines
from rayat.ledger.reader import Run, require_reports
from rayat.policies.question import AT_END, AT_TARGET, Question

BESIDE = "beside"
"""The key of the description that says of which runs a comparison is."""
CHECKSUM = "cfg.data.checksum"
"""Tells data sets apart that are named alike and are not the same."""


def beside(runs: Sequence[Run], target: float | None = None) -> Run:
    """Return runs as one that `compare` takes; a single one as it is.

    The baseline is that of the first run, and of the target's fixing only what all agree on counts.

    Args:
        target: given at the comparison; then those of the studies may differ.

    Raises:
        LedgerError: a run that holds no report.
        StudyError: runs that cannot stand in one table, with what differs.
    """
    if len(runs) == 1:
        return runs[0]
    for run in runs:
        require_reports(run)
    places = Counter(run.folder.resolve() for run in runs)
    twice = next((run for run in runs if places[run.folder.resolve()] > 1), None)
    if twice is not None:
        raise StudyError(f"{twice.folder} is given twice; name each run once")
    names = labels([run.folder for run in runs])
    _refuse_apart(names, "the metric", [run.info["metric"] for run in runs])
    _refuse_apart(names, "where accuracies come from", [_source(run) for run in runs])
    targets = [run.info["study"].get("target") for run in runs]
    if target is None:
        _refuse_apart(names, "the target", targets, "give one by --target")
    shared = targets[0] if len(set(targets)) == 1 else None
    known = Counter(arm for run in runs for arm in arms(run))
    renamed = [
        {arm: f"run={name},{arm}" if known[arm] > 1 else arm for arm in arms(run)}
        for name, run in zip(names, runs, strict=True)
    ]
    trials = [_trials(*each) for each in zip(names, runs, renamed, strict=True)]
    _tell_data_apart(runs, trials)
    start = 0
    for frame in trials:
        frame["trial_index"] += start
        start = int(frame["trial_index"].max()) + 1
    others = {
        table: joined(
            [_named(name, getattr(run, table)) for name, run in zip(names, runs, strict=True)]
        )
        for table in ("epochs", "decisions", "evals")
    }
    first = runs[0].info
    study = {
        **first["study"],
        "name": " and ".join(dict.fromkeys(str(run.info["study"]["name"]) for run in runs)),
        "baseline": _baseline(runs, renamed),
        "target": shared,
        "nuisance": list(dict.fromkeys(k for r in runs for k in _study(r, "nuisance") or ())),
        "ends": AT_TARGET if AT_TARGET in [Question.of(run.info).ends for run in runs] else AT_END,
        "protocol": "as-published"
        if "as-published" in [_study(run, "protocol") for run in runs]
        else "honest",
    }
    data = [entry for run in runs for entry in run.info.get("data") or ()]
    info = {**first, "study": study, "data": data, BESIDE: _said(names, runs), "origin": {}}
    info.pop("extensions", None)
    info.pop(UNTIL, None)
    info |= shared_looks([run.info for run in runs])
    return Run(runs[0].folder, info, joined(trials), **others)


def labels(folders: Sequence[Path]) -> list[str]:
    """Return a short name for each run: its folder's, with those above where two are alike."""
    if len({folder.resolve() for folder in folders}) < len(folders):
        return [str(folder) for folder in folders]
    depth = 1
    while True:
        names = [
            re.sub("[,=]+", "-", "/".join(folder.resolve().parts[-depth:])) for folder in folders
        ]
        if len(set(names)) == len(names):
            return names
        depth += 1


def _source(run: Run) -> str:
    imported = run.info.get("imported")
    return (
        "trained here" if imported is None else f"imported, measured on {imported['measured_on']}"
    )


def _study(run: Run, name: str) -> Any:
    return run.info["study"].get(name)


def _refuse_apart(
    names: Sequence[str], what: str, values: Sequence[object], cure: str = "compare each by itself"
) -> None:
    """Refuse values that must be equal in all runs."""
    for name, value in zip(names, values, strict=True):
        if value != values[0]:
            raise StudyError(
                f"{what} differs: {'not set' if values[0] is None else values[0]} in "
                f"{printable(names[0])}, {'not set' if value is None else value} in "
                f"{printable(name)}; {cure}"
            )


def _baseline(runs: Sequence[Run], renamed: Sequence[Mapping[str, str]]) -> str:
    """Return the label of the first run's baseline: its study's, else its first arm."""
    fixed = _study(runs[0], "baseline")
    return renamed[0][arms(runs[0])[0] if fixed is None else match_arm(runs[0], str(fixed))]


def _named(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose trials are told apart from those of other runs."""
    return frame.assign(trial_id=[f"{name}:{trial_id}" for trial_id in frame["trial_id"]])


def _trials(name: str, run: Run, renamed: Mapping[str, str]) -> pd.DataFrame:
    frame = _named(name, run.trials.sort_values("trial_index"))
    return frame.assign(arm=[renamed[str(arm)] for arm in frame["arm"]])


def _tell_data_apart(runs: Sequence[Run], trials: Sequence[pd.DataFrame]) -> None:
    """Give trials the checksum of their data as a setting, where one source has several."""
    found = [
        data_of(run.info, list(run.trials.sort_values("trial_index")["config_json"]))
        for run in runs
    ]
    by_source: dict[str, set[str]] = {}
    for each in found:
        for source, entry in each.items():
            by_source.setdefault(source, set()).add(str(entry["checksum"]))
    if all(len(checksums) == 1 for checksums in by_source.values()):
        return
    for each, frame in zip(found, trials, strict=True):
        sources = [source_of(text) for text in frame["config_json"]]
        frame[CHECKSUM] = [
            str(each[source]["checksum"])[:12] if source in each else None for source in sources
        ]


def source_of(config_json: str) -> str:
    """Return a text that names the data source of a configuration with its parameters."""
    return json.dumps(json.loads(config_json).get("data"), sort_keys=True)


def data_of(info: Mapping[str, Any], configs: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return what a run says of each data source; nothing where that cannot be told.

    Args:
        configs: the JSON of its trials' configurations, in their order: `run.json` lists data sets
            in the order in which trials first name them.
    """
    sources = list(dict.fromkeys(map(source_of, configs)))
    held = info.get("data") or []
    return dict(zip(sources, held, strict=True)) if len(sources) == len(held) else {}


def joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return tables below each other; a column that one of them lacks is null there."""
    names = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    return pd.DataFrame({name: _column(name, frames) for name in names})


def _column(name: str, frames: Sequence[pd.DataFrame]) -> Any:
    columns = [frame[name] for frame in frames if name in frame]
    held = [column for column in columns if column.notna().any()] or columns
    kinds = {str(column.dtype) for column in held}
    whole = sum(map(len, held)) == sum(map(len, frames))
    values: list[Any] = []
    for frame in frames:
        values += list(frame[name]) if name in frame else [None] * len(frame)
    if len(kinds) == 1 and (whole or held[0].dtype.kind in "fM"):
        return pd.Series(values, dtype=held[0].dtype)
    if kinds and all(column.dtype.kind in "if" for column in held):
        return pd.Series(values, dtype="float64")
    return pd.Series([None if _null(value) else value for value in values], dtype=object)


def _null(value: Any) -> bool:
    return value is None or value is pd.NaT or (isinstance(value, float) and value != value)


def _said(names: Sequence[str], runs: Sequence[Run]) -> dict[str, Any]:
    """Return what a reader must know of the runs: who they are, and on what they ran."""
    return {
        "runs": {
            name: f"{run.info['study']['name']}, policy {_policy(run)}"
            for name, run in zip(names, runs, strict=True)
        },
        "machines": machines(
            {n: run.info.get("environment") or {} for n, run in zip(names, runs, strict=True)}
        ),
    }


def _policy(run: Run) -> str:
    spec = _study(run, "policy") or {}
    kind = spec.get("name", "none")
    return f"{kind}:{spec['filter']}" if spec.get("filter") else str(kind)
