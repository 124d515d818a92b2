"""Executing a study's file; its folder stays importable until another study's turn."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from rayat.errors import ConfigError, StudyError
from rayat.own.code import Code, use


def execute(path: Path) -> tuple[ModuleType, Code]:
    """Return the module of a study's file, and the folder that its own modules are found in.

    It may import modules that lie beside it, and it and they may hold methods of the study's own
    (`rayat.own`). What the file prints goes to standard error, for standard output is the
    command's own.

    Raises:
        StudyError: it is no Python file, cannot be read, raises or ends the program.
        ConfigError: a configuration that it builds is wrong.
    """
    name = "rayat_study_" + re.sub(r"\W", "_", path.stem)
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    if spec is None or spec.loader is None:
        raise StudyError(f"{str(path)!r} is no Python file: a study is written in a file x.py")
    module = importlib.util.module_from_spec(spec)
    code = Code(path.absolute().parent, (name,))
    with _in_use(code, name, module):
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
    return module, code


def _text(error: BaseException) -> str:
    """Return what an exception says; one of the user's own may raise when it is asked."""
    try:
        return str(error)
    except Exception:
        return "(it cannot say why)"


@contextlib.contextmanager
def _in_use(code: Code, name: str, module: ModuleType) -> Iterator[None]:
    """Find modules beside the file, and forget what the file does to Python's path and folder.

    After an error nothing of it stays. Nothing is written beside it: what a file compiled to would
    also be taken for one of the same size that was saved within the same second.
    """
    use(None)  # the same file again is executed again, and so are the modules beside it
    use(code)
    here, before, unwritten = Path.cwd(), list(sys.path), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    sys.modules[name] = module  # dataclasses look their module up
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except BaseException:
        sys.path[:] = before
        use(None)
        raise
    finally:
        sys.dont_write_bytecode = unwritten
        os.chdir(here)
    sys.path[:] = before
