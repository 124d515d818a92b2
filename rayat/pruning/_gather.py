"""One attacked pass over a split: the network's last layer for every image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rayat.attacks.view import attacked
from rayat.data.base import Arrays
from rayat.data.loader import eval_batches
from rayat.errors import ConfigError
from rayat.pruning._logits import logit_loss
from rayat.pruning.base import SelectionContext
from rayat.pruning.lastlayer import LastLayer


def gather(context: SelectionContext, split: Arrays) -> LastLayer:
    """Attack every image of `split` in its order, without augmentation, and keep its last layer.

    The network is in evaluation mode, in fp32 and left exactly as found. Costs the attack's passes
    and one forward pass for each image that the objective reads.

    Raises:
        ConfigError: the network's head is not a linear layer, or the objective has no logit loss.
    """
    loss = logit_loss(context.objective)
    views = 2 if loss.clean else 1
    logits: list[list[Tensor]] = [[] for _ in range(views)]
    features: list[list[Tensor]] = [[] for _ in range(views)]
    forward = backward = 0
    for x, y in eval_batches(split, context.batch_size, context.device):
        adv = context.attack(context.model, x, y, context.noise)
        with attacked(context.model, fast=False), torch.no_grad():
            head = context.model.head
            if not isinstance(head, nn.Linear):
                raise ConfigError(
                    f"this pruning needs a network that ends in nn.Linear, got "
                    f"{type(head).__name__}; use another model, or pruning random"
                )
            for view, images in enumerate((x, adv.x)[-views:]):
                inputs = context.model.forward_features(images)
                features[view].append(inputs)
                logits[view].append(head(inputs))
        forward += adv.forward + views * len(x)
        backward += adv.backward
    return LastLayer(
        logits=tuple(torch.cat(part) for part in logits),
        features=tuple(torch.cat(part) for part in features),
        y=torch.from_numpy(split.y.copy()).to(context.device),
        loss=loss,
        forward=forward,
        backward=backward,
    )
