"""What the rules of the attacks are made of: batches, recorded draws, the ascent."""

from __future__ import annotations

import numpy as np
from formulas._network import (
    PIXELS,
    direction,
    images,
    input_gradient,
    logits,
    network,
    onehot,
    project,
    softmax,
)

BATCH = 5


def batch(seed: int, turned: int = 2, n: int = BATCH) -> tuple:
    """Return a network, images, and labels of which the first `turned` are not its answers."""
    rng = np.random.RandomState(seed)
    net, x = network(seed), images(rng, n)
    y = logits(net, x).argmax(1)
    y[:turned] = (y[:turned] + 1) % 3
    return net, x, y


# Random draws: recorded inputs, in the order in which they are drawn.


def uniform(rng: np.random.RandomState, radius: float, n: int = BATCH) -> dict:
    """Return noise of the l-infinity ball."""
    values = np.round(rng.uniform(-radius, radius, (n, PIXELS)), 4)
    return {"call": "uniform", "arguments": [-radius, radius], "values": values}


def normal(rng: np.random.RandomState, spread: float = 1.0, n: int = BATCH) -> dict:
    """Return Gaussian noise."""
    values = np.round(rng.normal(0, 1, (n, PIXELS)), 3) * spread
    return {"call": "normal", "arguments": [0, spread], "values": values}


def noise(rng: np.random.RandomState, eps: float, norm: str, n: int = BATCH) -> tuple:
    """Return noise of the ball and its draws; in l2 a direction, then a share of the volume."""
    if norm == "linf":
        draw = uniform(rng, eps, n)
        return draw["values"], [draw]
    way, share = normal(rng, 1.0, n), np.round(rng.uniform(0.1, 1, n), 3)
    radius = eps * share ** (1 / PIXELS)
    drawn = [way, {"call": "uniform", "arguments": [0, 1], "values": share}]
    return direction(way["values"], "l2") * radius[:, None], drawn


# What is climbed (papers 7.1), by its gradient with respect to the logits.


def slope(loss: str, z: np.ndarray, y: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return d loss / d logits: ce -log p'_y; kl sum p log(p / p'); cw max_{k != y} z_k - z_y."""
    if loss == "kl":
        return softmax(z) - clean
    if loss == "ce":
        return softmax(z) - onehot(y)
    others = np.where(onehot(y) == 1, -np.inf, z)
    return onehot(others.argmax(1)) - onehot(y)


def climb(net, x, y, start, alpha, steps, eps, norm, loss="ce") -> np.ndarray:
    """Return the last of `x' <- P(x' + alpha * direction(gradient))` (papers 1.2)."""
    clean, z = softmax(logits(net, x)), start
    for _ in range(steps):
        g = input_gradient(net, z, slope(loss, logits(net, z), y, clean))
        z = project(z + alpha * direction(g, norm), x, eps, norm)
    return z


def case(parameters: dict, x: np.ndarray, draws: list | None = None, **more) -> dict:
    """Return what is recorded of one call."""
    return {"parameters": parameters, "draws": draws or [], "x": x, **more}
