"""Seeds until verdicts are decided, without Ray: the ledger is their only memory.

When all trials have ended one looks: arms whose verdict is open get their next seed, and their
baseline gets it where it has not trained it. What a look found and which trials it asked for are
one record of the log, so that a driver that is killed at any moment leaves a run that goes on with
the same looks.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

from rayat.compare.bootstrap import Estimate
from rayat.compare.comparison import ArmRow
from rayat.compare.intervals import LOOKS, UNTIL
from rayat.compare.repeated import Design, closed, refuse_design
from rayat.compare.speedup import Cost, costs, paired, speed_up
from rayat.compare.table import compare
from rayat.compare.text import plural, printable
from rayat.compare.verdict import HEADLINE, word
from rayat.config import TrialConfig
from rayat.errors import LedgerError, StudyError
from rayat.ledger.info import read_info
from rayat.ledger.reader import Run, read_run
from rayat.ledger.writer import Ledger
from rayat.replay.verify import Verification
from rayat.replay.verify import verify as verify_decisions
from rayat.resampling import MIN_PAIRS
from rayat.runs.search import identity
from rayat.search.plan import Trial
from rayat.study import Study

MAX_SEEDS = 10
"""Seeds that an arm may have where not told."""


def design_of(study: Study, most: int = MAX_SEEDS, first: int | None = None) -> Design:
    """Return the looks of a study whose seeds are added until its verdicts are decided.

    Args:
        most: seeds of an arm. first: at the first look; default: the study's, at least three.

    Raises:
        StudyError: its verdicts cannot be decided so, and what to change.
    """
    first = max(MIN_PAIRS, len(study.seeds) if first is None else first)
    said = refuse_design(max(first, len(study.seeds)), most)
    if said:
        raise StudyError(f"seeds until decided: {said}; give another")
    if study.plan().grows:
        said = f"search {study.search.kind!r} proposes configurations as it goes; confirm its best"
    elif study.draws > 1 or study.axes()[1]:
        said = (
            "each arm tunes its nuisance axes, so another seed may choose another winner; fix them"
        )
    elif study.policy.kind != "none":
        said = f"policy {study.policy.kind!r} may stop what a verdict needs; give --policy none"
    elif study.target is None:
        said = "a target that is chosen after the runs moves with every seed; give the study one"
    elif study.baseline is None:
        said = "verdicts need an arm to compare with; give the study a baseline"
    elif len({trial.arm for trial in study.trials()}) < 2:
        said = "the baseline is the only arm, so there is nothing to decide; name another arm"
    if said:
        raise StudyError(f"--until-decided: {said}")
    return Design.of(first, most)


def begun(design: Design) -> dict[str, Any]:
    """Return what `run.json` says under `UNTIL` before the first look."""
    return {**design.record(), LOOKS: []}


def first_look(info: Mapping[str, Any]) -> int:
    """Return the seeds that a run had before it was extended: its first look was at those."""
    grown = sum(len(each["grew"].get("seeds", ())) for each in info.get("extensions") or ())
    return len(info["study"]["seeds"]) - grown


def all_seeds(seeds: Sequence[int], most: int) -> list[int]:
    """Return the seeds in the order in which an arm gets them: the study's, then those above."""
    return [*seeds, *islice(count(max(seeds) + 1), max(0, most - len(seeds)))]


def asked_for(info: Mapping[str, Any]) -> set[str]:
    """Return the trials that looks have asked for: those that are not in the study."""
    looks = (info.get(UNTIL) or {}).get(LOOKS) or ()
    return {trial_id for look in looks for trial_id in look["asked"]}


class Looks:
    """Looks at a run's verdicts, and asks for the seeds that the open ones need.

    Args:
        ledger: the open ledger of a run whose info has `UNTIL`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    @classmethod
    def of(cls, ledger: Ledger) -> Looks | None:
        """Return the looks of a run; None where its seeds are fixed."""
        return cls(ledger) if UNTIL in ledger.info else None

    @property
    def over(self) -> bool:
        """Whether the last look asked for nothing."""
        looks = self.ledger.info[UNTIL][LOOKS]
        return bool(looks) and not looks[-1]["asked"]

    def look(self) -> list[Trial]:
        """Look once where all trials have ended; return the new trials, which are declared.

        Looking again at what the last look saw records nothing and asks for nothing.
        """
        ledger, info = self.ledger, self.ledger.info
        if ledger.unfinished():
            return []
        ledger.project()
        run = read_run(ledger.folder)
        if run.epochs.empty:  # nothing has got as far as a cost
            return []
        found = judged(run)
        new = self._trials(wanted(run, found))
        entry = {"arms": found, "asked": [trial.trial_id for trial in new]}
        looks = info[UNTIL][LOOKS]
        if looks and json.loads(json.dumps(entry)) == looks[-1]:
            return []
        # One record: a look without its trials would be another look.
        until = {**info[UNTIL], LOOKS: [*looks, entry]}
        ledger.extend({**info, UNTIL: until}, map(identity, new))
        return new

    def _trials(self, asked: Iterable[tuple[str, int]]) -> list[Trial]:
        held = self.ledger.trials().values()
        start = 1 + max(int(entry["trial_index"]) for entry in held)
        trees = {entry["arm"]: json.loads(entry["config_json"]) for entry in held}
        return [
            Trial.of(start + n, arm, 0, TrialConfig.parse({**trees[arm], "seed": seed}))
            for n, (arm, seed) in enumerate(asked)
        ]

    def said(self) -> str:
        """Return in a sentence what the last look found; empty before the first."""
        looks = self.ledger.info[UNTIL][LOOKS]
        if not looks:
            return ""
        arms = looks[-1]["arms"]
        parts = [f"{printable(arm)}: {each['why'] or 'open'}" for arm, each in arms.items()]
        return f"{plural(len(looks), 'look')}; {'; '.join(parts)}"


def judged(run: Run) -> dict[str, dict[str, Any]]:
    """Return what a look finds of each arm but baselines: plain values, as `run.json` keeps them.

    Keys of an arm: `baseline`, `seeds` (trials that it has), `pairs` (the seeds compared),
    `speed_up` and `difference` (value, low, high; null where unknown), `verdict`, `open`, and `why`
    it gets no more seeds.
    """
    until = run.info[UNTIL]
    design, found = Design.parse(until), {}
    for row in compare(run).rows:
        if row.is_baseline:
            continue
        speed, pairs = row.speed_up[HEADLINE], _pairs(run, row)
        held = int((run.trials["arm"] == row.arm).sum())
        why = closed(row.verdict, _chance(pairs, speed, design), held, design.most)
        found[row.arm] = {
            "baseline": row.baseline,
            "seeds": held,
            "pairs": [base.seed for base, _ in pairs],
            "speed_up": _three(speed),
            "difference": _three(row.robust_difference),
            "verdict": row.verdict,
            "open": not why,
            "why": why,
        }
    return found


def wanted(run: Run, found: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Return the (arm, seed) that open verdicts need, baselines first: each of them once."""
    sequence = all_seeds(run.info["study"]["seeds"], int(run.info[UNTIL]["most"]))
    held: dict[str, set[int]] = {}
    for arm, seed in zip(run.trials["arm"], run.trials["seed"], strict=True):
        held.setdefault(str(arm), set()).add(int(seed))
    bases: dict[tuple[str, int], None] = {}
    arms: dict[tuple[str, int], None] = {}
    for arm, each in found.items():
        seed = next((s for s in sequence if s not in held[arm]), None)
        if not each["open"] or seed is None:
            continue
        arms[arm, seed] = None
        if seed not in held[each["baseline"]]:
            bases[each["baseline"], seed] = None
    return [*bases, *arms]


def _pairs(run: Run, row: ArmRow) -> list[tuple[Cost, Cost]]:
    if row.differs or row.target is None:
        return []
    of_arm = run.trials["arm"] == row.baseline
    theirs = costs(run, run.trials.loc[of_arm, "trial_id"], row.target)
    return paired(theirs, costs(run, row.trial_ids.values(), row.target))


def _chance(pairs: Sequence[tuple[Cost, Cost]], speed: Estimate | None, design: Design) -> float:
    """Return how likely the last look shows a difference; 1 where that cannot be told."""
    if speed is None or speed.bound or len(pairs) < MIN_PAIRS:
        return 1.0
    sides = [[cost.costs[HEADLINE] for cost in side] for side in zip(*pairs, strict=True)]
    return design.chance(*sides)


def _three(estimate: Estimate | None) -> list[float | None] | None:
    return None if estimate is None else [estimate.value, estimate.low, estimate.high]


def verify(folder: str | Path) -> Verification:
    """Make all decisions of a run again, and its looks. Raises as `replay.verify.verify`."""
    done = verify_decisions(folder)
    looked = False
    with contextlib.suppress(LedgerError):  # decisions need the log alone
        looked = UNTIL in read_info(folder)
    if done.difference is not None or not looked:
        return done
    return replace(done, difference=difference(folder))


def difference(folder: str | Path) -> str | None:
    """Return the first look of a run that its tables do not give again, in words; None: no such.

    Made again are pairs, intervals of the speed-up, verdicts and the trials that were asked for.
    The difference of robustness is taken as recorded: a suite that was run since may be stronger.

    Raises:
        LedgerError: no run there, or a damaged one.
    """
    run = read_run(folder)
    until = run.info.get(UNTIL)
    if until is None:
        return None
    looks = until[LOOKS]
    for number, look in enumerate(looks, 1):
        later = {trial_id for each in looks[number - 1 :] for trial_id in each["asked"]}
        there = run.trials[~run.trials["trial_id"].isin(later)]
        then = Run(run.folder, run.info, there, run.epochs, run.decisions, run.evals)
        for arm, each in look["arms"].items():
            said = _differs(then, arm, each, Design.parse(until))
            if said:
                return f"look {number}, {printable(arm)}: {said}"
        made = [f"{arm} seed {seed}" for arm, seed in wanted(then, look["arms"])]
        chosen = run.trials[run.trials["trial_id"].isin(look["asked"])]
        had = [f"{a} seed {s}" for a, s in zip(chosen["arm"], chosen["seed"], strict=True)]
        if sorted(made) != sorted(had):
            return f"look {number}: asked for {printable(had)}, again {printable(made)}"
    return None


def _differs(run: Run, arm: str, look: Mapping[str, Any], design: Design) -> str:
    if look["verdict"].startswith("no verdict") and not look["pairs"]:
        return ""
    sides = []
    for name in (look["baseline"], arm):
        chosen = run.trials[(run.trials["arm"] == name) & run.trials["seed"].isin(look["pairs"])]
        sides.append(costs(run, chosen["trial_id"], float(run.info["study"]["target"])))
    pairs = paired(*sides)
    if [base.seed for base, _ in pairs] != look["pairs"]:
        return f"pairs of seeds {look['pairs']}, again {[base.seed for base, _ in pairs]}"
    speed = speed_up(pairs, HEADLINE, design)
    for one, other in zip(look["speed_up"] or [None] * 3, _three(speed) or [None] * 3, strict=True):
        if (one is None) != (other is None) or not math.isclose(one or 0, other or 0, rel_tol=1e-9):
            return f"speed-up {look['speed_up']}, again {_three(speed)}"
    value, low, high = look["difference"] or (None, None, None)
    robust = None if value is None else Estimate(value, low, high, len(pairs))
    verdict = word(pairs, speed, robust, design.least)
    if verdict != look["verdict"]:
        return f"verdict {look['verdict']!r}, again {verdict!r}"
    why = closed(verdict, _chance(pairs, speed, design), look["seeds"], design.most)
    return "" if why == look["why"] else f"closed as {look['why']!r}, again {why!r}"
