"""Names and version of what a ledger holds, for those that touch no table: Arrow stays away."""

from __future__ import annotations

from rayat.columns import COSTS, FIXED, FOSC, LATER, SHARED_FROM, TOTALS, TRAINED

SCHEMA_VERSION = 1
TABLE_NAMES = ("trials", "epochs", "decisions", "evals")

REPORT_KEYS = frozenset({"epoch", *FIXED})
"""What every trial's report may hold, besides `outcome` (`diverged` or `finished`), which ends it,
and the columns that the trial's methods declare."""
DERIVED = tuple(column.name for column in TOTALS)
"""Columns that the fold computes; a report may hold them, and they are not believed."""
VALUES = (
    *(
        column.name
        for column in (*TRAINED, FOSC, *COSTS, *LATER)
        if column.name in REPORT_KEYS and column.name not in DERIVED
    ),
    "outcome",
    SHARED_FROM,
)
"""The columns of a report besides its epoch, in the order in which the state keeps them."""
