"""Runs of one study under several stopping policies: what each cost, and what it chose.

A repetition is the runs that have the same trials in the same order; policies are paired within it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rayat.compare.accuracy import VALIDATION, MeanSd, accuracies
from rayat.compare.bootstrap import Estimate, mean_difference, ratio_of_means
from rayat.compare.select import best_trial
from rayat.compare.text import count, fraction, plural, printable, seconds
from rayat.compare.verdict import interval, robust_interval
from rayat.errors import StudyError, nearest, quoted
from rayat.ledger.merging import merged
from rayat.ledger.reader import Run, require_reports
from rayat.ledger.state import PASSES
from rayat.ledger.status import Status
from rayat.registry import POLICIES

COSTS = ("wall", "passes", "seconds")
"""Wall-clock seconds of the sweep, passes of all its trials, seconds of all its trials."""


@dataclass(frozen=True)
class Sweep:
    """What one run cost and delivered.

    Attributes:
        policy: its label, such as `accel` or `accel:none`. repetition: a hash of its trials.
        wall: seconds from the first trial's start to the last one's end; no start of Ray in it.
        passes, seconds, epochs: of all trials, validation included.
        chosen: the trial that validation chose. validation: its best value of the metric.
        robust: robust accuracy of its best checkpoint on the test set, by `source`.
        stops: stopped trials by rule.
    """

    folder: str
    policy: str
    repetition: str
    wall: float
    passes: float
    seconds: float
    epochs: int
    chosen: str
    validation: float
    robust: float
    source: str
    stops: Mapping[str, int]


@dataclass(frozen=True)
class PolicyRow:
    """One policy: means over its repetitions, and paired comparisons with the baseline.

    Attributes:
        sweeps: its runs, by repetition.
        costs: by `COSTS`. robust, validation: of the chosen trials.
        ratios: cost over the baseline's, by `COSTS`; None for the baseline itself.
        difference: robust accuracy above the baseline's; None for the baseline itself.
        stops: stopped trials by rule, all repetitions together.
    """

    policy: str
    sweeps: tuple[Sweep, ...]
    costs: Mapping[str, MeanSd | None]
    robust: MeanSd | None
    validation: MeanSd | None
    ratios: Mapping[str, Estimate] | None
    difference: Estimate | None
    stops: Mapping[str, int]


@dataclass(frozen=True)
class PolicyComparison:
    """Policies on one study, the baseline first."""

    study: str
    baseline: str
    repetitions: int
    trials: int
    source: str
    rows: tuple[PolicyRow, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def header(self) -> tuple[str, ...]:
        """Return the table's heading."""
        return (
            "policy",
            "wall clock",
            "ratio",
            "passes",
            "ratio",
            "trial seconds",
            "ratio",
            "robust, chosen",
            "difference",
            "stops by rule",
        )

    def cells(self) -> list[tuple[str, ...]]:
        """Return the table's rows as text."""
        return [
            (
                printable(row.policy),
                *(
                    cell
                    for axis, unit in zip(COSTS, (seconds, count, seconds), strict=True)
                    for cell in (_mean(row.costs[axis], unit), _ratio(row.ratios, axis))
                ),
                _mean_sd(row.robust),
                robust_interval(row.difference) if row.difference else "-",
                ", ".join(f"{n} {printable(rule)}" for rule, n in row.stops.items()) or "none",
            )
            for row in self.rows
        ]

    def lines(self) -> list[str]:
        """Return what was compared, and what must be known of it, as sentences."""
        return [
            f"{printable(self.study)}: {plural(self.trials, 'trial')} a sweep, "
            f"{plural(self.repetitions, 'paired repetition')}; ratios and differences against "
            f"{printable(self.baseline)}, 95 % bootstrap intervals over repetitions",
            f"robust accuracy of the trial that validation chose, best checkpoint: {self.source}",
            *self.notes,
        ]

    def markdown(self) -> str:
        """Return a Markdown table, then the sentences."""
        body = [self.header(), *self.cells()]
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in body]
        lines.insert(1, "| --- |" + " ---: |" * (len(self.header()) - 2) + " --- |")
        text = "\n".join([*lines, "", *(f"- {line}" for line in self.lines())])
        return text.replace("<", "&lt;")


def compare_policies(runs: Sequence[Run], baseline: str = "none") -> PolicyComparison:
    """Compare policies by finished runs of one study, one run per policy and repetition.

    Args:
        baseline: the policy that the others are compared with.

    Raises:
        StudyError: runs of different studies, a policy twice in a repetition or missing in one, an
            unfinished run, or a baseline that none of them has.
        LedgerError: a run without reports.
    """
    sweeps = [_sweep(run) for run in runs]
    names = list(dict.fromkeys(sweep.policy for sweep in sweeps))
    if baseline not in names:
        raise StudyError(
            f"no run has the policy {baseline!r}{nearest(baseline, names)}; the runs have: "
            f"{', '.join(names)}; name one of them by --baseline"
        )
    names.sort(key=lambda name: name != baseline)
    studies = {str(run.info["study"]["name"]) for run in runs}
    if len(studies) > 1:
        raise StudyError(f"the runs are of several studies: {', '.join(sorted(studies))}")
    paired = _paired(sweeps, names)
    missing = [sweep.folder for sweep in sweeps if sweep.source == VALIDATION]
    notes = [
        f"{run.folder.name}: a trial was started again, so its wall clock may hold a pause"
        for run in runs
        if (run.trials["attempts"] > 1).any()
    ]
    if missing:
        notes.append(
            f"no test accuracy of the chosen trial in {', '.join(missing)}: validation flatters "
            "what it chose; run for each, as for the first: `rayat evaluate "
            f"{quoted(missing[0])} --chosen --checkpoint best --attack pgd-50`"
        )
    return PolicyComparison(
        study=studies.pop(),
        baseline=baseline,
        repetitions=len(paired[baseline]),
        trials=len(runs[0].trials),
        source="; ".join(sorted({sweep.source for sweep in sweeps})),
        rows=tuple(_row(name, paired[name], paired[baseline]) for name in names),
        notes=tuple(notes),
    )


def label(spec: Mapping[str, Any]) -> str:
    """Return a policy's short name: `accel`, `accel:none`, `asha(grace=2)`."""
    policy = POLICIES.build(spec)
    fields = type(policy).model_fields
    # As in JSON, where a tuple is a list.
    defaults = {k: json.loads(json.dumps(f.get_default(), default=str)) for k, f in fields.items()}
    changed = {k: v for k, v in policy.spec().items() if k in fields and v != defaults[k]}
    short = changed.pop(policy.shorthand, None) if policy.shorthand else None
    rest = ",".join(f"{key}={value}" for key, value in changed.items())
    return f"{policy.kind}{f':{short}' if short else ''}{f'({rest})' if rest else ''}"


def _sweep(run: Run) -> Sweep:
    trials = require_reports(run).trials
    open_ones = sum(not Status(status).is_final for status in trials["status"])
    if open_ones:
        raise StudyError(
            f"{run.folder}: {plural(open_ones, 'trial')} without an end; finish it by "
            f"`rayat resume {quoted(run.folder)}`"
        )
    if run.info.get("extensions") or merged(run.info):
        raise StudyError(
            f"{run.folder} was {'extended' if run.info.get('extensions') else 'merged'}: its "
            "policy did not judge all trials together, and its wall-clock time is not that of one "
            "sweep; compare runs that were whole from the start"
        )
    chosen, _ = best_trial(run)
    if chosen is None:
        raise StudyError(f"{run.folder}: no sound trial has a value, so nothing was chosen")
    best = float(trials.set_index("trial_id")["best_value"][chosen])
    found, key = accuracies(run), (chosen, "best")
    tested = found.tested and key in found.table.index
    order = trials.sort_values("trial_index")
    names = "\n".join(order["trial_id"] + " " + order["config_id"])
    stops = run.decisions[run.decisions["action"] == "stop"]["rule"]
    return Sweep(
        folder=str(run.folder),
        policy=label(run.info["study"]["policy"]),
        repetition=hashlib.sha256(names.encode()).hexdigest(),
        wall=(trials["ended_at"].max() - trials["started_at"].min()).total_seconds(),
        passes=float(trials[list(PASSES)].sum(min_count=1).sum(min_count=1)),
        seconds=float(trials["seconds"].sum()),
        epochs=int(trials["epochs_run"].sum()),
        chosen=chosen,
        validation=best,
        robust=float(found.table["robust"][key]) if tested else best,
        source=found.source if tested else VALIDATION,
        stops=dict(sorted(Counter(stops).items())),
    )


def _paired(sweeps: Sequence[Sweep], names: Sequence[str]) -> dict[str, tuple[Sweep, ...]]:
    """Return each policy's sweeps, all in the same order of repetitions."""
    repetitions = list(dict.fromkeys(sweep.repetition for sweep in sweeps))
    found = {(sweep.policy, sweep.repetition): sweep for sweep in sweeps}
    for sweep in sweeps:
        if found[sweep.policy, sweep.repetition] is not sweep:
            other = found[sweep.policy, sweep.repetition].folder
            raise StudyError(
                f"{sweep.folder} and {other} are the same trials under {sweep.policy}: "
                "leave one out"
            )
    for name in names:
        for repetition in repetitions:
            if (name, repetition) not in found:
                one = next(s.folder for s in sweeps if s.repetition == repetition)
                raise StudyError(
                    f"no run under {name} has the trials of {one} in their order: run it with the "
                    "same --seeds and --order-seed, or leave that repetition out"
                )
    return {name: tuple(found[name, r] for r in repetitions) for name in names}


def _row(name: str, sweeps: tuple[Sweep, ...], base: tuple[Sweep, ...]) -> PolicyRow:
    own = sweeps is base

    def pair(axis: str) -> tuple[list[float], list[float]]:
        return [getattr(s, axis) for s in sweeps], [getattr(s, axis) for s in base]

    stops: Counter[str] = Counter()
    for sweep in sweeps:
        stops.update(sweep.stops)
    return PolicyRow(
        policy=name,
        sweeps=sweeps,
        costs={axis: MeanSd.of(pair(axis)[0]) for axis in COSTS},
        robust=MeanSd.of(pair("robust")[0]),
        validation=MeanSd.of(s.validation for s in sweeps),
        ratios=None if own else {axis: ratio_of_means(*pair(axis)) for axis in COSTS},
        difference=None if own else mean_difference(*pair("robust")),
        stops=dict(sorted(stops.items())),
    )


def _mean(value: MeanSd | None, unit: Callable[[float], str]) -> str:
    return "-" if value is None else unit(value.mean)


def _mean_sd(value: MeanSd | None) -> str:
    if value is None:
        return "-"
    return fraction(value.mean) + (f" ±{fraction(value.sd)}" if value.sd is not None else "")


def _ratio(ratios: Mapping[str, Estimate] | None, axis: str) -> str:
    return "1" if ratios is None else interval(ratios[axis])
