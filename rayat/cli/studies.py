"""From what a user types to a study or a configuration: names, `--set key=value`, folders."""

from __future__ import annotations

import ast
import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rayat
from rayat.errors import ConfigError, StudyError, nearest, quoted

if TYPE_CHECKING:
    from rayat.study import Study

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
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


def claim(path: Path) -> str:
    """Return the first line of a study file's docstring, without importing the file."""
    try:
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    except (OSError, SyntaxError, ValueError) as error:
        return f"(cannot be read: {error})"
    return text.split("\n")[0]


def parse_changes(texts: Sequence[str] | None) -> dict[str, Any]:
    """Return `--set key=value` texts as dotted keys and values; a value is JSON, else a text.

    Raises:
        ConfigError: a text without `=`, or a key given twice.
    """
    changes: dict[str, Any] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set needs KEY=VALUE, got {text!r}; such as --set lr.peak=0.1")
        if key in changes:
            raise ConfigError(f"--set gives {key!r} twice; give it once")
        try:
            changes[key] = json.loads(value)
        except ValueError:
            changes[key] = value
    return changes


def load(name: str, texts: Sequence[str] | None) -> Study:
    """Return the study that `name` means, with the `--set` texts in its base configuration.

    Raises:
        StudyError, ConfigError: no such study, or it is wrong; see the functions of this module.
    """
    # Ray reads its environment when it is imported, and a study imports it for its domains.
    import rayat.orchestration  # noqa: F401
    from rayat.study import load_study

    return changed_study(load_study(study_path(name)), parse_changes(texts))


def changed_study(study: Study, changes: Mapping[str, Any]) -> Study:
    """Return the study with `changes` after its base and the constants of its space.

    Raises:
        StudyError: a key is an axis of the space, whose values would hide it.
        ConfigError: an unknown key.
    """
    from rayat.config import merge
    from rayat.search.domains import is_domain

    for key in changes:
        if key == "seed":
            raise StudyError("--set seed: the seeds are the study's own; edit `seeds` in its file")
        axes = [axis for axis in study.space if key == axis or key.startswith(axis + ".")]
        if any(is_domain(study.space[axis]) for axis in axes):
            raise StudyError(
                f"--set {key}: {axes[0]!r} is an axis of study {study.name!r}, so its values come "
                "from the space; edit the space in the study's file"
            )
    if not changes:
        return study
    merge({}, changes)  # unknown keys are refused at once
    return study.replace(sets={**study.sets, **changes})


def replanned(
    study: Study,
    policy: str | None = None,
    seeds: str | None = None,
    order_seed: int | None = None,
    arms: Sequence[str] | None = None,
) -> Study:
    """Return the study under another policy, with other seeds, in another order, with fewer arms.

    Each is as the study has it where it is not given.

    Raises:
        ConfigError: no such policy.
        StudyError: seeds that are no distinct whole numbers, or a search that this does not suit.
    """
    changes: dict[str, Any] = {}
    if policy is not None:
        changes["policy"] = policy
    if seeds is not None:
        try:
            changes["seeds"] = tuple(int(text) for text in seeds.split(","))
        except ValueError:
            raise StudyError(
                f"--seeds takes numbers by commas, such as 0,1,2, got {seeds!r}"
            ) from None
    if order_seed is not None:
        changes["order_seed"] = order_seed
    if arms:
        changes["only"] = tuple(arms)
    return study.replace(**changes) if changes else study


def run_folder(study_name: str, out: Path | None, name: str | None) -> Path:
    """Return the absolute folder of a new run: `out`, or `runs/<study>/<name, else UTC time>`.

    Raises:
        StudyError: both are given, `name` cannot be a folder's name, or `out` is a URI.
    """
    from rayat.ledger.files import located
    from rayat.study import NAME

    if out is not None and _SCHEME.match(str(out)):
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


def relative(path: Path) -> Path:
    """Return a path from here where it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def short(folder: Path) -> str:
    """Return a folder as one would type it here: relative where it lies below, and quoted."""
    return quoted(relative(folder))
