"""Sharing while a run lives: who waits for whom, who goes on from which state, what is kept.

Nothing of it is recorded: it follows from the trials' keys, the ledger, and the states that exist.
A trial waits while another one that runs will come by a deeper state of its own way. When that one
has passed it, or will not any more (it ended, paused or was stopped), the trial starts from the
deepest state that exists: one that was kept, or where a trial that does not run any more has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from rayat.config import TrialConfig
from rayat.errors import LedgerError
from rayat.ledger.checkpoint_files import found, read_meta
from rayat.ledger.files import checkpoint_folder
from rayat.ledger.status import Status
from rayat.sharing.store import Source, Store, fork
from rayat.sharing.tree import Tree

KEPT_BYTES = 2**30
"""States that no trial of the run needs any more may stay up to this size, for later ones."""


class Known(Protocol):
    """What is asked of the ledger."""

    def reported(self, trial_id: str) -> int:
        """Return the last epoch held."""

    def status(self, trial_id: str) -> Status:
        """Return what a trial is at."""


class Sharing:
    """The trials of a run that live, and what they share.

    Args:
        run: the run's folder. ledger: of the run. configs: of its trials; they may grow in number.
        longest_first: whether trials may start in another order than they are given.
        warn: told in one sentence of a state that could not be used.
        kept: bytes of states that may stay although no trial needs them.
    """

    def __init__(
        self,
        run: Path,
        ledger: Known,
        configs: Mapping[str, TrialConfig],
        longest_first: bool = False,
        warn: Callable[[str], object] = lambda text: None,
        kept: int = KEPT_BYTES,
    ) -> None:
        self.run, self.ledger, self.configs = run, ledger, configs
        self.warn, self.kept = warn, kept
        self.longest_first = longest_first
        self.tree, self.store = Tree(), Store(run)
        self.store.sweep()
        self._stored = set(self.store.held())
        self._running: set[str] = set()
        self._promised: dict[str, tuple[str, int]] = {}
        self._ended: dict[str, str] = {}
        self._users: dict[str, list[str]] = {}

    def add(self, chains: Mapping[str, Sequence[str]]) -> None:
        """Know more trials."""
        self.tree.add(chains)
        self._users.clear()
        for trial_id in chains:
            self._rest(trial_id)

    def startable(self, ready: Sequence[str]) -> list[str]:
        """Return those of the trials that need not wait for another one that runs."""
        may = [t for t in ready if t in self._running or not self._waits(t)]
        if self.longest_first and self.tree.forks:
            may.sort(key=lambda trial_id: self._reach(trial_id) - self._length(trial_id))
        return may

    def begin(self, trial_id: str) -> dict[int, str]:
        """Give a trial that is about to start the deepest state there is on its way.

        Returns:
            The states that it has to keep: keys by epoch.
        """
        if trial_id not in self.tree.chains:
            return {}
        folder = checkpoint_folder(self.run, trial_id)
        try:
            own = found(folder, "last")
            start = 0 if own is None else int(read_meta(own)["epoch"])
        except LedgerError:  # the trial itself says what to do
            start = self._length(trial_id)
        for source in self._sources(trial_id, start):
            try:
                fork(source, folder, self.configs[trial_id])
                start = source.epoch
                break
            except LedgerError as error:
                self._drop(source, error)
        keep = {
            epoch: key
            for epoch, key in self.tree.marks(trial_id)
            if epoch >= start and key not in self._stored and self._wanted(key, epoch, trial_id)
        }
        self._running.add(trial_id)
        for epoch, key in keep.items():
            self._promised.setdefault(key, (trial_id, epoch))
        return keep

    def passed(self, trial_id: str, epoch: int) -> None:
        """Take in that a trial's report of an epoch is durable: what it kept is there."""
        self._settle(trial_id, epoch)

    def left(self, trial_id: str) -> None:
        """Take in that a trial runs no more: it ended, paused or was lost."""
        self._running.discard(trial_id)
        self._settle(trial_id, None)
        self._rest(trial_id)
        self.collect()

    def reset(self) -> None:
        """Take in that no trial runs."""
        for trial_id in list(self._running):
            self.left(trial_id)

    def collect(self) -> None:
        """Remove states that no trial needs until what is left of them is within its bound."""
        idle = [key for key in sorted(self._stored) if not self._needed(key)]
        size = {key: self.store.size(key) for key in idle}
        total = sum(size.values())
        for key in idle:
            if total <= self.kept:
                break
            self.store.remove(key)
            self._stored.discard(key)
            total -= size[key]

    def _waits(self, trial_id: str) -> bool:
        if not self._promised:
            return False
        reach = self._reach(trial_id)
        return any(e > reach and k in self._promised for e, k in self.tree.marks(trial_id))

    def _reach(self, trial_id: str) -> int:
        """Return after which epoch a trial would start now."""
        stored = [e for e, key in self.tree.marks(trial_id) if key in self._stored]
        return max([self.ledger.reported(trial_id), *stored])

    def _length(self, trial_id: str) -> int:
        return len(self.tree.chains.get(trial_id, ()))

    def _sources(self, trial_id: str, start: int) -> Iterable[Source]:
        """Yield the states on a trial's way behind epoch `start`, the deepest first."""
        chain = self.tree.chains.get(trial_id, ())
        for epoch in range(len(chain), start, -1):
            key = chain[epoch - 1]
            if key in self._stored:
                try:
                    yield self._known(self.store.source(key))
                except LedgerError as error:
                    self._drop(Source(self.store.folder / key, epoch, "", key), error)
            owner = self._ended.get(key)
            if owner is not None and owner != trial_id and owner not in self._running:
                yield self._known(Source(checkpoint_folder(self.run, owner), epoch, owner))

    def _known(self, source: Source) -> Source:
        config = self.configs.get(source.owner)
        return source if config is None else replace(source, config_sha256=config.sha256())

    def _drop(self, source: Source, error: LedgerError) -> None:
        if not source.key:
            # Where a trial ended is its own affair; it may hold another epoch than it reported.
            self._ended = {k: t for k, t in self._ended.items() if t != source.owner}
            return
        self._stored.discard(source.key)
        self.store.remove(source.key)
        said = str(error).partition("; ")[0]
        self.warn(f"{said}; the epochs behind an earlier state are trained again")

    def _settle(self, trial_id: str, until: int | None) -> None:
        """Resolve a trial's promises up to an epoch: the state is there, or never will be."""
        mine = [k for k, (t, e) in self._promised.items() if t == trial_id]
        for key in mine:
            if until is None or self._promised[key][1] <= until:
                del self._promised[key]
                if self.store.has(key):
                    self._stored.add(key)

    def _rest(self, trial_id: str) -> None:
        """Know the last state of a trial that does not run."""
        epoch = self.ledger.reported(trial_id)
        if 0 < epoch <= self._length(trial_id):
            self._ended[self.tree.chains[trial_id][epoch - 1]] = trial_id

    def _needed(self, key: str) -> bool:
        users = self._uses(key)
        epochs = {e for t in users[:1] for e, k in self.tree.marks(t) if k == key}
        return any(self._wanted(key, epoch, "") for epoch in epochs)

    def _wanted(self, key: str, epoch: int, but: str) -> bool:
        """Return whether a trial other than `but` will start from a state after `epoch`."""
        return any(
            self.ledger.reported(t) < epoch and not self.ledger.status(t).is_final
            for t in self._uses(key)
            if t != but
        )

    def _uses(self, key: str) -> list[str]:
        if not self._users:
            for trial_id in self.tree.chains:
                for _, mark in self.tree.marks(trial_id):
                    self._users.setdefault(mark, []).append(trial_id)
        return self._users.get(key, [])
