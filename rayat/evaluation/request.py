"""What `rayat evaluate` asks of every checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rayat.attacks.ball import Norm
from rayat.registry import SUITES
from rayat.suites.base import Suite
from rayat.training.checkpoints import Name
from rayat.training.validate import Split

CHECKPOINTS: tuple[Name, ...] = ("best", "last")
FLAG_SUITES: tuple[dict[str, Any], ...] = (
    {"name": "fgsm"},
    {"name": "pgd", "steps": 20},
    {"name": "square", "queries": 1000},
)
"""What the signs of masking need; PGD also at twice the radius."""


@dataclass(frozen=True)
class Request:
    """What is asked of every checkpoint.

    Attributes:
        suites: in `norm`, else that of the trial's attack, where they name none.
        eps: radii; none: the trial's own. size, norm: None: the trial's own. split: of the data.
        checkpoints: which; one that is not there is left out.
        flags: also look for signs of masking. again: also what the ledger holds already.
        device: torch device.
    """

    suites: tuple[Suite, ...]
    eps: tuple[float, ...] = ()
    size: int | None = None
    norm: Norm | None = None
    split: Split = "test"
    checkpoints: tuple[Name, ...] = CHECKPOINTS
    flags: bool = False
    again: bool = False
    device: str = "cpu"

    def questions(self, eps: float, norm: Norm) -> list[tuple[Suite, float]]:
        """Return the suites and radii, each once.

        Args:
            eps, norm: the trial's own, for what the request leaves open.
        """
        radii = self.eps or (eps,)
        asked, kinds = list(self.suites), {suite.kind for suite in self.suites}
        if self.flags:
            asked += [SUITES.build(spec) for spec in FLAG_SUITES if spec["name"] not in kinds]
        found = [(suite.within(self.norm or norm), r) for r in radii for suite in asked]
        if self.flags:
            found += [
                (suite, 2 * r)
                for suite, r in found
                if suite.kind == "pgd" and _in_pixels(suite, 2 * r)
            ]
        return list({(suite.title, radius): (suite, radius) for suite, radius in found}.values())


def _in_pixels(suite: Suite, eps: float) -> bool:
    return suite.norm == "l2" or eps <= 1
