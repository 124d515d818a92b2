"""A configuration in words: what it has that another one has not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rayat.errors import ConfigError
from rayat.layers import PART_KEYS, flatten
from rayat.search.labels import label

UNSPOKEN = ("seed", "data", "eval")
"""What says nothing of how a network is trained."""


def told_apart(config: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """Return how a training differs from another: `lr=onecycle(peak=0.1), pruning=random`.

    Of another method the parameters are named that both have and that differ, and of its own those
    that are not its defaults.

    Args:
        config, base: configuration trees.
    """
    found = []
    for head, value in config.items():
        other = base.get(head)
        if head in UNSPOKEN or value == other:
            continue
        if head in PART_KEYS and isinstance(value, Mapping) and isinstance(other, Mapping):
            found.append(_part(head, value, other))
        else:
            own, theirs = flatten({head: value}), flatten({head: other})
            found += [f"{k}={_short(v)}" for k, v in own.items() if v != theirs.get(k)]
    return ", ".join(found)


def at_axes(config: Mapping[str, Any], axes: Sequence[str]) -> dict[str, Any]:
    """Return what a configuration has at the axes of a search, those alone that act in it.

    A part that was searched as a whole is told by its method and what of it is not the default:
    `fgsm-rs(eps=0.1)`. A parameter of another method, or one that moves nothing, is left out.

    Args:
        config: a tree. axes: dotted keys of it.
    """
    flat, found = flatten(config), {}
    for axis in axes:
        head, _, field = axis.partition(".")
        part = config.get(head)
        if head in PART_KEYS and isinstance(part, Mapping):
            name = str(part.get(PART_KEYS[head].key))
            if not field:
                usual = _defaults(head, name)
                own = {k: v for k, v in part.items() if k not in usual or v != usual[k]}
                found[axis] = label(own)
                continue
            if field in _inert(head, name):
                continue
        if axis in flat:
            found[axis] = flat[axis]
    return found


def _part(head: str, value: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    key = PART_KEYS[head].key
    name, their = value.get(key), other.get(key)
    if name == their:
        return ", ".join(
            f"{head}.{field}={_short(given)}"
            for field, given in value.items()
            if given != other.get(field)
        )
    usual, inert = _defaults(head, str(name)), _inert(head, str(their))
    more = [
        f"{field}={_short(given)}"
        for field, given in value.items()
        if field != key
        and (
            field in inert or given != (other[field] if field in other else usual.get(field, value))
        )
    ]
    return f"{head}={name}" + (f"({', '.join(more)})" if more else "")


def _inert(head: str, name: str) -> frozenset[str]:
    """Return the parameters that move nothing in a method: what another has of them is its own."""
    try:
        inert: frozenset[str] = PART_KEYS[head].get(name).inert
    except ConfigError:  # a method of the run's own that is not here
        return frozenset()
    return inert


def _defaults(head: str, name: str) -> dict[str, Any]:
    try:
        method = PART_KEYS[head].get(name)
    except ConfigError:
        return {}
    return {
        field: each.get_default(call_default_factory=True)
        for field, each in method.model_fields.items()
    }


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else label(value)
