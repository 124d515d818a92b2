"""Square Attack (Andriushchenko et al., ECCV 2020): random search that asks for logits alone."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.errors import ConfigError
from rayat.registry import SUITES
from rayat.suites._library import NORMS, Counted, borrowed, installed, rows_first
from rayat.suites.base import Passes, Suite, Survey

L2_PIXELS = 5
"""Its first l2 image is a pattern of 5 by 5 tiles."""


BESIDE_QUERIES = 5
"""Looks at an image besides the queries: the clean one, and the library's own."""


@SUITES.register("square")
class Square(Suite):
    """Random squares kept where they help, without a gradient: `square:1000`.

    What it breaks and PGD does not had its gradient masked. Costs at most `queries` + 5 forward
    passes per image; an image that is fooled leaves. pyautoattack's implementation, AutoAttack's
    settings.
    """

    shorthand: ClassVar[str | None] = "queries"

    queries: int = Field(5000, ge=1, description="most queries per image; AutoAttack's are 5000")

    @property
    def label(self) -> str:
        """Return such as `square-5000`."""
        return f"{self.kind}-{self.queries}"

    def most(self, classes: int) -> tuple[int, int]:
        """Return the queries, and the looks before and after them."""
        return self.queries + BESIDE_QUERIES, 0

    def survivors(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        eps: float,
        generator: torch.Generator,
        passes: Passes,
    ) -> Survey:
        """Return the images that no query fooled."""
        from pyautoattack.square import SquareAttack

        x = rows_first(x)
        counted = Counted(model, passes, x, y)
        with borrowed(generator) as seed:
            adv = SquareAttack(
                counted,
                norm=NORMS[self.norm or "linf"],
                n_queries=self.queries,
                eps=eps,
                p_init=0.8,
                n_restarts=1,
                seed=seed,
                verbose=False,
                device=x.device,
                resc_schedule=False,
            ).perturb(x, y)
        return Survey(counted(adv).argmax(1) == y, counted.broken)

    def fits(self, shape: tuple[int, int, int], classes: int) -> None:
        """Refuse images too small for the l2 attack, and a library that is not there."""
        installed(self.kind)
        fits_square(self.norm, shape)


def fits_square(norm: str | None, shape: tuple[int, int, int]) -> None:
    """Refuse images that Square cannot attack.

    Raises:
        ConfigError: images too small for the l2 attack.
    """
    if norm == "l2" and min(shape[1:]) < L2_PIXELS:
        raise ConfigError(
            f"square in l2 needs images of at least {L2_PIXELS} x {L2_PIXELS} pixels, got "
            f"{shape[1]} x {shape[2]}; leave it out, or use linf"
        )
