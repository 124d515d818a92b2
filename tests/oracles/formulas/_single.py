"""The rules of the attacks of one step (docs/papers.md 7.1)."""

from __future__ import annotations

import numpy as np
from formulas._network import cross_entropy_gradient, direction, project, wrong
from formulas._steps import batch, case, climb, noise


def none(seed: int) -> list:
    """Standard training: the image."""
    _, x, _ = batch(seed)
    return [case({"eps": 0.1}, x)]


def fgsm(seed: int) -> list:
    """`P(x + eps * sign(grad))`."""
    net, x, y = batch(seed)
    return [
        case({"eps": e, "norm": norm}, climb(net, x, y, x, e, 1, e, norm))
        for e, norm in ((0.1, "linf"), (0.3, "linf"), (0.5, "l2"))
    ]


def fgsm_rs(seed: int) -> list:
    """One step of 1.25 eps from noise that is cut with the box (papers 7.1)."""
    net, x, y = batch(seed)
    rng, found = np.random.RandomState(seed), []
    for eps, norm, alpha in ((0.1, "linf", None), (0.3, "linf", 0.2), (0.5, "l2", None)):
        away, drawn = noise(rng, eps, norm)
        start = project(x + away, x, eps, norm)
        end = climb(net, x, y, start, alpha or 1.25 * eps, 1, eps, norm)
        found.append(case({"eps": eps, "norm": norm, "step_size": alpha}, end, drawn))
    return found


def n_fgsm(seed: int) -> list:
    """Noise of k eps cut with the box, a step of eps, the box; no projection (papers 7.1)."""
    net, x, y = batch(seed)
    rng, found = np.random.RandomState(seed), []
    for eps, norm, k, alpha, clip in (
        (0.1, "linf", 2.0, None, False),
        (0.2, "linf", 1.0, 0.3, False),
        (0.1, "linf", 2.0, None, True),
        (0.3, "l2", 2.0, None, False),
    ):
        away, drawn = noise(rng, k * eps, norm)
        noisy = np.clip(x + away, 0, 1)
        moved = noisy + (alpha or eps) * direction(cross_entropy_gradient(net, noisy, y), norm)
        end = project(moved, x, eps, norm) if clip else np.clip(moved, 0, 1)
        given = {"eps": eps, "norm": norm, "k": k, "step_size": alpha, "clip": clip}
        found.append(case(given, end, drawn))
    return found


def fgsm_ckpt(seed: int) -> list:
    """The smallest j of x + (j / c) delta that is misclassified; clean where wrong already."""
    net, x, y = batch(seed)
    rng, found = np.random.RandomState(seed), []
    for eps, norm, c, at in (
        (0.3, "linf", 3, "start"),
        (0.3, "linf", 5, "clean"),
        (0.1, "linf", 3, "start"),
        (0.9, "l2", 4, "start"),
    ):
        away, drawn = noise(rng, eps, norm)
        start = project(x + away, x, eps, norm)
        delta = climb(net, x, y, start, 1.25 * eps, 1, eps, norm) - x
        already = wrong(net, start if at == "start" else x, y)
        end, cut = x.copy(), []
        for i in np.flatnonzero(~already):
            points = [x[i] + j / c * delta[i] for j in range(1, c + 1)]
            bad = [bool(wrong(net, p[None], y[i : i + 1])[0]) for p in points[:-1]]
            cut.append(bad.index(True) if True in bad else c - 1)
            end[i] = points[cut[-1]]
        given = {"eps": eps, "norm": norm, "checkpoints": c, "wrong_at": at}
        found.append(case(given, end, drawn, reached=cut))
    return found
