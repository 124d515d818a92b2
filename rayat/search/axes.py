"""The axes of a study become its arms; keys that would do nothing, or not alike, are refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rayat.config import TrialConfig
from rayat.errors import ConfigError, StudyError, nearest
from rayat.layers import PART_KEYS, Merged
from rayat.search.arms import BASE, SETS, SPACE, Arm, holds, methods, same, shown
from rayat.search.base import Point
from rayat.search.domains import is_domain, nested
from rayat.search.random import variants

WHERE = {BASE: "the base", SPACE: "the space", SETS: "--set"}
"""The common layers, as a sentence names them."""

SEARCHED = "searched"
"""The arm of a study that has controls and one space beside them, in which it searches."""


def control(name: str) -> str:
    """Return the label of a control arm."""
    return f"arm={name}"


EVEN = ("attack.eps", "attack.norm")
"""What all arms must name, or none: a default beside a named value is an arm of another problem."""


@dataclass(frozen=True)
class Axes:
    """What a study's arms are made of.

    Attributes:
        common: base, constants of the space, and what `--set` gave.
        changes: the named arms. scientific, nuisance: domains by axis.
        label: the short text of an axis' value.
        controls: the arms that are trained as they stand, at no point of any axis.
    """

    common: tuple[Mapping[str, Any], ...]
    changes: Mapping[str, Mapping[str, Any]]
    scientific: Mapping[str, Any]
    nuisance: Mapping[str, Any]
    label: Callable[[object], str]
    controls: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def arms(self) -> dict[str, Arm]:
        """Return the arms by their labels.

        An axis of a parameter that an arm's method does not have is no part of that arm.

        Raises:
            ConfigError: an arm has an unknown key. StudyError: two arms have the same name.
        """
        arms = {control(name): Arm(self.common, own) for name, own in self.controls.items()}
        bare: dict[str, dict[str, Any]] = (
            {SEARCHED: {}} if self.controls and not self.scientific else {"": {}}
        )
        changes: Mapping[str, Mapping[str, Any]] = self.changes or bare
        partial: dict[str, bool] = {}
        points = variants(self.scientific, 0)
        for (name, named), point in itertools.product(changes.items(), points):
            own, missed = self._own(name, named, point)
            axes = [("arm", name)] if name else []
            axes += [(key, self.label(value)) for key, value in point.items() if key not in missed]
            arm = ",".join(f"{k}={v}" for k, v in axes) or "all"
            if arm in arms and not (missed and partial.get(arm)):
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


def refuse_hidden(arms: Mapping[str, Mapping[str, Any]], space: Mapping[str, Any]) -> None:
    """Refuse an arm that sets what the space gives too. Raises `StudyError` with both."""
    for name, changes in arms.items():
        for axis, domain in space.items():
            if any(key == axis or key.startswith(f"{axis}.") for key in changes):
                what = "is an axis" if is_domain(domain) else "is a constant"
                raise StudyError(
                    f"arm {name!r} sets {axis!r}, which {what} of the space and would hide it; "
                    "take it out of one of them"
                )


def refuse_seed(space: Mapping[str, Any], layers: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a seed that the study's own seeds would hide.

    Args:
        layers: what a study gives its trials, by where it stands.

    Raises:
        StudyError: with what to give instead.
    """
    if "seed" in space:
        raise StudyError("the seed is no axis of the space: give seeds=(0, 1, 2)")
    for place, layer in layers.items():
        if "seed" in layer:
            raise StudyError(
                f"the seed {layer['seed']!r} in the study's {place} would have no effect: give "
                f"the study seeds=({layer['seed']},)"
            )


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

    What arms, axes or constants name themselves hides the base in the open; what only disappears
    with a part that is given whole does not.

    Raises:
        StudyError: every arm replaces what the key is part of, or names another value.
    """
    merged = {name: arm.merged({}) for name, arm in arms.items()}
    for layer, key in [(n, key) for n in (BASE, SETS) for key in axes.common[n]]:
        head, _, tail = key.partition(".")
        part, value = PART_KEYS.get(head), axes.common[layer][key]
        if layer == BASE and (key in axes.nuisance or tail in ("", part.key if part else "")):
            continue
        left = {n: m for n, m in merged.items() if (layer, key) not in m.left_out}
        first = f"{head}.{tail.partition('.')[0]}" if tail else head
        if layer == SETS:
            held = any(_set_to(m, key, value) for m in left.values())
        else:
            held = any(first in m.given for m in left.values())
        if left and not held:
            other, found = next((name, m.tree.get(head)) for name, m in left.items())
            if tail and isinstance(found, Mapping):
                found = found.get(tail, "its default")
            raise StudyError(
                f"{WHERE[layer]} gives {key}={shown(value)}, but no arm has it: arm {other!r} "
                f"gives {head!r} itself, with {found!r}; change it there"
            )


def half_set(axes: Axes, arms: Mapping[str, Arm]) -> list[str]:
    """Return a sentence for each key of `--set` that some arms give themselves."""
    merged = {name: arm.merged({}) for name, arm in arms.items()}
    texts = []
    for key, value in axes.common[SETS].items():
        others = [
            name
            for name, m in merged.items()
            if (SETS, key) not in m.left_out and not _set_to(m, key, value)
        ]
        if others:
            more = f" and {len(others) - 1} more arms" if len(others) > 1 else ""
            texts.append(
                f"--set {key}={value} does not reach {others[0]}{more}, whose own value stays"
            )
    return texts


def _set_to(merged: Merged, key: str, value: Any) -> bool:
    """Return whether `--set` is where a value comes from, or an arm gives the same one."""
    head, _, tail = key.partition(".")
    found = merged.tree.get(head)
    if tail and merged.given.get(f"{head}.{tail.partition('.')[0]}") == SETS:
        return True
    for step in tail.split(".") if tail else ():
        found = found.get(step) if isinstance(found, Mapping) else None
    return same(value, found, PART_KEYS.get(key))


def refuse_uneven(axes: Axes, arms: Mapping[str, Arm]) -> None:
    """Refuse arms whose radius is a default beside arms that name another one.

    Raises:
        StudyError: with both arms and both values.
    """
    for key in EVEN:
        text = uneven(axes, arms, key)
        if text:
            raise StudyError(text)


def uneven(axes: Axes, arms: Mapping[str, Arm], key: str) -> str:
    """Return that one arm has a default where another arm names another value, "" if none does.

    Args:
        key: a parameter that every method of its part has, such as `lr.peak`.
    """
    head, _, tail = key.partition(".")
    if any(axis in (head, key, f"{head}.{PART_KEYS[head].key}") for axis in axes.nuisance):
        return ""
    named: dict[str, Any] = {}
    silent: dict[str, Any] = {}
    for name, arm in arms.items():
        merged = arm.merged({})
        try:
            config = TrialConfig.parse({head: merged.tree[head]} if head in merged.tree else {})
        except ConfigError:
            return ""  # refused with its arm where the configuration is built
        side = named if key in merged.given else silent
        side[name] = getattr(getattr(config, head), tail)
    for one, value in silent.items():
        for other, wanted in named.items():
            if wanted != value:
                return (
                    f"arm {one!r} names no {key} and would have the default {_short(value)}, while "
                    f"arm {other!r} has {_short(wanted)}: name {key} in both, or once in the base"
                )
    return ""


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else repr(value)
