"""Ray Tune's domains as JSON values, without importing Ray: what a resumed search starts from.

A quantised domain holds the multiples of its step within its bounds, the upper one included; an
integer range without a step, or with step 1, leaves its upper bound out. That is what Tune draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from rayat.errors import StudyError

Domain = dict[str, Any]
"""`{"kind": "choice", "values": [...]}`, or `{"kind": "float" | "int", "low", "high", "log",
"step"}`; `step` is null for a continuous range. Both ends are included, but for the upper one of a
continuous range; with a step the values are its multiples."""

DRAWN = ("Float", "Integer", "Categorical", "Function")
"""Tune's domains by class name: this room does not import Ray."""


def is_grid(value: object) -> bool:
    """Return whether a value of a space is Tune's `grid_search`."""
    return isinstance(value, Mapping) and set(value) == {"grid_search"}


def is_drawn(value: object) -> bool:
    """Return whether a value of a space is a domain that is drawn from."""
    kind = type(value)
    return kind.__name__ in DRAWN and kind.__module__.startswith("ray.tune")


def is_domain(value: object) -> bool:
    """Return whether a value of a space is an axis and not a constant."""
    return is_grid(value) or is_drawn(value)


def is_function(value: object) -> bool:
    """Return whether a value is `sample_from`, which may read the values of other keys."""
    return is_drawn(value) and type(value).__name__ == "Function"


def nested(value: object, where: str) -> Iterator[str]:
    """Yield the place of each domain within a value, such as `attack.steps`."""
    if is_domain(value):
        yield where
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from nested(below, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for number, below in enumerate(value):
            yield from nested(below, f"{where}[{number}]")


def categories(domain: Any) -> list[Any] | None:
    """Return the values of a grid or a choice; None for every other domain."""
    if is_grid(domain):
        return list(domain["grid_search"])
    if isinstance(domain, Mapping):
        return list(domain["values"]) if domain.get("kind") == "choice" else None
    return list(domain.categories) if type(domain).__name__ == "Categorical" else None


def refuse_empty(axis: str, domain: Any) -> None:
    """Refuse a domain that Tune can draw nothing from, or that is no list of values.

    Raises:
        StudyError: with what to give.
    """
    if not is_domain(domain):
        return
    if is_grid(domain):
        values = domain["grid_search"]
        if isinstance(values, str | Mapping | set | frozenset) or not hasattr(values, "__iter__"):
            raise StudyError(
                f"axis {axis!r}: tune.grid_search takes a list of values in order, got {values!r}"
            )
    found = categories(domain)
    if found is not None:
        if not found:
            name = "grid_search" if is_grid(domain) else "choice"
            raise StudyError(
                f"axis {axis!r} has no value: tune.{name}([]) is empty; list its values"
            )
        inside = [place for value in found for place in nested(value, axis)]
        if inside:
            raise StudyError(
                f"axis {axis!r} holds a domain within one of its values; give {inside[0]!r} a key "
                "of its own in the space, which then applies where the method has it"
            )
        return
    low, high = getattr(domain, "lower", None), getattr(domain, "upper", None)
    if low is None or high is None or math.inf in (-low, high):
        return
    step = _step(domain)[1]
    whole = type(domain).__name__ == "Integer"
    if step is not None and not (whole and step == 1):
        empty = step <= 0 or _ticks(low, high, step)[1] < _ticks(low, high, step)[0]
    else:
        empty = low >= high if whole else low > high
    if empty:
        steps = "" if step is None else f" in steps of {step}"
        rule = " (the upper end is left out)" if whole and step in (None, 1) else ""
        raise StudyError(f"axis {axis!r} has no value between {low} and {high}{steps}{rule}")


def as_json(axis: str, domain: Any) -> Domain:
    """Return a domain's JSON form; one that is in that form already is returned as it is.

    Raises:
        StudyError: a domain whose values cannot be named in advance (`sample_from`, `randn`), or
            one that holds none.
    """
    if isinstance(domain, Mapping) and not is_grid(domain):
        return dict(domain)
    refuse_empty(axis, domain)
    found = categories(domain)
    if found is not None:
        return {"kind": "choice", "values": found}
    kind = type(domain).__name__
    sampler, step = _step(domain)
    law = type(sampler).__name__.strip("_")
    if kind not in ("Float", "Integer") or law not in ("Uniform", "LogUniform", "NoneType"):
        raise StudyError(
            f"axis {axis!r}: this search needs grid_search, choice or a range (uniform, randint "
            f"and their log and quantised forms), got {kind} with {law}; search it with "
            "search='random'"
        )
    log = law == "LogUniform"
    low, high = domain.lower, domain.upper
    if kind == "Float":
        if step is not None:
            low, high = (written(tick * step) for tick in _ticks(low, high, step))
        return {"kind": "float", "low": float(low), "high": float(high), "log": log, "step": step}
    # Tune's upper end of integers is excluded, but included where it is quantised.
    if step in (None, 1):
        return {"kind": "int", "low": int(low), "high": int(high) - 1, "log": log, "step": 1}
    if int(step) != step:
        raise StudyError(f"axis {axis!r}: whole numbers have no steps of {step}; give a whole one")
    low, high = (tick * int(step) for tick in _ticks(low, high, step))
    return {"kind": "int", "low": low, "high": high, "log": log, "step": int(step)}


def values(axis: str, domain: Any) -> list[Any]:
    """Return every value of a domain, in order.

    Raises:
        StudyError: a continuous range.
    """
    form = as_json(axis, domain)
    if form["kind"] == "choice":
        return list(form["values"])
    if form["step"] is None:
        raise StudyError(
            f"axis {axis!r} is a continuous range, which has no grid: name its values with "
            "grid_search or choice, or give it steps (quniform)"
        )
    first, last = ticks(form)
    return [from_tick(form, tick) for tick in range(first, last + 1)]


def ticks(form: Domain) -> tuple[int, int]:
    """Return the first and the last multiple of a range's step, in steps."""
    return _ticks(form["low"], form["high"], form["step"])


def from_tick(form: Domain, tick: int) -> int | float:
    """Return the value at a multiple of a range's step."""
    return tick * form["step"] if form["kind"] == "int" else written(tick * form["step"])


def written(value: float) -> float:
    """Return a number as a person would write it: 3 * 0.1 is 0.3."""
    return float(f"{value:.12g}")


def _step(domain: Any) -> tuple[Any, Any]:
    """Return a domain's sampler and the step of a quantised one, else None."""
    sampler = getattr(domain, "sampler", None)
    if sampler is not None and type(sampler).__name__ == "Quantized":
        return sampler.sampler, sampler.q
    return sampler, None


def _ticks(low: float, high: float, step: float) -> tuple[int, int]:
    return _inwards(low / step, math.ceil), _inwards(high / step, math.floor)


def _inwards(place: float, rounded: Any) -> int:
    near = round(place)
    return near if math.isclose(place, near) else int(rounded(place))
