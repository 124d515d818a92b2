"""What a run keeps of states, looked at from outside: shown, checked, pruned."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rayat.errors import LedgerError
from rayat.ledger.checkpoint_files import found, read_meta
from rayat.ledger.files import checkpoint_folder
from rayat.sharing.store import Store


def begun(run: Path, chains: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the keys after which a run holds states: stored ones, and where its trials are.

    Args:
        chains: the keys of the epochs of its trials, by their ids.
    """
    keys = set(Store(run).held())
    for trial_id, chain in chains.items():
        with contextlib.suppress(LedgerError):  # damaged: it is not used
            last = found(checkpoint_folder(run, trial_id), "last")
            epoch = 0 if last is None else int(read_meta(last)["epoch"])
            keys.update(chain[epoch - 1 : epoch] if epoch else ())
    return keys


@dataclass(frozen=True)
class Shown:
    """A state as `rayat cache` shows it.

    Attributes:
        epoch, trial: after which epoch of which trial; None where it does not say.
        bytes: also where they are still shared with a checkpoint. damage: empty if none was seen.
        removed: whether it has just been removed.
    """

    key: str
    epoch: int | None
    trial: str | None
    bytes: int
    damage: str = ""
    removed: bool = False


def look(store: Store, check: bool = False, prune: bool = False) -> list[Shown]:
    """Return the states of a run.

    Args:
        check: read every byte, not only what they say of themselves.
        prune: remove them; for runs whose trials have all ended.
    """
    return [_one(store, key, check, prune) for key in store.held()]


def _one(store: Store, key: str, check: bool, prune: bool) -> Shown:
    epoch, trial, damage, held = None, None, "", store.size(key)
    try:
        source = store.source(key)
        epoch, trial = source.epoch, source.owner
        if check:
            store.check(key)
    except LedgerError as error:
        damage = str(error).partition("; ")[0]
    if prune:
        store.remove(key)
    return Shown(key, epoch, trial, held, damage, prune)
