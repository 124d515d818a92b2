"""Every decision of a run, made again from its log and compared with what was recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayat.errors import LedgerError, quoted
from rayat.ledger.files import located
from rayat.ledger.log import LOG, Record, read_log
from rayat.ledger.reach import reach, restore_log, tables_there
from rayat.ledger.rows import plain
from rayat.ledger.state import State
from rayat.ledger.status import Status
from rayat.own.parts import adopt
from rayat.policies.base import TrialView
from rayat.policies.groups import recorded
from rayat.policies.host import Host, Judged
from rayat.policies.spending import Spending

CLOSE = 1e-6
"""Relative difference of evidence that two machines' arithmetic may make."""


@dataclass(frozen=True)
class Verification:
    """What came out: how much was made again, and the first difference in words, if any."""

    run: str
    reports: int
    decisions: int
    difference: str | None


def verify(folder: str | Path) -> Verification:
    """Make all decisions of a run again, in the order of its log.

    Raises:
        LedgerError: no log, a damaged one, or one that holds less than the tables.
    """
    folder = located(folder)
    adopt(folder, rooms=["policies"])
    path = folder / LOG
    if not path.is_file():
        cure = f"; the tables are there: {restore_log(folder)}" if tables_there(folder) else ""
        raise LedgerError(f"{path}: missing; decisions can be verified from a run's log only{cure}")
    tables = reach(folder)  # before the log, which a living run's driver writes first
    again = _Again()
    extent = read_log(path, again.record)
    if extent.damage:
        raise LedgerError(
            f"{extent.damage}; `rayat repair {quoted(folder)}` keeps what is before it"
        )
    said = tables.beyond(extent, again.state)
    if said:
        raise LedgerError(f"{folder}: {said}; {restore_log(folder)}")
    made = sum(map(len, again.made.values()))
    difference = again.difference(finished=extent.torn == 0)
    return Verification(str(folder), len(again.state.observed), made, difference)


class _Again:
    """Reads the log record by record and judges each new report as the driver did."""

    def __init__(self) -> None:
        self.state = State()
        self.made: dict[str, list[dict[str, Any]]] = {}
        self._views: dict[str, TrialView] = {}
        self._host: Host | None = None

    def record(self, record: Record) -> None:
        reports, ignored = len(self.state.observed), self.state.ignored
        self.state.apply(record)
        if len(self.state.observed) > reports:
            trial_id, epoch, values = self.state.observed[-1]
            names = self.state.trials[trial_id].names
            row = {"epoch": epoch, **dict(zip(names, values, strict=True))}
            self._host = self._host or self._begin()
            self._keep(self._host.observe(self._view(trial_id), epoch, row))
        if record["kind"] != "end" or self.state.ignored > ignored or self._host is None:
            return
        if Status(record["status"]).is_broken:
            self._keep(self._host.broke(record["trial_id"]))

    def _begin(self) -> Host:
        info = self.state.info
        if info is None:
            raise LedgerError("the log has reports before its run; it is damaged")
        study = info["study"]
        policy, stop = recorded(study["policy"]), bool(study.get("stop_collapsed", True))
        host = Host(policy, str(info["metric"]), stop, Spending.of(info))
        host.expect(self._view(name) for name in self.state.trials)
        return host

    def _view(self, trial_id: str) -> TrialView:
        if trial_id not in self._views:
            declared = self.state.trial(trial_id).declared
            config, epochs = json.loads(declared["config_json"]), declared["epochs_planned"]
            self._views[trial_id] = TrialView(trial_id, config, epochs, declared.get("arm", ""))
        return self._views[trial_id]

    def _keep(self, judged: Iterable[Judged]) -> None:
        for each in judged:
            decision = each.decision
            if decision.rule:
                made = {
                    "epoch": each.epoch,
                    "action": decision.action,
                    "rule": decision.rule,
                    "sentence": decision.sentence,
                    "evidence": plain(decision.evidence),
                }
                self.made.setdefault(each.trial_id, []).append(made)

    def difference(self, finished: bool) -> str | None:
        """Return the first difference, in the trials' order of declaration."""
        for trial_id, trial in self.state.trials.items():
            made = self.made.get(trial_id, [])
            for place in range(max(len(made), len(trial.decisions))):
                logged = trial.decisions[place] if place < len(trial.decisions) else None
                again = made[place] if place < len(made) else None
                if logged is None and not finished:
                    continue  # the crash that tore the log came before it was recorded
                said = _compare(logged, again)
                if said:
                    return f"trial {trial_id}: {said}"
        return None


def _compare(logged: Mapping[str, Any] | None, again: Mapping[str, Any] | None) -> str | None:
    if logged is None or again is None:
        one = logged or again or {}
        which = "recorded, but not made again" if again is None else "made again, but not recorded"
        return f"epoch {one['epoch']}: {one['action']} by {one['rule']} is {which}"
    for key in ("epoch", "action", "rule"):
        if logged[key] != again[key]:
            return f"epoch {logged['epoch']}: {key} recorded {logged[key]!r}, again {again[key]!r}"
    if logged["evidence"] == again["evidence"]:
        if logged["sentence"] != again["sentence"]:
            return f"epoch {logged['epoch']}: its sentence was recorded otherwise"
        return None
    for key in sorted({*logged["evidence"], *again["evidence"]}):
        one, other = logged["evidence"].get(key), again["evidence"].get(key)
        if not _same(one, other):
            return f"epoch {logged['epoch']}: evidence {key} recorded {one!r}, again {other!r}"
    return None


def _same(one: object, other: object) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
    return one == other
