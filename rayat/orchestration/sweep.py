"""`rayat run` and `rayat resume`: a study in a folder, from its first trial to its last figure."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rayat.config import TrialConfig
from rayat.errors import DataError, LedgerError, PlacementError, quoted
from rayat.ledger.files import located
from rayat.ledger.provenance import describe_environment
from rayat.ledger.schema import SCHEMA_VERSION
from rayat.ledger.state import UNFINISHED
from rayat.ledger.writer import Ledger
from rayat.orchestration.cluster import Capacity, cluster, local_capacity
from rayat.orchestration.driver import Driver, Observer
from rayat.orchestration.execute import Options, execute
from rayat.orchestration.final_eval import evaluate_trials
from rayat.orchestration.interrupts import interruptible
from rayat.orchestration.placement import Need, concurrency
from rayat.orchestration.rehearsals import refuse_what_fails
from rayat.orchestration.resuming import other_packages, to_retry
from rayat.orchestration.search import Search, declare
from rayat.orchestration.shared_data import SharedData, source_key
from rayat.policies.base import Policy, TrialView
from rayat.policies.groups import recorded
from rayat.search.plan import Trial
from rayat.study import Study, describe
from rayat.training.advice import advise


@dataclass(frozen=True)
class Where:
    """Which Ray to use: a local one of the given size, or the cluster at `address`."""

    address: str | None = None
    cpus: int | None = None
    gpus: int | None = None
    allow_open: bool = False

    def joined(self, run: Path) -> contextlib.AbstractContextManager[Capacity]:
        """Start or join it for a run (`cluster`)."""
        return cluster(self.address, self.cpus, self.gpus, allow_open=self.allow_open, run=run)


LOCAL = Where()


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
        interrupted: whether it ended, in order, before all trials had their ends.
        warning: one sentence on what it could have done better; empty if nothing was found.
        halted: why it was interrupted, where the user asked for it beforehand (`Halts`).
        unmeasured: a line for each final evaluation that failed.
    """

    folder: Path
    statuses: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False
    warning: str = ""
    halted: str = ""
    unmeasured: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Return whether every trial has an end."""
        return not set(UNFINISHED) & set(self.statuses)


def run(
    study: Study,
    folder: str | Path,
    where: Where = LOCAL,
    options: Options | None = None,
    observer: Observer | None = None,
    command: Sequence[str] | None = None,
) -> Summary:
    """Run a study into a new folder.

    Raises:
        StudyError, ConfigError, DataError, PlacementError: refused before anything was written.
        LedgerError: the folder holds a run already, or cannot be written.
    """
    folder = located(folder)
    refuse_a_taken(folder)
    trials = study.trials()
    refuse_what_cannot_run(trials, where)
    read = refuse_what_fails(study, trials or study.foreseen(), where.address is None)
    options = options or Options(max_failures=study.max_failures)
    with where.joined(folder) as capacity:
        for trial in trials:
            concurrency(Need.of(trial.config), capacity)
        shared, data = SharedData.put((trial.config.data for trial in trials), read)
        del read  # the node's copy is the one that stays
        warnings = [
            *study.notes(),
            *(note for entry in data.values() for note in entry["notes"]),
            *advise((t.arm, t.config, data[source_key(t.config.data)]["train"]) for t in trials),
        ]
        for text in warnings:
            (observer or Observer()).phase(f"warning: {text}")
        info = run_info(study, list(data.values()), capacity, command)
        with beginning(folder, info) as ledger:
            search = Search.of(ledger)
            for trial in trials if search is None else ():
                declare(ledger, trial)
            started = trials if search is None else search.grow()
            configs = {trial.trial_id: trial.config for trial in started}
            summary = carry_out(
                ledger, study.policy, configs, shared, capacity, options, observer, search
            )
        return replace(summary, warning="; ".join(filter(None, (*warnings, summary.warning))))


@contextlib.contextmanager
def beginning(folder: Path, info: Mapping[str, Any]) -> Iterator[Ledger]:
    """Create a run; where an error comes before its first trial has begun, take it back.

    What the folder held before stays. An interrupted run is kept: it can be resumed.
    """
    before = set(folder.iterdir()) if folder.is_dir() else None
    begun = True
    try:
        with Ledger.create(folder, info) as ledger:
            begun = False
            try:
                yield ledger
            finally:
                begun = any(trial.attempts for trial in ledger.state.trials.values())
    except Exception:
        if not begun:
            for path in set(folder.iterdir()) - (before or set()):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            if before is None:
                folder.rmdir()
        raise


def resume(
    folder: str | Path,
    where: Where = LOCAL,
    options: Options | None = None,
    observer: Observer | None = None,
    retry: Sequence[str] = (),
) -> Summary:
    """Continue a run from its own folder: the study file is not needed.

    Args:
        retry: trials that failed or were lost and run again, from their last checkpoint; `failed`
            stands for all of them.

    Raises:
        ConfigError: a trial to retry that did not fail, or none did.
        LedgerError: no run there, or damaged beyond its log. LockedError: it is still running.
        DataError: the data set is not the one that the run began with.
    """
    folder = located(folder)
    with Ledger.open(folder) as ledger:
        info = ledger.info
        if "imported" in info:
            raise LedgerError(f"{folder} was imported: its trials have ended, none can be resumed")
        again = to_retry(ledger, retry)
        search = Search.of(ledger)
        if search is not None:
            search.grow()
        configs = declared(ledger)
        policy = recorded(info["study"]["policy"])
        options = options or Options(max_failures=info["study"].get("max_failures", 3))
        with where.joined(folder) as capacity:
            shared, data = SharedData.put(config.data for config in configs.values())
            same_data(info["data"], list(data.values()))
            warning = other_packages(ledger)
            if warning and observer is not None:
                observer.phase(f"warning: {warning}")
            ledger.event("resumed", {"environment": describe_environment()})
            ledger.retry(again)
            summary = carry_out(
                ledger, policy, configs, shared, capacity, options, observer, search
            )
            return replace(summary, warning="; ".join(filter(None, (warning, summary.warning))))


def carry_out(
    ledger: Ledger,
    policy: Policy,
    configs: dict[str, TrialConfig],
    shared: SharedData,
    capacity: Capacity,
    options: Options,
    observer: Observer | None,
    search: Search | None,
) -> Summary:
    """Run what has no end, evaluate what was not evaluated, write the tables.

    `configs` gains the trials that the search proposes while the run lives.
    """
    study = ledger.info["study"]
    arms = ledger.arms()

    def grow() -> list[TrialView]:
        new = [] if search is None else search.grow()
        configs.update({trial.trial_id: trial.config for trial in new})
        return [view(trial.trial_id, trial.config, trial.arm) for trial in new]

    views = [view(trial_id, config, arms.get(trial_id, "")) for trial_id, config in configs.items()]
    observer = observer or Observer()
    driver = Driver(
        ledger,
        policy,
        views,
        study["metric"],
        study.get("stop_collapsed", True),
        observer,
        grow,
        options.halts,
    )
    unmeasured: list[str] = []

    def stop() -> None:
        driver.interrupted = True
        driver.observer.phase("interrupted: stopping the trials; again to leave at once")

    try:
        # Around all of it: between two handlers Python's own would raise in whatever code runs,
        # and what raises in a callback of Ray's is lost.
        with interruptible(stop):
            execute(ledger.folder, configs, driver, shared, capacity, options)
            if study.get("final_eval", True) and not driver.interrupted:
                unmeasured = evaluate_trials(ledger.folder, configs, driver, shared, capacity)
        if driver.interrupted:
            driver.leave()
            ledger.event("interrupted", {"why": driver.halted} if driver.halted else {})
    finally:
        observer.finish()
        ledger.project()
    statuses = Counter(ledger.status(trial_id) for trial_id in configs)
    return Summary(
        ledger.folder,
        dict(statuses),
        driver.interrupted,
        driver.warning,
        driver.halted,
        tuple(unmeasured),
    )


def view(trial_id: str, config: TrialConfig, arm: str) -> TrialView:
    """Return what a policy may know of a trial."""
    return TrialView(trial_id, config.tree(), config.epochs, arm)


def run_info(
    study: Study,
    data: list[dict[str, Any]],
    capacity: Capacity | None,
    command: Sequence[str] | None,
    origin: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what `run.json` holds: everything that is needed to run or to judge the run again."""
    info = {
        "schema_version": SCHEMA_VERSION,
        "study": study.tree(),
        "study_sha256": study.sha256(),
        "metric": study.metric,
        "data": data,
        "environment": describe_environment(),
        "cluster": capacity.record() if capacity is not None else None,
        "command": list(command if command is not None else sys.argv),
        "origin": dict(origin or {}),
    }
    if study.search.adaptive:
        info["search"] = json.loads(json.dumps(study.plan().tree(), default=describe))
    return info


def declared(ledger: Ledger) -> dict[str, TrialConfig]:
    """Return the configurations that the ledger holds, by trial id.

    Raises:
        LedgerError: a stored configuration does not have the hash stored beside it.
    """
    configs = {}
    for trial_id, entry in ledger.trials().items():
        config = TrialConfig.parse(json.loads(entry["config_json"]))
        if config.sha256() != entry["config_sha256"]:
            raise LedgerError(
                f"trial {trial_id} of {ledger.folder} means another configuration in this version "
                "of rayat: resume with the version named in run.json"
            )
        configs[trial_id] = config
    return configs


def same_data(then: list[dict[str, Any]], now: list[dict[str, Any]]) -> None:
    """Refuse to go on with another data set than the run began with."""
    known = {entry["split_hash"]: entry for entry in then}
    for entry in now:
        before = known.get(entry["split_hash"])
        if before is None or before["checksum"] != entry["checksum"]:
            found = entry["checksum"][:12]
            expected = ", ".join(sorted({e["checksum"][:12] for e in then}))
            raise DataError(
                f"data set {entry['name']!r} has changed since the run began: "
                f"expected checksum {expected}, found {found}; restore the data or start a new run"
            )


def refuse_a_taken(folder: Path) -> None:
    """Refuse a folder that holds a run, before Ray is started.

    Raises:
        LedgerError: with the command that goes on with that run.
    """
    if (folder / "run.json").exists():
        raise LedgerError(
            f"{folder} holds a run already: continue it with `rayat resume {quoted(folder)}` "
            "or choose another folder"
        )


def refuse_what_cannot_run(trials: Sequence[Trial], where: Where) -> Capacity | None:
    """Check every trial against a local Ray before it is started; a cluster is asked later.

    Raises:
        PlacementError: with the first trial that cannot be placed.
    """
    if where.address is not None:
        return None
    capacity = local_capacity(where.cpus, where.gpus)
    for trial in trials:
        try:
            concurrency(Need.of(trial.config), capacity)
        except PlacementError as error:
            raise PlacementError(f"trial {trial.trial_id} ({trial.arm}): {error}") from None
    return capacity
