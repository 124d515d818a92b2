"""A run as Python sees it: its tables, and what they can be asked."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from rayat.api.given import Positive, checked
from rayat.compare.best import Best, best
from rayat.compare.front import Front, front
from rayat.compare.select import best_trial
from rayat.compare.table import Comparison, compare
from rayat.config import TrialConfig
from rayat.errors import LedgerError, nearest, quoted
from rayat.ledger.files import checkpoint_folder
from rayat.ledger.reader import Run as Tables
from rayat.ledger.reader import read_run
from rayat.own.parts import adopt
from rayat.replay.verify import Verification
from rayat.replay.whatif import SHIPPED, WhatIf, what_if
from rayat.report.write import write_report
from rayat.runs.record import Summary

if TYPE_CHECKING:
    from torch import nn

BEST = "best"
"""In place of a trial's id: the one that validation chose (`Run.chosen`)."""


@dataclass(frozen=True, repr=False)
class Run(Tables):
    """A run, living or finished, as it was when it was opened; `refresh` reads it again.

    Attributes:
        folder: where it is. info: its description, `run.json`.
        trials, epochs, decisions, evals: its tables as pandas data frames; accuracies are fractions
            of 1, costs are passes of single images and seconds. docs/compare.md names the columns.
        summary: how it ended, where this process ran it; else None.

    Example:
        >>> import rayat
        >>> run = rayat.open("results/lr_shapes")
        >>> len(run.trials)
        24
        >>> print(run.compare().headline)  # doctest: +SKIP
    """

    summary: Summary | None = field(default=None, compare=False)

    @classmethod
    def read(cls, folder: str | Path, summary: Summary | None = None) -> Run:
        """Read a run's folder.

        Raises:
            LedgerError: no run there, or a file of it is damaged; the text names the cure.
        """
        tables = read_run(folder)
        return cls(**{f.name: getattr(tables, f.name) for f in fields(tables)}, summary=summary)

    def refresh(self) -> Run:
        """Return the run as it is now."""
        return type(self).read(self.folder, self.summary)

    @property
    def statuses(self) -> dict[str, int]:
        """How many trials have which status, such as `{"finished": 24}`."""
        return {str(k): int(n) for k, n in self.trials["status"].value_counts().items()}

    @checked
    def compare(
        self,
        baseline: str | None = None,
        target: float | None = None,
        suite: str | None = None,
        arms: str | Sequence[str] = (),
    ) -> Comparison:
        """Compare the arms with a baseline by their cost to a target; see docs/compare.md.

        Args:
            baseline: an arm, or `key=value[,key=value]` that names one; default: the study's.
            target: value of the study's metric, in (0, 1]; default: the study's.
            suite: whose test accuracies are shown, such as `autoattack`.
            arms: show only these beside the baseline, named as the baseline is; default: all.

        Raises:
            LedgerError: the run holds no report. StudyError: no such arm, or no such target.
        """
        return compare(self, baseline, target, suite, [arms] if isinstance(arms, str) else arms)

    @checked
    def best(
        self, top: Positive = 1, baseline: str | None = None, target: float | None = None
    ) -> Best:
        """Return the best configurations, what they reached and how sure that is.

        Ranked as `rayat.confirm` ranks: by the cost to the target where every seed reached it.
        `best().config` is the configuration, `best().write("best.json")` its file for
        `rayat train --config`; `rows` are the first `top`.

        Args:
            top: how many. baseline: an arm; default: the study's. target: value of the metric;
                default: the study's, else 98 % of the best value of the baseline's worst seed.

        Raises:
            LedgerError: the run holds no report, or the baseline no value.
            StudyError: `top` below 1, no such baseline, or no such target.
        """
        return best(self, top, baseline, target)

    @checked
    def front(self, baseline: str | None = None, target: float | None = None) -> Front:
        """Return all configurations by passes and best value, those none beats, and each axis.

        Validation values of a search: the best are flattered by luck (`rayat.confirm`).
        `front().front` are the configurations that no other beats in both, `axes` the figures of
        each searched axis.

        Args:
            baseline, target: as for `best`.

        Raises:
            LedgerError: the run holds no report, the baseline no value, or no passes were recorded.
            StudyError: no such baseline, or no such target.
        """
        return front(self, baseline, target)

    def chosen(self) -> pd.Series[Any]:
        """Return the row of the trial that validation chose, with its id under `trial_id`.

        The first seed of the configuration with the best mean over its seeds: the most robust one,
        whatever it cost. `best` asks which is the soonest to a target.

        Raises:
            LedgerError: no sound trial has a value yet.
            StudyError: the trials were measured differently, so that none is the best.
        """
        trial_id, _ = best_trial(self)
        if trial_id is None:
            raise LedgerError(
                f"{self.folder} has no sound trial with a value yet: let one report first"
            )
        return self._trial(trial_id)

    @checked
    def config(self, trial: str = BEST) -> TrialConfig:
        """Return a trial's configuration. Raises `LedgerError` on an unknown trial."""
        adopt(self.folder)
        return TrialConfig.parse(json.loads(str(self._row(trial)["config_json"])))

    @checked
    def load_model(
        self,
        trial: str = BEST,
        checkpoint: Literal["best", "last"] = "best",
        device: str = "cpu",
    ) -> nn.Module:
        """Return a trial's network with the weights of a checkpoint, in evaluation mode.

        It takes images of shape (B, C, H, W) with pixels in [0, 1] and gives logits (B, classes).
        The data set is not read: what the network must know of it stands in the run.

        Args:
            trial: its id; default: the one that validation chose.
            checkpoint: `best` by validation, or `last`.

        Raises:
            LedgerError: an unknown trial, or no such checkpoint; checkpoints are not part of a
                run's tables, and copies without them have none.
        """
        from rayat.training import checkpoints
        from rayat.training.network import restored
        from rayat.training.process import refuse_device

        refuse_device(device)
        row = self._row(trial)
        trial_id, config = str(row["trial_id"]), self.config(trial)
        place = checkpoint_folder(self.folder, trial_id)
        found = checkpoints.load(place, checkpoint, config)
        if found is None:
            raise LedgerError(
                f"{place / checkpoint}: no checkpoint there; where the run was made they lie "
                f"under {quoted('checkpoints')}, or `rayat refit {quoted(self.folder)}` trains anew"
            )
        shape, classes = self._images(config)
        return restored(config, shape, classes, found.model, device)

    @checked
    def report(self, path: str | Path | None = None) -> Path:
        """Write the HTML report and return its path; default: `report.html` in the run's folder.

        Raises:
            LedgerError: the run holds no report of an epoch, or the file cannot be written.
        """
        return write_report(self, self.folder / "report.html" if path is None else path)

    @checked
    def evaluate(
        self,
        attacks: str | Sequence[str] = ("autoattack",),
        eps: Sequence[float] = (),
        n: Positive | None = None,
        trials: str | Sequence[str] = (),
        workers: Positive = 1,
        device: str = "cpu",
    ) -> pd.DataFrame:
        """Measure checkpoints by suites; the rows also go into the run's ledger.

        Args:
            attacks: suites as on the command line, such as `pgd:50x10` (docs/evaluation.md).
            eps: radii; default: each trial's own. n: the first so many test images; default: as the
                configuration says.
            trials: ids, `best` for the chosen one; default: all that have ended.
            workers: trials measured at once.

        Returns:
            The rows of the evals table that were asked for; what the run holds already is not
            measured again.

        Raises:
            ConfigError: no such suite. LedgerError: an unknown trial, or one that still runs.
        """
        from rayat.evaluation.request import Request
        from rayat.evaluation.run import evaluate_run
        from rayat.suites.base import suite
        from rayat.training.process import refuse_device

        refuse_device(device)
        request = Request(
            tuple(suite(text) for text in ([attacks] if isinstance(attacks, str) else attacks)),
            tuple(eps),
            size=n,
            device=device,
        )
        trials = [trials] if isinstance(trials, str) else trials
        chosen = [str(self._row(trial)["trial_id"]) for trial in trials]
        return pd.DataFrame(evaluate_run(self.folder, request, chosen, workers=workers))

    @checked
    def what_if(
        self,
        budget: float | str = 0.5,
        policies: str | Sequence[str] = SHIPPED,
        ends: Literal["at-end", "at-target"] | None = None,
    ) -> WhatIf:
        """Return what the run would have found with less, by replay of what it recorded.

        Args:
            budget: a share of its passes in (0, 1], or a number of passes.
            policies: stopping policies to replay.
            ends: what trials are for; default: what the study says.

        Raises:
            StudyError: no such budget. ConfigError: no such policy. LedgerError: no reports.
        """
        names = [policies] if isinstance(policies, str) else policies
        return what_if(self, budget, names, ends)

    def verify(self) -> Verification:
        """Make every decision again from the log; `difference` is None where all are the same.

        So are the looks of a run whose seeds were added until its verdicts were decided.
        """
        from rayat.runs.looks import verify

        return verify(self.folder)

    def _row(self, trial: str) -> pd.Series[Any]:
        if trial == BEST:
            return self.chosen()
        known = list(self.trials["trial_id"])
        if trial not in known:
            raise LedgerError(
                f"no trial {trial!r} in {self.folder}{nearest(trial, known)}; "
                "`run.trials` lists them"
            )
        return self._trial(trial)

    def _trial(self, trial_id: str) -> pd.Series[Any]:
        return self.trials[self.trials["trial_id"] == trial_id].iloc[0]

    def _images(self, config: TrialConfig) -> tuple[tuple[int, int, int], int]:
        """Return the shape and the classes of a trial's images, from the run's description."""
        known = {(tuple(d["shape"]), int(d["classes"])) for d in self.info["data"]}
        if len(known) == 1:
            return known.pop()
        from rayat.data.prepare import prepare

        prepared = prepare(config.data)  # a study over data sets: which is a trial's is not told
        return prepared.shape, len(prepared.classes)

    def __repr__(self) -> str:
        said = ", ".join(f"{n} {status}" for status, n in self.statuses.items()) or "no trials"
        return f"Run({str(self.folder)!r}: {said}; {len(self.epochs)} epochs)"

    def _repr_html_(self) -> str:
        """Return the comparison for a notebook, or the statuses where nothing is to compare."""
        if self.epochs.empty:
            return f"<p>{html.escape(repr(self))}</p>"
        columns = ["arm", "seed", "status", "epochs_run", "best_value"]
        table: str = self.trials[columns].to_html(index=False, float_format="{:.3f}".format)
        return f"<p>{html.escape(repr(self))}</p>{table}"
