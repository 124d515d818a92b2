"""Numbers that people of this field write as fractions: `8/255` of the pixel scale."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

_FRACTION = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*/\s*(\d+\.?\d*)\s*", re.I)


def number(value: Any) -> Any:
    """Return a text such as `8/255` or `0.1` as a float; other values as they are.

    A fraction of zero, or a number that is not finite, is no number.
    """
    if not isinstance(value, str):
        return value
    match = _FRACTION.fullmatch(value)
    try:
        if match is None:
            found = float(value)
        else:
            found = float(match[1]) / float(match[2])
    except (ValueError, ZeroDivisionError):
        return value
    return found if math.isfinite(found) else value


def numbers(values: Any) -> Any:
    """Return a tree with every fraction in it as a float; plain texts stay texts."""
    if isinstance(values, Mapping):
        return {key: numbers(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [numbers(value) for value in values]
    fraction = isinstance(values, str) and _FRACTION.fullmatch(values)
    return number(values) if fraction else values


Number = Annotated[float, BeforeValidator(number)]
"""A number that may be written as a fraction, stored as a float."""
OptionalNumber = Annotated[float | None, BeforeValidator(number)]
"""The same, or null."""


def pixels(value: float) -> str:
    """Return what was probably meant by a length above 1, as the end of a sentence."""
    meant = f": did you mean {value:g}/255 = {value / 255:.4g}?" if value <= 255 else ""
    return f"; pixels are in [0, 1], so 8/255 is 0.0314{meant}"
