"""From what a user types to a study or a configuration: names, `--set key=value`, folders."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayat.errors import ConfigError, StudyError, quoted

if TYPE_CHECKING:
    from rayat.study import Study


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
        StudyError, ConfigError: no such study, or it is wrong; see `api.studies`.
    """
    from rayat.api.studies import changed_study, study_of

    return changed_study(study_of(name), parse_changes(texts))


def numbers(text: str | None) -> tuple[int, ...] | None:
    """Return the seeds of `--seeds 0,1,2`, None for None.

    Raises:
        StudyError: something else.
    """
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise StudyError(f"--seeds takes numbers by commas, such as 0,1,2, got {text!r}") from None


def relative(path: Path) -> Path:
    """Return a path from here where it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def short(folder: Path) -> str:
    """Return a folder as one would type it here: relative where it lies below, and quoted."""
    return quoted(relative(folder))
