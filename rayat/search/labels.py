"""Axes and their values as text: labels of arms, and domains as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType
from typing import Any, TypeVar

from rayat.errors import StudyError, nearest
from rayat.registry import Part

A = TypeVar("A")
NAME_KEYS = ("name", "shape")
"""`attack=pgd` means `attack.name=pgd`, `lr=cosine` means `lr.shape=cosine`."""


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


def split_parts(text: str) -> list[str]:
    """Return the parts between commas, but those inside brackets, which belong to a value."""
    parts, depth = [""], 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if c == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += c
    return [part for part in parts if part.strip()]


def split_arm(arm: str) -> dict[str, str]:
    """Return the axes of an arm's label: `lr=cosine(peak=0.1,floor=0),epochs=5` has two.

    A part without `=` has an empty value.
    """
    pairs = (part.partition("=") for part in split_parts(arm))
    return {key.strip(): value.strip() for key, _, value in pairs}


def matching(
    text: str, arms: Iterable[str], held: Callable[[str, str], Sequence[Any]]
) -> list[str]:
    """Return the arms that `key=value[,key=value]` names, in their order.

    A key is an arm's axis (`lr.shape`), its part (`lr`, `attack`), or any configuration key that
    is equal over all of an arm's trials; a name alone is that of a named arm (`arm=name`). Numbers
    are compared as numbers.

    Args:
        held: returns the values that an arm's trials have under a dotted key; none: no such key.
    """
    known = list(arms)
    if text in known:
        return [text]
    wanted = split_arm(text if "=" in text.partition(",")[0] else f"arm={text}")
    return [
        arm for arm in known if wanted and all(_holds(arm, k, v, held) for k, v in wanted.items())
    ]


def _holds(arm: str, key: str, value: str, held: Callable[[str, str], Sequence[Any]]) -> bool:
    axes = split_arm(arm)
    for name in (key, *(f"{key}.{part}" for part in NAME_KEYS)):
        if name in axes:
            return _same(axes[name], value)
        if values := held(arm, name):
            return len(values) == 1 and _same(values[0], value)
    return False


def _same(held: Any, wanted: str) -> bool:
    text = str(held).lower()
    # An axis over whole parts is labelled `pgd(steps=5)`; its name alone is enough.
    if wanted.lower() in (text, text.partition("(")[0]):
        return True
    try:
        return float(held) == float(wanted)
    except (TypeError, ValueError):
        return False
