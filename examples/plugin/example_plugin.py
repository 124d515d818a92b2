"""A learning-rate shape, an attack and a network that rayat does not have."""

import torch
from torch import nn

from rayat.attacks.base import Adversarial, Attack
from rayat.lr_shapes.base import LRShape


class Halving(LRShape):
    """The rate is halved after each quarter of the training."""

    def multiplier(self, progress):
        return 0.5 ** min(3, int(4 * progress))


class RandomCorner(Attack):
    """The better of the image and one random corner of its l-infinity ball: no gradient needed."""

    norms = ("linf",)

    def perturb(self, model, x, y, generator):
        sign = torch.randint(0, 2, x.shape, generator=generator, device=x.device) * 2 - 1
        corner = (x + self.eps * sign).clamp(0, 1)
        with torch.no_grad(), self.view(model) as net:
            losses = [nn.functional.cross_entropy(net(z), y, reduction="none") for z in (x, corner)]
        worse = (losses[1] > losses[0]).view(-1, *[1] * (x.dim() - 1))
        return Adversarial(torch.where(worse, corner, x), 2 * len(x), 0)


def small_net(shape, classes, width: int = 8):
    """One convolution and a linear layer; pixels in [0, 1] go in, logits come out."""
    channels, height, breadth = shape
    inputs = width * ((height + 1) // 2) * ((breadth + 1) // 2)
    first = nn.Conv2d(channels, width, 3, stride=2, padding=1)
    return nn.Sequential(first, nn.ReLU(), nn.Flatten(), nn.Linear(inputs, classes))
