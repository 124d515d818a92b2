"""Dynamic adversarial training (Wang et al., ICML 2019, Algorithm 1); docs/papers.md 4."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from rayat.attacks._fosc import Form, fosc
from rayat.attacks._iterated import Iterated
from rayat.attacks.ascent import Probe
from rayat.attacks.base import Adversarial
from rayat.columns import FOSC, Column
from rayat.errors import ConfigError
from rayat.registry import ATTACKS


@ATTACKS.register("dynamic")
class Dynamic(Iterated):
    """PGD in which a sample stops once its FOSC is low enough, and enough means less every epoch.

    The threshold of epoch t, counted from 0, is `max(c_max - t * c_max / T', 0)` with
    `T' = until * epochs`. Every sample takes the first step; k steps cost k + 1 forward and
    backward passes, the last of which measures FOSC. Reports `fosc` and the gradients' l1 norm,
    `grad_l1`, of the images that are trained on.

    Called by itself, outside of a training, its threshold is 0.
    """

    columns: ClassVar[tuple[Column, ...]] = (FOSC,)

    c_max: float = Field(0.5, ge=0, description="threshold of the first epoch; scales with eps")
    until: float = Field(
        100 / 120, gt=0, le=1, description="share of the epochs after which the threshold is 0"
    )
    threshold: float | None = Field(
        None, description="the same in every epoch instead; below 0 no sample stops"
    )
    fosc_reference: Literal["clean", "start"] = Field(
        "clean", description="centre of FOSC's ball: the image (paper) or the random start (code)"
    )
    fosc_form: Form = Field("ball", description="FOSC over the ball, or exactly, cut with [0, 1]")
    start: Literal["clipped", "unclipped"] = Field(
        "clipped", description="random start cut with [0, 1] before its gradient (paper), or not"
    )
    measure_last: bool = Field(
        True, description="FOSC after step K too: moves nothing, one pass more, for the report"
    )

    @model_validator(mode="after")
    def _known_form(self) -> Self:
        if self.fosc_form == "box" and self.norm == "l2":
            raise ValueError(
                "fosc_form must be 'ball' for norm 'l2', got 'box', which has a closed form "
                "for norm 'linf' alone"
            )
        return self

    def check_once(self, config: Any) -> None:
        """Refuse images made once by a threshold that falls with the epochs."""
        super().check_once(config)
        if self.threshold is None:
            raise ConfigError(
                "attack 'dynamic' attacks harder from epoch to epoch, which attack_refresh=once "
                "cannot follow; give attack.threshold, or use attack_refresh=online"
            )

    @property
    def reads_length(self) -> bool:
        """Return whether the threshold falls with the epochs, to be 0 at a share of them."""
        return self.threshold is None

    def limit(self) -> float:
        """Return the FOSC at which a sample stops now."""
        if self.threshold is not None:
            return self.threshold
        if self._moment is None:
            return 0.0
        done, until = self._moment.epoch - 1, self.until * self._moment.epochs
        return max(self.c_max - done * self.c_max / until, 0.0)

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return, of every sample, the iterate at which it stopped or the last one."""
        limit = self.limit()
        going = torch.ones(len(x), dtype=torch.bool, device=x.device)
        info = {name: x.new_zeros(len(x)) for name in ("fosc", "grad_l1")}
        start: Tensor | None = None

        def keep(probe: Probe) -> Tensor:
            nonlocal start
            if probe.step == 0:
                start = probe.x.clone() if self.fosc_reference == "start" else None
                return going
            centre = probe.ball.x if start is None else start[probe.rows]
            found = fosc(probe.x, probe.gradient, centre, self.eps, self.norm, self.fosc_form)
            live = going[probe.rows]
            for name, value in (("fosc", found), ("grad_l1", probe.gradient.abs().sum((1, 2, 3)))):
                old = info[name][probe.rows]
                info[name][probe.rows] = torch.where(live, value, old)
            going[probe.rows] = live = live & (found > limit)
            return live

        adv = self.climb(
            model, x, y, generator, keep, look=self.measure_last, clip=self.start == "clipped"
        )
        if self.measure_last or self.steps > 1:
            adv.info = info
        return adv
