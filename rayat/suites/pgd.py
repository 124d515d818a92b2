"""PGD with restarts, the tracking attack of the field (Madry et al., 2018; docs/papers.md 1.2)."""

from __future__ import annotations

from typing import ClassVar

from rayat.attacks.losses import Loss
from rayat.registry import SUITES
from rayat.suites._ascent import Ascent


@SUITES.register("pgd")
class PGD(Ascent):
    """K steps on the cross-entropy from each random start: `pgd:50`, `pgd-50x3`.

    Costs at most K + 1 forward and K backward passes per image that still resists and restart.
    """

    loss: ClassVar[Loss] = "ce"
