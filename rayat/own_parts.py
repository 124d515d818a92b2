"""Methods that only the process knows that starts a run: refused before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rayat.errors import StudyError
from rayat.registry import ROOMS, Part


def refuse_own_parts(parts: Iterable[tuple[str, Any]]) -> None:
    """Refuse a method whose class is not in one of rayat's own rooms.

    A trial travels to its worker as names and values, and `rayat resume` reads them from the
    ledger: both know what registers itself in rayat's rooms and nothing else.

    Args:
        parts: whose each is (an arm, say), and a configuration, a study or a part.

    Raises:
        StudyError: the first such method, with its class and the way out.
    """
    for owner, tree in parts:
        for part in _parts(tree):
            cls = type(part)
            if cls.__module__.partition(".")[0] == "rayat":
                continue
            room = next((r for r in ROOMS.values() if r.path and _is_of(cls, r.package)), None)
            what = f"{room.path} {cls.kind!r}" if room else repr(cls.kind or cls.__qualname__)
            place = f"{room.package.replace('.', '/')}/" if room else "its room in rayat/"
            raise StudyError(
                f"{owner}: {what} is the class {cls.__qualname__} of {_named(cls.__module__)}, "
                "which workers and `rayat resume` do not have: they know the methods in rayat's "
                f"own folders alone; put the class into a file of its own in {place} of a "
                "checkout that is installed with `pip install -e`"
            )


def _parts(tree: Any) -> Iterator[Part]:
    """Yield every part of a configuration, in the order of its keys."""
    if isinstance(tree, Part):
        yield tree
    if hasattr(type(tree), "model_fields"):
        for name in type(tree).model_fields:
            yield from _parts(getattr(tree, name, None))
    elif isinstance(tree, list | tuple):
        for each in tree:
            yield from _parts(each)


def _is_of(cls: type, package: str) -> bool:
    return any(base.__module__.startswith(f"{package}.") for base in cls.__mro__)


def _named(module: str) -> str:
    if module.startswith("rayat_study_"):
        return "the study's file"
    if module == "__main__":
        return "the script or notebook that started this"
    return f"the module {module!r}"
