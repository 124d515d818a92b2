"""The follower contract: trials and their epochs in order, each epoch once; no Ray, no ledger.

What a follower shows is a copy of the ledger, never a record of its own. It is fed by
`orchestration.following`, in a thread of its own, and may raise or hang: then it is dropped and the
run goes on.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rayat.errors import ConfigError
from rayat.ledger.status import Status
from rayat.registry import Part


@dataclass(frozen=True)
class RunView:
    """What a follower may know of a run.

    Attributes:
        study: its name. uid: 12 hex digits, the same after every resume.
        folder: the follower's own place inside the run's folder; it may not exist yet.
    """

    study: str
    uid: str
    folder: Path


@dataclass(frozen=True)
class Followed:
    """What a follower may know of a trial; `config` has dotted keys."""

    trial_id: str
    arm: str
    seed: int
    config: Mapping[str, Any]


class Writer(ABC):
    """A follower at work on one run, in one thread."""

    @abstractmethod
    def begin(self, trial: Followed) -> int:
        """Open a trial's record, before its first epoch is told by this process.

        Returns:
            The last epoch that the record holds and keeps from an earlier process. 0 if it starts
            anew, without what an earlier process wrote. Later epochs follow, none of them twice.
        """

    @abstractmethod
    def report(self, trial_id: str, epoch: int, at: float, values: Mapping[str, float]) -> None:
        """Take one epoch.

        Args:
            epoch: from 1, rising by one.
            at: when it was durable, seconds since 1970 UTC.
            values: finite numbers by their column of the epochs table.
        """

    @abstractmethod
    def end(self, trial_id: str, status: Status, reason: str) -> None:
        """Close a trial's record; `status` as in the trials table."""

    @abstractmethod
    def close(self) -> None:
        """Finish; called once, also where trials have no end yet."""


class Follower(Part):
    """Shows a run elsewhere, while it lives; see the module."""

    package: ClassVar[str] = ""
    """What must be importable; its extra has the follower's name."""

    def library(self) -> Any:
        """Return the package that it needs.

        Raises:
            ConfigError: not installed; the text gives the command.
        """
        try:
            return importlib.import_module(self.package)
        except ImportError:
            raise ConfigError(
                f"follower {self.kind!r} needs the package {self.package}, which is not installed: "
                f"pip install 'rayat[{self.kind}]', or leave out --follow {self.kind}"
            ) from None

    @abstractmethod
    def open(self, run: RunView) -> Writer:
        """Return a writer for a run that begins or goes on."""
