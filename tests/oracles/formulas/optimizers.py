"""Optimisers: docs/papers.md 3.4 (LALR) and the cards; SGD and AdamW as their papers have them.

A layer is one parameter tensor. Every sum is `math.fsum`, in double precision. A layer without a
gradient is left alone, its memory too.
"""

from __future__ import annotations

import math
import random
from typing import Any

Case = dict[str, Any]
Vector = list[float]

SIZES = {"matrix": [2, 3], "bias": [3], "zero": [2, 2], "long": [2, 2]}
"""Shapes of the layers: one starts at zero, one has a norm above LALR's limit."""
STEPS = 5
BATCHES = [16, 96, 128, 1000, 4096]


def vectors() -> dict[str, dict[str, list[Case]]]:
    """Return every optimiser's cases: weights, gradients and rates in, weights after each step."""
    heavy = {"weight_decay": 0.1}
    cases = {
        "sgd": [
            case(sgd, momentum=0.9, nesterov=True, weight_decay=5e-4),
            case(sgd, "linear", momentum=0.8, nesterov=False, **heavy),
            case(sgd, "sqrt", 1000, momentum=0.0, nesterov=False, **heavy),
            case(sgd, momentum=0.9, nesterov=True, decay_norms=False, **heavy),
        ],
        "adamw": [
            case(adamw, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=5e-4),
            case(adamw, "sqrt", 256, beta1=0.7, beta2=0.9, eps=1e-3, decay_norms=False, **heavy),
        ],
        "lars": [
            case(lars, momentum=0.9, limit=10.0, weight_decay=1e-4),
            case(lars, "linear", 256, momentum=0.5, limit=0.5, decay_norms=False, **heavy),
        ],
        "lamb": [
            case(lamb, beta1=0.9, beta2=0.999, eps=1e-6, limit=10.0, weight_decay=1e-4),
            case(
                lamb,
                "sqrt",
                256,
                beta1=0.7,
                beta2=0.9,
                eps=1e-3,
                limit=0.5,
                decay_norms=False,
                **heavy,
            ),
        ],
    }
    return {name: {"cases": found} for name, found in cases.items()}


def case(
    rule: Any,
    scaling: str = "none",
    base: int = 128,
    decay_norms: bool = True,
    **given: float,
) -> Case:
    """Return a case of a few steps, with another rate at each, and one gradient that is missing."""
    draw = random.Random(7)
    weights = {key: [draw.gauss(0, 1) for _ in range(math.prod(n))] for key, n in SIZES.items()}
    weights["zero"] = [0.0] * 4
    weights["long"] = [20.0 * w for w in weights["long"]]
    gradients = [
        {key: [draw.gauss(0, 1) for _ in w] for key, w in weights.items()} for _ in range(STEPS)
    ]
    gradients[1]["bias"] = gradients[2]["matrix"] = None  # type: ignore[assignment]
    gradients[0]["zero"] = [0.0] * 4  # neither a norm nor a direction
    rates = [0.05 / (1 + i) for i in range(STEPS)]
    start = {key: list(w) for key, w in weights.items()}
    memory: dict[str, dict[str, Any]] = {key: {} for key in weights}
    after = []
    for rate, step in zip(rates, gradients, strict=True):
        for key, gradient in step.items():
            if gradient is not None:
                spared = not decay_norms and len(SIZES[key]) == 1
                own = {**given, "weight_decay": 0.0 if spared else given["weight_decay"]}
                weights[key] = rule(weights[key], gradient, rate, memory[key], **own)
        after.append({key: list(w) for key, w in weights.items()})
    return {
        "given": {"decay_norms": decay_norms, "scaling": scaling, "base_batch": base, **given},
        "batches": BATCHES,
        "factors": [factor(scaling, batch, base) for batch in BATCHES],
        "shapes": SIZES,
        "weights": start,
        "gradients": gradients,
        "rates": rates,
        "after": after,
    }


def factor(scaling: str, batch: int, base: int) -> float:
    """The rate of a batch, in rates of the base: as the batch, as its root, or the same."""
    if scaling == "linear":
        return batch / base
    return math.sqrt(batch) / math.sqrt(base) if scaling == "sqrt" else 1.0


def sgd(
    w: Vector,
    g: Vector,
    lr: float,
    memory: dict[str, Any],
    *,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> Vector:
    """v <- mu v + d, d = g + decay w; w <- w - lr (d + mu v) with Nesterov, else w - lr v."""
    d = [gi + weight_decay * wi for gi, wi in zip(g, w, strict=True)]
    v = memory.get("v", [0.0] * len(w))
    v = memory["v"] = [momentum * vi + di for vi, di in zip(v, d, strict=True)]
    u = [di + momentum * vi for di, vi in zip(d, v, strict=True)] if nesterov else v
    return [wi - lr * ui for wi, ui in zip(w, u, strict=True)]


def adamw(
    w: Vector,
    g: Vector,
    lr: float,
    memory: dict[str, Any],
    *,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> Vector:
    """Adam's step with corrected moments, and w shrinks by lr decay w apart from it."""
    t = memory["t"] = memory.get("t", 0) + 1
    m = memory["m"] = average(memory.get("m"), g, beta1)
    v = memory["v"] = average(memory.get("v"), [gi * gi for gi in g], beta2)
    out = []
    for wi, mi, vi in zip(w, m, v, strict=True):
        step = (mi / (1 - beta1**t)) / (math.sqrt(vi / (1 - beta2**t)) + eps)
        out.append(wi - lr * weight_decay * wi - lr * step)
    return out


def lars(
    w: Vector,
    g: Vector,
    lr: float,
    memory: dict[str, Any],
    *,
    momentum: float,
    limit: float,
    weight_decay: float,
) -> Vector:
    """LALR whose direction is the momentum of g + decay w."""
    v = memory.get("v", [0.0] * len(w))
    v = memory["v"] = [
        momentum * vi + (gi + weight_decay * wi) for vi, gi, wi in zip(v, g, w, strict=True)
    ]
    return lalr(w, v, lr, limit)


def lamb(
    w: Vector,
    g: Vector,
    lr: float,
    memory: dict[str, Any],
    *,
    beta1: float,
    beta2: float,
    eps: float,
    limit: float,
    weight_decay: float,
) -> Vector:
    """LALR whose direction is m / (sqrt v + eps) + decay w; no bias correction."""
    m = memory["m"] = average(memory.get("m"), g, beta1)
    v = memory["v"] = average(memory.get("v"), [gi * gi for gi in g], beta2)
    u = [mi / (math.sqrt(vi) + eps) + weight_decay * wi for mi, vi, wi in zip(m, v, w, strict=True)]
    return lalr(w, u, lr, limit)


def lalr(w: Vector, u: Vector, lr: float, limit: float) -> Vector:
    """r = clip(||w||, 0, limit) / ||u||, 1 if either norm is 0; w <- w - lr r u."""
    size, length = norm(w), norm(u)
    r = min(size, limit) / length if size and length else 1.0
    return [wi - lr * r * ui for wi, ui in zip(w, u, strict=True)]


def average(old: Vector | None, new: Vector, beta: float) -> Vector:
    old = old or [0.0] * len(new)
    return [beta * a + (1 - beta) * b for a, b in zip(old, new, strict=True)]


def norm(x: Vector) -> float:
    return math.sqrt(math.fsum(xi * xi for xi in x))
