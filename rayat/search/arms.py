"""An arm: the layers of its configuration, what it names, and that this is what will run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayat.config import TrialConfig, merge_layers
from rayat.errors import ConfigError, StudyError
from rayat.fractions import number
from rayat.layers import PART_KEYS, Layer, Merged, has
from rayat.registry import Part, Registry

BASE, SPACE, SETS, OWN = range(4)
"""The layers of an arm, lowest first: base, constants of the space, `--set`, what the arm names."""


@dataclass(frozen=True)
class Arm:
    """What is compared: the study's common layers, and what the arm itself names.

    Attributes:
        common: the base, the constants of the space, and what `--set` gave.
        own: the arm's changes and its point of the scientific axes, by dotted keys.
    """

    common: tuple[Mapping[str, Any], ...]
    own: Mapping[str, Any]

    def merged(self, point: Mapping[str, Any], optional: Sequence[str] = ()) -> Merged:
        """Return the configuration's tree at a point of other axes.

        Args:
            optional: keys of the arm's own that are left out where the method lacks them, as those
                of the point and of the common layers always are.

        Raises:
            ConfigError: an unknown key.
        """
        layers = [
            Layer(values, optional=values.keys(), lasting=number != BASE)
            for number, values in enumerate(self.common)
        ]
        own = Layer({**self.own, **point}, optional={*optional, *point})
        return merge_layers([*layers, own])

    def named(self, point: Mapping[str, Any], left_out: Sequence[tuple[int, str]]) -> Named:
        """Return what the arm, the point and the space's constants name, without what they miss."""
        missed = set(left_out)
        layers: list[tuple[int, Mapping[str, Any]]] = [(len(self.common), {**self.own, **point})]
        if len(self.common) > SPACE:
            replaced = self.common[SETS] if len(self.common) > SETS else {}
            kept = {k: v for k, v in self.common[SPACE].items() if k not in replaced}
            layers.append((SPACE, kept))
        return {
            key: value
            for number, values in layers
            for key, value in values.items()
            if (number, key) not in missed
        }

    def tree(self) -> dict[str, Any]:
        """Return the JSON form that `run.json` keeps of an adaptive search."""
        return {"common": [dict(layer) for layer in self.common], "own": dict(self.own)}

    @classmethod
    def parse(cls, tree: Mapping[str, Any]) -> Arm:
        """Return the arm of a JSON form; earlier versions kept one merged tree."""
        if set(tree) == {"common", "own"}:
            return cls(tuple(tree["common"]), tree["own"])
        return cls((tree,), {})


Named = dict[str, Any]
"""Values by dotted key, as a study gives them."""


def refuse_other(arm: str, named: Mapping[str, Any], config: TrialConfig) -> None:
    """Refuse a trial whose configuration is not what its name says.

    Raises:
        StudyError: a value that the arm or the point names is not the configuration's; both are
            in the sentence.
    """
    tree = config.tree()
    for given, value in named.items():
        for key, wanted in _leaves(given, value):
            found = at(tree, key)
            if not same(wanted, found, PART_KEYS.get(key)) and not _means(config, key, wanted):
                raise StudyError(
                    f"arm {arm!r} names {key}={wanted!r}, but its configuration would have "
                    f"{key}={found!r}: two keys of the study give it; take it out of one of them"
                )


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values within what a key is given, by dotted keys."""
    value = value.spec() if isinstance(value, Part) else value
    if not isinstance(value, Mapping):
        yield key, value
        return
    for name, below in value.items():
        yield from _leaves(f"{key}.{name}", below)


def same(wanted: Any, found: Any, registry: Any = None) -> bool:
    """Return whether a value as a study gives it is the one in a configuration's JSON form.

    A mapping is the same where all that it names is; `"8/255"` is the number, a bare name is the
    part of that name.
    """
    if isinstance(wanted, Part):
        wanted = wanted.spec()
    if hasattr(wanted, "tolist"):
        wanted = wanted.tolist()
    if isinstance(wanted, str) and isinstance(found, Mapping):
        key = registry.key if registry is not None else "name"
        # Of an own method the whole of `module:Class` is the name, of `timm:resnet18` its head.
        names = (
            {wanted, wanted.partition(":")[0]} if registry is None else {registry.kind_of(wanted)}
        )
        return str(found.get(key)) in names
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            key in found and same(value, found[key]) for key, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(found, list | tuple)
            and len(wanted) == len(found)
            and all(same(a, b) for a, b in zip(wanted, found, strict=True))
        )
    if isinstance(found, bool) or isinstance(wanted, bool):
        return wanted is found
    if isinstance(found, int | float):
        wanted = number(wanted)
        return isinstance(wanted, int | float) and (
            wanted == found or math.isclose(wanted, found, rel_tol=1e-15)
        )
    return bool(wanted == found)


def _means(config: TrialConfig, key: str, wanted: Any) -> bool:
    """Return whether giving the value again would change nothing: another spelling of it."""
    try:
        return config.replace({key: wanted}) == config
    except ConfigError:
        return False


def at(tree: Any, key: str) -> Any:
    """Return the value at a dotted key of a tree, None where there is none."""
    for step in key.split("."):
        if not isinstance(tree, Mapping) or step not in tree:
            return None
        tree = tree[step]
    return tree


def shown(value: Any) -> str:
    """Return a value as a sentence shows it."""
    return repr(value.spec() if isinstance(value, Part) else value)


def methods(head: str, arms: Sequence[Arm], space: Mapping[str, Any]) -> set[str] | None:
    """Return every method that a part may be, over the arms and the space; None: not foreseeable.

    Args:
        space: the domains, or their JSON forms, of the axes that are not yet points.
    """
    from rayat.search.domains import categories

    room = PART_KEYS[head]
    key = room.key
    found: set[str] = set()
    chosen = [domain for axis, domain in space.items() if axis in (head, f"{head}.{key}")]
    for domain in chosen:
        values = categories(domain)
        if values is None:
            return None
        found |= {_name(value, room) for value in values}
    if not chosen:
        for arm in arms:
            tree = arm.merged({}, optional=tuple(arm.own)).tree
            if head in tree:
                found.add(_name(tree[head], room))
            else:
                found.add(str(getattr(TrialConfig.parse({}), head).kind))
    return found


def holds(head: str, parameter: str, names: set[str]) -> set[str]:
    """Return those of the methods that have the parameter."""
    return {name for name in names if has(PART_KEYS[head], name, parameter)}


def _name(value: Any, room: Registry[Any]) -> str:
    if isinstance(value, Part):
        return value.kind
    if isinstance(value, Mapping):
        value = value.get(room.key, "")
    return room.kind_of(str(value))
