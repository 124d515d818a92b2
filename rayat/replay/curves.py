"""Recorded learning curves: a finished run's, or those of any Parquet file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from rayat.collapse import RULE, rule_of
from rayat.errors import LedgerError, nearest
from rayat.ledger.files import located
from rayat.ledger.info import RUN
from rayat.ledger.reader import Run, read_run
from rayat.ledger.state import PASSES
from rayat.ledger.status import Status
from rayat.policies.base import TrialView
from rayat.policies.probe import PROBED
from rayat.registry import SHAPES

Array = NDArray[np.float64]

METRIC = "val_robust_acc"
"""The key under which a recorded robust accuracy is reported to policies."""
KNOWN = {
    "trial": ("trial_id", "trial", "run", "config_id"),
    "epoch": ("epoch",),
    "seconds": ("seconds", "train_seconds"),
    "seconds_cum": ("seconds_cum",),
    "lr": ("lr_now", "lr"),
    "clean_acc": ("clean_acc", "val_clean_acc"),
    "robust_acc": ("robust_acc", "val_robust_acc"),
    "truth": ("test_robust_acc",),
    "lr_shape": ("lr_shape", "lr_schedule"),
}
"""Columns that are recognised, the first that holds a value counts.

`seconds` is what an epoch took, `seconds_cum` a clock that runs on through a trial; one is needed.
"""
FIRST = 1000
"""How many times longer than any later one a first epoch by a clock may be: loading is slow."""
CLOCK, CLOCK_COLUMN = "seconds_cum", "seconds of each epoch"
NEEDED = ("trial", "epoch", "seconds", "robust_acc")
SIGNS = ("train_robust_acc", "rollback_epoch", PROBED)
"""Columns of a record that a collapse or a probe is told by, beside robust accuracy."""
SMOOTH = 3
"""Epochs of the centred mean that stands for the truth where none was measured apart."""


@dataclass(frozen=True)
class Curve:
    """One trial as it was trained to its recorded end.

    Attributes:
        view: what a policy may know of it.
        rows: the report of each epoch, as a policy sees it.
        robust: robust accuracy per epoch, a fraction; -inf where it was not measured.
        seconds: cost per epoch.
        truth: robust accuracy per epoch that no policy sees; NaN where unknown.
        stop_collapsed: whether its run ended trials that collapsed.
        collapse_rule: by which version of the rule.
    """

    view: TrialView
    rows: tuple[Mapping[str, Any], ...]
    robust: Array
    seconds: Array
    truth: Array
    stop_collapsed: bool = True
    collapse_rule: int = RULE

    def best(self, epochs: int) -> int:
        """Return the index of the best observed epoch among the first `epochs`."""
        return int(np.argmax(self.robust[:epochs]))


def read_curves(path: str | Path, columns: Mapping[str, str] | None = None) -> list[Curve]:
    """Read the curves of a run's folder or of a Parquet file, in the order in which they stand.

    Args:
        path: a run's folder, or a file with one row per trial and epoch.
        columns: for a file, names of columns by role (`KNOWN`'s keys), where not recognised.

    Raises:
        LedgerError: nothing to read there, a column that is missing, or a trial without accuracies.
    """
    path = located(path)
    if path.is_dir() or (path / RUN).exists():
        return run_curves(read_run(path))
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError:
        raise LedgerError(
            f"{path}: no such file or run; give a run's folder or a Parquet file"
        ) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise LedgerError(f"{path}: not a readable Parquet file ({error})") from None
    return table_curves(table, columns or {}, str(path))


def table_curves(table: pd.DataFrame, columns: Mapping[str, str], name: str) -> list[Curve]:
    """Return the curves of a table with one row per trial and epoch; see `read_curves`."""
    table, roles = with_seconds(table, column_roles(table, columns, name), name)
    curves = []
    for trial_id, part in table.groupby(roles["trial"], sort=False):
        rows = part.sort_values(roles["epoch"])
        curves.append(_curve(str(trial_id), rows, roles, name))
    if not curves:
        raise LedgerError(f"{name}: holds no curves")
    return curves


def column_roles(table: pd.DataFrame, columns: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the table's columns by role: those named in `columns`, then those recognised.

    Raises:
        LedgerError: an unknown role, or a column that is missing; the text says what there is.
    """
    for role, column in columns.items():
        if role not in KNOWN:
            raise LedgerError(
                f"unknown role {role!r}{nearest(role, KNOWN)}; known: {', '.join(KNOWN)}"
            )
        if column not in table:
            raise LedgerError(f"{name}: has no column {column!r}{nearest(column, table.columns)}")
    roles = dict(columns)
    for role, names in KNOWN.items():
        found = [n for n in names if n in table and table[n].notna().any()]
        if role not in roles and found and not (role == "seconds" and CLOCK in columns):
            roles[role] = found[0]
    missing = [
        role for role in NEEDED if role not in roles and not (role == "seconds" and CLOCK in roles)
    ]
    if missing:
        role = missing[0]
        raise LedgerError(
            f"{name}: no column for {role} (looked for {', '.join(KNOWN[role])}); "
            f"name it with --map {role}=COLUMN; there are {', '.join(map(str, table.columns))}"
        )
    return roles


def with_seconds(
    table: pd.DataFrame, roles: Mapping[str, str], name: str
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return a table and its roles with what each epoch took, made from a clock if need be.

    Args:
        roles: columns by role; where `seconds` is among them nothing is made.

    Raises:
        LedgerError: a clock that runs backwards within a trial, or holds text.
    """
    if "seconds" in roles or CLOCK not in roles:
        return table, dict(roles)
    clock = pd.to_numeric(table[roles[CLOCK]], errors="coerce").astype(float)
    text = table[roles[CLOCK]][clock.isna() & table[roles[CLOCK]].notna()]
    if len(text):
        raise LedgerError(
            f"{name}: column {roles[CLOCK]!r} holds {str(text.iloc[0])!r}, which is no number; "
            "leave the cell empty where no time was taken"
        )
    took = pd.Series(np.nan, index=table.index)
    ordered = table.assign(**{CLOCK_COLUMN: clock}).sort_values(roles["epoch"], kind="stable")
    for trial, part in ordered.groupby(roles["trial"], sort=False):
        known = part[CLOCK_COLUMN].dropna()
        steps = np.diff(known.to_numpy(), prepend=0.0)
        if len(steps) > 2 and steps[0] > FIRST * max(steps[1:].max(), 1e-9):
            raise LedgerError(
                f"{name}: column {roles[CLOCK]!r} of trial {trial!r} begins at {steps[0]:g} and "
                f"then takes at most {steps[1:].max():g} an epoch, as a clock that was not started "
                "with the trial: subtract its start, or give what each epoch took with "
                "--map seconds=COLUMN"
            )
        if (steps < 0).any():
            epoch = part.loc[known.index[int(np.argmax(steps < 0))], roles["epoch"]]
            raise LedgerError(
                f"{name}: column {roles[CLOCK]!r} of trial {trial!r} falls at epoch {epoch}; a "
                "clock runs on: give what each epoch took with --map seconds=COLUMN"
            )
        took[known.index] = steps
    return table.assign(**{CLOCK_COLUMN: took}), {**roles, "seconds": CLOCK_COLUMN}


def _curve(trial_id: str, part: pd.DataFrame, roles: Mapping[str, str], name: str) -> Curve:
    epochs = part[roles["epoch"]].to_numpy(int)
    if len(set(epochs.tolist())) < len(epochs):
        raise LedgerError(
            f"{name}: trial {trial_id!r} has an epoch twice; give one row per trial and epoch"
        )
    # Counting may start at 0; epochs that were not recorded cost nothing and report nothing.
    at = epochs - min(1, int(epochs[0]))
    length = int(at[-1]) + 1

    def column(role: str) -> Array:
        values = np.full(length, np.nan)
        if role in roles:
            values[at] = part[roles[role]].to_numpy(float)
        return values

    robust, seconds = column("robust_acc"), np.nan_to_num(column("seconds"))
    rates = _filled(column("lr"))
    shape = str(part[roles["lr_shape"]].iloc[0]) if "lr_shape" in roles else ""
    config: dict[str, Any] = {}
    known = None if rates is None else tuple(rates.tolist())
    if rates is not None and shape in SHAPES.names() and SHAPES.get(shape).feedback:
        # Its future was not known in advance: a policy gets the rule in place of the rates.
        config, known = {"lr": {"shape": shape, **_rule(rates)}}, None
    truth = column("truth") if "truth" in roles else smooth(robust)
    view = TrialView(trial_id, config, length, rates=known)
    signs = _signs(part, at.tolist(), length)
    return build(view, robust, column("clean_acc"), seconds, truth, rates, name, signs)


def _rule(rates: Array) -> dict[str, Any]:
    """Return AccelAT's parameters as far as a record shows them: the peak, the cut, the quiet."""
    ratios = rates[1:] / np.maximum(rates[:-1], 1e-12)
    cuts = np.flatnonzero(ratios < 1 - 1e-6)
    rule: dict[str, Any] = {"peak": float(rates.max())}
    if len(cuts):
        rule["factor"] = float(np.clip(np.median(ratios[cuts]), 0.01, 0.99))
    if len(cuts) > 1:
        rule["quiet"] = rule["window"] = int(np.diff(cuts).min())
    return rule


def build(
    view: TrialView,
    robust: Array,
    clean: Array,
    seconds: Array,
    truth: Array,
    rates: Array | None,
    name: str,
    signs: Sequence[Mapping[str, Any]] = (),
    stop_collapsed: bool = True,
    collapse_rule: int = RULE,
) -> Curve:
    """Return a curve from its columns; NaN is what was not measured.

    Args:
        signs: per epoch what else shows how a trial fares (`_signs`).
    """
    if not np.isfinite(robust).any():
        raise LedgerError(f"{name}: trial {view.trial_id!r} has no robust accuracy at all")
    rows = tuple(
        {
            "epoch": epoch,
            METRIC: _plain(robust[epoch - 1]),
            "val_clean_acc": _plain(clean[epoch - 1]),
            "lr": None if rates is None else float(rates[epoch - 1]),
            **(signs[epoch - 1] if signs else {}),
        }
        for epoch in range(1, len(robust) + 1)
    )
    seen = np.where(np.isfinite(robust), robust, -np.inf)
    return Curve(view, rows, seen, seconds, truth, stop_collapsed, collapse_rule)


def _signs(
    part: pd.DataFrame, at: Iterable[int], length: int, names: Iterable[str] = SIGNS
) -> list[dict[str, Any]]:
    """Return per epoch what a report says beside accuracies; nothing where none was recorded.

    Args:
        part: a trial's rows in the order of their epochs. at: each row's place among the epochs.
        names: columns that are told where they are recorded; default: what shows a collapse.
    """
    at = list(at)
    signs: list[dict[str, Any]] = [{} for _ in range(length)]
    for name in names:
        if name in part:
            for place, value in zip(at, part[name], strict=True):
                if pd.notna(value):
                    signs[place][name] = float(value)
    return signs


def run_curves(run: Run) -> list[Curve]:
    """Return the curves of a run's trials with a value, in their order; see `read_curves`."""
    folder = run.folder
    metric = run.info.get("metric", METRIC)
    stop_collapsed = bool(run.info["study"].get("stop_collapsed", True))
    collapse = stop_collapsed, rule_of(run.info)
    reports = dict(list(run.epochs.groupby("trial_id", sort=False)))
    curves = []
    for trial in run.trials.sort_values("trial_index").to_dict("records"):
        part = reports.get(trial["trial_id"])
        if part is None or not part[metric].notna().any():
            continue
        part = part.sort_values("epoch")
        robust = part[metric].to_numpy(float)
        seconds = np.diff(part["seconds_cum"].to_numpy(float), prepend=0.0)
        planned = max(int(trial["epochs_planned"] or 0), len(part))
        clean, rates = part["val_clean_acc"].to_numpy(float), _filled(part["lr"].to_numpy(float))
        config, known = json.loads(trial["config_json"]), None
        if "lr" not in config and rates is not None:
            # Imported: its schedule is known as it was recorded; the rest of it as it ended.
            known = (*rates.tolist(), *[float(rates[-1])] * (planned - len(rates)))
        view = TrialView(trial["trial_id"], config, planned, trial["arm"] or "", known)
        signs = _signs(part, range(len(part)), len(part), SIGNS * (metric == METRIC) + PASSES)
        if Status(trial["status"]) is Status.DIVERGED:
            # The tables hold no figure of it: what is not finite is null there.
            signs[-1]["outcome"] = Status.DIVERGED
        truth = smooth(robust)
        curves.append(
            build(view, robust, clean, seconds, truth, rates, str(folder), signs, *collapse)
        )
    if not curves:
        raise LedgerError(f"{folder} holds no trial with a value of {metric}; nothing to replay")
    return curves


def smooth(values: Array) -> Array:
    """Return the centred mean over three epochs; fewer at the ends and where values are missing."""
    padded = np.concatenate([[np.nan], values, [np.nan]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, SMOOTH)
    counts = np.isfinite(windows).sum(axis=1)
    sums = np.nan_to_num(windows).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _filled(rates: Array) -> Array | None:
    """Return the rates with gaps filled from before (the first from after), None without any."""
    series = pd.Series(rates).ffill().bfill()
    return None if series.isna().any() else np.asarray(series, np.float64)


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
