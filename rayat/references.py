"""Classes named by where they are, `package.module:Class`, and those that packages advertise."""

from __future__ import annotations

import importlib
import os
import sys
from importlib import metadata
from typing import Any

from rayat.errors import ConfigError

GROUP = "rayat."
"""Packages advertise methods as entry points of the group `rayat.<room>`, such as rayat.attacks."""


def load(reference: str, what: str) -> Any:
    """Return the object at `package.module:name`; the present folder is searched last.

    Args:
        what: whose it is, such as `attack 'mine.attacks:Mine'`; errors begin with it.

    Raises:
        ConfigError: no such module or name, or the module raises when it is imported.
    """
    module, _, name = reference.partition(":")
    if not module or not name:
        raise ConfigError(f"{what}: give package.module:Class")
    try:
        found: Any = _imported(module)
    except SyntaxError as error:
        raise ConfigError(
            f"{what} cannot be imported: line {error.lineno} of {error.filename or module} is no "
            f"Python ({error.msg})"
        ) from None
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{what}: there is no module {error.name!r}, neither beside the study nor in the "
                "present folder nor installed; give package.module:Class"
            ) from None
        raise ConfigError(f"{what} cannot be imported: {error}") from None
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{what} cannot be imported: its module raised {type(error).__name__}: {said}"
        ) from None
    for step in name.split("."):
        if not hasattr(found, step):
            raise ConfigError(f"{what}: the module {module!r} has no {name!r}")
        found = getattr(found, step)
    return found


def _imported(module: str) -> Any:
    """Import a module. A program's own folder, and not the present one, is on Python's path."""
    top, here = module.partition(".")[0], os.getcwd()
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != top or here in sys.path or "" in sys.path:
            raise
    sys.path.append(here)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        if top not in sys.modules:
            sys.path.remove(here)
        raise


def advertised(room: str) -> dict[str, list[metadata.EntryPoint]]:
    """Return what installed packages offer for a room, by name; nothing is imported."""
    found: dict[str, list[metadata.EntryPoint]] = {}
    for point in metadata.entry_points(group=GROUP + room):
        others = found.setdefault(point.name, [])
        if point.value not in [other.value for other in others]:
            others.append(point)
    return found


def only(points: list[metadata.EntryPoint], what: str) -> metadata.EntryPoint:
    """Return the one that is offered. Raises `ConfigError` where several packages have the name."""
    if len(points) > 1:
        packages = " and ".join(map(offering, points))
        raise ConfigError(
            f"{what} is advertised by several packages, {packages}; uninstall all but one, or "
            f"name the class itself, such as {points[0].value}"
        )
    return points[0]


def offering(point: metadata.EntryPoint) -> str:
    """Return the package of an entry point, with its version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value
