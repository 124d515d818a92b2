"""Whether a network's answers can be measured at all: asked of a few images before an attack."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from rayat.attacks.losses import error
from rayat.attacks.net import Folded, input_gradient
from rayat.data.base import Arrays
from rayat.data.loader import as_tensor, to_float
from rayat.errors import ConfigError
from rayat.suites.base import finite

IMAGES = 32
"""Images of each look."""
PLACES = 3
"""Looks: the data's beginning, middle and end."""
SINGLE = 4
"""Images of a look that are also asked about alone."""
AGREE = 1e-4
"""Largest difference of the logits of two passes, relative to the largest logit."""
AGREE_SIZES = {4: 1e-3, 2: 3e-2}
"""The same of two batch sizes, which may round otherwise, by the bytes of a logit."""
Sample = tuple[Tensor, Tensor]


def looks(arrays: Arrays, device: str, size: int | None = None) -> list[Sample]:
    """Return images in [0, 1] and labels from several places of the first `size` images."""
    count = min(len(arrays), size or len(arrays))
    last = max(0, count - IMAGES)
    found = []
    for start in dict.fromkeys(int(s) for s in np.linspace(0, last, PLACES)):
        part = slice(start, min(count, start + IMAGES))
        x, y = as_tensor(arrays.x)[part], as_tensor(arrays.y)[part]
        found.append((to_float(x.to(device)), y.to(device)))
    return found


@torch.no_grad()
def depends_on_nothing_else(model: nn.Module, places: list[Sample]) -> int:
    """Refuse a network whose answer to an image is not a function of that image.

    A batch is compared with itself, with its halves and with single images. A folded network
    (`attacks.net`) is such a function by its making and is not asked.

    Args:
        model: frozen (`attacked`).

    Returns:
        The forward passes made, summed over images.

    Raises:
        ConfigError: other answers the second time or in another batch, or changed pixels.
    """
    passes = 0
    if isinstance(model, Folded):
        return passes
    for x, _ in places:
        kept = x.clone()
        whole, again = model(x), model(kept)
        half = (len(x) + 1) // 2
        parts = torch.cat([model(part) for part in torch.split(kept, half)])
        alone = torch.cat([model(kept[i : i + 1]) for i in range(min(SINGLE, len(x)))])
        passes += 3 * len(x) + len(alone)
        if not torch.equal(x, kept):
            raise ConfigError(
                "the network changes the images that it is given, in place, so an attack would "
                "start elsewhere; let its forward work on a copy"
            )
        rows = finite(whole) & finite(again)
        scale = float(whole[rows].abs().max()) if rows.any() else 0.0
        if _apart(whole[rows], again[rows]) > AGREE * scale:
            raise ConfigError(
                "the network gives other logits the second time: rayat evaluates deterministic "
                "networks; switch its randomness (dropout, noise) off in evaluation mode"
            )
        most = AGREE_SIZES.get(whole.dtype.itemsize, 1e-3) * scale
        some = rows[: len(alone)]
        if (
            max(_apart(whole[rows], parts[rows]), _apart(whole[: len(alone)][some], alone[some]))
            > most
        ):
            raise ConfigError(
                "the network's answer to an image depends on the other images of its batch "
                "(BatchNorm in training mode, a batch's mean or rank, noise by place), so it has "
                "no robust accuracy; make its forward treat every image by itself"
            )
    return passes


def has_gradients(model: nn.Module, places: list[Sample], said: Callable[[Exception], str]) -> None:
    """Refuse a network that cannot be differentiated where an attack begins.

    Args:
        model: frozen (`attacked`). said: an error of the network's own as a sentence.

    Raises:
        ConfigError: no gradient at all, one that is not finite, or an error on the way back.
    """
    broken = total = 0
    for x, y in places:
        try:
            _, gradient = input_gradient(model, x, partial(error, "ce", y))
        except RuntimeError as trouble:
            text = str(trouble)
            if "does not require grad" in text or "not have been used in the graph" in text:
                raise ConfigError(
                    "the network gives no gradient: its forward runs under torch.no_grad or "
                    "inference_mode, or detaches its input, and attacks would find nothing; "
                    "leave that out, or ask for --attack square:1000 alone"
                ) from None
            raise ConfigError(said(trouble)) from None
        broken, total = broken + int((~finite(gradient)).sum()), total + len(y)
    if broken:
        raise ConfigError(
            f"the network's gradient is not finite at {broken} of {total} images (a square root, "
            "logarithm or division at 0?), so attacks would find nothing there; make its forward "
            "differentiable on [0, 1], or ask for --attack square:1000 alone"
        )


def _apart(a: Tensor, b: Tensor) -> float:
    difference = (a - b).abs()
    return float(difference.nan_to_num(nan=float("inf")).max()) if len(a) else 0.0
