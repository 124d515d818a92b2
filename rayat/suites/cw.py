"""PGD on the margin of Carlini and Wagner (IEEE S&P 2017, their loss f6)."""

from __future__ import annotations

from typing import ClassVar

from rayat.attacks.losses import Loss
from rayat.registry import SUITES
from rayat.suites._ascent import Ascent


@SUITES.register("cw")
class CW(Ascent):
    """K steps on the margin max_{i != y} z_i - z_y from each random start: `cw:20`, `cw-50x3`.

    The margin has a gradient where a saturated softmax has none. Costs what `pgd` costs.
    """

    loss: ClassVar[Loss] = "cw"
