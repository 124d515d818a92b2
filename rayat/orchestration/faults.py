"""What ended the workers of a trial, in the same words for every launcher."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from ray.exceptions import RayActorError

from rayat.training.messages import Failed, Lost, result

Kind = Literal["failed", "node", "died", "hung", "raised", "cut"]
KINDS: tuple[Kind, ...] = ("failed", "node", "died", "hung", "raised", "cut")
"""From what explains most to what explains least: one fault makes the other workers fail too."""
LOST_PEER = ("connection closed", "connection reset", "connection refused", "broken pipe")
"""How gloo says that the other end is gone."""


class NodeLost(RuntimeError):
    """The trial's placement group has lost a node: another group can go on, where there is room."""


@dataclass(frozen=True)
class Fault:
    """Why a group of workers ended before its trial did.

    Attributes:
        kind: `failed`: the trial's own error, which would only come again; `node`: a worker's node
            is gone; `died`: a worker's process is; `hung`: a worker did not answer within the
            collectives' time-out; `raised`: anything else that a worker's training raised; `cut`:
            known is only that a worker lost its connection to another one.
        text: which worker, and what is known.
    """

    kind: Kind
    text: str

    @classmethod
    def of(cls, rank: int, error: BaseException) -> Fault:
        """Return the fault that an error of worker `rank` shows."""
        # Ray Train wraps what a worker raised and what became of its process.
        error = getattr(error, "health_check_failure", getattr(error, "_base_exc", error))
        text, lines = str(error).lower(), str(error).strip().splitlines()
        if isinstance(error, RayActorError):
            if "node has died" in text or "node was terminated" in text:
                return cls("node", f"the node of worker {rank} is gone")
            return cls("died", f"worker {rank} died")
        if any(word in text for word in LOST_PEER):
            return cls("cut", f"worker {rank} lost its connection to another worker")
        if "timed out" in text or "timeout" in text:
            return cls("hung", f"worker {rank} waited for another one in vain")
        return cls("raised", f"worker {rank}: {type(error).__name__}: {lines[0] if lines else ''}")

    @classmethod
    def worst(cls, faults: Iterable[Fault]) -> Fault:
        """Return the fault that explains most; of equal ones the first."""
        return min(faults, key=lambda fault: KINDS.index(fault.kind))

    def message(self, epoch: int, final: bool) -> dict[str, Any]:
        """Return what the driver is told.

        Args:
            epoch: the last one reported. final: the trial is not started again.
        """
        if final and self.kind in ("failed", "raised"):
            return result(Failed(self.text), epoch)
        return result(Lost(self.text, self.kind, final), epoch)
