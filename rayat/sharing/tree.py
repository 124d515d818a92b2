"""The prefix tree of a study's trials: which epochs they have in common, and where they part.

A trial is the chain of its epochs' keys (`training.keys`). A key names the state after its epoch,
so equal keys are one node of the tree, and every node has to be trained once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

END = ""
"""In place of the next key, where a chain ends."""


@dataclass(frozen=True)
class Counts:
    """Epochs that trials ask for, and those of them that must be trained."""

    asked: int
    trained: int

    @property
    def shared(self) -> float:
        """Return the share of the epochs asked for that need no training, in [0, 1]."""
        return 1 - self.trained / self.asked if self.asked else 0.0

    def text(self) -> str:
        """Return such as `1,240 epochs asked, 610 to train (51 % shared)`."""
        return f"{self.asked:,} epochs asked, {self.trained:,} to train{self._share()}"

    def done(self) -> str:
        """Return such as `1,240 epochs, 610 of them trained (51 % shared)`."""
        return f"{self.asked:,} epochs, {self.trained:,} of them trained{self._share()}"

    def _share(self) -> str:
        return f" ({100 * self.shared:.0f} % shared)" if self.shared else ""


class Tree:
    """The trials' chains; they may grow in number.

    Args:
        begun: keys after which there are states already, whoever trained them.

    Attributes:
        chains: the keys of each trial's epochs, by its id, in the order they were added.
        forks: the keys after which ways part or end.
    """

    def __init__(
        self, chains: Mapping[str, Sequence[str]] | None = None, begun: Collection[str] = ()
    ) -> None:
        self.begun = begun
        self.chains: dict[str, tuple[str, ...]] = {}
        self._next: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self.forks: set[str] = set()
        self._marks: dict[str, tuple[tuple[int, str], ...]] = {}
        self.add(chains or {})

    def add(self, chains: Mapping[str, Sequence[str]]) -> None:
        """Take in more trials."""
        for trial_id, chain in chains.items():
            self.chains[trial_id] = tuple(chain)
            start = max((e for e, key in enumerate(chain, 1) if key in self.begun), default=0)
            for epoch, key in enumerate(chain, 1):
                following = chain[epoch] if epoch < len(chain) else END
                known = self._next.get(key)
                if epoch > start:
                    self._first.setdefault(key, trial_id)
                if known is None:
                    self._next[key] = following
                elif known != following or following == END:
                    self.forks.add(key)
        self._marks.clear()

    def marks(self, trial_id: str) -> tuple[tuple[int, str], ...]:
        """Return (epoch, key) where other trials leave this one's way or end on it, by epoch."""
        if trial_id not in self._marks:
            chain = self.chains.get(trial_id, ())
            found = ((e, key) for e, key in enumerate(chain, 1) if key in self.forks)
            self._marks[trial_id] = tuple(found)
        return self._marks[trial_id]

    def counts(self) -> Counts:
        """Return what the trials ask for, and what has to be trained."""
        return Counts(sum(map(len, self.chains.values())), len(self._first))

    def own_share(self, trial_id: str) -> float:
        """Return the share of its epochs that a trial trains, in [0, 1].

        An epoch that several have in common counts for the first of them.
        """
        chain = self.chains[trial_id]
        return sum(self._first.get(key) == trial_id for key in chain) / len(chain)
