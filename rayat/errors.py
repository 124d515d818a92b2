"""What can go wrong, said in one sentence: what, what was given, what to do."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable


class RayatError(Exception):
    """Base of every error that a user is meant to read. The command line prints its text alone."""


class ConfigError(RayatError):
    """A trial's configuration is wrong: unknown key, wrong value, impossible combination."""


class StudyError(RayatError):
    """A study cannot be loaded, expanded or run as written."""


class DataError(RayatError):
    """A data set is missing, damaged or not what was asked for; the text says how to get it."""


class LedgerError(RayatError):
    """A file of a run is missing, damaged or foreign; the text names the file and the cure."""


class LockedError(LedgerError):
    """Another driver is writing this run; the text names its host, process and age."""


class PlacementError(RayatError):
    """The cluster cannot hold what was asked for, so nothing was started."""


def nearest(name: str, options: Iterable[str]) -> str:
    """Return `" (did you mean 'x'?)"` for the closest option, or `""` when none is close.

    A dotted name is also compared by its last part, so `shap` finds `lr.shape`.
    """
    options = list(options)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    if not close:
        tails = {o.rsplit(".", 1)[-1]: o for o in options}
        tail = difflib.get_close_matches(name.rsplit(".", 1)[-1], list(tails), n=1, cutoff=0.6)
        close = [tails[t] for t in tail]
    return f" (did you mean {close[0]!r}?)" if close else ""


def quoted(path: object) -> str:
    """Return a path as a shell takes it, for commands that are printed to be pasted."""
    return shlex.quote(str(path))
