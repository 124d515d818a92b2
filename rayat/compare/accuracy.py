"""How good an arm's models are in the end: best and last checkpoint, test before validation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rayat.compare.bootstrap import ONCE, Estimate, Intervals
from rayat.errors import StudyError, nearest, quoted
from rayat.ledger.reader import Run
from rayat.policies.question import AT_END, Question

CHECKPOINTS = ("best", "last")
VALIDATION = "validation"
"""The source of accuracies where no test is recorded: the split that chose the best epoch."""
UNASKED = 'not asked, ends="at-target"'
"""The source of accuracies in a study that asks only for the cost to its target."""
MEASURED = {"n": "test images", "precision": "precision of the test", "eps": "eps of the test"}
"""Columns of a test evaluation that must be equal where accuracies are compared, by their names."""


@dataclass(frozen=True)
class MeanSd:
    """Mean and sample standard deviation over `n` seeds; sd is None for one seed."""

    mean: float
    sd: float | None
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> MeanSd | None:
        """Return the summary of the finite values, None if there is none."""
        finite = [value for value in values if math.isfinite(value)]
        if not finite:
            return None
        sd = float(np.std(finite, ddof=1)) if len(finite) > 1 else None
        return cls(float(np.mean(finite)), sd, len(finite))


@dataclass(frozen=True)
class Accuracies:
    """Clean and robust accuracy of every trial's checkpoints, from one source for all.

    Attributes:
        source: where they come from, such as `test, pgd-20`.
        tested: whether that is the test set.
        asked: whether the study asks how robust trials end (`Question.ends`).
        table: indexed by (trial_id, checkpoint), columns clean and robust, fractions, and those of
            `MEASURED` as far as they are known.
    """

    source: str
    tested: bool
    table: pd.DataFrame
    asked: bool = True

    def of(self, trial_ids: Mapping[int, str], checkpoint: str, kind: str) -> dict[int, float]:
        """Return accuracy by seed; `kind` is clean or robust. Seeds without one are left out."""
        column = self.table[kind]
        found = {
            seed: float(column[key])
            for seed, trial_id in trial_ids.items()
            if (key := (trial_id, checkpoint)) in column.index
        }
        return {seed: value for seed, value in found.items() if math.isfinite(value)}

    def difference(
        self,
        arm: Mapping[int, str],
        baseline: Mapping[int, str],
        checkpoint: str = "best",
        by: Intervals = ONCE,
    ) -> Estimate | None:
        """Return the robust accuracy that the arm has above the baseline; None without a pair."""
        ours = self.of(arm, checkpoint, "robust")
        theirs = self.of(baseline, checkpoint, "robust")
        seeds = sorted(set(ours) & set(theirs))
        if not seeds:
            return None
        return by.difference([ours[s] for s in seeds], [theirs[s] for s in seeds])

    def differing(
        self, arm: Mapping[int, str], baseline: Mapping[int, str], checkpoint: str = "best"
    ) -> dict[str, tuple[Any, Any]]:
        """Return in what the tests of two arms differ, the arm's value first; {} without a test."""
        found: dict[str, tuple[Any, Any]] = {}
        for column, name in MEASURED.items():
            if column not in self.table:
                continue
            ours, theirs = (
                sorted({self.table[column][k] for k in keys if k in self.table.index} - {None})
                for keys in ([(i, checkpoint) for i in ids.values()] for ids in (arm, baseline))
            )
            if ours and theirs and ours != theirs:
                found[name] = (
                    ours[0] if len(ours) == 1 else ours,
                    (theirs[0] if len(theirs) == 1 else theirs),
                )
        return found


def accuracies(run: Run, suite: str | None = None) -> Accuracies:
    """Return test accuracies if the run has them, else those on the validation split.

    Only rows at a trial's own evaluation radius count. Of several suites the one that covers most
    checkpoints is taken; of these AutoAttack, else the one that leaves the least robust accuracy:
    the strongest attack. Of a checkpoint's rows the one is taken whose number of images most
    checkpoints share, so that arms are compared on as many images.

    A study that asks for the cost alone has none, unless a suite is named: its trials may have
    ended at the target, each at another epoch.

    Args:
        suite: take this one, such as `autoattack`; checkpoints that it does not cover have none.

    Raises:
        StudyError: the run has no test rows of that suite.
    """
    asked = Question.of(run.info).ends == AT_END
    if suite is None and not asked:
        return Accuracies(UNASKED, False, pd.DataFrame(columns=["clean", "robust"]), False)
    tests = _at_own_radius(run, run.evals[run.evals["split"] == "test"])
    tests = _most_shared(tests)
    if suite is None and tests.empty:
        imported = run.info.get("imported")
        kind = f"imported, {measured_on(imported)}" if imported else VALIDATION
        return Accuracies(kind, False, _validation(run))
    if suite is None:
        suites = tests.groupby("suite")["robust_acc"].agg(["count", "mean"]).reset_index()
        suites["other"] = ~suites["suite"].str.startswith("autoattack")
        order = ["count", "other", "mean", "suite"]
        suites = suites.sort_values(order, ascending=[False, True, True, True])
        suite = str(suites["suite"].iloc[0])
    chosen = tests[tests["suite"] == suite]
    if chosen.empty:
        known = sorted(tests["suite"].unique())
        raise StudyError(
            f"no test evaluation by suite {suite!r}{nearest(suite, known)}; the run has: "
            f"{', '.join(known) or 'none'}; another is added by `rayat evaluate "
            f"{quoted(run.folder)} --attack {quoted(suite)}`"
        )
    table = chosen.set_index(["trial_id", "checkpoint"])
    kept = {"clean_acc": "clean", "robust_acc": "robust", **{key: key for key in MEASURED}}
    table = table[list(kept)].rename(columns=kept)
    for key in MEASURED:  # what is not known is None, whatever the column's type
        table[key] = [
            None if pd.isna(v) else round(v, 9) if isinstance(v, float) else v for v in table[key]
        ]
    return Accuracies(f"test, {suite}", True, table, asked)


def measured_on(imported: Mapping[str, Any]) -> str:
    """Return on what an imported run's accuracies were measured, in words."""
    words = {"val": "validation data", "test": "test data", "unknown": "data of an unknown split"}
    return " and ".join(words.get(kind, kind) for kind in imported["measured_on"])


def _most_shared(tests: pd.DataFrame) -> pd.DataFrame:
    """Return one row per checkpoint and suite: on the number of images that most checkpoints have.

    Of numbers that equally many have the largest; where a checkpoint lacks it, its own largest.
    """
    share = tests.groupby(["suite", "n"], dropna=False)["trial_id"].transform("size")
    tests = tests.assign(share=share).sort_values(["share", "n"], kind="stable")
    return tests.drop_duplicates(["trial_id", "checkpoint", "suite"], keep="last")


def _at_own_radius(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows at the radius that their trial is evaluated at; unknown radii count."""
    own = pd.Series(math.nan, index=run.trials["trial_id"])
    for key in ("cfg.eval.eps", "cfg.attack.eps"):
        if key in run.trials:
            own = own.fillna(run.trials.set_index("trial_id")[key].astype("float64"))
    # A table of no rows has no numbers, whatever its columns are called.
    radius, expected = (
        column.astype("float64") for column in (rows["eps"], rows["trial_id"].map(own))
    )
    return rows[radius.isna() | expected.isna() | np.isclose(radius, expected)]


def _validation(run: Run) -> pd.DataFrame:
    """Return the validation accuracies at the best and at the last measured epoch."""
    best = run.trials[["trial_id", "best_epoch"]].dropna()
    best = best.rename(columns={"best_epoch": "epoch"}).assign(checkpoint="best")
    measured = run.epochs.dropna(subset=["val_robust_acc"])
    last = measured.groupby("trial_id", as_index=False)["epoch"].max().assign(checkpoint="last")
    rows = pd.concat([best, last]).astype({"epoch": "int64"})
    rows = rows.merge(run.epochs, on=["trial_id", "epoch"])
    table: pd.DataFrame = rows.set_index(["trial_id", "checkpoint"])
    return table[["val_clean_acc", "val_robust_acc"]].set_axis(["clean", "robust"], axis=1)
