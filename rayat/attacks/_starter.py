"""The network that learns where FGSM-SDI starts; docs/papers.md 6.4."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rayat.attacks.base import Setting
from rayat.optimizers.eager import eager

RATE, DECAY = 1e-3, 5e-4
"""Of Adam, constant: the release never reaches its milestones (docs/papers.md 6.5, 6.6 item 2)."""


class Residual(nn.Module):
    """BN, PReLU, convolution, twice, plus the identity; the norms have no weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            conv = nn.Conv2d(width, width, 3, padding=1)
            nn.init.xavier_uniform_(conv.weight, gain=2**0.5)
            layers += [nn.BatchNorm2d(width, affine=False), nn.PReLU(), conv]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        out: Tensor = x + self.body(x)
        return out


def network(channels: int, width: int) -> nn.Sequential:
    """Return the map from image and gradient sign (B, 2 C, H, W) to (B, C, H, W), before tanh."""
    return nn.Sequential(
        nn.Conv2d(2 * channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width, eps=1e-3),
        nn.ReLU(),
        Residual(width),
        nn.BatchNorm2d(width, affine=False),
        nn.Conv2d(width, channels, 3, padding=1),
    )


class Starter:
    """The generator with its Adam, the same on every worker of the trial.

    Args:
        setting: the trial's. width: channels inside; 64 in the release.
    """

    def __init__(self, setting: Setting, width: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(setting.seed)
            net = network(setting.shape[0], width)
        self.net = net.to(setting.device).eval()
        self.adam = eager(torch.optim.Adam)(self.net.parameters(), lr=RATE, weight_decay=DECAY)
        self.average = setting.average

    def eta(self, x: Tensor, sign: Tensor, eps: float) -> Tensor:
        """Return `eps * tanh(G(x, sign))`, like x, with the graph to the generator's weights."""
        weight = next(self.net.parameters())
        # In one memory order, so that channels-last is a matter of speed and not of results.
        given = torch.cat([x, sign], 1).to(weight.dtype).contiguous()
        out: Tensor = self.net(given)
        return eps * out.to(x.dtype).tanh()

    def climb(self, images: Tensor, gradient: Tensor) -> None:
        """Take one step up a loss whose gradient with respect to `images` is `gradient`.

        Args:
            images: (B, C, H, W) made from `eta`. gradient: of the mean loss, like `images`.
        """
        weights = list(self.net.parameters())
        uphill = torch.autograd.grad(images, weights, -gradient)
        # Adam's decay makes the length matter, so the workers' mean is that of one big batch.
        norms = [m for m in self.net.modules() if isinstance(m, _BatchNorm)]
        buffers = [b for m in norms for b in (m.running_mean, m.running_var) if b is not None]
        self.average([*uphill, *buffers])
        for weight, grad in zip(weights, uphill, strict=True):
            weight.grad = grad
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the generator's weights, statistics and Adam's moments."""
        return {"net": self.net.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them back."""
        self.net.load_state_dict(state["net"])
        self.adam.load_state_dict(state["adam"])
