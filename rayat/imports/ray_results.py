"""Ray Tune's result folders: a folder per trial with `result.json` or `progress.csv`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from rayat.errors import LedgerError
from rayat.imports.base import Imported, Source, arm_label, gather
from rayat.imports.cells import read_csv
from rayat.imports.table import counts_from, fractions, trials
from rayat.layers import flatten
from rayat.ledger.files import located
from rayat.replay.curves import CLOCK, KNOWN, column_roles

KIND = "ray"
RESULTS = ("result.json", "progress.csv")
TRIAL, ITERATION, SECONDS = "rayat_trial", "training_iteration", "time_this_iter_s"
TOTAL = "time_total_s"
PERSONAL = ("seed",)
"""Configuration keys that tell no arms apart."""


def read(folder: str | Path, columns: Mapping[str, str], percent: bool = False) -> Source:
    """Read every trial below a folder. Only JSON and CSV are read: Tune's pickles run code.

    An iteration that a trial reported twice (it was restarted) counts once, by its last report.
    A trial whose figures no ledger takes is skipped with the reason.

    Args:
        columns: columns by role, where they are not recognised. percent: accuracies are percents.

    Raises:
        LedgerError: no trial there, or no column for a role (name it in `columns`).
    """
    folder = located(folder)
    frames, configs, files, skipped = [], dict[str, dict[str, Any]](), dict[str, Path](), {}
    for path in _results(folder):
        name = str(path.parent.relative_to(folder))
        name = path.parent.name if name == "." else name
        try:
            frame = _frame(path)
        except (ValueError, OSError) as error:
            skipped[name] = str(error)
            continue
        if frame.empty:
            skipped[name] = "no result"
            continue
        epoch = columns.get("epoch", "epoch" if "epoch" in frame else ITERATION)
        if epoch in frame:
            frame = frame.drop_duplicates(epoch, keep="last")
        configs[name] = _config(path)
        if "seed" not in columns and not _is_seed(configs[name].get("seed")):
            given = configs.pop(name)["seed"]
            skipped[name] = (
                f"its seed in params.json is {given!r}; a seed is one whole number from 0"
            )
            continue
        frames.append(frame.assign(**{TRIAL: name}))
        files[name] = path
    if not frames and skipped:
        name, reason = next(iter(skipped.items()))
        raise LedgerError(f"{folder}: no trial can be imported; {name}: {reason}")
    if not frames:
        raise LedgerError(
            f"{folder}: no trial with a {' or '.join(RESULTS)} that holds results; give the folder "
            "of an experiment of Ray Tune"
        )
    table = pd.concat(frames, ignore_index=True)
    roles = {"trial": TRIAL, **columns}
    if "epoch" not in roles and "epoch" not in table:
        roles["epoch"] = ITERATION
    if not {"seconds", CLOCK} & set(roles):
        roles |= {"seconds": SECONDS} if SECONDS in table else {}
        roles |= {CLOCK: TOTAL} if SECONDS not in table and TOTAL in table else {}
    if "seed" not in roles:
        table["seed"] = pd.Series([configs[name].get("seed") for name in table[TRIAL]], dtype=float)
    # Which column has which role is decided for all trials together, then each is judged alone.
    roles |= column_roles(table, {r: c for r, c in roles.items() if r in KNOWN}, str(folder))
    wrong = fractions(table, roles) if percent else {}
    if None in wrong:
        raise LedgerError(f"{folder}: {wrong[None]}")
    begin = counts_from(table[roles["epoch"]])
    arms, good, failed = _arms(configs), list[Imported](), list[LedgerError]()
    notes = list[str]()
    for key, part in table.groupby(TRIAL, sort=False):
        name = str(key)
        where = f"{folder}: {name}"
        try:
            if name in wrong:
                raise LedgerError(f"{where}: {wrong[name]}")
            rows = part.reset_index(drop=True)
            some, said = trials(rows, roles, where, configs, arms, percent, begin)
            good += some
            notes += said
        except LedgerError as error:
            skipped[name] = str(error)
            failed.append(error)
            del files[name]
    if failed and not good:
        raise failed[0]
    return gather(KIND, good, list(files.values()), skipped, notes)


def _results(folder: Path) -> list[Path]:
    """Return one file of results per trial folder, sorted."""
    found: dict[Path, Path] = {}
    for name in reversed(RESULTS):
        found.update({path.parent: path for path in folder.rglob(name)})
    return [found[parent] for parent in sorted(found)]


def _frame(path: Path) -> pd.DataFrame:
    if path.suffix == ".csv":
        return read_csv(path) if path.stat().st_size else pd.DataFrame()
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = flatten(json.loads(line))
        except ValueError:
            if number == len(lines):
                break  # torn by a kill
            raise ValueError(f"line {number} is no JSON") from None
        rows.append({k.replace(".", "/"): v for k, v in row.items() if not k.startswith("config.")})
    return pd.DataFrame(rows)


def _config(path: Path) -> dict[str, Any]:
    """Return the trial's flat configuration; {} where none was written."""
    try:
        found = json.loads(path.with_name("params.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return flatten(found) if isinstance(found, dict) else {}


def _is_seed(value: Any) -> bool:
    """Return whether a configuration's seed is none, or a whole number from 0."""
    if value is None:
        return True
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and value >= 0 and value % 1 == 0


def _arms(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return each trial's arm: what its configuration does not share with all others."""
    keys = dict.fromkeys(key for config in configs.values() for key in config)
    varying = [
        key
        for key in keys
        if key not in PERSONAL and len({str(config.get(key)) for config in configs.values()}) > 1
    ]
    return {
        name: ",".join(arm_label(key, str(config.get(key))) for key in varying)
        for name, config in configs.items()
    }
