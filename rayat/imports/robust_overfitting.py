"""The logs of Rice et al. 2020 (locuslab/robust_overfitting: experiments/*/**/output.log).

The logs have no licence: this reads a user's own clone, and nothing of it is kept here. A log has
a line with the arguments (`Namespace(...)`), a line of column names, one line of figures per epoch
counted from 0, and with `--val` a `validation` line below each of them; columns are separated by
tabs, some of them by several. Each line begins with `[time] - `. A log that was continued holds
several of these; of an epoch that it holds twice, the later line counts.
"""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import Any

from rayat.errors import LedgerError
from rayat.imports.base import Imported, Source, arm_label, gather
from rayat.ledger.files import located

KIND = "robust-overfitting"
COLUMNS = {
    "Train Time": "train_seconds",
    "Test Time": "eval_seconds",
    "LR": "lr",
    "Train Robust Loss": "train_loss",
    "Train Acc": "train_clean_acc",
    "Train Robust Acc": "train_robust_acc",
    "Test Acc": "val_clean_acc",
    "Test Robust Acc": "val_robust_acc",
}
"""The ledger's name of each of their columns; test figures stand in where there was no split."""
NEEDED = ("Epoch", "Test Robust Acc")


def read(folder: str | Path, percent: bool = False) -> Source:
    """Read every `output.log` below a folder; logs of another form are skipped with a reason.

    Args:
        percent: accuracies are percents, and are divided by 100.

    Raises:
        LedgerError: no such folder, or no log in it.
    """
    folder = located(folder)
    paths = sorted(folder.rglob("output.log")) if folder.is_dir() else []
    if not paths:
        raise LedgerError(
            f"{folder}: holds no output.log; give a clone of locuslab/robust_overfitting or a "
            "folder of its experiments"
        )
    trials, skipped = [], {}
    for path in paths:
        name = str(path.parent.relative_to(folder))
        try:
            trials.append(
                read_log(path.read_text(encoding="utf-8", errors="replace"), name, percent)
            )
        except ValueError as error:
            skipped[name] = str(error)
    read_from = [path for path in paths if str(path.parent.relative_to(folder)) not in skipped]
    return gather(KIND, trials, read_from, skipped)


def read_log(text: str, name: str, percent: bool = False) -> Imported:
    """Return the training that one log describes.

    Raises:
        ValueError: what the log lacks.
    """
    arguments: dict[str, Any] = {}
    names: list[str] = []
    rows: dict[int, dict[str, Any]] = {}
    validated: dict[int, dict[str, Any]] = {}
    epoch = 0
    for line in text.splitlines():
        said = line.partition("] - ")[2].strip()
        cells = [cell.strip() for cell in said.split("\t") if cell.strip()]
        if said.startswith("Namespace("):
            arguments = arguments or _arguments(said)
        elif said.startswith("Epoch"):
            names = cells
        elif said.startswith("validation") and epoch:
            figures = _numbers([cells[0].removeprefix("validation"), *cells[1:]])
            if len(figures) == 4:
                validated[epoch] = {"val_clean_acc": figures[1], "val_robust_acc": figures[3]}
        elif names and len(cells) == len(names):
            row = dict(zip(names, _numbers(cells), strict=False))
            # Its evaluation mode writes -1 for everything about training.
            if len(row) == len(names) and row.get("LR", 0.0) >= 0 and "Epoch" in row:
                epoch = int(row["Epoch"]) + 1
                rows[epoch] = {"epoch": epoch} | {COLUMNS[k]: row[k] for k in COLUMNS if k in row}
    missing = [column for column in NEEDED if column not in names]
    if missing or not rows:
        raise ValueError(f"no column {missing[0]!r}" if missing else "no line of an epoch")
    on_val = set(validated) >= set(rows)
    if on_val:
        for number in rows:
            rows[number].update(validated[number])
    for number, row in sorted(rows.items()):
        for key, value in row.items():
            if key.endswith("_acc") and not 0 <= value <= (100 if percent else 1):
                raise ValueError(
                    f"{key} of epoch {number} is {value:g}; accuracies are "
                    + ("percents of 0..100" if percent else "fractions of 0..1, or give --percent")
                )
    if percent:
        _of_percents(rows)
    return Imported(
        name=name,
        arm=arm_label("run", name),
        seed=int(arguments.get("seed", 0)),
        config={"imported": arguments},
        rows=[rows[number] for number in sorted(rows)],
        planned=_planned(arguments, max(rows)),
        measured_on="val" if on_val else "test",
        shifted=True,
    )


def _of_percents(rows: dict[int, dict[str, Any]]) -> None:
    """Divide accuracies by 100, in place. Raises `ValueError` where they look like fractions."""
    values = [value for row in rows.values() for key, value in row.items() if key.endswith("_acc")]
    if 0 < max(values) <= 1:
        raise ValueError(
            f"accuracies run from {min(values):g} to {max(values):g}, which looks like fractions "
            "of 0..1: leave --percent out"
        )
    for row in rows.values():
        row.update({key: value / 100 for key, value in row.items() if key.endswith("_acc")})


def _arguments(text: str) -> dict[str, Any]:
    """Return the arguments of `Namespace(a='b', c=1)`; what is no plain value is left out."""
    try:
        call = ast.parse(text, mode="eval").body
    except SyntaxError:
        return {}
    found: dict[str, Any] = {}
    for keyword in call.keywords if isinstance(call, ast.Call) else []:
        if keyword.arg is not None and isinstance(keyword.value, ast.Constant):
            found[keyword.arg] = keyword.value.value
    return found


def _planned(arguments: dict[str, Any], last: int) -> int:
    epochs = int(arguments.get("epochs", last))
    if arguments.get("attack") == "free":
        epochs = math.ceil(epochs / max(1, int(arguments.get("attack_iters", 1))))
    return epochs


def _numbers(cells: list[str]) -> list[float]:
    """Return the cells as numbers, up to the first that is none."""
    numbers = []
    for cell in cells:
        try:
            numbers.append(float(cell))
        except ValueError:
            break
    return numbers
