"""In which order trials start: as the space lists them, drawn, or one seed after another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from rayat.errors import StudyError
from rayat.search.plan import Trial

Order = Literal["configurations", "successive-seeds"]
SUCCESSIVE: Order = "successive-seeds"
"""All configurations on the first seed, then on the second those that the policy let through."""


def ordered(
    trials: Sequence[Trial], seeds: Sequence[int], order: Order, order_seed: int | None
) -> list[Trial]:
    """Return trials in the order in which they start, numbered by it.

    Args:
        trials: as the space lists them, seeds innermost. seeds: in the study's order.
        order_seed: draws their order, of successive seeds that within each; None: as listed.
    """
    found = list(trials)
    if order_seed is not None:
        found.sort(key=lambda trial: _lot(trial, order_seed))
    if order == SUCCESSIVE:
        place = {seed: n for n, seed in enumerate(seeds)}
        found.sort(key=lambda trial: place[trial.config.seed])  # stable
    if found == list(trials):
        return found
    return [Trial.of(n, t.arm, t.draw, t.config) for n, t in enumerate(found)]


def refuse_unknown_trials(order: Order, grows: bool) -> None:
    """Refuse successive seeds of a search that proposes trials while it lives."""
    if order == SUCCESSIVE and grows:
        raise StudyError(
            f"order={SUCCESSIVE!r} needs all trials before the start, and the search proposes them "
            "as it goes, each with all its seeds; leave the order out, or search by draws alone"
        )


def _lot(trial: Trial, order_seed: int) -> str:
    """Return a trial's place in the drawn order: a hash, equal in every version of Python."""
    return hashlib.sha256(f"{order_seed} {trial.config.sha256()}".encode()).hexdigest()
