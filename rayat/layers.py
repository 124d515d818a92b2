"""Layers of a configuration: a study's base, its constants, an arm's changes, a point of the space.

A later layer wins over an earlier one. In a part, such as `lr`, the method's name comes first,
whichever layer or key gives it, and then the parameters:

- a parameter that stands beside a name in its layer is that method's own: another name in a later
  layer drops it, unless every method of the room has it (`attack.eps`, `lr.peak`);
- a parameter alone in its layer is meant for whatever method the part has in the end;
- a mapping replaces the whole part; a bare name (`attack: fgsm`) is the same as `attack.name`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rayat.errors import ConfigError, nearest
from rayat.registry import (
    ATTACKS,
    EXCHANGES,
    MODELS,
    OBJECTIVES,
    OPTIMIZERS,
    PRUNERS,
    SCHEDULES,
    SHAPES,
    SOURCES,
    Part,
    Registry,
)

PART_KEYS: dict[str, Registry[Any]] = {
    "data": SOURCES,
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "lr": SHAPES,
    "attack": ATTACKS,
    "attack_schedule": SCHEDULES,
    "objective": OBJECTIVES,
    "pruning": PRUNERS,
    "exchange": EXCHANGES,
}
"""The keys that hold a method, with the room it comes from."""


@dataclass(frozen=True)
class Layer:
    """Values by nested or dotted keys.

    Attributes:
        optional: keys that are left out where the method has no such parameter; others are kept,
            and refused when the configuration is built.
        lasting: whether its parameters outlive a later layer's mapping for the whole part, where
            that does not name them.
    """

    values: Mapping[str, Any]
    optional: Collection[str] = ()
    lasting: bool = False


@dataclass
class Merged:
    """Layers as one tree.

    Attributes:
        tree: nested, with what the layers give; the methods' other parameters are not filled in.
        given: the number of the layer that a value comes from, by the first two steps of its key.
        left_out: the optional keys that the method has no parameter for, by layer.
    """

    tree: dict[str, Any] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)
    left_out: list[tuple[int, str]] = field(default_factory=list)


def layered(
    layers: Sequence[Layer], known: Collection[str], default: Callable[[str], dict[str, Any]]
) -> Merged:
    """Return the layers as one tree.

    Args:
        known: a configuration's first-level keys. default: the part that a key has by default.

    Raises:
        ConfigError: a first-level key that is unknown, or a dotted key below a plain value.
    """
    merged = Merged()
    heads: dict[str, None] = {}
    for layer in layers:
        for key in layer.values:
            if not isinstance(key, str):
                raise ConfigError(f"a configuration's keys must be words, got {key!r}")
            head = key.partition(".")[0]
            if head not in known:
                raise ConfigError(f"unknown key {key!r}{nearest(key, known)}")
            heads[head] = None
    for head in heads:
        registry = PART_KEYS.get(head)
        if registry is None:
            _group(merged, head, layers)
        else:
            _Part(merged, head, registry, default).take(layers)
    return merged


def refuse_twice(values: Mapping[str, Any]) -> None:
    """Refuse a layer that gives a key by its dots and, with another value, in a mapping.

    Raises:
        ConfigError: naming the key and both values.
    """
    for dotted, value in values.items():
        steps = dotted.split(".")
        for n in range(1, len(steps)):
            inside: Any = plain(values.get(".".join(steps[:n])))
            for step in steps[n:]:
                inside = inside.get(step, value) if isinstance(inside, Mapping) else value
            if inside is not value and inside != value:
                raise ConfigError(
                    f"{dotted} is given twice, as {value!r} and as {inside!r} in "
                    f"{'.'.join(steps[:n])!r}; take one of them out"
                )


def has(registry: Registry[Any], name: object, parameter: str) -> bool:
    """Return whether the method has a parameter that moves something in it.

    True where the method is not known itself.
    """
    if not isinstance(name, str):
        return True
    method, first = registry.resolve(name)[0], parameter.partition(".")[0]
    return first in method.model_fields and first not in method.inert


def plain(value: Any) -> Any:
    """Return a group as a new dict and a part as its mapping form; other values as they are."""
    if isinstance(value, Part):
        return value.spec()
    return dict(value) if isinstance(value, Mapping) else value


def _of(head: str, layer: Layer, key: str = "name") -> list[tuple[str, Any]]:
    """Return a layer's `(tail, value)` for one first-level key: whole, name, then deeper ones."""
    found = [
        (dotted.partition(".")[2], value)
        for dotted, value in layer.values.items()
        if dotted.partition(".")[0] == head
    ]
    # The name of a part comes before its parameters, so that these land in the new part.
    names = {key, "name", "shape"}
    return sorted(
        found,
        key=lambda e: (e[0].count(".") + bool(e[0]), e[0].split(".")[-1] not in names, e[0]),
    )


def _group(merged: Merged, head: str, layers: Sequence[Layer]) -> None:
    for number, layer in enumerate(layers):
        for tail, value in _of(head, layer):
            if not tail:
                merged.tree[head] = plain(value)
                for key in [k for k in merged.given if k.partition(".")[0] == head]:
                    del merged.given[key]
                merged.given[head] = number
                below = merged.tree[head]
                if isinstance(below, Mapping):
                    merged.given.update({f"{head}.{key}": number for key in below})
                continue
            below = merged.tree.get(head, {})
            if not isinstance(below, Mapping):
                raise ConfigError(f"unknown key '{head}.{tail}': {head!r} is a value, not a group")
            merged.tree[head] = put(below, tail, value, f"{head}.{tail}")
            merged.given[f"{head}.{tail.partition('.')[0]}"] = number


class _Part:
    """One method of a configuration as its layers are taken in."""

    def __init__(
        self,
        merged: Merged,
        head: str,
        registry: Registry[Any],
        default: Callable[[str], dict[str, Any]],
    ) -> None:
        self.merged, self.head, self.registry, self.default = merged, head, registry, default
        self.spec: Any = None
        self.given: dict[str, int] = {}
        self.exact: dict[str, int] = {}
        """The layer of every value in `spec`, by its whole key below the part."""
        self.free: list[tuple[int, str, Any]] = []

    def take(self, layers: Sequence[Layer]) -> None:
        """Take all layers, and then the parameters that stood alone."""
        for number, layer in enumerate(layers):
            values = _of(self.head, layer, self.registry.key)
            named = any(tail in ("", self.registry.key) for tail, _ in values)
            for tail, value in values:
                if not tail:
                    self._whole(number, plain(value), layers)
                elif tail == self.registry.key:
                    self._rename(number, value)
                elif named and not self._misses(layer, tail):
                    self._set(number, tail, value)
                else:
                    self.free.append((number, tail, value))
        for number, tail, value in self.free:
            if self.spec is None:
                self.spec = self.default(self.head)
            if self._is_over(number, tail):
                continue
            if self._misses(layers[number], tail):
                self.merged.left_out.append((number, f"{self.head}.{tail}"))
            else:
                self._set(number, tail, value)
        self.merged.tree[self.head] = self.spec
        self.merged.given.update({f"{self.head}.{k}": n for k, n in self.given.items()})

    def _is_over(self, number: int, tail: str) -> bool:
        """Return whether a later layer gives this parameter, or a mapping that it lies in."""
        steps = tail.split(".")
        places = (".".join(steps[:n]) for n in range(1, len(steps) + 1))
        return any(self.exact.get(place, -1) > number for place in places)

    def _misses(self, layer: Layer, tail: str) -> bool:
        """Return whether an optional parameter has no place in the method as it is now."""
        name = self.spec.get(self.registry.key) if isinstance(self.spec, Mapping) else None
        return f"{self.head}.{tail}" in layer.optional and not has(self.registry, name, tail)

    def _whole(self, number: int, value: Any, layers: Sequence[Layer]) -> None:
        if isinstance(value, str) and (isinstance(self.spec, Mapping) or self.free):
            if self.spec is None:
                self.spec, self.given = {self.registry.key: value}, {self.registry.key: number}
            self._rename(number, value)
            return
        self.spec = {self.registry.key: value} if isinstance(value, str) else value
        keys = self.spec if isinstance(self.spec, Mapping) else ()
        self.free = [
            (layer, tail, wanted)
            for layer, tail, wanted in self.free
            if layers[layer].lasting and tail.partition(".")[0] not in keys
        ]
        self.given = dict.fromkeys(keys, number)
        self.exact = dict(self.given)

    def _rename(self, number: int, value: Any) -> None:
        key = self.registry.key
        if self.spec is None:
            self.spec = self.default(self.head)
        if not isinstance(self.spec, Mapping):
            raise ConfigError(f"unknown key '{self.head}.{key}': {self.head!r} is a value")
        if self.spec.get(key) != value:
            kept = self.registry.common(str(value))
            self.spec = {name: v for name, v in self.spec.items() if name in kept}
            self.given = {name: n for name, n in self.given.items() if name in kept}
            self.exact = {k: n for k, n in self.exact.items() if k.partition(".")[0] in kept}
        self.spec, self.given = {**self.spec, key: value}, {**self.given, key: number}

    def _set(self, number: int, tail: str, value: Any) -> None:
        dotted = f"{self.head}.{tail}"
        if not isinstance(self.spec, Mapping):
            raise ConfigError(f"unknown key {dotted!r}: {self.head!r} is a value, not a group")
        self.spec = put(self.spec, tail, value, dotted)
        self.given[tail.partition(".")[0]] = number
        self.exact[tail] = number


def put(tree: Mapping[str, Any], tail: str, value: Any, dotted: str) -> dict[str, Any]:
    """Return the tree with the value at a dotted place.

    Raises:
        ConfigError: the place lies below a plain value.
    """
    head, _, rest = tail.partition(".")
    result = dict(tree)
    if rest:
        below = result.get(head, {})
        if not isinstance(below, Mapping):
            raise ConfigError(f"unknown key {dotted!r}: {head!r} is a value, not a group")
        value = put(below, rest, value, dotted)
    result[head] = value
    return result


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `{dotted key: leaf}` of a nested mapping."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat.update(flatten(value, name + "."))
        else:
            flat[name] = value
    return flat
