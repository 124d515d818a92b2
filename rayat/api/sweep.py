"""`rayat run` and `rayat resume`: a study in a folder, from its first trial to its last figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rayat.compare.intervals import UNTIL
from rayat.compare.repeated import Design
from rayat.config import TrialConfig
from rayat.data.identity import same_data, source_key
from rayat.errors import LedgerError, PlacementError
from rayat.host.machine import native_bf16
from rayat.ledger.files import located
from rayat.ledger.provenance import describe_environment
from rayat.ledger.writer import Ledger
from rayat.models.own import unfolded
from rayat.orchestration.cluster import LOCAL, Where
from rayat.orchestration.execute import Options, execute
from rayat.orchestration.final_eval import evaluate_trials
from rayat.orchestration.shared_data import SharedData
from rayat.own.parts import adopt
from rayat.planning.advice import advise, easy
from rayat.planning.placement import Capacity, Need, concurrency, local_capacity
from rayat.planning.refusal import own_parts, refuse_what_fails
from rayat.policies.base import Policy, TrialView
from rayat.policies.groups import recorded
from rayat.runs.driver import Driver, Observer
from rayat.runs.interrupts import interruptible
from rayat.runs.looks import Looks, begun
from rayat.runs.record import Summary, beginning, declared, refuse_a_taken, run_info, view
from rayat.runs.resuming import other_packages, refuse_an_empty, refuse_merged, to_retry
from rayat.runs.search import Search, identity
from rayat.search.plan import Trial
from rayat.sharing.live import Sharing
from rayat.sharing.tree import Counts
from rayat.study import Study
from rayat.training.keys import chains


def run(
    study: Study,
    folder: str | Path,
    where: Where = LOCAL,
    options: Options | None = None,
    observer: Observer | None = None,
    command: Sequence[str] | None = None,
    origin: Mapping[str, Any] | None = None,
    until: Design | None = None,
) -> Summary:
    """Run a study into a new folder.

    Args:
        command: what `run.json` says the user typed; None: that of this process.
        origin: the run that the configuration came from, stored in `run.json`.
        until: add seeds until verdicts are decided, by these looks (`runs.looks`).

    Raises:
        StudyError, ConfigError, DataError, PlacementError: refused before anything was written.
        LedgerError: the folder holds a run already, or cannot be written.
    """
    folder = located(folder)
    refuse_a_taken(folder)
    trials = study.trials()
    refuse_what_cannot_run(trials, where)
    # Of a search that proposes as it goes, a sample stands for what it may propose.
    foreseen = study.foreseen() if study.plan().grows else trials
    read = refuse_what_fails(study, foreseen, where.address is None)
    options = options or Options(max_failures=study.max_failures)
    with where.joined(folder) as capacity:
        for trial in trials:
            concurrency(Need.of(trial.config), capacity)
        shared, data = SharedData.put((trial.config.data for trial in trials), read)
        del read  # the node's copy is the one that stays
        warnings = warned(study, trials, data, observer)
        info = run_info(study, list(data.values()), capacity, command, origin)
        info |= {} if until is None else {UNTIL: begun(until)}
        own = own_parts(study, foreseen)
        with beginning(folder, info, own) as ledger:
            search = Search.of(ledger)
            if search is None:
                # One record holds all of them: half of them would be another study.
                ledger.extend(ledger.info, map(identity, trials))
            started = trials if search is None else search.grow()
            configs = {trial.trial_id: trial.config for trial in started}
            summary = carry_out(
                ledger, study.policy, configs, shared, data, capacity, options, observer, search
            )
        return replace(summary, warning="; ".join(filter(None, (*warnings, summary.warning))))


def resume(
    folder: str | Path,
    where: Where = LOCAL,
    options: Options | None = None,
    observer: Observer | None = None,
    retry: Sequence[str] = (),
    until: Design | None = None,
) -> Summary:
    """Continue a run from its own folder: the study file is not needed.

    Args:
        retry: trials that failed or were lost and run again, from their last checkpoint; `failed`
            stands for all of them.
        until: from now on add seeds until verdicts are decided, by these looks.

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
        adopt(folder)
        refuse_merged(folder, info)
        again = to_retry(ledger, retry)
        search = Search.of(ledger)
        if search is not None:
            search.grow()
        refuse_an_empty(ledger)
        configs = declared(ledger)
        policy = recorded(info["study"]["policy"])
        options = options or Options(max_failures=info["study"].get("max_failures", 3))
        with where.joined(folder) as capacity:
            shared, data = SharedData.put(config.data for config in configs.values())
            same_data(info["data"], list(data.values()))
            warning = other_packages(ledger)
            if warning and observer is not None:
                observer.phase(f"warning: {warning}")
            if until is not None:
                ledger.extend({**info, UNTIL: begun(until)}, [])
            ledger.event("resumed", {"environment": describe_environment()})
            ledger.retry(again)
            summary = carry_out(
                ledger, policy, configs, shared, data, capacity, options, observer, search
            )
            return replace(summary, warning="; ".join(filter(None, (warning, summary.warning))))


def warned(
    study: Study,
    trials: Sequence[Trial],
    data: Mapping[str, Mapping[str, Any]],
    observer: Observer | None,
) -> list[str]:
    """Return what is said before trials start, and tell it to the observer.

    Args:
        data: the identity of each data set by its source.
    """
    sources = [(trial, data[source_key(trial.config.data)]) for trial in trials]
    measured = ((t.config, entry["classes"], entry["val"]) for t, entry in sources)
    warnings = [
        *study.notes(),
        *easy(study.metric, study.target, measured),
        *dict.fromkeys(note for entry in data.values() for note in entry["notes"]),
        *unfolded((trial.config, entry) for trial, entry in sources),
        *advise(
            ((trial.arm, trial.config, entry["train"]) for trial, entry in sources), native_bf16()
        ),
    ]
    for text in warnings:
        (observer or Observer()).phase(f"warning: {text}")
    return warnings


def carry_out(
    ledger: Ledger,
    policy: Policy,
    configs: dict[str, TrialConfig],
    shared: SharedData,
    data: Mapping[str, Mapping[str, Any]],
    capacity: Capacity,
    options: Options,
    observer: Observer | None,
    search: Search | None,
) -> Summary:
    """Run what has no end, evaluate what was not evaluated, write the tables.

    `data` is the identity of each data set by its source (`SharedData.put`).

    `configs` gains the trials that the search proposes while the run lives. Where seeds are added
    until verdicts are decided, each look comes when all of its trials have ended and were tested.
    """
    study = ledger.info["study"]
    arms = ledger.arms()
    looks, asked = Looks.of(ledger), list[Trial]()

    def grow() -> list[TrialView]:
        new = asked.copy() if search is None else search.grow()
        asked.clear()
        configs.update({trial.trial_id: trial.config for trial in new})
        sharing.add(chains({trial.trial_id: trial.config for trial in new}, data))
        return [view(trial.trial_id, trial.config, trial.arm) for trial in new]

    views = [view(trial_id, config, arms.get(trial_id, "")) for trial_id, config in configs.items()]
    observer = observer or Observer()
    sharing = shares(ledger, configs, data, observer)
    driver = Driver(
        ledger,
        policy,
        views,
        study["metric"],
        study.get("stop_collapsed", True),
        observer,
        grow,
        options.halts,
        sharing,
    )
    unmeasured: list[str] = []

    def stop() -> None:
        driver.interrupted = True
        driver.observer.phase(
            "interrupted: stopping the trials; press Ctrl-C again to leave at once"
        )

    try:
        # Around all of it: between two handlers Python's own would raise in whatever code runs,
        # and what raises in a callback of Ray's is lost.
        with interruptible(stop):
            while True:
                execute(ledger.folder, configs, driver, shared, capacity, options)
                if study.get("final_eval", True) and not driver.interrupted:
                    unmeasured = evaluate_trials(ledger.folder, configs, driver, shared, capacity)
                if looks is not None and not driver.interrupted:
                    asked += looks.look()
                if not asked:
                    break
                observer.phase(looked(asked))
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
        decided="" if looks is None else looks.said(),
        epochs=Counts(*ledger.epochs()),
    )


def shares(
    ledger: Ledger,
    configs: Mapping[str, TrialConfig],
    data: Mapping[str, Mapping[str, Any]],
    observer: Observer,
) -> Sharing:
    """Return what the trials of a run share of their epochs; nothing where the study says so."""
    study = ledger.info["study"]

    def warn(text: str) -> None:
        ledger.event("state_lost", {"why": text})
        observer.phase(f"warning: {text}")

    # Where a policy compares trials, or their order was drawn, each starts in its place.
    free = study["policy"]["name"] == "none" and "search" not in ledger.info
    free = free and "order" not in study and study.get("order_seed") is None
    sharing = Sharing(ledger.folder, ledger, configs, free, warn)
    if study.get("share", True):
        sharing.add(chains(configs, data))
    return sharing


def looked(asked: Sequence[Trial]) -> str:
    """Return a line on what a look asks for."""
    arms = ", ".join(dict.fromkeys(f"{trial.arm} (seed {trial.config.seed})" for trial in asked))
    return f"verdicts are open: one more seed of {arms}"


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
