"""What makes the workers' gradients one; DDP calls it as its communication hook."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.distributed import GradBucket  # type: ignore[attr-defined]
from torch.futures import Future


class Reducer(ABC):
    """A worker's side of the exchange, with whatever it remembers from step to step.

    Attributes:
        whole: DDP must hand over all gradients in one bucket.
    """

    whole = False

    def begin(self, own: torch.Generator, shared: torch.Generator) -> None:  # noqa: B027
        """Start an epoch's randomness; a reducer that draws nothing ignores it.

        Args:
            own: this worker's stream. shared: the same stream on every worker. Both on the
                gradients' device.
        """

    @abstractmethod
    def __call__(self, bucket: GradBucket) -> Future[Tensor]:
        """Return the bucket's buffer to be, the same on every worker."""

    def measured(self) -> dict[str, float]:
        """Return what was measured since `begin`, by the names that the exchange declares.

        The same names on every worker; the report holds the workers' means.
        """
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """Return what this worker remembers: contiguous tensors of the same shapes on every worker.

        Empty where nothing is remembered.
        """
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:  # noqa: B027
        """Go on from what `state_dict` returned on this worker."""

    def forget(self) -> None:  # noqa: B027
        """Start anew, as if no step had been."""
