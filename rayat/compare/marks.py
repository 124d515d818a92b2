"""By what arms are told apart in every picture: colour, dash and symbol together.

The colours are apart for eyes without one kind of cone too (`tests/compare/test_marks.py` looks at
them as Machado, Oliveira & Fernandes 2009 simulate such eyes); an arm beyond the palette shares a
colour and has another symbol or another dash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rayat.compare.comparison import Figures

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C3C28")
"""Okabe and Ito's colours (without black and yellow) and a reddish brown."""
LINES = ("-", "--", ":", "-.")
"""Matplotlib's dashes; the next one with every round of the palette."""
SYMBOLS = ("o", "s", "^", "D", "v", "P", "<", "X")
"""Matplotlib's symbols. As many as shares no factor with the palette: 224 looks before one is
used twice."""
BASELINE = "#7A7F87"
"""The baseline is neutral: what all others are seen against, on light and on dark paper."""


class Look(NamedTuple):
    """How an arm looks: a colour as `#RRGGBB`, one of `LINES` and one of `SYMBOLS`."""

    color: str
    line: str
    symbol: str


def look(number: int) -> Look:
    """Return the look of the arm of that number, from 0."""
    turn = number // len(PALETTE) + number // (len(PALETTE) * len(SYMBOLS))
    return Look(
        PALETTE[number % len(PALETTE)],
        LINES[turn % len(LINES)],
        SYMBOLS[number % len(SYMBOLS)],
    )


def looks(comparison: Figures) -> Mapping[str, Look]:
    """Return each arm's look, the same in every picture of a comparison."""
    others = sorted(row.arm for row in comparison.rows if not row.is_baseline)
    return {
        **{arm: look(number) for number, arm in enumerate(others)},
        **{row.arm: Look(BASELINE, "-", "s") for row in comparison.rows if row.is_baseline},
    }
