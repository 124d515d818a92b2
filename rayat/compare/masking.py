"""Signs that a robust accuracy is not to be believed (docs/papers.md 1.5 and 1.6).

A weak attack that finds less than a strong one is the rule; where it is far off, or the other way
round, gradients are masked or the training has collapsed (catastrophic overfitting). Each sign
compares two rows of one checkpoint on the same images.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

FGSM_MARGIN = 0.10
"""How far FGSM may be above PGD, a fraction: of sound networks it is by 3 to 8 points."""
ERRORS = 2.0
"""Standard errors of a difference that count as noise."""
WHITE_BOX = ("pgd", "cw", "apgd")

Row = Mapping[str, Any]


def flagged(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows of one checkpoint with `flags_json`, the same in all rows of a split.

    It is null where no two rows could be compared, `{}` where no sign was found, else an object
    with the two numbers that each sign came from, by the suite's title and the radius.
    """
    result = []
    for row in rows:
        found = flags([other for other in rows if other["split"] == row["split"]])
        result.append({**row, "flags_json": None if found is None else json.dumps(found)})
    return result


def flags(rows: Sequence[Row]) -> dict[str, dict[str, float]] | None:
    """Return the signs in the rows of one checkpoint and split; None: nothing to compare.

    Signs: `fgsm_above_pgd` (by more than `FGSM_MARGIN`), `square_below_white_box`,
    `rises_with_eps` (PGD at a larger radius finds less), each beyond `ERRORS` standard errors. Of
    several pairs the one with the largest difference is told.
    """
    signs: dict[str, dict[str, float]] = {}
    largest: dict[str, float] = {}
    compared = False
    for name, high, low, margin in _pairs(rows):
        compared = True
        difference = high["robust_acc"] - low["robust_acc"]
        beyond = difference > margin + ERRORS * _error(high, low)
        if beyond and difference > largest.get(name, 0.0):
            largest[name] = difference
            signs[name] = {_name(high): high["robust_acc"], _name(low): low["robust_acc"]}
    return signs if compared else None


def _pairs(rows: Sequence[Row]) -> Iterator[tuple[str, Row, Row, float]]:
    """Yield a sign's name, the row that must not be above the other, that one, and the margin."""
    for a, b in permutations(rows, 2):
        if a.get("n") != b.get("n") or _norm(a) != _norm(b) or None in (a.get("eps"), b.get("eps")):
            continue
        if a["eps"] == b["eps"]:
            if _is(a, "fgsm") and _is(b, "pgd"):
                yield "fgsm_above_pgd", a, b, FGSM_MARGIN
            if _is(a, *WHITE_BOX) and _is(b, "square"):
                yield "square_below_white_box", a, b, 0.0
        elif a["suite"] == b["suite"] and _is(a, "pgd") and a["eps"] > b["eps"]:
            yield "rises_with_eps", a, b, 0.0


def _is(row: Row, *kinds: str) -> bool:
    """Return whether every attack of the row's suite is of one of these kinds."""
    return all(attack.startswith(kinds) for attack in str(row["suite"]).split("+"))


def _norm(row: Row) -> bool:
    return str(row["suite"]).endswith("-l2")


def _name(row: Row) -> str:
    return f"{row['suite']} at {row['eps']:g}"


def _error(a: Row, b: Row) -> float:
    """Return the standard error of the difference of two accuracies.

    As if the images were drawn for each anew: they are the same, so it is rather too large. An
    accuracy of 0 or 1 counts as half an image away from it.
    """
    total = 0.0
    for row in (a, b):
        p = min(max(row["robust_acc"], 0.5 / row["n"]), 1 - 0.5 / row["n"])
        total += p * (1 - p) / row["n"]
    return math.sqrt(total)
