"""From what a user names to a study and a run's folder, in Python and on the command line."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rayat
from rayat.config import merge
from rayat.errors import StudyError, nearest
from rayat.ledger.files import located
from rayat.search.domains import is_domain
from rayat.study import NAME, Study, load_study

URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""How a URI begins, one slash of which a path has swallowed."""


def shipped() -> dict[str, Path]:
    """Return the shipped studies' files by name, such as `quickstart` or `papers/accelat`."""
    package = Path(rayat.__file__).parent
    # In an installed package they lie inside it; in a checkout beside it.
    for folder in (package / "search_spaces", package.parent / "search_spaces"):
        if folder.is_dir():
            files = sorted(p for p in folder.rglob("*.py") if not p.name.startswith("_"))
            return {p.relative_to(folder).with_suffix("").as_posix(): p for p in files}
    return {}


def study_path(name: str) -> Path:
    """Return the file of a study given as a path, or as the name of a shipped one.

    Raises:
        StudyError: neither; the text gives the nearest name.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = shipped()
    if name in known:
        return known[name]
    if path.suffix == ".py":
        raise StudyError(
            f"no study file {name!r}; give the path of one, or a shipped study's name: "
            f"{', '.join(known)}"
        )
    raise StudyError(
        f"no study {name!r}{nearest(name, known)}; give a file (search_spaces/x.py) or a shipped "
        f"study's name: {', '.join(known)}"
    )


def changed_study(study: Study, changes: Mapping[str, Any]) -> Study:
    """Return the study with `changes` after its base and the constants of its space.

    Raises:
        StudyError: a key is an axis of the space, whose values would hide it.
        ConfigError: an unknown key.
    """
    for key in changes:
        if key == "seed":
            raise StudyError("seed cannot be set: a study has seeds of its own; change its `seeds`")
        axes = [axis for axis in study.space if key == axis or key.startswith(axis + ".")]
        if any(is_domain(study.space[axis]) for axis in axes):
            raise StudyError(
                f"{key} cannot be set: {axes[0]!r} is an axis of study {study.name!r}, so its "
                "values come from the space; edit the space in the study's file"
            )
    if not changes:
        return study
    merge({}, changes)  # unknown keys are refused at once
    return study.replace(sets={**study.sets, **changes})


def replanned(
    study: Study,
    policy: str | Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    order_seed: int | None = None,
    arms: Sequence[str] | None = None,
    share: bool = True,
) -> Study:
    """Return the study under another policy, with other seeds, in another order, with fewer arms.

    Each is as the study has it where it is not given.

    Args:
        share: False trains every epoch of every trial, also those that trials have in common.

    Raises:
        ConfigError: no such policy.
        StudyError: seeds that are no distinct whole numbers, or a search that this does not suit.
    """
    changes: dict[str, Any] = {}
    if policy is not None:
        changes["policy"] = policy
    if seeds is not None:
        changes["seeds"] = tuple(seeds)
    if order_seed is not None:
        changes["order_seed"] = order_seed
    if arms:
        changes["only"] = (arms,) if isinstance(arms, str) else tuple(arms)
    if not share:
        changes["share"] = False
    return study.replace(**changes) if changes else study


def run_folder(study_name: str, out: str | Path | None, name: str | None) -> Path:
    """Return the absolute folder of a new run: `out`, or `runs/<study>/<name, else UTC time>`.

    Raises:
        StudyError: both are given, `name` cannot be a folder's name, or `out` is a URI.
    """
    if out is not None and URI.match(str(out)):
        raise StudyError(
            f"--out is a folder on a file system that all nodes mount, got the URI {str(out)!r}: "
            "a run's log needs flush and lock, which object stores do not have; run in a folder, "
            "then `rayat copy RUN URI`"
        )

    if out is not None and name is not None:
        raise StudyError("--out is the run's whole folder, so --name has no place: give one")
    if name is not None and not NAME.fullmatch(name):
        raise StudyError(
            f"--name becomes a folder: use letters, digits, . _ - (at most 64), got {name!r}"
        )
    stamp = name or time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return located(out or Path("runs") / study_name / stamp)


def study_of(study: Study | str | Path) -> Study:
    """Return a study as it is, that of a file, or a shipped one by its name.

    Raises:
        StudyError: no such study, or its file is wrong.
    """
    return study if isinstance(study, Study) else load_study(study_path(str(study)))
