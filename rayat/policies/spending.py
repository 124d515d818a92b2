"""The budget of a search: what its trials may cost together, read from their reports.

A budget is a number of passes of single images, forward and backward, selection and validation
included, or of hours: the seconds of all of that summed over the trials, whatever runs side by
side. The arms that are searched share it equally; control arms cost none of it. What an attempt
trained again after a crash is counted once, as in the tables.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rayat.errors import StudyError
from rayat.ledger.state import PASSES, SECONDS

COLUMNS = {"passes": PASSES, "seconds": SECONDS}
"""What may be spent, with the columns of a report that say what its epoch cost."""
UNITS = {
    "passes": ("passes", 1.0),
    "kpasses": ("passes", 1e3),
    "Mpasses": ("passes", 1e6),
    "Gpasses": ("passes", 1e9),
    "s": ("seconds", 1.0),
    "min": ("seconds", 60.0),
    "h": ("seconds", 3600.0),
}
"""What a unit measures, and how much of it one is."""
NEVER_BUDGET = "never started: the search's budget of"
"""How the reason begins of a trial that had not started when it was spent."""
FORM = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]+)\s*")


@dataclass(frozen=True)
class Budget:
    """What a search may spend in all.

    Attributes:
        text: as it was given, such as `40 Mpasses`.
        what: `passes` or `seconds`. amount: of it.
    """

    text: str
    what: str
    amount: float

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Return the budget that a text means: a number and one of `UNITS`.

        Raises:
            StudyError: anything else, or nothing to spend.
        """
        found = FORM.fullmatch(text)
        known = {unit.lower(): unit for unit in UNITS}
        if found is None or found[2].lower() not in known:
            raise StudyError(
                f"a budget is a number and a unit, such as '40 Mpasses' or '1.5 h', got {text!r}; "
                f"units: {', '.join(UNITS)}"
            )
        what, factor = UNITS[known[found[2].lower()]]
        amount = float(found[1].replace("_", "")) * factor
        if not 0 < amount < math.inf:
            raise StudyError(f"a budget must be above 0 and finite, got {text!r}")
        return cls(text.strip(), what, amount)


@dataclass
class Spending:
    """What each searched arm of a run has spent of its share, from the reports in their order.

    Attributes:
        budget: of all arms together. arms: those that share it.
    """

    budget: Budget
    arms: tuple[str, ...]
    _paid: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Spending | None:
        """Return that of a run, from what `run.json` holds of its search.

        None without a budget, or without an arm that searches.
        """
        search = info.get("search") or {}
        if search.get("budget") is None:
            return None
        controls = set(search.get("controls", ()))
        arms = tuple(arm for arm in search["arms"] if arm not in controls)
        return cls(Budget.parse(search["budget"]), arms) if arms else None

    @property
    def share(self) -> float:
        """Return what one arm may spend."""
        return self.budget.amount / len(self.arms)

    def pay(self, arm: str, row: Mapping[str, Any]) -> None:
        """Take the report of one epoch of an arm's trial; null costs count as nothing."""
        cost = sum(row.get(name) or 0 for name in COLUMNS[self.budget.what])
        self._paid[arm] = self._paid.get(arm, 0) + cost

    def spent(self, arm: str) -> float:
        """Return what an arm's trials cost so far."""
        return self._paid.get(arm, 0)

    def over(self, arm: str) -> bool:
        """Return whether an arm has no budget left; never for one that has none."""
        return arm in self.arms and self.spent(arm) >= self.share
