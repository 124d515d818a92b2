"""A paper's study in three sizes with its claims: a file of `search_spaces/papers`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from rayat.claims.claim import Claim
from rayat.errors import StudyError, nearest
from rayat.study import Study
from rayat.studyfile import execute

TIERS = ("smoke", "cpu", "full")
"""From a test of the command to the paper's own setting."""
S = TypeVar("S")


@dataclass(frozen=True)
class Paper(Generic[S]):
    """One question in three sizes: data, network and numbers differ, arms and controls do not.

    Attributes:
        name: the word after `rayat reproduce`. cites: authors, title, where.
        sizes: what differs between tiers, by tier; a tier that is not there cannot be run.
        study: the study of a size. claims: what it is judged by.
        notes: what a reader must know of the setting, a sentence each; by tier in `tier_notes`.
    """

    name: str
    cites: str
    sizes: Mapping[str, S]
    of: Callable[[S], Study]
    claims_of: Callable[[S], tuple[Claim, ...]]
    notes: tuple[str, ...] = ()
    tier_notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def study(self, tier: str) -> Study:
        """Return the study of a tier, named after both, in whose claims every arm is its own.

        Raises:
            StudyError: no such tier, or a claim about an arm that the study has not.
        """
        study = self.of(self._size(tier)).replace(name=f"{self.name}-{tier}")
        known = [*study.arms, *study.controls]
        for claim in self.claims(tier):
            for arm in claim.needed:
                if arm not in known:
                    raise StudyError(
                        f"claim {claim.name!r} of {self.name} is about an arm {arm!r} that its "
                        f"study has not{nearest(arm, known)}"
                    )
        return study

    def claims(self, tier: str) -> tuple[Claim, ...]:
        """Return the claims of a tier.

        Raises:
            StudyError: no such tier, or two claims of one name.
        """
        found = self.claims_of(self._size(tier))
        names = [claim.name for claim in found]
        for name in names:
            if names.count(name) > 1:
                raise StudyError(f"two claims of {self.name} are called {name!r}; rename one")
        return found

    def _size(self, tier: str) -> S:
        if tier not in self.sizes:
            raise StudyError(
                f"{self.name} has no tier {tier!r}{nearest(tier, self.sizes)}; it has "
                f"{', '.join(self.sizes)}"
            )
        return self.sizes[tier]


def load_paper(path: str | Path) -> Paper[Any]:
    """Execute a file and return its `paper`.

    Raises:
        StudyError: the file cannot be executed, or defines no paper.
    """
    module, _ = execute(Path(path))
    paper = getattr(module, "paper", None)
    if not isinstance(paper, Paper):
        raise StudyError(f"{path} defines no `paper = Paper(...)`, so it claims nothing")
    return paper
