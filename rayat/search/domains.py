"""Ray Tune's domains as JSON values, without importing Ray: what a resumed search starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayat.errors import StudyError

Domain = dict[str, Any]
"""`{"kind": "choice", "values": [...]}`, or `{"kind": "float" | "int", "low", "high", "log",
"step"}` with both ends included; `step` is null for a continuous range."""


def as_json(axis: str, domain: Any) -> Domain:
    """Return a domain's JSON form; one that is in that form already is returned as it is.

    Raises:
        StudyError: a domain whose values cannot be named in advance (`sample_from`, `randn`).
    """
    if isinstance(domain, Mapping):
        if set(domain) == {"grid_search"}:
            return {"kind": "choice", "values": list(domain["grid_search"])}
        return dict(domain)
    kind = type(domain).__name__
    if kind == "Categorical":
        return {"kind": "choice", "values": list(domain.categories)}
    sampler, step = getattr(domain, "sampler", None), None
    if sampler is not None and type(sampler).__name__ == "Quantized":
        sampler, step = sampler.sampler, sampler.q
    law = type(sampler).__name__.strip("_")
    if kind not in ("Float", "Integer") or law not in ("Uniform", "LogUniform", "NoneType"):
        raise StudyError(
            f"axis {axis!r}: this search needs grid_search, choice, uniform, loguniform, quniform, "
            f"randint or lograndint, got {kind} with {law}; search it with search='random'"
        )
    log = law == "LogUniform"
    if kind == "Float":
        ends = {"low": float(domain.lower), "high": float(domain.upper)}
        return {"kind": "float", **ends, "log": log, "step": step}
    # Tune's upper end of integers is excluded, but included where it is quantised.
    high = int(domain.upper) if step not in (None, 1) else int(domain.upper) - 1
    return {"kind": "int", "low": int(domain.lower), "high": high, "log": log, "step": step or 1}


def values(axis: str, domain: Any) -> list[Any]:
    """Return every value of a domain, in order.

    Raises:
        StudyError: a continuous range.
    """
    form = as_json(axis, domain)
    if form["kind"] == "choice":
        return list(form["values"])
    if form["kind"] == "int":
        return list(range(form["low"], form["high"] + 1, form["step"]))
    if form["step"] is None:
        raise StudyError(
            f"axis {axis!r} is a continuous range, which has no grid: name its values with "
            "grid_search or choice, or give it steps (quniform)"
        )
    first, last = round(form["low"] / form["step"]), round(form["high"] / form["step"])
    # Rounded as a person would write it: 3 * 0.1 is 0.3.
    return [float(f"{number * form['step']:.12g}") for number in range(first, last + 1)]
