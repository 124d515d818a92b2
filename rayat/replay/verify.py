"""Every decision of a run, made again from its log and compared with what was recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayat.collapse import rule_of
from rayat.errors import LedgerError, quoted
from rayat.ledger.files import located
from rayat.ledger.log import LOG, Record, read_log
from rayat.ledger.merging import merged
from rayat.ledger.reach import reach, restore_log, tables_there
from rayat.ledger.rows import plain
from rayat.ledger.state import State
from rayat.ledger.status import Status
from rayat.own.parts import adopt
from rayat.policies.base import TrialView
from rayat.policies.groups import recorded
from rayat.policies.host import Host, Judged
from rayat.policies.question import Question
from rayat.policies.spending import Spending

CLOSE = 1e-6
"""Relative difference of evidence that two machines' arithmetic may make."""


@dataclass(frozen=True)
class Verification:
    """What came out: how much was made again, and the first difference in words, if any.

    Attributes:
        note: what could not be made again, and where it can; empty if everything could.
    """

    run: str
    reports: int
    decisions: int
    difference: str | None
    note: str = ""


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
    return Verification(str(folder), len(again.state.observed), made, difference, again.note())


class _Again:
    """Reads the log record by record and judges each new report as the driver did.

    A merged run's trials were judged in several runs: there each has its own host.
    """

    def __init__(self) -> None:
        self.state = State()
        self.made: dict[str, list[dict[str, Any]]] = {}
        self._views: dict[str, TrialView] = {}
        self._hosts: dict[int, Host] = {}
        self._parts: dict[str, int] = {}

    def record(self, record: Record) -> None:
        reports, ignored = len(self.state.observed), self.state.ignored
        self.state.apply(record)
        if record["kind"] == "run":
            parts = merged(self.state.info or {})
            self._parts = {t: n for n, part in enumerate(parts, 1) for t in part["trials"]}
        if len(self.state.observed) > reports:
            trial_id, epoch, values = self.state.observed[-1]
            names = self.state.trials[trial_id].names
            row = {"epoch": epoch, **dict(zip(names, values, strict=True))}
            self._keep(self._host(trial_id).observe(self._view(trial_id), epoch, row))
        if record["kind"] != "end" or self.state.ignored > ignored:
            return
        host = self._hosts.get(self._parts.get(record["trial_id"], 0))
        if host is not None and Status(record["status"]).is_broken:
            self._keep(host.broke(record["trial_id"]))

    def _host(self, trial_id: str) -> Host:
        part = self._parts.get(trial_id, 0)
        if part not in self._hosts:
            self._hosts[part] = self._begin(part)
        return self._hosts[part]

    def _begin(self, part: int) -> Host:
        info = self.state.info
        if info is None:
            raise LedgerError("the log has reports before its run; it is damaged")
        study = info["study"]
        policy, stop = recorded(study["policy"]), bool(study.get("stop_collapsed", True))
        made_by = merged(info)[part - 1] if part else info
        host = Host(
            policy,
            str(info["metric"]),
            stop,
            Spending.of(info),
            rule_of(made_by),
            Question.of(info),
        )
        members = [name for name in self.state.trials if self._parts.get(name, 0) == part]
        host.expect(map(self._view, members))
        return host

    def _torn_apart(self) -> dict[int, str]:
        """Return the runs of a merged one whose decisions rest on trials that were left out."""
        info = self.state.info or {}
        found = {n: str(p["run"]) for n, p in enumerate(merged(info), 1) if p["left_out"]}
        return {} if not found or recorded(info["study"]["policy"]).alone else found

    def note(self) -> str:
        """Return what cannot be made again here; empty if everything can."""
        apart = self._torn_apart()
        if not apart:
            return ""
        runs = ", ".join(quoted(run) for run in apart.values())
        return (
            f"the decisions of {runs} rest on trials that are here as another run's, and were not "
            "compared: verify those runs themselves"
        )

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
        apart = self._torn_apart()
        for trial_id, trial in self.state.trials.items():
            if self._parts.get(trial_id, 0) in apart:
                continue
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
