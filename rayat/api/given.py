"""What a caller gave: of the wrong type or out of range it is one sentence."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ParamSpec, TypeVar, get_type_hints

from pydantic import ConfigDict, Field, ValidationError, create_model

from rayat.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

Positive = Annotated[int, Field(ge=1)]
"""How many of something: 1 or more."""
NotNegative = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that refuses arguments of another type than it says, in one sentence.

    Numbers of NumPy count as numbers. What its annotations do not say here (a type that is
    imported for type checkers alone) is not looked at, nor is what is collected by `**`.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)  # what it does not take is a TypeError, as ever
        given = {name: value for name, value in bound.arguments.items() if name in _hints(function)}
        refuse_wrong(given, _hints(function), function.__name__)
        return function(*args, **kwargs)

    return call


def refuse_wrong(given: Mapping[str, Any], hints: Mapping[str, Any], of: str) -> None:
    """Refuse values that are not of their types.

    Args:
        hints: types by name, with pydantic's limits. of: what takes them, for the sentence.

    Raises:
        ConfigError: which value, what it must be, and what was given.
    """
    fields: dict[str, Any] = {name: (hints[name], ...) for name in given}
    config = ConfigDict(strict=True, arbitrary_types_allowed=True)
    plain = {name: _plain(value) for name, value in given.items()}
    try:
        create_model("Given", __config__=config, **fields)(**plain)
    except ValidationError as error:
        # Of a type with alternatives every one complains, the last of them as None.
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        errors = [e for e in error.errors() if e["loc"][0] == name]
        wants = dict.fromkeys(
            "a list" if "sequence" in str(e).lower() else e["msg"] for e in errors
        )
        said = " or ".join(text.removeprefix("Input ").removeprefix("should be ") for text in wants)
        said = said.replace(" or None", "")
        raise ConfigError(f"{of}: {name} should be {said}, got {given[name]!r:.100}") from None


@functools.cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the parameters' types as far as they are known where the function stands."""
    places = vars(sys.modules[function.__module__])
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        hint = parameter.annotation
        if hint is parameter.empty or parameter.kind is parameter.VAR_KEYWORD:
            continue
        try:
            one = type(
                "One", (), {"__annotations__": {name: hint}}
            )  # so that each stands for itself
            found |= get_type_hints(one, dict(places), include_extras=True)
        except NameError:
            continue
    return found


def _plain(value: Any) -> Any:
    """Return what is looked at: a number or list for one of NumPy, a list for a range."""
    if isinstance(value, range):
        return list(value)
    known = type(value).__module__ == "numpy" and hasattr(value, "tolist")
    return value.tolist() if known else value
