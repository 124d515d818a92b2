"""Signs that a robust accuracy is too high (docs/papers.md 1.5 and 1.6).

A weak attack that finds less than a strong one is the rule; where it is far off, or the other way
round, gradients are masked or the training has collapsed (catastrophic overfitting). Each sign
compares two rows of one checkpoint on the same images.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rayat.measurement import chance

FGSM_MARGIN = 0.10
"""How far FGSM may be above PGD, a fraction: of sound networks it is by 3 to 8 points."""
ERRORS = 2.0
"""Standard errors of a difference that count as noise."""
WHITE_BOX = ("pgd", "cw", "apgd")
OWN = ("not_finite", "zero_gradient", "bounded_outputs", "squashed_outputs", "chance_level")
"""Signs that one measurement shows by itself (`training.measure`, `at_chance`)."""
SAID = {
    "not_finite": "{images:.0f} images were not measured, as logits or gradients were not finite "
    "there: of all, between {robust at least:.3f} and {robust at most:.3f} are robust",
    "zero_gradient": "the gradient was zero at the start for {of those attacked:.1%} of the images "
    "attacked, and without those that resisted {robust with one at least:.3f} is left: the figure "
    "is too high",
    "bounded_outputs": "all outputs lie in [0, 1], like probabilities of a softmax or sigmoid, "
    "whose gradients vanish: attack the logits before it",
    "squashed_outputs": "the largest and the smallest output of {of the images:.0%} of the images "
    "are as far apart as they ever get ({apart:.3g}), as behind a tanh, a scaled sigmoid or a "
    "clamp, whose gradients vanish: attack the logits before it",
    "chance_level": "clean accuracy {clean:.2f} on {images:,.0f} images is no more than chance (up "
    "to {chance:.3f}): the network may expect other pixels (0 to 255, or normalised) or other "
    "labels",
    "fgsm_above_pgd": "FGSM leaves more than PGD",
    "square_below_white_box": "Square, which uses no gradient, leaves less than what does",
    "rises_with_eps": "PGD leaves more at a larger radius",
}

Row = Mapping[str, Any]


def flagged(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows of one checkpoint with `flags_json`: what two rows show is in all of a split.

    It is null where no two rows could be compared and the row's own measurement showed nothing
    (`OWN`), `{}` where no sign was found, else an object with the numbers that each sign came from.
    """
    result = []
    for row in rows:
        found = flags([other for other in rows if other["split"] == row["split"]])
        own = {name: sign for name, sign in signs(row).items() if name in OWN}
        if found is not None or own:
            text = json.dumps({**own, **(found or {})})
        result.append({**row, "flags_json": None if found is None and not own else text})
    return result


def at_chance(row: Row, classes: int) -> dict[str, Any]:
    """Return the row of a network trained elsewhere, with a sign if it tells the classes not apart.

    Pixels or labels other than those that it was trained with make every robust accuracy
    meaningless. So few images that also a perfect network is within chance are no sign.

    Args:
        row: as `training.measure` gives it. classes: of the data.
    """
    clean, images = row["clean_acc"], row["n"]
    limit = chance(classes, images)
    if clean is None or clean > limit or limit >= 1:
        return dict(row)
    found = {**signs(row), "chance_level": {"clean": clean, "images": images, "chance": limit}}
    return {**row, "flags_json": json.dumps(found)}


def signs(row: Row) -> dict[str, dict[str, float]]:
    """Return the signs in a row's `flags_json`; none where that is null or no text."""
    text = row.get("flags_json")
    found: dict[str, dict[str, float]] = json.loads(text) if isinstance(text, str) else {}
    return found


def said(row: Row) -> list[str]:
    """Return a sentence without a full stop for each sign of a row of the evals table."""
    sentences = []
    for name, numbers in signs(row).items():
        text = SAID.get(name, name).format(**numbers) if name in OWN else SAID.get(name, name)
        if name not in OWN:
            pairs = ", ".join(f"{what} {value:.3f}" for what, value in numbers.items())
            text = f"{text} ({pairs})"
        sentences.append(text)
    return sentences


def flags(rows: Sequence[Row]) -> dict[str, dict[str, float]] | None:
    """Return the signs in the rows of one checkpoint and split; None: nothing to compare.

    Signs: `fgsm_above_pgd` (FGSM leaves `FGSM_MARGIN` more than the strongest PGD),
    `square_below_white_box` (Square leaves less than the strongest attack that sees gradients),
    `rises_with_eps` (PGD leaves more at a larger radius); each beyond `ERRORS` standard errors. Of
    several pairs the one with the largest difference is told.
    """
    shown: dict[str, dict[str, float]] = {}
    largest: dict[str, float] = {}
    compared = False
    for name, high, low, margin in _pairs(rows):
        compared = True
        difference = high["robust_acc"] - low["robust_acc"]
        beyond = difference > margin + ERRORS * _error(high, low)
        if beyond and difference > largest.get(name, 0.0):
            largest[name] = difference
            shown[name] = {_name(high): high["robust_acc"], _name(low): low["robust_acc"]}
    return shown if compared else None


def _pairs(rows: Sequence[Row]) -> Iterator[tuple[str, Row, Row, float]]:
    """Yield a sign's name, the row that must not be above the other, that one, and the margin."""
    same: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if None not in (row.get("eps"), row.get("n"), row["robust_acc"]):
            same.setdefault((row["n"], _norm(row), row["eps"]), []).append(row)
    for group in same.values():
        fgsm, pgd = _strongest(group, "fgsm"), _strongest(group, "pgd")
        square, white = _strongest(group, "square"), _strongest(group, *WHITE_BOX)
        if fgsm and pgd:
            yield "fgsm_above_pgd", fgsm, pgd, FGSM_MARGIN
        if square and white:
            yield "square_below_white_box", white, square, 0.0
    for (n, norm, eps), group in same.items():
        for (other_n, other_norm, larger), others in same.items():
            if (n, norm) == (other_n, other_norm) and larger > eps:
                pgds = {row["suite"]: row for row in group if _is(row, "pgd")}
                for row in others:
                    if row["suite"] in pgds:
                        yield "rises_with_eps", row, pgds[row["suite"]], 0.0


def _strongest(rows: Sequence[Row], *kinds: str) -> Row | None:
    of_kind = [row for row in rows if _is(row, *kinds)]
    return min(of_kind, key=lambda row: float(row["robust_acc"]), default=None)


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
