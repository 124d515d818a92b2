r"""A comparison for other programs: CSV with every figure in full, and a table for LaTeX."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

from rayat.compare.accuracy import CHECKPOINTS, MeanSd
from rayat.compare.bootstrap import Estimate
from rayat.compare.comparison import ArmRow, Figures, plain
from rayat.compare.render import setting_lines, table_cells
from rayat.compare.speedup import AXES
from rayat.ledger.status import Status

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "ε": r"$\varepsilon$",
    "×": r"$\times$",
}
"""What means something to LaTeX, or what its older engines lack, and what stands for it."""
NEGATIVE = re.compile(r"(?<![\w.\-])-(?=\d)")
PREAMBLE = r"% needs \usepackage{booktabs}; \usepackage[T1]{fontenc} and \usepackage{textcomp}"


def csv_text(comparison: Figures) -> str:
    """Return a line for each arm under one heading; numbers as Python reads them back exactly.

    Accuracies are fractions, costs are passes of single images, seconds and epochs; a cell is empty
    where a figure is not known. `settings` and `trials` hold JSON.
    """
    rows = [_flat(comparison, row) for row in comparison.rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().removesuffix("\n")


def _flat(comparison: Figures, row: ArmRow) -> dict[str, Any]:
    found: dict[str, Any] = {
        "study": comparison.study,
        "metric": comparison.metric,
        "arm": row.arm,
        "baseline": row.baseline,
        "is_baseline": str(row.is_baseline).lower(),
        "config_id": row.config_id,
        "tried": row.tried,
        "tuned": _json(row.tuned),
        "seeds": len(row.trial_ids),
        "trials": _json(row.trial_ids),
        "target": row.target,
        "target_fixed": str(comparison.target_fixed).lower(),
        "reached": None if row.differs else row.reached,
        "accuracy_source": comparison.accuracy_source,
    }
    for kind, by_checkpoint in (("robust", row.robust), ("clean", row.clean)):
        for checkpoint in CHECKPOINTS:
            found |= _mean(f"{kind}_{checkpoint}", by_checkpoint[checkpoint])
    for axis in AXES:
        found |= _mean(f"cost_{axis}", row.costs[axis])
    for axis in AXES:
        found |= _estimate(f"speed_up_{axis}", row.speed_up[axis])
    found |= _estimate("robust_difference", row.robust_difference)
    found["interval_level"] = comparison.level
    found |= {f"trials_{status}": row.statuses.get(status, 0) for status in Status}
    return found | {"measured": _json(row.measured), "verdict": row.verdict}


def _mean(name: str, value: MeanSd | None) -> dict[str, Any]:
    mean, sd, n = (None, None, 0) if value is None else (value.mean, value.sd, value.n)
    return {f"{name}_mean": mean, f"{name}_sd": sd, f"{name}_n": n}


def _estimate(name: str, value: Estimate | None) -> dict[str, Any]:
    parts = ("value", "low", "high", "pairs", "bound")
    return {f"{name}_{part}": None if value is None else getattr(value, part) for part in parts}


def _json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False)


def latex(comparison: Figures) -> str:
    """Return a `table` by booktabs; what was compared is its caption, the notes are comments."""
    header, body = table_cells(comparison)
    lines = [r"\begin{table}", r"\centering", r"\small"]
    said = [comparison.headline, *(f"{line}." for line in setting_lines(comparison))]
    lines += [rf"\caption{{{_text(' '.join(said))}}}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * (len(header) - 2)}l}}", r"\toprule"]
    lines += [_line(header), r"\midrule", *map(_line, body), r"\bottomrule"]
    lines += [r"\end{tabular}", r"\end{table}"]
    notes = [f"% {' '.join(note.split())}" for note in comparison.notes]
    return "\n".join([PREAMBLE, *lines, *notes])


def _line(cells: tuple[str, ...]) -> str:
    # A row that begins with a bracket would be taken for the argument of the line break before it.
    return "{}" + " & ".join(_text(cell) for cell in cells) + r" \\"


def _text(text: str) -> str:
    """Return a text as LaTeX sets it, character by character."""
    parts = NEGATIVE.split(text)
    return "$-$".join("".join(SPECIAL.get(c, c) for c in part) for part in parts)
