"""A table of learning curves, CSV or Parquet, one row per trial and epoch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rayat.errors import LedgerError, nearest
from rayat.imports.base import Imported, Source, arm_label, gather
from rayat.imports.cells import read_csv
from rayat.ledger.files import located
from rayat.replay.curves import KNOWN, column_roles, with_seconds

KIND = "table"
LARGEST = {"epoch": 10**6, "seed": 2**53}
"""More epochs are steps or a time; larger whole numbers are not told apart in a table of floats."""
EXTRA = {
    "arm": ("arm",),
    "seed": ("seed",),
    "train_loss": ("train_loss",),
    "train_robust_acc": ("train_robust_acc",),
}
"""Roles of columns that a replay does not ask for."""
ROWS = {
    "seconds": "train_seconds",
    "lr": "lr",
    "clean_acc": "val_clean_acc",
    "robust_acc": "val_robust_acc",
    "train_loss": "train_loss",
    "train_robust_acc": "train_robust_acc",
}
"""The ledger's column of each role."""
ACCURACIES = ("robust_acc", "clean_acc", "train_robust_acc")
"""Roles whose values are fractions; a ledger never holds percents."""


def read(path: str | Path, columns: Mapping[str, str], percent: bool = False) -> Source:
    """Read a table; `columns` names columns by role where they are not recognised.

    Args:
        percent: its accuracies are percents, and are divided by 100.

    Raises:
        LedgerError: no such file, not a table, a column that is missing.
    """
    path = located(path)
    try:
        table = read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except FileNotFoundError:
        raise LedgerError(f"{path}: no such file; give a CSV or Parquet file") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise LedgerError(f"{path}: not a readable CSV or Parquet file ({error})") from None
    found, notes = trials(table, columns, str(path), percent=percent)
    return gather(KIND, found, [path], notes=notes)


def trials(
    table: pd.DataFrame,
    columns: Mapping[str, str],
    name: str,
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    arms: Mapping[str, str] | None = None,
    percent: bool = False,
    first: int | None = None,
) -> tuple[list[Imported], list[str]]:
    """Return the trials of a table in the order in which they stand, and what was left out.

    Args:
        columns: columns by role; `replay.curves.KNOWN` and `EXTRA` say which are recognised.
        name: of the table, for errors.
        configs, arms: by trial, where they are known from elsewhere.
        percent: accuracies are percents, with or without the sign, and are divided by 100.
        first: what the first epoch is called, 0 or 1; None: `counts_from` of this table.

    Raises:
        LedgerError: a column that is missing, an epoch twice, accuracies outside [0, 1], text
            in place of numbers, a row without a trial, a trial with two arms or seeds.
    """
    if table.empty:
        raise LedgerError(f"{name}: holds no rows; give a table with one row per trial and epoch")
    extra = {role: column for role, column in columns.items() if role in EXTRA}
    for role, column in extra.items():
        if column not in table:
            raise LedgerError(
                f"{name}: no column {column!r} for {role}{nearest(column, table.columns)}"
            )
    for role, known in EXTRA.items():
        found = [column for column in known if column in table]
        if role not in extra and found:
            extra[role] = found[0]
    plain = {role: column for role, column in columns.items() if role not in EXTRA}
    roles = {**column_roles(table, plain, name), **extra}
    if percent:
        if first is None:
            for reason in fractions(table, roles).values():
                raise LedgerError(f"{name}: {reason}")
        for column in dict.fromkeys(roles[role] for role in ACCURACIES if role in roles):
            table = table.assign(**{column: _of_percents(table[column], name)})
    for role in ("epoch", *[role for role in ROWS if role in roles]):
        table = table.assign(**{roles[role]: _numbers(table[roles[role]], name)})
    for role in (role for role in ACCURACIES if role in roles):
        _fractions(table[roles[role]], name)
    _whole(table, roles, name)
    table, roles = with_seconds(table, roles, name)
    _durations(table[roles["seconds"]], name)
    used = {*roles.values()}
    shift = 1 - (counts_from(table[roles["epoch"]]) if first is None else first)
    result, changing, leaps = [], dict[str, None](), list[str]()
    for trial, part in table.groupby(roles["trial"], sort=False):
        rising = part[roles["epoch"]].is_monotonic_increasing
        part = part.sort_values(roles["epoch"])
        epochs = part[roles["epoch"]].to_numpy(int)
        if len(set(epochs.tolist())) < len(epochs):
            raise LedgerError(f"{name}: trial {trial!r} has an epoch twice; give one row per epoch")
        one = {
            role: _one(part[roles[role]], role, str(trial), name)
            for role in ("arm", "seed")
            if role in roles
        }
        rows = [
            {"epoch": int(epoch) + shift}
            | {key: _plain(row[roles[role]]) for role, key in ROWS.items() if role in roles}
            for epoch, (_, row) in zip(epochs, part.iterrows(), strict=True)
        ]
        for column in dict.fromkeys(roles[r] for r in ACCURACIES if percent and r in roles):
            leap = _leap(part[column])
            if leap:
                leaps.append(f"{column!r} of {trial!r} from {leap[0]:.2%} to {leap[1]:.1%}")
        others = [column for column in map(str, table.columns) if column not in used]
        steady = [column for column in others if part[column].nunique(dropna=False) == 1]
        given = (configs or {}).get(str(trial))
        if given is None:
            changing.update(dict.fromkeys(column for column in others if column not in steady))
        constant = given or {column: _plain(part[column].iloc[0]) for column in steady}
        seed, arm = one.get("seed"), one.get("arm")
        result.append(
            Imported(
                name=str(trial),
                arm=str(arm or (arms or {}).get(str(trial)) or arm_label("trial", str(trial))),
                seed=None if seed is None else int(seed),
                config={"imported": constant},
                rows=rows,
                planned=len(rows) and int(rows[-1]["epoch"]),
                shifted=shift > 0,
                sorted=not rising,
            )
        )
    notes = []
    if changing:
        notes.append(
            f"columns that change within a trial are no part of its configuration and are left "
            f"out: {', '.join(changing)}"
        )
    if leaps:
        more = f" and {len(leaps) - 1} more" if len(leaps) > 1 else ""
        notes.append(
            f"accuracies leap within one epoch ({leaps[0]}{more}): if the lower one is a fraction "
            "of 0..1 among percents, it was divided by 100 here; give all in one unit"
        )
    return result, notes


def _one(values: pd.Series[Any], role: str, trial: str, name: str) -> Any:
    """Return the one value that a trial's rows have, None where every cell is empty."""
    found = values.dropna().unique().tolist()
    if len(found) > 1:
        raise LedgerError(
            f"{name}: trial {trial!r} has {role}s {found[0]!r} and {found[1]!r} in column "
            f"{values.name!r}; a trial has one {role}: name the column that tells trials apart "
            "with --map trial=COLUMN"
        )
    return found[0] if found else None


def _numbers(values: pd.Series[Any], name: str) -> pd.Series[Any]:
    """Return a column as numbers, what is empty as NaN; refuse text, naming the first."""
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = values[numbers.isna() & values.notna()]
    if len(wrong):
        text = str(wrong.iloc[0])
        cure = (
            "give --percent where accuracies are percents"
            if text.strip().endswith("%")
            else "leave the cell empty where nothing was measured"
        )
        raise LedgerError(
            f"{name}: column {values.name!r} holds {text!r} in row {wrong.index[0] + 1}, which is "
            f"no number; {cure}"
        )
    return numbers.astype(float)


def _of_percents(values: pd.Series[Any], name: str) -> pd.Series[Any]:
    """Return percents such as 43.1 or `43.1%` as fractions; refuse what is none."""
    numbers = _numbers(values.map(_bare), name)
    wrong = numbers[numbers.notna() & ~numbers.between(0, 100)]
    if len(wrong):
        raise LedgerError(
            f"{name}: column {values.name!r} has {wrong.iloc[0]:g} in row {wrong.index[0] + 1}, "
            "percents are numbers of 0..100: look at how it was measured"
        )
    return numbers / 100


def _bare(value: Any) -> Any:
    return value.strip().removesuffix("%") if isinstance(value, str) else value


def fractions(table: pd.DataFrame, roles: Mapping[str, str]) -> dict[str | None, str]:
    """Return what of a table that is said to hold percents looks like fractions of 0..1, and why.

    Divided by 100 these would be wrong. Looked at are all accuracies together, each column over
    all trials, and each trial over all its columns: a single low column of a trial is what a
    collapse looks like.

    Returns:
        The reason by trial; the key None where it holds for more than single trials.
    """
    columns = list(dict.fromkeys(roles[role] for role in ACCURACIES if role in roles))
    for name in columns:
        signed = table[name].dropna().map(_is_signed)
        if signed.any() and not signed.all():
            lacking = table.loc[signed.index[~signed][0], name]
            return {
                None: f"column {name!r} has values with a % sign and {str(lacking)!r} without "
                "one: write all of them in one way"
            }
    values = pd.DataFrame({c: pd.to_numeric(table[c].map(_bare), errors="coerce") for c in columns})
    by_column = values.max()
    by_trial = values.max(axis=1).groupby(table[roles["trial"]], sort=False).max()
    highest = by_column.max()
    if 0 < highest <= 1:
        return {
            None: f"no accuracy is above {highest:g}, which looks like fractions of 0..1: leave "
            "--percent out"
        }
    cure = "give all accuracies in one unit"
    for column, most in by_column.items():
        if 0 < most <= 1:
            return {
                None: f"no value of column {column!r} is above {most:g}, which looks like "
                f"fractions of 0..1 beside percents: {cure}"
            }
    return {
        str(trial): f"no accuracy of trial {trial!r} is above {most:g}, which looks like fractions "
        f"of 0..1 beside trials in percent: {cure}"
        for trial, most in by_trial.items()
        if 0 < most <= 1
    }


def _is_signed(value: Any) -> bool:
    return isinstance(value, str) and value.strip().endswith("%")


def _leap(values: pd.Series[Any]) -> tuple[float, float] | None:
    """Return two neighbours, the first at most 0.01, that are 50 and more times apart."""
    known = [float(value) for value in values.dropna()]
    leaps = ((a, b) for a, b in itertools.pairwise(known) if 0 < a <= 0.01 and b >= 50 * a)
    return next(leaps, None)


def counts_from(epochs: pd.Series[Any]) -> int:
    """Return 0 where an epoch of any trial is 0, else 1: all trials of a table count alike."""
    return 0 if bool((pd.to_numeric(epochs, errors="coerce") == 0).any()) else 1


def _fractions(values: pd.Series[Any], name: str) -> None:
    wrong = values[values.notna() & ~values.between(0, 1)]
    if len(wrong):
        cure = (
            "it holds percents; give --percent"
            if values.dropna().between(0, 100).all()
            else "look at how it was measured"
        )
        raise LedgerError(
            f"{name}: column {values.name!r} has {wrong.iloc[0]:g} in row {wrong.index[0] + 1}, "
            f"accuracies are fractions of 0..1: {cure}"
        )


def _durations(values: pd.Series[Any], name: str) -> None:
    """Refuse times that no epoch takes."""
    wrong = values[values.notna() & ~((values >= 0) & (values < math.inf))]
    if len(wrong):
        raise LedgerError(
            f"{name}: column {values.name!r} has {wrong.iloc[0]:g} in row {wrong.index[0] + 1}; "
            "what an epoch took is a number of seconds from 0"
        )


def _whole(table: pd.DataFrame, roles: Mapping[str, str], name: str) -> None:
    """Refuse rows that belong to no trial, and epochs and seeds that are no whole numbers.

    A seed's cell may be empty: that it was not recorded is no mistake.
    """
    lost = np.flatnonzero(table[roles["trial"]].isna())
    if len(lost):
        raise LedgerError(
            f"{name}: row {lost[0] + 1} has no trial in column {roles['trial']!r}; fill the cell "
            "or remove the row"
        )
    for role in ("epoch", *(["seed"] if "seed" in roles else [])):
        numbers = _numbers(table[roles[role]], name).to_numpy()
        whole = (numbers >= 0) & (numbers <= LARGEST[role])  # false where it is missing
        whole[whole] = numbers[whole] % 1 == 0
        wrong = np.flatnonzero(~whole & ~(np.isnan(numbers) & (role == "seed")))
        if len(wrong):
            raise LedgerError(
                f"{name}: column {roles[role]!r} has {numbers[wrong[0]]:g} in row {wrong[0] + 1}; "
                f"{role}s are whole numbers from 0 to {LARGEST[role]:,}"
            )


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def known_roles() -> list[str]:
    """Return every role that `--map` may name."""
    return [*KNOWN, *EXTRA]
