"""What a search found, and what is left of it on fresh seeds: found, confirmed, shrinkage.

The best of many configurations is the best partly by luck: the more were tried, the more its
figures flatter it. A confirmation trains the best few and the baseline again, on seeds that the
search never saw and without early stopping, and only these runs carry a verdict. Its intervals
hold for all `K` comparisons together (Bonferroni: each at level 1 - 0.05 / K).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rayat.compare.comparison import ArmRow, Line
from rayat.compare.naming import told_apart
from rayat.compare.ranking import Found
from rayat.compare.text import factor, fraction, plural, printable
from rayat.compare.verdict import HEADLINE, interval
from rayat.ledger.reader import Run
from rayat.ledger.status import Status
from rayat.resampling import LEVEL
from rayat.search.axes import SEARCHED, control

BASELINE = "baseline"
"""The arm of a confirmation that the others are compared with."""
CONFIRMS = "confirms"
"""The key of `origin` in `run.json` under which a confirmation keeps what the search found."""


def as_found(found: Found) -> dict[str, Any]:
    """Return what `run.json` of a confirmation keeps of one configuration."""
    return {
        "config_id": found.config_id,
        "arm": found.arm,
        "seeds": sorted(found.trial_ids),
        "value": None if math.isnan(found.value) else found.value,
        "reached": found.reached,
        "cost": None if math.isnan(found.cost) else found.cost,
    }


def confirms(info: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a run confirms, by its arms' labels; {} where it is no confirmation."""
    found: dict[str, dict[str, Any]] = (info.get("origin") or {}).get(CONFIRMS) or {}
    return found


def level(info: Mapping[str, Any]) -> float:
    """Return the level of each interval of a run: that of a confirmation holds for all together."""
    others = len(confirms(info)) - 1
    return 1 - (1 - LEVEL) / others if others > 1 else LEVEL


def lines(run: Run, rows: Sequence[ArmRow]) -> list[Line]:
    """Return a line for each configuration of a confirmation, in the order of its rows."""
    known = confirms(run.info)
    base = next((was for arm, was in known.items() if arm == label(BASELINE)), {})
    found = []
    for row in rows:
        was = known.get(row.arm)
        if was is None:
            continue
        estimate = row.speed_up[HEADLINE]
        own = run.trials[run.trials["trial_id"].isin(list(row.trial_ids.values()))]
        value = own.loc[own["status"] == Status.FINISHED, "best_value"].mean()
        found.append(
            Line(
                row.arm,
                was_called(run, row.arm),
                base["cost"] / was["cost"] if base.get("cost") and was.get("cost") else None,
                (1.0 if row.reached == len(row.trial_ids) else None)
                if row.is_baseline
                else None
                if estimate is None or estimate.bound
                else estimate.value,
                was.get("value"),
                None if math.isnan(value) else float(value),
                row.verdict,
            )
        )
    return found


def label(arm: str) -> str:
    """Return the label of a named arm of a confirmation."""
    return f"arm={arm}"


def final_suite(run: Run) -> str | None:
    """Return the suite of a confirmation's final table where it was measured, else None."""
    wanted = (run.info.get("origin") or {}).get("suite")
    tests = run.evals[(run.evals["split"] == "test") & (run.evals["suite"] == wanted)]
    return wanted if len(tests) else None


def answer(run: Run, rows: Sequence[ArmRow], target: float | None) -> str:
    """Return the answer of a confirmation: what to train with, or that nothing was confirmed."""
    known = confirms(run.info)
    tried = (run.info.get("origin") or {}).get("configurations")
    seeds = len(run.info["study"]["seeds"])
    left = unfinished(run, rows)
    if left:
        return left
    among = f" of the {tried} that were tried" if tried else ""
    best = chosen(rows)
    base = printable(known[label(BASELINE)]["arm"])
    goal = "the target" if target is None else fraction(target)
    if best is None:
        others = [row for row in rows if not row.is_baseline]
        which = (
            f"the best configuration{among} is not"
            if len(others) == 1
            else f"none of the best {len(others)} configurations{among} is"
        )
        return (
            f"Nothing confirmed: {which} shown to reach {goal} sooner than the baseline {base} at "
            f"matched robustness on {plural(seeds, 'fresh seed')} "
            f"({'; '.join(f'{was_called(run, r.arm)}: {r.verdict}' for r in others)})."
        )
    speed = best.speed_up[HEADLINE]
    value, span = interval(speed).split(" ", 1)
    pairs = seeds if speed is None else speed.pairs
    clock = best.speed_up["seconds"]
    slower = clock is not None and clock.value < 1
    return (
        f"Train with this: {was_called(run, best.arm)}{_file(run, best.arm)}. It reaches {goal} "
        f"{value} times sooner than {base} {span} in passes, {plural(pairs, 'fresh seed')}"
        + (f"; in seconds not here: {interval(clock)}." if slower else ".")
    )


def unfinished(run: Run, rows: Sequence[ArmRow]) -> str:
    """Return what a confirmation lacks before anything is said of it; "" where it is whole."""
    trials = plural(len(run.trials), "trial")
    going = sum(not Status(status).is_final for status in run.trials["status"])
    if going:
        return (
            f"Not over: {going} of {trials} have no end yet, and nothing is said before the last "
            "one has."
        )
    suite = (run.info.get("origin") or {}).get("suite")
    tests = run.evals[(run.evals["split"] == "test") & (run.evals["suite"] == suite)]
    ours = {trial_id for row in rows for trial_id in row.trial_ids.values()}
    whole = set(run.trials.loc[run.trials["status"] == Status.FINISHED, "trial_id"]) & ours
    missing = whole - set(tests["trial_id"]) if suite else set()
    if missing:
        return (
            f"Not over: {len(missing)} of {trials} are not in the final table by {suite} yet; the "
            "command that began it goes on."
        )
    return ""


def recommended(run: Run, rows: Sequence[ArmRow]) -> ArmRow | None:
    """Return what a whole confirmation recommends; None where nothing was confirmed."""
    return None if unfinished(run, rows) else chosen(rows)


def _file(run: Run, arm: str) -> str:
    """Return the name of the file that holds an arm's configuration, in brackets; "" without."""
    try:
        held = (run.folder / RECOMMENDED).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    return f" ({RECOMMENDED})" if held == configuration(run, arm) else ""


def was_called(run: Run, arm: str) -> str:
    """Return what an arm of a confirmation is: its label in the search, in words where that names
    nothing."""
    was = str(confirms(run.info)[arm]["arm"])
    if was not in (control(SEARCHED), "all"):
        return printable(was)
    trees = {
        name: json.loads(run.trials.loc[run.trials["arm"] == name, "config_json"].iloc[0])
        for name in (arm, label(BASELINE))
    }
    said = told_apart(trees[arm], trees[label(BASELINE)])
    return printable(said or was)


def chosen(rows: Sequence[ArmRow], verdicts: Sequence[str] = ("faster",)) -> ArmRow | None:
    """Return what is recommended: of the arms shown to be faster at matched robustness the one
    with the largest lower end of its interval; None where there is none.

    Args:
        verdicts: what counts as shown.
    """

    def least(row: ArmRow) -> float:
        speed = row.speed_up[HEADLINE]
        return 0.0 if speed is None or speed.low is None else speed.low

    return max((row for row in rows if row.verdict in verdicts), key=least, default=None)


RECOMMENDED = "train-with.json"
"""The recommended configuration in a confirmation's folder: `rayat train --config FILE`."""


def configuration(run: Run, arm: str) -> str:
    """Return an arm's configuration as the text of a file, without a seed."""
    text = run.trials.loc[run.trials["arm"] == arm, "config_json"].iloc[0]
    return as_file(json.loads(text))


def as_file(config: Mapping[str, Any]) -> str:
    """Return a configuration as the text of a file for `rayat train --config`, without a seed."""
    tree = {key: value for key, value in config.items() if key != "seed"}
    return json.dumps(tree, indent=2, sort_keys=True) + "\n"


def table(found: Sequence[Line]) -> list[tuple[str, ...]]:
    """Return the rows of the table, the header first."""
    header = (
        "",
        "speed-up found",
        "confirmed",
        "left of it",
        "value found",
        "confirmed",
        "verdict",
        "in the search",
    )

    def cell(value: float | None, show: Any) -> str:
        return "-" if value is None else show(value)

    body = [
        (
            line.arm.removeprefix("arm="),
            cell(line.found_speed, factor),
            cell(line.speed, factor),
            cell(line.shrinkage, lambda share: f"{share:.0%}"),
            cell(line.found_value, fraction),
            cell(line.value, fraction),
            line.verdict,
            printable(line.was),
        )
        for line in found
    ]
    return [header, *body]
