"""`rayat reproduce`: a paper's study to its end, and what it says of the paper's claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from rayat.api.given import Positive, checked
from rayat.api.how import How, Ray, known, where
from rayat.api.run import Run
from rayat.api.studies import changed_study, shipped
from rayat.api.verbs import plan as planned
from rayat.api.verbs import run as trained
from rayat.claims.paper import Paper, load_paper
from rayat.claims.table import ClaimTable, claim_table
from rayat.errors import DataError, StudyError, nearest
from rayat.registry import SOURCES
from rayat.study import Study

if TYPE_CHECKING:
    from rayat.runs.driver import Observer

Tier = Literal["smoke", "cpu", "full"]
FOLDER = "papers/"
"""Shipped studies below it are papers."""
RUNS = Path("runs") / "reproduce"


@dataclass(frozen=True)
class Reproduction:
    """A paper's run with its claim table.

    Attributes:
        run: of the study. table: what it allows to say; None where the run was cut short.
    """

    run: Run
    table: ClaimTable | None


@checked
def reproduce(
    paper: str,
    tier: Tier = "smoke",
    *,
    data: str | None = None,
    out: str | Path | None = None,
    observer: Observer | None = None,
    command: Sequence[str] | None = None,
    **how: Unpack[How],
) -> Reproduction:
    """Run a paper's study with its controls, and judge the paper's claims by it.

    The same call goes on with a run that was cut short, and judges one that is whole anew. The
    table is written beside the run, as `claims.parquet` and `claims.md`.

    Args:
        paper: `accelat`, `dat`, `dynamic`, `pruning`, `sdi`, or `combined`.
        tier: `smoke` (digits, a test of the command), `cpu` (Fashion-MNIST, two cores), `full` (the
            paper's own setting, on GPUs).
        data: another source in place of the tier's, such as `cifar100` or `folder:PATH`.
        out: the run's folder; default: `runs/reproduce/<paper>-<tier>`.
        observer, command, how: as in `rayat.run`.

    Raises:
        StudyError: no such paper or tier. What `rayat.run` raises.
    """
    known(how, How)
    found = paper_of(paper)
    folder = out_folder(found, tier, out)
    study = study_on(found, tier, data)
    run = trained(study, folder, observer=observer, command=command, **how)
    assert run.summary is not None
    if run.summary.interrupted or run.epochs.empty:
        return Reproduction(run, None)
    table = claim_table(found, tier, run)
    table.write(folder)
    return Reproduction(run, table)


@checked
def plan_reproduction(
    paper: str,
    tier: Tier = "smoke",
    *,
    data: str | None = None,
    out: str | Path | None = None,
    concurrency: Positive | None = None,
    tell: Callable[[str], object] = lambda line: None,
    **ray: Unpack[Ray],
) -> dict[str, Any]:
    """Return what `reproduce` will cost, as `rayat.plan` does.

    Where a study asks for GPUs and none is here, or its data is not, `gpus` and `cpus` describe the
    machine that it will run on: passes are then counted on noise, and seconds are None.

    Args:
        paper, tier, data, out: as in `reproduce`. concurrency, tell, ray: as in `rayat.plan`.
    """
    known(ray, Ray)
    found = paper_of(paper)
    study = study_on(found, tier, data)
    folder = out_folder(found, tier, out)
    if _is_here(study):
        return planned(study, concurrency=concurrency, out=folder, tell=tell, **ray)
    from rayat.planning.described import described
    from rayat.planning.placement import local_capacity
    from rayat.planning.plan import slots

    place, trials = where(ray), study.trials()
    if place.address is not None:
        return planned(study, concurrency=concurrency, out=folder, tell=tell, **ray)
    capacity = local_capacity(place.cpus, place.gpus)
    facts = described(study, trials, capacity, slots(trials, capacity, concurrency), tell)
    facts["notes"] = [
        "the machine is described and not this one: passes are counted with a small network on "
        "noise, seconds and memory are not known"
    ]
    facts["scaling"], facts["link"] = [], None
    return facts


def paper_of(name: str) -> Paper[Any]:
    """Return a shipped paper. Raises `StudyError` with the nearest name where there is none."""
    papers = {
        key.removeprefix(FOLDER): path for key, path in shipped().items() if key.startswith(FOLDER)
    }
    if name not in papers:
        raise StudyError(
            f"no paper {name!r} to reproduce{nearest(name, papers)}; there are {', '.join(papers)}"
        )
    return load_paper(papers[name])


def study_on(paper: Paper[Any], tier: str, data: str | None) -> Study:
    """Return a paper's study, on other data where some is named: `cifar100` or `folder:PATH`.

    Raises:
        StudyError: no such tier. ConfigError: no such source of data.
    """
    study = paper.study(tier)
    if data is None:
        return study
    source = SOURCES.build(data)
    given = {f"data.{key}": getattr(source, key) for key in source.model_fields_set}
    return changed_study(study, {"data.name": source.kind, **given})


def out_folder(paper: Paper[Any], tier: str, out: str | Path | None) -> Path:
    """Return the run's folder: always the same, so that the same command goes on with it."""
    return RUNS / f"{paper.name}-{tier}" if out is None else Path(out)


def _is_here(study: Study) -> bool:
    """Return whether what a study trains on, and its data, are on this machine."""
    import torch

    from rayat.data.prepare import prepare

    configs = [trial.config for trial in study.trials()]
    if any(config.gpus_per_worker for config in configs) and not torch.cuda.is_available():
        return False
    if not any(config.gpus_per_worker for config in configs):
        return True
    try:
        prepare(configs[0].data)
    except DataError:
        return False
    return True
