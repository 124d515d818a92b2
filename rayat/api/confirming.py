"""`rayat confirm`: the best of a search and its baseline once more, on seeds that it never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from rayat.api.given import Positive, checked
from rayat.api.how import How, known, options_of, where
from rayat.api.run import Run
from rayat.api.studies import run_folder
from rayat.compare.confirmed import (
    BASELINE,
    CONFIRMS,
    RECOMMENDED,
    as_found,
    configuration,
    confirms,
    label,
    recommended,
)
from rayat.compare.ranking import Found, comparable, ranking
from rayat.compare.table import compare
from rayat.errors import LedgerError, StudyError, quoted
from rayat.ledger.files import located, replace_file, seen_from
from rayat.ledger.info import RUN, read_info
from rayat.ledger.reader import Run as Tables
from rayat.ledger.reader import read_run, require_reports
from rayat.ledger.status import Status
from rayat.own.parts import adopt
from rayat.search.axes import control
from rayat.study import Study

if TYPE_CHECKING:
    from rayat.runs.driver import Observer

TOP, SEEDS, IMAGES = 3, 5, 1000
"""Configurations, fresh seeds and test images of the final table, where not told."""


@checked
def confirm(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    top: Positive = TOP,
    seeds: Positive = SEEDS,
    baseline: str | None = None,
    target: float | None = None,
    attack: str | None = "autoattack",
    images: Positive = IMAGES,
    observer: Observer | None = None,
    command: Sequence[str] | None = None,
    tell: Callable[[str], object] = lambda line: None,
    fail: Callable[[str], object] = lambda line: None,
    **how: Unpack[How],
) -> Run:
    """Train the best configurations of a run and its baseline again, and return that run.

    The winner of a search is lucky: of many configurations the best is partly the one that chance
    favoured. So the best `top` and the baseline are trained on `seeds` seeds that the search never
    used, without early stopping; the test set is looked at once, when all have ended. Asked again
    with the same `out`, it goes on where it was.

    Args:
        folder: the search's run. out: the confirmation's; default: `runs/confirm-<study>/<time>`.
        top: configurations, ranked by their cost to the target (`compare.ranking`).
        baseline: the arm they are compared with; default: the study's, else its first.
        target: value of the metric whose cost is compared; default: the study's, else 98 % of the
            best value of the baseline's worst seed. Fixed before the confirmation runs.
        attack: suite of the final table on the best checkpoints; None: only the studies' own.
        images: of the test set, for that suite.
        observer, how: as in `rayat.run`. tell, fail: told of the final table's progress, and of
            what of it failed.

    Raises:
        LedgerError: no run there, one that is not over, or nothing to confirm.
        StudyError: configurations that were measured differently, or numbers below 1.
    """
    known(how, How)
    folder = located(folder)
    run = require_reports(read_run(folder))
    adopt(folder)  # methods of the study's own
    place = run_folder(f"confirm-{run.info['study']['name']}"[:64], out, None)
    study, origin = _study(run, folder, place, top, seeds, baseline, target)
    if attack is not None:
        from rayat.suites.base import suite

        origin["suite"] = suite(attack).title
        origin["images"] = images
    from rayat.api import extending, sweep

    options = options_of(how, study.max_failures)
    if (place / RUN).exists():
        _refuse_another(place, folder, study, origin)
        # Not by resuming it: one that was killed before its trials were written down has them now.
        summary = extending.extend(study, place, where(how), options, observer, command)
    else:
        summary = sweep.run(study, place, where(how), options, observer, command, origin)
    if summary.interrupted:
        return Run.read(place, summary)
    if attack is not None:
        _final(place, attack, images, tell, fail)
    done = Run.read(place, summary)
    best = recommended(done, compare(done).rows)
    if best is not None:
        replace_file(place / RECOMMENDED, configuration(done, best.arm).encode())
    else:  # what an earlier table recommended no longer holds
        (place / RECOMMENDED).unlink(missing_ok=True)
    return done


def _study(
    run: Tables,
    folder: Path,
    place: Path,
    top: int,
    seeds: int,
    baseline: str | None,
    target: float | None,
) -> tuple[Study, dict[str, Any]]:
    """Return the study of a confirmation, and what it keeps of the search."""
    study = run.info["study"]
    if "imported" in run.info:
        raise LedgerError(f"{folder} was imported: its configurations cannot be trained here")
    going = sum(not Status(status).is_final for status in run.trials["status"])
    if going:
        raise LedgerError(
            f"{folder} is not over: {going} of {len(run.trials)} trials have no end, and its best "
            f"may still change; `rayat resume {quoted(str(folder))}` ends it"
        )
    order = ranking(run, baseline, target)
    base, goal = order.baseline, order.target
    others = [found for found in order.order if found.config_id != base.config_id]
    if not others:
        raise LedgerError(f"{folder}: the baseline is the only configuration with a value")
    best = others[:top]
    odd = next((found for found in best if not comparable(found, base)), None)
    if odd is not None:
        raise StudyError(
            f"{odd.arm!r} and the baseline {base.arm!r} were measured differently (radius, attack "
            "or images), so that no rank holds for both; give all arms one `eval.eps`, or name a "
            "baseline that was measured alike"
        )
    used = sorted({int(seed) for seed in run.trials["seed"]})
    named: dict[str, Found] = {BASELINE: base}
    named |= {f"found-{place}": found for place, found in enumerate(best, 1)}
    confirmation = Study(
        name=f"confirm-{study['name']}"[:64],
        description=f"The best {len(best)} of {study['name']}, again on fresh seeds",
        arms={name: dict(found.config) for name, found in named.items()},
        seeds=tuple(range(max(used) + 1, max(used) + 1 + seeds)),
        metric=run.info["metric"],
        target=goal,
        baseline=BASELINE,
        stop_collapsed=bool(study.get("stop_collapsed", True)),
        max_failures=int(study.get("max_failures", 3)),
        protocol=study.get("protocol", "honest"),
    )
    origin = {
        "run": seen_from(place, folder),
        "study_sha256": run.info.get("study_sha256"),
        "configurations": _tried(run),
        CONFIRMS: {label(name): as_found(found) for name, found in named.items()},
    }
    return confirmation, origin


def _tried(run: Tables) -> int:
    """Return how many configurations a search tried; its controls are none of them."""
    controls = [control(name) for name in run.info["study"].get("controls") or ()]
    return int(run.trials.loc[~run.trials["arm"].isin(controls), "config_id"].nunique())


def _refuse_another(place: Path, folder: Path, study: Study, origin: dict[str, Any]) -> None:
    """Refuse to go on with a folder that holds another run, or another confirmation."""
    if place == folder:
        raise LedgerError(f"{place} is the run that is to be confirmed; choose another --out")
    info = read_info(place)
    held = info.get("origin") or {}
    # Not by its path: a search and its confirmation may have been moved, or copied elsewhere.
    if not confirms(info) or held.get("study_sha256") != origin["study_sha256"]:
        raise LedgerError(
            f"{place} holds another run than a confirmation of {quoted(str(folder))}; choose "
            "another folder with --out"
        )
    then = {
        "the configurations (--top, --baseline)": held[CONFIRMS],
        "the seeds": info["study"]["seeds"],
        "the target": info["study"].get("target"),
        "the final suite (--attack)": held.get("suite"),
        # Earlier versions kept no number of images.
        "the images of the final table (--n)": held.get("images", origin.get("images")),
    }
    now = {
        "the configurations (--top, --baseline)": origin[CONFIRMS],
        "the seeds": list(study.seeds),
        "the target": study.target,
        "the final suite (--attack)": origin.get("suite"),
        "the images of the final table (--n)": origin.get("images"),
    }
    for what, before in then.items():
        if before != now[what]:
            shown = f": {before} then, {now[what]} now" if not isinstance(before, dict) else ""
            raise LedgerError(
                f"{place} confirms {quoted(str(folder))} otherwise than asked, as {what} differ"
                f"{shown}; choose another folder with --out"
            )


def _final(
    place: Path,
    attack: str,
    images: int,
    tell: Callable[[str], object],
    fail: Callable[[str], object],
) -> None:
    """Measure the best checkpoint of every trial by the suite of the final table."""
    from rayat.evaluation.request import Request
    from rayat.evaluation.run import evaluate_run
    from rayat.suites.base import suite

    request = Request((suite(attack),), (), size=images, checkpoints=("best",))
    evaluate_run(place, request, tell=tell, fail=fail)
