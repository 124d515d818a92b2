"""The axes of a study become its arms; keys that would do nothing, or not alike, are refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayat.config import GROUPS, TrialConfig
from rayat.errors import ConfigError, StudyError, nearest
from rayat.layers import PART_KEYS
from rayat.search.arms import BASE, SETS, SPACE, Arm, holds, methods, same, shown
from rayat.search.base import Point
from rayat.search.domains import nested
from rayat.search.random import variants

WHERE = {BASE: "the base", SPACE: "the space", SETS: "--set"}
"""The common layers, as a sentence names them."""

EVEN = ("attack.eps", "attack.norm")
"""What all arms must name, or none: a default beside a named value is an arm of another problem."""


@dataclass(frozen=True)
class Axes:
    """What a study's arms are made of.

    Attributes:
        common: base, constants of the space, and what `--set` gave.
        changes: the named arms. scientific, nuisance: domains by axis.
        label: the short text of an axis' value.
    """

    common: tuple[Mapping[str, Any], ...]
    changes: Mapping[str, Mapping[str, Any]]
    scientific: Mapping[str, Any]
    nuisance: Mapping[str, Any]
    label: Callable[[object], str]

    def arms(self) -> dict[str, Arm]:
        """Return the arms by their labels.

        An axis of a parameter that an arm's method does not have is no part of that arm.

        Raises:
            ConfigError: an arm has an unknown key. StudyError: two arms have the same name.
        """
        arms: dict[str, Arm] = {}
        partial: dict[str, bool] = {}
        points = variants(self.scientific, 0)
        for (name, changes), point in itertools.product((self.changes or {"": {}}).items(), points):
            own, missed = self._own(name, changes, point)
            axes = [("arm", name)] if self.changes else []
            axes += [(key, self.label(value)) for key, value in point.items() if key not in missed]
            arm = ",".join(f"{k}={v}" for k, v in axes) or "all"
            if arm in arms and not (missed and partial[arm]):
                raise StudyError(
                    "two points of the space are the same configuration: "
                    f"{arm!r} and {arm!r}; remove one (or a draw of a grid)"
                )
            if arm not in arms:
                arms[arm], partial[arm] = Arm(self.common, own), bool(missed)
        return arms

    def _own(
        self, name: str, changes: Mapping[str, Any], point: Point
    ) -> tuple[dict[str, Any], set[str]]:
        """Return what an arm names, and the axes that do not apply to it."""
        arm = Arm(self.common, {**changes, **point})
        heads = {axis.partition(".")[0] for axis in self.nuisance}
        try:
            merged = arm.merged({}, optional=tuple(point))
        except ConfigError as error:
            if not self.changes:
                raise
            raise ConfigError(f"arm {name!r}: {error}") from None
        missed = {key for number, key in merged.left_out if number == len(self.common)}
        # Where the method itself is tuned it is not known yet.
        missed = {key for key in missed if not self._tuned(key.partition(".")[0], heads)}
        return {key: value for key, value in arm.own.items() if key not in missed}, missed

    def _tuned(self, head: str, heads: set[str]) -> bool:
        return head in heads and any(
            axis in (head, f"{head}.{PART_KEYS[head].key}") for axis in self.nuisance
        )


def refuse_nested(
    base: Mapping[str, Any], arms: Mapping[str, Mapping[str, Any]], space: Mapping[str, Any]
) -> None:
    """Refuse domains that stand where none is drawn: in the base, in an arm, within a value.

    Raises:
        StudyError: with the dotted key that keeps its role.
    """
    for owner, values in [("the base", base), *((f"arm {n!r}", c) for n, c in arms.items())]:
        for place in nested(dict(values), ""):
            raise StudyError(
                f"{owner} holds a domain at {place!r}: axes belong in the space, as "
                f"space={{{place!r}: ...}}"
            )
    for axis, domain in space.items():
        places = list(nested(domain, axis))
        if places and places != [axis]:
            way = (
                "make it a choice or a grid of whole lists"
                if "[" in places[0]
                else f"give it its own key, space={{{places[0]!r}: ...}}, beside the fixed values"
            )
            raise StudyError(f"{axis!r} of the space holds a domain at {places[0]!r}: {way}")


def refuse_unknown(axes: Axes, arms: Sequence[Arm]) -> None:
    """Refuse parameters that no method of any arm has.

    Raises:
        ConfigError: with the nearest name.
    """
    given = [*axes.scientific, *axes.nuisance, *itertools.chain(*axes.common)]
    for dotted in dict.fromkeys(given):
        head, _, tail = dotted.partition(".")
        if head not in PART_KEYS or tail in ("", PART_KEYS[head].key):
            continue
        names = methods(head, arms, axes.nuisance)
        # A name that is unknown itself is refused where the configuration is built.
        names = None if names is None else names & set(PART_KEYS[head].names())
        if names and not holds(head, tail, names):
            registry = PART_KEYS[head]
            fields = {f"{head}.{f}" for n in names for f in registry.get(n).model_fields}
            known = sorted({f"{head}.{registry.key}", *fields})
            owner = f"{head} {sorted(names)[0]!r}" if len(names) == 1 else f"any arm's {head}"
            raise ConfigError(f"unknown key {dotted!r} of {owner}{nearest(dotted, known)}")


def refuse_lost(axes: Axes, arms: Mapping[str, Arm]) -> None:
    """Refuse dotted keys of the base, and all of `--set`, that change no arm.

    Raises:
        StudyError: every arm replaces what the key is part of, or names another value.
    """
    merged = {name: arm.merged({}) for name, arm in arms.items()}
    for layer in (BASE, SETS):
        for key, value in axes.common[layer].items():
            head, _, tail = key.partition(".")
            part = PART_KEYS.get(head)
            later = [*axes.nuisance, *axes.common[SPACE], *axes.common[SETS]]
            if layer == BASE and (not tail or (part is not None and tail == part.key)):
                continue
            if layer == BASE and (key in later or any(key in arm.own for arm in arms.values())):
                continue
            first = f"{head}.{tail.partition('.')[0]}" if tail else head
            left = [
                n
                for n, m in merged.items()
                if not any(k == key for i, k in m.left_out if i == layer)
            ]
            if not tail:
                held = [n for n in left if _names(merged[n].tree.get(head), value, part)]
            else:
                held = [n for n in left if merged[n].given.get(first) == layer]
            if left and not held and not (layer == BASE and not _known(head)):
                other = next(iter(left))
                found = merged[other].tree.get(head)
                if tail and isinstance(found, Mapping):
                    found = found.get(tail, "its default")
                raise StudyError(
                    f"{WHERE[layer]} gives {key}={shown(value)}, but no arm has it: arm {other!r} "
                    f"gives {head!r} itself, with {found!r}; change it there"
                )


def _names(found: Any, value: Any, part: Any) -> bool:
    return same(value, found, part)


def _known(head: str) -> bool:
    return head in PART_KEYS or head in GROUPS


def refuse_uneven(axes: Axes, arms: Mapping[str, Arm]) -> None:
    """Refuse arms whose radius is a default beside arms that name another one.

    Raises:
        StudyError: with both arms and both values.
    """
    for key in EVEN:
        if key in axes.nuisance or any(a in axes.nuisance for a in ("attack", "attack.name")):
            continue
        head, _, tail = key.partition(".")
        named: dict[str, Any] = {}
        silent: dict[str, Any] = {}
        for name, arm in arms.items():
            merged = arm.merged({})
            try:
                config = TrialConfig.parse({head: merged.tree[head]} if head in merged.tree else {})
            except ConfigError:
                return  # refused with its arm where the configuration is built
            (named if key in merged.given else silent)[name] = getattr(getattr(config, head), tail)
        for one, value in silent.items():
            for other, wanted in named.items():
                if wanted != value:
                    raise StudyError(
                        f"arm {one!r} names no {key} and would have the default {value:.4g}, while "
                        f"arm {other!r} has {wanted:.4g}: name {key} in both, or once in the base"
                        if isinstance(value, float)
                        else f"arm {one!r} names no {key} and would have the default {value!r}, "
                        f"while arm {other!r} has {wanted!r}: name {key} in both, or in the base"
                    )
