"""Axes and their values as text: labels of arms, and domains as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any, TypeVar

from rayat.errors import StudyError, nearest
from rayat.registry import Part

A = TypeVar("A")


def names(text: str, arm: str) -> bool:
    """Return whether a text is an arm's label, parts of it, or its name among `Study.arms`."""
    return any(f",{part}," in f",{arm}," for part in (text, f"arm={text}"))


def label(value: object) -> str:
    """Return a short text for an axis value: `cosine`, `0.1`, `pgd(steps=5)`."""
    if isinstance(value, Mapping):
        name = value.get("name", value.get("shape"))
        rest = ",".join(f"{k}={label(v)}" for k, v in value.items() if k not in ("name", "shape"))
        return f"{name or ''}({rest})" if rest else str(name)
    if isinstance(value, float):
        short = f"{value:g}"
        # Two rates that differ in the seventh digit are two arms.
        return short if float(short) == value else repr(value)
    return str(value)


def domain_json(domain: object) -> Any:
    """Return a domain as JSON, equal in every process: values as they are, the rest as text."""
    if isinstance(domain, str | int | float | bool | None):
        return domain
    if isinstance(domain, Mapping):
        return {str(key): domain_json(value) for key, value in domain.items()}
    if isinstance(domain, list | tuple):
        return [domain_json(value) for value in domain]
    if isinstance(domain, FunctionType):
        return domain.__qualname__
    if isinstance(domain, Part):
        return domain.spec()
    if hasattr(domain, "tolist"):  # a NumPy scalar or array
        return domain.tolist()
    # Never `repr`: Tune's samplers print their memory address.
    fields = sorted((k, v) for k, v in getattr(domain, "__dict__", {}).items() if k[0] != "_")
    return f"{type(domain).__name__}({', '.join(f'{k}={domain_json(v)}' for k, v in fields)})"


def only(arms: Mapping[str, A], texts: Sequence[str], named: Sequence[str]) -> dict[str, A]:
    """Return the arms that texts name: whole labels, names of `arms`, or parts of labels.

    Args:
        texts: none stands for all. named: the study's named arms, for the sentence.

    Raises:
        StudyError: a text that names no arm, with the nearest.
    """
    chosen: set[str] = set()
    for text in texts:
        found = {arm for arm in arms if names(text, arm)}
        if not found:
            raise StudyError(
                f"{text!r} is no arm of the study{nearest(text, [*named, *arms])}; "
                f"arms: {'; '.join(arms)}"
            )
        chosen |= found
    return {arm: value for arm, value in arms.items() if arm in chosen or not texts}


def refuse_baseline(
    baseline: str | None, arms: Sequence[str], named: Sequence[str], chosen: bool
) -> None:
    """Refuse a baseline that is no arm of a study.

    Args:
        arms: those that run. named: the study's named arms, for the sentence.
        chosen: whether only some of the study's arms are to run.

    Raises:
        StudyError: with the nearest.
    """
    if baseline is None or any(names(baseline, arm) for arm in arms):
        return
    if chosen:
        raise StudyError(
            f"baseline {baseline!r} is not among the arms that are to run "
            f"({'; '.join(arms)}); name it too, so that they can be compared with it"
        )
    raise StudyError(
        f"baseline {baseline!r} is no arm of the study{nearest(baseline, [*named, *arms])}; "
        f"arms: {'; '.join(arms)}"
    )
