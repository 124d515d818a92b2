"""An arm's label as text: its axes, and which arms a text names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

NAME_KEYS = ("name", "shape")
"""`attack=pgd` means `attack.name=pgd`, `lr=cosine` means `lr.shape=cosine`."""


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
