"""`rayat run` into a folder that holds a run: what the larger study lacks is trained, no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rayat.api.sweep import carry_out, refuse_what_cannot_run, resume, warned
from rayat.compare.intervals import UNTIL
from rayat.compare.repeated import Design
from rayat.data.identity import source_key
from rayat.errors import StudyError
from rayat.ledger.files import located
from rayat.ledger.provenance import describe_environment
from rayat.ledger.writer import Ledger
from rayat.orchestration import final_eval
from rayat.orchestration.cluster import LOCAL, Where
from rayat.orchestration.execute import Options
from rayat.orchestration.shared_data import SharedData
from rayat.planning.placement import Need, concurrency
from rayat.planning.refusal import own_parts, refuse_other_columns, refuse_what_fails
from rayat.runs.driver import Observer
from rayat.runs.extending import (
    EXTENSIONS,
    Growth,
    growth,
    larger,
    missing,
)
from rayat.runs.joined import joined_data, joined_parts
from rayat.runs.looks import Looks, asked_for, begun, design_of, first_look
from rayat.runs.record import Summary, declared, run_info
from rayat.runs.resuming import other_packages
from rayat.runs.search import Search, identity
from rayat.search.plan import Trial
from rayat.study import Study


def extend(
    study: Study,
    folder: str | Path,
    where: Where = LOCAL,
    options: Options | None = None,
    observer: Observer | None = None,
    command: Sequence[str] | None = None,
    most: int | None = None,
) -> Summary:
    """Train in a run's folder what a study has that the run has not, and nothing else.

    Trials, rows and decisions that are there stay as they are. Where nothing is missing the run is
    resumed, or left as it is where it is whole.

    Args:
        command: what `run.json` keeps of this extension; None: that of this process.
        most: add seeds until verdicts are decided, to so many; None: the study's seeds alone.

    Raises:
        StudyError: the study contradicts the run: the field and both values.
        ConfigError, DataError, PlacementError: refused before anything was written.
        LedgerError: no run there, an imported or a damaged one. LockedError: it is being written.
    """
    folder = located(folder)
    with Ledger.open(folder) as ledger:
        trials = study.trials()
        grown = growth(folder, ledger.info, study)
        until = _until(folder, ledger.info, study, grown, most)
        searched = Search.of(ledger) is not None
        asked = asked_for(ledger.info)
        new = [] if searched else missing(folder, ledger.trials(), trials, asked)
        if grown or new:
            return _train(
                ledger, study, trials, new, grown, until, where, options, observer, command
            )
        whole = _whole(ledger) if until is None else None
        before = len(ledger.trials())
    if whole is not None:
        return whole
    done = resume(folder, where, options, observer, until=until)
    return replace(done, added=sum(done.statuses.values()) - before if done.decided else 0)


def _until(
    folder: Path, held: Mapping[str, Any], study: Study, grown: Growth, most: int | None
) -> Design | None:
    """Return the looks that a run of fixed seeds gets now; None where nothing changes.

    Raises:
        StudyError: seeds by hand where they follow from verdicts, or other looks than the run has.
    """
    until = held.get(UNTIL)
    if until is None:
        return None if most is None else design_of(study, most, first_look(held))
    if most is None or grown.seeds:
        raise StudyError(
            f"{folder} holds a run whose seeds follow from its verdicts; leave the seeds as they "
            "were and give --until-decided (until_decided=True in Python), or "
            "choose another folder with --out"
        )
    if most != until["most"]:
        raise StudyError(
            f"{folder} holds a run whose intervals are made for --max-seeds (max_seeds in Python) "
            f"{until['most']}, got {most}: more looks would make them too narrow; "
            "choose another folder with --out"
        )
    design_of(study, most)
    return None


def _whole(ledger: Ledger) -> Summary | None:
    """Return how a run stands in which nothing is left to do; None where something is."""
    search = Search.of(ledger)
    if ledger.unfinished() or (search is not None and search.grow()):
        return None
    looks = Looks.of(ledger)
    if looks is not None and not looks.over:
        return None
    configs = declared(ledger)
    if ledger.info["study"].get("final_eval", True) and final_eval.missing(ledger, configs):
        return None
    statuses = [ledger.status(trial_id) for trial_id in configs]
    counts = {status: statuses.count(status) for status in dict.fromkeys(statuses)}
    decided = "" if looks is None else looks.said()
    return Summary(ledger.folder, counts, added=0, decided=decided)


def _train(
    ledger: Ledger,
    study: Study,
    trials: Sequence[Trial],
    new: Sequence[Trial],
    grown: Growth,
    until: Design | None,
    where: Where,
    options: Options | None,
    observer: Observer | None,
    command: Sequence[str] | None,
) -> Summary:
    """Make the run the larger one, then run what has no end.

    Args:
        trials: all that are known of the study. new: those that the run lacks.
        until: the looks that the run gets now.
    """
    folder, local, before = ledger.folder, where.address is None, len(ledger.trials())
    # Of a search that proposes as it goes, a sample stands for what it may propose.
    foreseen = study.foreseen() if study.plan().grows else trials
    later = new or foreseen
    refuse_other_columns(foreseen)
    own = own_parts(study, foreseen)
    parts = joined_parts(folder, ledger.info, own)
    refuse_what_cannot_run(later, where)
    read = refuse_what_fails(study, later, local)
    options = options or Options(max_failures=study.max_failures)
    configs = declared(ledger)
    known = {source_key(config.data) for config in configs.values()}
    configs |= {trial.trial_id: trial.config for trial in new}
    with where.joined(folder) as capacity:
        for trial in later:
            concurrency(Need.of(trial.config), capacity)
        sources = [*configs.values(), *(trial.config for trial in trials)]
        shared, data = SharedData.put((config.data for config in sources), read)
        del read  # the node's copy is the one that stays
        fresh = run_info(study, list(data.values()), capacity, command)
        joined = joined_data(ledger.info["data"], data, known)
        total = None if "search" in fresh else len(configs)
        info = {**larger(ledger, fresh, joined, grown, total), **parts}
        info |= {} if until is None else {UNTIL: begun(until)}
        warnings = warned(study, new, data, observer)
        others, note = other_packages(ledger), info[EXTENSIONS][-1]["note"]
        for text in filter(None, (others, note)):
            (observer or Observer()).phase(f"warning: {text}")
        own.write(folder)  # first: a run never names code that it does not hold
        ledger.extend(info, map(identity, new))
        ledger.event("resumed", {"environment": describe_environment()})
        search = Search.of(ledger)
        if search is not None:
            configs |= {trial.trial_id: trial.config for trial in search.grow()}
        summary = carry_out(
            ledger, study.policy, configs, shared, data, capacity, options, observer, search
        )
    said = "; ".join(filter(None, (*warnings, others, note, summary.warning)))
    return replace(summary, warning=said, added=len(ledger.trials()) - before)
