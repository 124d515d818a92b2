"""AutoAttack (Croce and Hein, ICML 2020), the field's standard; docs/papers.md section 8."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from rayat.errors import ConfigError
from rayat.registry import SUITES
from rayat.suites._library import NORMS, Counted, borrowed, installed, rows_first
from rayat.suites.base import Passes, Suite, Survey
from rayat.suites.square import fits_square

Name = Literal["apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square"]
STANDARD: tuple[Name, ...] = ("apgd-ce", "apgd-t", "fab-t", "square")
QUERIES = 5000
TARGETS = 9
"""Target classes of the targeted attacks in the standard version; fewer where there are fewer."""
DLR_CLASSES: dict[str, int] = {"apgd-dlr": 3, "apgd-t": 4}
"""Fewest classes for which the loss of an attack is defined."""


LOOKS = 14
"""Most looks at an image around Square's queries."""
PARTS: dict[str, tuple[int, int]] = {
    "apgd-ce": (113, 101),
    "apgd-dlr": (113, 101),
    "apgd-t": (106, 101),
    "fab": (214, 100),
    "fab-t": (205, 100),
}
"""Most passes of each attack on an image that resists, of those with targets for each target; FAB's
backward passes are for each class. Counted with a network that cannot be fooled
(tests/suites/test_most.py)."""


@SUITES.register("autoattack")
class AutoAttack(Suite):
    """APGD-CE, APGD-T, FAB-T and Square in sequence: the standard of final tables.

    Costs about 1,900 backward and 7,800 forward passes per image that resists all of it. A subset
    is `autoattack:apgd-ce,apgd-t`. pyautoattack's implementation with its standard settings.
    """

    shorthand: ClassVar[str | None] = "attacks"

    attacks: tuple[Name, ...] = Field(
        STANDARD, min_length=1, description="in their order; default: the standard version"
    )
    queries: int = Field(QUERIES, ge=1, description="most queries of Square per image")

    @field_validator("attacks", mode="before")
    @classmethod
    def _listed(cls, attacks: Any) -> Any:
        return attacks.split(",") if isinstance(attacks, str) else attacks

    @property
    def label(self) -> str:
        """Return `autoattack` for the standard version, else what differs from it."""
        name = self.kind if self.attacks == STANDARD else "+".join(self.attacks)
        odd = self.queries != QUERIES and "square" in self.attacks
        return f"{name}-q{self.queries}" if odd else name

    def most(self, classes: int) -> tuple[int, int]:
        """Return the sum of its attacks' passes."""
        targets = min(TARGETS, classes - 1)
        total = Counter(forward=1)
        for name in self.attacks:
            if name == "square":
                total["forward"] += self.queries + LOOKS
                continue
            times = targets if name.endswith("-t") else 1
            forward, backward = PARTS[name]
            backward *= classes if name == "fab" else 1
            total.update(forward=times * forward, backward=times * backward)
        return total["forward"], total["backward"]

    def survivors(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        eps: float,
        generator: torch.Generator,
        passes: Passes,
    ) -> Survey:
        """Return the images that resist every attack."""
        from pyautoattack import AutoAttack as Library

        x = rows_first(x)
        gradients = [name for name in self.attacks if name != "square"]
        counted = Counted(model, passes, x, y, ce=gradients[:1] == ["apgd-ce"])
        classes = counted(x[:1]).shape[1]
        with borrowed(generator) as seed:
            library = Library(
                counted, norm=NORMS[self.norm or "linf"], eps=eps, seed=seed, device=x.device
            )
            library.attacks_to_run = list(self.attacks)
            targets = min(TARGETS, classes - 1)
            library.apgd_targeted.n_target_classes = library.fab.n_target_classes = targets
            library.square.n_queries = self.queries
            _, found = library.run_standard_evaluation(x, y, batch_size=len(y))
        return Survey(found == y, counted.broken, counted.flat if gradients else None)

    def fits(self, shape: tuple[int, int, int], classes: int) -> None:
        """Refuse what an attack cannot do.

        Raises:
            ConfigError: too few classes for an attack's loss, images too small for Square, or no
                library.
        """
        installed(self.kind)
        for name in self.attacks:
            if classes < DLR_CLASSES.get(name, 2):
                raise ConfigError(
                    f"{name} needs at least {DLR_CLASSES.get(name, 2)} classes, this network has "
                    f"{classes}; use autoattack:apgd-ce,fab,square"
                )
        if "square" in self.attacks:
            fits_square(self.norm, shape)
