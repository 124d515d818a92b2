"""How the intervals of a run are made: by the bootstrap, or so that they hold at every look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rayat.compare.bootstrap import Intervals, Once
from rayat.compare.confirmed import level
from rayat.compare.repeated import Design
from rayat.compare.text import plural, printable
from rayat.errors import StudyError

UNTIL = "until_decided"
"""The key of `run.json` of a run to which seeds are added until its verdicts are decided."""
LOOKS = "looks"
"""Under it: what each look found, and which trials it asked for."""


def intervals(info: Mapping[str, Any]) -> Intervals:
    """Return how the intervals of a run are made.

    Where seeds follow from verdicts, those of a fixed number would be too narrow, whoever asks and
    whenever.
    """
    until = info.get(UNTIL)
    return Once(level(info)) if until is None else Design.parse(until)


def shared(infos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what runs that stand side by side have under `UNTIL`; {} where none has it.

    The wider intervals of a run with looks are everyone's then.

    Raises:
        StudyError: two of them have different looks.
    """
    found: list[Mapping[str, Any]] = [info[UNTIL] for info in infos if UNTIL in info]
    designs = {Design.parse(each) for each in found}
    if len(designs) > 1:
        spans = " and ".join(sorted(f"{each.first} to {each.most}" for each in designs))
        raise StudyError(
            f"the runs add seeds until verdicts are decided, each in its own way (from {spans} "
            "seeds), so that no interval holds for both; compare each by itself"
        )
    return {UNTIL: designs.pop().record()} if designs else {}


def notes(info: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know of the looks of a run; nothing where it has none."""
    until = info.get(UNTIL)
    if until is None:
        return []
    found = [
        f"Seeds were added until verdicts were decided, from {until['first']} to at most "
        f"{until['most']}: intervals hold however often one looked (repeated confidence "
        "intervals), and are wider than those of a number of seeds that was fixed before."
    ]
    looks = until.get(LOOKS) or ()
    if looks:
        arms = looks[-1]["arms"].items()
        found += [
            f"{printable(arm)}: no more seeds after {plural(len(each['pairs']), 'pair')} "
            f"({each['why']})."
            for arm, each in arms
            if each["why"]
        ]
        left = [arm for arm, each in arms if each["open"]]
        if left:
            found.append(f"Still open: {', '.join(map(printable, left))}.")
    return found
