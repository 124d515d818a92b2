"""Run, resume, plan and open: the verbs of the command line as functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from rayat.api.given import Positive, checked
from rayat.api.how import How, Ray, command_line, known, options_of, where
from rayat.api.run import Run
from rayat.api.studies import changed_study, replanned, run_folder, study_of
from rayat.errors import ConfigError
from rayat.ledger.files import located
from rayat.ledger.info import RUN, read_info

if TYPE_CHECKING:
    from rayat.compare.table import Comparison
    from rayat.runs.driver import Observer
    from rayat.study import Study

CLUSTER_LINK = "1Gbit/s"
"""What is assumed of the links of a cluster that is joined."""


@checked
def run(
    study: Study | str | Path,
    out: str | Path | None = None,
    *,
    name: str | None = None,
    changes: Mapping[str, Any] | None = None,
    policy: str | Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    order_seed: int | None = None,
    arms: str | Sequence[str] | None = None,
    until_decided: bool = False,
    max_seeds: Positive | None = None,
    share: bool = True,
    observer: Observer | None = None,
    command: Sequence[str] | None = None,
    **how: Unpack[How],
) -> Run:
    """Run a study to its end, or until it is interrupted, and return it.

    Every epoch of every trial is on disk before it counts: `resume` goes on with a run that was
    interrupted or killed. The first Ctrl-C ends it in order, in a notebook too.

    Args:
        study: a `Study`, its file, or the name of a shipped one such as `quickstart`.
        out: the run's folder; default: `runs/<study>/<UTC time>`. Where it holds a run of the same
            study with fewer seeds, draws or arms, what is missing is trained (docs/extending.md).
        name: in place of the time in the default folder's name.
        changes: of the configuration of all trials, dotted keys to values.
        policy, seeds, order_seed, arms: in place of the study's; fewer arms.
        until_decided: give arms whose verdict is open more seeds, up to `max_seeds` (10), with
            intervals that hold however often one looks (docs/compare.md).
        share: train an epoch once that trials have in common, if the study does (docs/sharing.md).
        observer: told of every change while it runs; default: nobody.
        command: stands in `run.json` as how it was started.
        how: where and how to run, the keys of `rayat.How`: `address`, `cpus`, `gpus`,
            `allow_open_cluster`, `concurrency`, `fresh_processes`, `max_failures`, `launcher`,
            `placement`, `collective_timeout`, `trial_timeout`, `fail_fast`, `time_budget`.

    Raises:
        StudyError, ConfigError, DataError, PlacementError: refused before anything was written.
            So is a study that contradicts the run in the folder.
        LedgerError: the folder cannot be written.
    """
    known(how, How)
    chosen = replanned(
        changed_study(study_of(study), changes or {}), policy, seeds, order_seed, arms, share
    )
    folder = run_folder(chosen.name, out, name)
    from rayat.api import extending, sweep
    from rayat.runs.looks import design_of

    options = options_of(how, chosen.max_failures)
    most = seeds_at_most(until_decided, max_seeds)
    there = where(how)
    if (folder / RUN).exists():
        summary = extending.extend(chosen, folder, there, options, observer, command, most)
    else:
        until = None if most is None else design_of(chosen, most)
        summary = sweep.run(chosen, folder, there, options, observer, command, until=until)
    return Run.read(folder, summary)


@checked
def resume(
    folder: str | Path,
    *,
    retry: str | Sequence[str] = (),
    observer: Observer | None = None,
    **how: Unpack[How],
) -> Run:
    """Go on with a run that was interrupted or killed; the study's file is not needed.

    Args:
        retry: trials that failed or were lost and run again; `failed` stands for all of them.
        observer, how: see `run` and `rayat.How`.

    Raises:
        LedgerError: no run there, or damaged beyond its log. LockedError: it is still running.
        DataError: the data set is not the one that the run began with.
    """
    known(how, How)
    retry = [retry] if isinstance(retry, str) else retry
    folder = located(folder)
    from rayat.api import sweep

    options = options_of(how, int(read_info(folder)["study"].get("max_failures", 3)))
    summary = sweep.resume(folder, where(how), options, observer, retry)
    return Run.read(folder, summary)


@checked
def open(folder: str | Path) -> Run:
    """Return a run, living or finished, as it is now.

    Raises:
        LedgerError: no run there, or a file of it is damaged; the text names the cure.
    """
    return Run.read(folder)


@checked
def merge(folders: Sequence[str | Path], out: str | Path) -> Run:
    """Make one run of several runs of one study, and return it; see docs/extending.md.

    Args:
        folders: of the runs, which stay as they are. out: a new folder.

    Raises:
        StudyError, DataError: runs of different studies or data, or a trial of which they hold
            different rows. LedgerError: a folder that is no run, or is being written.
    """
    from rayat.runs.merging import merge as merge_runs

    return Run.read(merge_runs(folders, out, command_line()))


@checked
def compare(
    folders: Sequence[str | Path],
    baseline: str | None = None,
    target: float | None = None,
    suite: str | None = None,
    arms: str | Sequence[str] = (),
) -> Comparison:
    """Compare the arms of several runs in one table; see docs/extending.md.

    Args:
        folders: of the runs. Arms that two of them have are labelled by run.
        baseline, target, suite, arms: as of `Run.compare`; the baseline is else the first run's.

    Raises:
        LedgerError: no run there, or one without a report.
        StudyError: runs that cannot stand in one table, no such arm or target.
    """
    from rayat.compare.beside import beside
    from rayat.compare.table import compare as compare_run

    runs = beside([Run.read(folder) for folder in folders], target)
    arms = [arms] if isinstance(arms, str) else arms
    return compare_run(runs, baseline, target, suite, arms)


@checked
def plan(
    study: Study | str | Path,
    *,
    changes: Mapping[str, Any] | None = None,
    policy: str | Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    order_seed: int | None = None,
    arms: str | Sequence[str] | None = None,
    until_decided: bool = False,
    max_seeds: Positive | None = None,
    concurrency: Positive | None = None,
    workers: Sequence[Positive] | None = None,
    link: str | None = None,
    out: str | Path | None = None,
    tell: Callable[[str], object] = lambda line: None,
    **ray: Unpack[Ray],
) -> dict[str, Any]:
    """Return what a study will cost, from a few real steps of every distinct configuration.

    Args:
        study, changes, policy, seeds, order_seed, arms: as in `run`.
        until_decided, max_seeds: as in `run`; the plan is of the most that it may cost.
        concurrency: most trials at once.
        workers: predict the first configuration on so many workers. link: with each worker on a
            host of its own behind such a link, `1Gbit/s` or `100Mbit/s,50us` (docs/scaling.md).
        out: the folder it would run in. Where that holds a run, the plan is of what it lacks, and
            `held` is the number of its trials.
        tell: told in one line what is being measured.
        ray: which Ray it would run on; a cluster is asked what it has.

    Returns:
        Plain values, as `rayat plan --json` prints them: trials, epochs, passes of single images,
        seconds, bytes of memory, and `warnings`.

    Raises:
        StudyError, ConfigError, DataError, PlacementError: the study cannot run, and why.
    """
    from rayat.host.rays import surroundings
    from rayat.orchestration.cluster import cluster
    from rayat.planning.placement import Need, local_capacity, waits
    from rayat.planning.plan import Held, facts, measure, slots
    from rayat.planning.refusal import own_parts
    from rayat.planning.workers import predictions
    from rayat.runs.extending import lacking
    from rayat.runs.looks import all_seeds, design_of

    known(ray, Ray)
    chosen = replanned(
        changed_study(study_of(study), changes or {}), policy, seeds, order_seed, arms
    )
    most = seeds_at_most(until_decided, max_seeds)
    if most is not None:
        first = design_of(chosen, most).first
        chosen = chosen.replace(seeds=tuple(all_seeds(chosen.seeds, most)))
    trials = chosen.foreseen()
    held = there = None
    if out is not None and (located(out) / RUN).exists():
        held, trials = lacking(located(out), chosen, trials)
        if not trials:
            return {"study": chosen.name, "held": held, "trials": 0, "feasible": True}
        there = Held.read(located(out))
    place = where(ray)
    local = place.address is None
    if place.address is None:
        capacity = local_capacity(place.cpus, place.gpus)
    else:
        with cluster(place.address, allow_open=place.allow_open) as capacity:
            pass
    at_once = slots(trials, capacity, concurrency)
    own_parts(chosen, trials)
    groups = measure(trials, local, tell)
    found = facts(chosen, trials, groups, capacity, at_once, local, there)
    late = [waits(need, capacity) for need in {Need.of(trial.config) for trial in trials}]
    found["notes"] = [text for text in (surroundings() if local else "", *late) if text]
    if held is not None:
        found["held"] = held
    if most is not None:
        found["until_decided"] = {"first": first, "most": most}
    found["link"] = link or (None if local else CLUSTER_LINK)
    found["scaling"] = predictions(groups, workers, found["link"])
    return found


def seeds_at_most(until_decided: bool, max_seeds: int | None) -> int | None:
    """Return the seeds that an arm may have; None where they are fixed.

    Raises:
        ConfigError: a most of seeds that are fixed.
    """
    from rayat.runs.looks import MAX_SEEDS

    if until_decided:
        return MAX_SEEDS if max_seeds is None else max_seeds
    if max_seeds is not None:
        raise ConfigError(
            f"--max-seeds (max_seeds) {max_seeds} is the most that --until-decided "
            "(until_decided=True) may add; give that too"
        )
    return None
