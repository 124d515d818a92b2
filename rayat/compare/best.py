"""The best configurations of a run: what each is, what it reached, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rayat.compare.accuracy import Accuracies, accuracies
from rayat.compare.bootstrap import Estimate
from rayat.compare.comparison import plain
from rayat.compare.confirmed import as_file, confirms, final_suite, recommended
from rayat.compare.intervals import intervals
from rayat.compare.ranking import Found, Ranking, comparable, ranking
from rayat.compare.speedup import AXES, costs, paired, speed_up
from rayat.compare.table import compare, sound
from rayat.compare.text import NONE, count, fraction, plural, printable
from rayat.compare.verdict import HEADLINE, interval, sentence, word
from rayat.errors import ConfigError, LedgerError, StudyError, quoted
from rayat.layers import flatten
from rayat.ledger.files import located, replace_file
from rayat.ledger.reader import Run, require_reports
from rayat.ledger.status import Status
from rayat.policies.question import AT_TARGET, Question
from rayat.resampling import MIN_PAIRS

LENGTH = 60
"""Characters of a setting that the text shows whole."""


@dataclass(frozen=True)
class Standing:
    """One configuration at its place.

    Attributes:
        place: 1 is the best. is_baseline: whether the others are compared with it.
        arm, config_id, config: its arm's label, its name, its tree without the seed.
        trial_ids: its sound trials by seed.
        value: mean over seeds of the best value of the metric.
        reached: in how many seeds it reached the target.
        cost: mean passes of single images to the target; None unless every seed reached it.
        speed_up: of its cost over the baseline's, by axis; None for the baseline.
        robust_difference: best checkpoint's robust accuracy minus the baseline's, paired.
        verdict, sentence: what may be said of it against the baseline (`compare.verdict`).
        differs: settings that differ from the baseline's, its own value first.
    """

    place: int
    is_baseline: bool
    arm: str
    config_id: str
    config: Mapping[str, Any]
    trial_ids: Mapping[int, str]
    value: float
    reached: int
    cost: float | None
    speed_up: Mapping[str, Estimate | None]
    robust_difference: Estimate | None
    verdict: str
    sentence: str
    differs: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Best:
    """The best configurations of a run, ranked as `rayat confirm` ranks them.

    Attributes:
        study, metric: of the run. folder: where it is.
        target, target_origin: value whose cost ranks; None for a rank by value alone.
        baseline: the arm that they are compared with.
        configurations: how many have a value and were measured as the baseline was.
        answer: what is best, and what it reached, in a sentence.
        sure: how sure that is.
        notes: what else a reader must know.
        rows: the best ones, the first is the answer; at least one.
    """

    study: str
    metric: str
    folder: str
    target: float | None
    target_origin: str
    baseline: str
    configurations: int
    answer: str
    sure: str
    notes: tuple[str, ...]
    rows: tuple[Standing, ...]
    imported: bool = False

    @property
    def config(self) -> Mapping[str, Any]:
        """The best configuration, a tree without a seed, as `rayat.TrialConfig.parse` takes it."""
        return self.rows[0].config

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json.dumps(..., allow_nan=False)` takes; null for unknown."""
        tree: dict[str, Any] = plain(asdict(self))
        return tree

    def write(self, path: str | Path) -> Path:
        """Write the best configuration as a file for `rayat train --config`; return its path.

        Raises:
            LedgerError: it was imported, so that it cannot be trained; or it cannot be written.
            ConfigError: a folder in place of a file.
        """
        if self.imported:
            raise LedgerError(
                f"{self.folder} was imported: its configurations cannot be trained here, so that "
                "there is none to write"
            )
        path = located(path)
        if path.is_dir():
            raise ConfigError(f"{path} is a folder; name a file, such as {quoted(path / 'a.json')}")
        replace_file(path, as_file(self.config).encode())
        return path


def best(run: Run, top: int = 1, baseline: str | None = None, target: float | None = None) -> Best:
    """Return the best configurations of a run.

    First those that reached the target in every seed, by their mean cost to it (`ranking.ranked`).
    In a confirmation the one that it recommends comes first, and its answer is the answer.

    Args:
        top: how many, at least 1.
        baseline, target: as in `ranking.ranking`.

    Raises:
        LedgerError: no report, or no trial of the baseline has a value.
        StudyError: `top` below 1, no such baseline, or an impossible target.
    """
    if top < 1:
        raise StudyError(f"top is how many configurations to show, 1 or more, got {top!r}")
    require_reports(run)
    found = ranking(run, baseline, target)
    alike = [each for each in found.order if comparable(each, found.baseline)]
    notes = _notes(run, found, len(alike))
    answer, sure = "", ""
    if confirms(run.info):
        rows = compare(run, baseline=baseline, target=target)
        first = recommended(run, rows.rows)
        if first is not None:
            alike.sort(key=lambda each: each.arm != first.arm)
        sure = rows.headline
    quality = accuracies(run, final_suite(run))
    rows_ = tuple(_standing(run, n, each, found, quality) for n, each in enumerate(alike[:top], 1))
    answer = _answer(rows_[0], found, str(run.info["metric"]))
    return Best(
        study=str(run.info["study"]["name"]),
        metric=str(run.info["metric"]),
        folder=str(run.folder),
        target=found.target,
        target_origin=found.origin,
        baseline=found.baseline.arm,
        configurations=len(alike),
        answer=answer,
        sure=sure or _sure(run, rows_[0], len(alike)),
        notes=tuple(notes),
        rows=rows_,
        imported="imported" in run.info,
    )


def _standing(run: Run, place: int, found: Found, by: Ranking, quality: Accuracies) -> Standing:
    base, goal = by.baseline, math.inf if by.target is None else by.target
    is_baseline = found.config_id == base.config_id
    own, theirs = (costs(run, each.trial_ids.values(), goal) for each in (found, base))
    pairs, by_ = paired(theirs, own), intervals(run.info)
    speeds = {axis: None if is_baseline else speed_up(pairs, axis, by_) for axis in AXES}
    robust, verdict, text = None, "baseline", ""
    if not is_baseline:
        ids = sound(own, found.trial_ids), sound(theirs, base.trial_ids)
        if not quality.differing(*ids):
            robust = quality.difference(*ids, by=by_) if quality.asked else None
        rest = (by_.least, quality.asked)
        verdict = word(pairs, speeds[HEADLINE], robust, *rest)
        shown = math.nan if by.target is None else by.target
        text = sentence(found.arm, base.arm, shown, pairs, speeds, robust, *rest)
    mine, other = flatten(found.config), flatten(base.config)
    names = [*mine, *(name for name in other if name not in mine)]
    return Standing(
        place,
        is_baseline,
        found.arm,
        found.config_id,
        found.config,
        found.trial_ids,
        found.value,
        found.reached,
        found.cost if found.whole else None,
        speeds,
        robust,
        verdict,
        text,
        {n: (mine.get(n), other.get(n)) for n in names if mine.get(n) != other.get(n)},
    )


def _answer(row: Standing, by: Ranking, metric: str) -> str:
    seeds = len(row.trial_ids)
    named = f"{printable(row.arm)} ({row.config_id})"
    value = f"best {metric} {fraction(row.value)}" + (", mean over seeds" if seeds > 1 else "")
    if by.target is None:
        why = f"{by.origin}, so" if by.origin else "there is no target, so"
        return f"{named}: {value}; {why} configurations rank by value alone."
    if row.cost is not None:
        whole = "its one seed" if seeds == 1 else f"all of its {seeds} seeds"
        mean = "" if seeds == 1 else " on average"
        return (
            f"{named} reached {fraction(by.target)} in {whole}, after {count(row.cost)} "
            f"passes{mean}; {value}."
        )
    return (
        f"{named} reached {fraction(by.target)} in {row.reached} of {plural(seeds, 'seed')}, and "
        f"no configuration reached it in all of its seeds; {value}."
    )


def _sure(run: Run, row: Standing, configurations: int) -> str:
    """Return how sure it is that the first is the best."""
    seeds, again = len(row.trial_ids), ""
    if "imported" not in run.info:
        again = f": `rayat confirm {quoted(run.folder)}` trains it on fresh seeds"
    lucky = f"the best of {plural(configurations, 'configuration')} is partly luck{again}"
    if configurations == 1:
        return "It is the only configuration with a value: there is nothing to rank it against."
    if row.is_baseline:
        return f"The baseline itself ranks first, by {plural(seeds, 'seed')}; {lucky}."
    if seeds < MIN_PAIRS:
        few = "One seed" if seeds == 1 else f"{seeds} seeds"
        return f"{few}: unconfirmed, as an interval needs {MIN_PAIRS}; {lucky}."
    speed = row.speed_up[HEADLINE]
    alone = "" if speed is None or speed.low is None else "the interval is for it alone, and "
    return f"{row.sentence} This is one comparison: {alone}{lucky}."


def _notes(run: Run, by: Ranking, alike: int) -> list[str]:
    notes = []
    if len(by.order) > alike:
        notes.append(
            f"{plural(len(by.order) - alike, 'configuration')} of {len(by.order)} were measured "
            f"otherwise than the baseline {printable(by.baseline.arm)} (radius, attack or images) "
            "and are not ranked; --baseline names an arm that was measured as they were"
        )
    statuses = [Status(status) for status in run.trials["status"]]
    going = sum(not status.is_final for status in statuses)
    if going:
        notes.append(f"the run is not over: {going} of {len(statuses)} trials have no end yet")
    if Question.of(run.info).ends == AT_TARGET:
        notes.append(
            'the study asks for the cost to its target alone (ends="at-target"): trials may have '
            f"ended there, so the best {run.info['metric']} is not what they would have come to"
        )
    left = int(run.trials["config_id"].nunique()) - len(by.order)
    if left:
        notes.append(f"{plural(left, 'configuration')} without a sound trial left out")
    return notes


def header(metric: str) -> tuple[str, ...]:
    """Return the heading of the table of a `Best`."""
    return ("", "arm", "configuration", "reached", "passes", metric, "speed-up", "verdict")


def cells(found: Best) -> list[tuple[str, ...]]:
    """Return the rows of the table of a `Best` as text."""
    return [
        (
            str(row.place),
            printable(row.arm),
            row.config_id,
            NONE if found.target is None else f"{row.reached}/{len(row.trial_ids)}",
            count(row.cost),
            fraction(row.value),
            "1" if row.is_baseline else interval(row.speed_up[HEADLINE]),
            row.verdict,
        )
        for row in found.rows
    ]


def settings(row: Standing) -> list[str]:
    """Return what differs from the baseline: `lr.peak 0.2 (baseline 0.1)`."""

    def shown(value: Any) -> str:
        text = "none" if value is None else printable(value)
        return text if len(text) <= LENGTH else text[: LENGTH - 3] + "..."

    return [
        f"{printable(name)} {shown(own)} (baseline {shown(other)})"
        for name, (own, other) in row.differs.items()
    ]
