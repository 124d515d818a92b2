"""What a search leaves out: combinations that are excluded by name, and points that mean one thing.

An exclusion is a sentence with conditions: `{"no ratio of nothing": {"pruning": "none", "epochs":
[4, 8]}}` leaves out every configuration for which all of them hold. A list is any of its values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rayat.config import TrialConfig
from rayat.errors import ConfigError, StudyError, nearest
from rayat.layers import PART_KEYS
from rayat.registry import Part
from rayat.search.arms import at, holds, same

Rules = Mapping[str, Mapping[str, Any]]
"""Conditions by dotted configuration keys, by the reason that a person reads."""


def excluded(rules: Rules, tree: Mapping[str, Any]) -> str | None:
    """Return the first reason for which a configuration is left out, None if there is none.

    Args:
        tree: of the configuration, or of layers that make none.
    """
    for reason, conditions in rules.items():
        if all(_holds(key, wanted, tree) for key, wanted in conditions.items()):
            return reason
    return None


def _holds(key: str, wanted: Any, tree: Mapping[str, Any]) -> bool:
    found = at(tree, key)
    room = PART_KEYS.get(key)
    if found is None and any(value is not None for value in _values(wanted)):
        return False  # a parameter that this method does not have
    return any(same(value, found, room) for value in _values(wanted))


def _values(wanted: Any) -> list[Any]:
    return list(wanted) if isinstance(wanted, list | tuple) else [wanted]


def refuse_unknown_rules(rules: Rules) -> None:
    """Refuse conditions that can never hold: a rule with a slip would exclude nothing, in silence.

    Raises:
        StudyError: no condition, or a key that no configuration has, or a method that there is not.
    """
    for reason, conditions in rules.items():
        if not reason.strip():
            raise StudyError("an exclusion needs its reason as its name, got an empty one")
        if not conditions:
            raise StudyError(f"exclusion {reason!r} has no condition, so it would exclude all")
        for key, wanted in conditions.items():
            _refuse_unknown(reason, key, wanted)


def _refuse_unknown(reason: str, key: str, wanted: Any) -> None:
    if not _values(wanted):
        raise StudyError(f"exclusion {reason!r} lists no value of {key!r}")
    head, _, tail = key.partition(".")
    room = PART_KEYS.get(head)
    if head not in TrialConfig.model_fields or (room is None and not _plain(key)):
        raise StudyError(
            f"exclusion {reason!r} asks for {key!r}, which no configuration has"
            f"{nearest(key, [*TrialConfig.model_fields, *TrialConfig.parse({}).flat()])}"
        )
    if room is None:
        return
    names = room.names()
    if tail in ("", room.key):
        for value in _values(wanted):
            _refuse_no_method(reason, key, value, names)
    elif not holds(head, tail.partition(".")[0], set(names)):
        known = {f"{head}.{field}" for name in names for field in room.get(name).model_fields}
        raise StudyError(
            f"exclusion {reason!r} asks for {key!r}, which no {head} has"
            f"{nearest(key, sorted(known))}"
        )


def _refuse_no_method(reason: str, key: str, value: Any, names: Iterable[str]) -> None:
    room = PART_KEYS[key.partition(".")[0]]
    name = value.get(room.key) if isinstance(value, Mapping) else value
    name = value.kind if isinstance(value, Part) else name
    try:
        room.get(str(name))
    except ConfigError:
        raise StudyError(
            f"exclusion {reason!r} asks for {key}={name!r}, which is no method"
            f"{nearest(str(name), names)}"
        ) from None


def _plain(key: str) -> bool:
    head, _, tail = key.partition(".")
    found: Any = TrialConfig.parse({}).tree().get(head)
    for step in tail.split(".") if tail else ():
        if not isinstance(found, Mapping) or step not in found:
            return False
        found = found[step]
    return True
