"""Numbers and names as people read them: in the table, the plots and the report alike."""

from __future__ import annotations

import math
import textwrap

from rayat.arms import split_arm

UNITS = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))
WIDTH = 80
"""Columns of a terminal."""
NONE = "-"
"""What stands where nothing was measured."""


def printable(text: object) -> str:
    r"""Return `text` on one line with control and format characters escaped (`\x1b`).

    Names and reasons come from studies and exceptions: they must not move a cursor, colour a
    terminal or reverse the reading direction (reliability: reports are no place for injection).
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode()
        for c in str(text)
    )


def wrapped(text: str, first: str = "", rest: str | None = None) -> str:
    """Return a text in lines of `WIDTH`, never broken within a word, a name or a path.

    Args:
        first: what the first line begins with. rest: the others; default: spaces as wide.
    """
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first) if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def escaped(text: str) -> str:
    """Return a text for Markdown, in which nothing is HTML."""
    return text.replace("<", "&lt;")


def cell(text: str) -> str:
    """Return a text for a cell of a table in Markdown."""
    return escaped(text).replace("|", "\\|")


def fraction(value: float | None, sign: bool = False) -> str:
    """Return an accuracy with three decimals, such as `0.512` or, with `sign`, `+0.012`."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:+.3f}" if sign else f"{value:.3f}"


def factor(value: float | None) -> str:
    """Return a speed-up with three significant digits, at most two decimals: `1.82`, `12.4`."""
    if value is None or not math.isfinite(value):
        return NONE
    return (
        f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
    )


def count(value: float | None) -> str:
    """Return a count with a short unit: `950`, `12.3 k`, `4.56 M`, `7.89 G`."""
    if value is None or not math.isfinite(value):
        return NONE
    for unit, scale in UNITS:
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.3g}"


def seconds(value: float | None) -> str:
    """Return a duration as `0.41 s`, `12.3 s`, `3.4 min` or `2.1 h`."""
    if value is None or not math.isfinite(value):
        return NONE
    if value < 99.95:
        return f"{value:.3g} s"
    return f"{value / 60:.1f} min" if value < 5970 else f"{value / 3600:.1f} h"


def percent(level: float) -> str:
    """Return a level as `95 %` or `98.3 %`."""
    return f"{100 * level:.3g} %"


def plural(n: int, what: str) -> str:
    """Return `1 seed`, `3 seeds`."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def short_arms(arms: list[str]) -> tuple[str, dict[str, str]]:
    """Return a heading and a short name per arm: the axes once, their values in each row."""
    split = {arm: split_arm(arm) for arm in arms}
    keys = list(dict.fromkeys(tuple(axes) for axes in split.values()))
    if len(keys) != 1 or not all(all(axes.values()) for axes in split.values()):
        return "arm", {arm: printable(arm) for arm in arms}
    names = {arm: printable(", ".join(axes.values())) for arm, axes in split.items()}
    return printable(", ".join(keys[0])), names
