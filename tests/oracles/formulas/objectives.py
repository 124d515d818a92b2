"""The losses of the objectives (docs/papers.md 3.2, 7.1) and the slopes of their means.

A slope is taken by the complex step through the loss as it is written here: no derivative of a
loss is written out, so none can be written out wrongly.
"""

from __future__ import annotations

import numpy as np
from formulas._network import cross_entropy_gradient, derivative, images, logits, network, onehot
from formulas._steps import noise

BATCH = 5


def log_softmax(z: np.ndarray) -> np.ndarray:
    """Return log-probabilities."""
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def cross_entropy(z: np.ndarray, y: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """Return `-sum_k t_k log p_k`, t = (1 - s) onehot + s / C; 0 without a label."""
    target = (1 - smoothing) * onehot(y) + smoothing / z.shape[1]
    return -(target * log_softmax(z)).sum(1) * (np.asarray(y) >= 0)


def divergence(clean: np.ndarray, adversarial: np.ndarray) -> np.ndarray:
    """Return `KL(p || p') = sum_k p_k log(p_k / p'_k)`."""
    log_p, log_q = log_softmax(clean), log_softmax(adversarial)
    return (np.exp(log_p) * (log_p - log_q)).sum(1)


def madry(z, a, y, label_smoothing=0.0, weighted=False):
    """CE(x'); weighted: times its own value, held constant."""
    loss = cross_entropy(a, y, label_smoothing)
    return loss * np.real(loss) if weighted else loss


def trades(z, a, y, beta, label_smoothing=0.0):
    """CE(x) + beta KL(p || p')."""
    return cross_entropy(z, y, label_smoothing) + beta * divergence(z, a)


def mart(z, a, y, beta):
    """-log p'_y - log(1 - max_{k != y} p'_k) + beta KL(p || p') (1 - p_y)."""
    p, q, hot = np.exp(log_softmax(z)), np.exp(log_softmax(a)), onehot(y)
    rival = onehot(np.where(hot == 1, -1, np.real(q)).argmax(1))
    boosted = -np.log((q * hot).sum(1)) - np.log(1 - (q * rival).sum(1))
    return boosted + beta * divergence(z, a) * (1 - (p * hot).sum(1))


def dat(z, a, y, clean_weight, label_smoothing=0.0, consistency=0.0):
    """CE(x') + lambda CE(x); without a label, consistency * KL(p || p')."""
    robust, natural = (cross_entropy(v, y, label_smoothing) for v in (a, z))
    return robust + clean_weight * natural + consistency * divergence(z, a) * (y < 0)


def alignment(net: dict, constant: dict, x: np.ndarray, other: np.ndarray, y: np.ndarray):
    """Return `1 - cos(grad CE(x), grad CE(other))`; the first gradient is a constant."""
    here, there = cross_entropy_gradient(constant, x, y), cross_entropy_gradient(net, other, y)
    inner = (here * there).sum(1)
    return 1 - inner / np.sqrt((here * here).sum(1) * (there * there).sum(1))


def batch(seed: int) -> dict:
    """Return a network, images, their adversarial images and labels."""
    rng = np.random.RandomState(seed)
    x, y = images(rng, BATCH), rng.randint(0, 3, BATCH)
    moved = np.round(np.clip(x + rng.uniform(-0.3, 0.3, x.shape), 0, 1), 3)
    return {"network": network(seed, 0.7), "x": x, "adversarial": moved, "y": y}


def case(given: dict, parameters: dict, loss, **more) -> dict:
    """Return the losses and the slope of their mean, of `loss(network)`."""
    slope = derivative(lambda net: loss(net).mean(), given["network"])
    return {"parameters": parameters, "loss": loss(given["network"]), "slope": slope, **more}


def pairs(seed: int, rule, *settings: tuple) -> dict:
    """Return cases of an objective of clean and adversarial logits.

    Args:
        settings: parameters, then what the formula is given if that is not the same.
    """
    given = batch(seed)
    x, moved, y = given["x"], given["adversarial"], given["y"]
    cases = []
    for parameters, *other in settings:
        known, unlabelled, moment = dict(other[0]) if other else dict(parameters), 0, {}
        unlabelled = known.pop("unlabelled", 0)
        if "epoch" in known:
            moment = {"epoch": known.pop("epoch")}
        labels = np.where(np.arange(BATCH) < unlabelled, -1, y)
        shown = x if known.pop("clean", False) else moved

        def loss(net, known=known, labels=labels, shown=shown):
            return rule(logits(net, x), logits(net, shown), labels, **known)

        more = {**moment, "y": labels, "attacked": shown is moved}
        cases.append(case(given, parameters, loss, **more))
    return {**given, "cases": cases}


def gradalign(seed: int) -> dict:
    """CE(x') + strength (1 - cos(grad CE(x), grad CE(x + noise)))."""
    given, rng, cases = batch(seed), np.random.RandomState(seed), []
    x, moved, y = given["x"], given["adversarial"], given["y"]
    for strength, eps, norm in ((0.2, 0.2, "linf"), (1.5, 0.9, "l2"), (0.7, None, None)):
        away, drawn = noise(rng, eps, norm, BATCH) if eps else (moved - x, [])

        def loss(net, strength=strength, away=away):
            extra = alignment(net, given["network"], x, x + away, y)
            return cross_entropy(logits(net, moved), y) + strength * extra

        more = {"draws": drawn, "attack": {"eps": eps, "norm": norm} if eps else None}
        cases.append(case(given, {"strength": strength}, loss, **more))
    return {**given, "cases": cases}


def vectors() -> dict:
    """Return one object for each objective."""
    self = {"loss_weighting": "self"}
    free = {"clean_weight": 0.7, "consistency": 1.5}
    return {
        "madry": pairs(
            21,
            madry,
            ({},),
            ({"label_smoothing": 0.1},),
            (self, {"epoch": 1}),
            ({**self, "label_smoothing": 0.2}, {"label_smoothing": 0.2, "weighted": 1, "epoch": 2}),
            ({}, {"clean": True}),
        ),
        "trades": pairs(
            22,
            trades,
            ({"beta": 6.0},),
            ({"beta": 1.5, "label_smoothing": 0.1},),
            ({"beta": 3.0}, {"beta": 3.0, "unlabelled": 2}),
            ({"beta": 6.0}, {"beta": 6.0, "clean": True}),
        ),
        "mart": pairs(23, mart, ({"beta": 5.0},), ({"beta": 0.5},)),
        "dat": pairs(
            24,
            dat,
            ({"clean_weight": 1.0},),
            ({"clean_weight": 0.4, "label_smoothing": 0.1},),
            (free, {**free, "unlabelled": 2}),
        ),
        "gradalign": gradalign(25),
    }
