"""Executing a study's file: in this process alone, and without a trace in it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from rayat.errors import ConfigError, StudyError


def execute(path: Path) -> ModuleType:
    """Return the module of a study's file.

    It may import modules that lie beside it: what they hold is only ever read here, and methods
    that they register are refused before the start (`own_parts`). What the file prints goes to
    standard error, for standard output is the command's own.

    Raises:
        StudyError: it is no Python file, cannot be read, raises or ends the program.
        ConfigError: a configuration that it builds is wrong.
    """
    name = f"rayat_study_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StudyError(f"{str(path)!r} is no Python file: a study is written in a file x.py")
    module = importlib.util.module_from_spec(spec)
    with _beside(path, name, module):
        try:
            spec.loader.exec_module(module)
        except (StudyError, ConfigError) as error:
            raise type(error)(f"{path}: {error}") from None
        except KeyboardInterrupt:
            raise
        except SystemExit as error:
            raise StudyError(
                f"{path} ends the program (SystemExit: {error}) instead of defining `study`; take "
                "out what exits, such as a parser of arguments"
            ) from error
        except BaseException as error:
            said = " ".join(_text(error).split())[:300]
            raise StudyError(f"{path} cannot be read: {type(error).__name__}: {said}") from error
    return module


def _text(error: BaseException) -> str:
    """Return what an exception says; one of the user's own may raise when it is asked."""
    try:
        return str(error)
    except Exception:
        return "(it cannot say why)"


@contextlib.contextmanager
def _beside(path: Path, name: str, module: ModuleType) -> Iterator[None]:
    """Find modules beside the file, and forget them, the file and a change of folder afterwards.

    A second study with another `helper.py` must not get the first one's, and workers, which are
    given this process' import path, must not find a module that only this study was to see.
    """
    folder, here = str(path.absolute().parent), Path.cwd()
    known, before = set(sys.modules), list(sys.path)
    sys.modules[name] = module  # dataclasses look their module up
    sys.path.insert(0, folder)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path[:] = before
        os.chdir(here)
        tops = {n for n in set(sys.modules) - known if "." not in n and _lies_in(folder, n)}
        for other in set(sys.modules) - known:
            if other == name or other.partition(".")[0] in tops:
                del sys.modules[other]


def _lies_in(folder: str, name: str) -> bool:
    """Return whether a module or package lies directly in the folder, not somewhere below it."""
    module = sys.modules[name]
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", []))
    return any(
        str(Path(place).parent) == folder or str(Path(place).parent.parent) == folder
        for place in places
        if Path(place).stem in (name, "__init__")
    )
