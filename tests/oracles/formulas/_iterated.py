"""The rules of the attacks of several steps, one sample at a time where samples stop."""

from __future__ import annotations

import numpy as np
from formulas._network import clear, cross_entropy_gradient, logits, project, softmax, wrong
from formulas._steps import BATCH, batch, case, climb, noise, normal


def pgd(seed: int) -> list:
    """K steps of eps / 4 from a random point (papers 1.2); the start of TRADES is Gaussian."""
    net, x, y = batch(seed)
    rng, found = np.random.RandomState(seed), []
    for eps, norm, steps, alpha, start, loss in (
        (0.2, "linf", 4, None, True, "ce"),
        (0.1, "linf", 3, 0.07, False, "ce"),
        (0.2, "linf", 3, None, "gaussian", "kl"),
        (0.2, "linf", 3, None, True, "cw"),
        (0.8, "l2", 4, None, True, "ce"),
        (0.5, "l2", 3, 0.3, False, "cw"),
    ):
        away, drawn = 0 * x, []
        if start == "gaussian":
            drawn = [normal(rng, 0.001)]
            away = drawn[0]["values"]
        elif start:
            away, drawn = noise(rng, eps, norm)
        begin = project(x + away, x, eps, norm)
        end = climb(net, x, y, begin, alpha or eps / 4, steps, eps, norm, loss)
        given = {"eps": eps, "norm": norm, "steps": steps, "step_size": alpha}
        found.append(case({**given, "random_start": start, "loss": loss}, end, drawn))
    return found


def pgd_early(seed: int) -> list:
    """Friendly training's Algorithm 1: a sample ends tau steps after it is first misclassified."""
    net, x, y = batch(seed, turned=1)
    rng, found = np.random.RandomState(seed), []
    for eps, norm, steps, tau in ((0.3, "linf", 6, 0), (0.3, "linf", 6, 1), (0.9, "l2", 5, 0)):
        away, drawn = noise(rng, eps, norm)
        begin, end, taken = project(x + away, x, eps, norm), x.copy(), []
        for i in range(BATCH):
            own, label, z = x[i : i + 1], y[i : i + 1], begin[i : i + 1]
            left, number = tau, 0
            while number < steps:
                if wrong(net, z, label)[0]:
                    if left == 0:
                        break
                    left -= 1
                z = climb(net, own, label, z, eps / 4, 1, eps, norm)
                number += 1
            end[i] = z[0]
            taken.append(number)
        given = {"eps": eps, "norm": norm, "steps": steps, "tau": tau}
        found.append(case(given, end, drawn, steps=taken))
    return found


def stationarity(z, x, g, eps, norm, form) -> float:
    """Return FOSC, `max over the set of <v - z, g>` (papers 4.2)."""
    if form == "box":
        high, low = np.minimum(x + eps, 1), np.maximum(x - eps, 0)
        return float((np.where(g > 0, high - z, low - z) * g).sum())
    dual = np.abs(g).sum() if norm == "linf" else np.sqrt((g * g).sum())
    return float(eps * dual - ((z - x) * g).sum())


def dynamic(seed: int) -> list:
    """Algorithm 1 of papers 4.4, with c_t = max(c_max - t c_max / T', 0)."""
    net, x, y = batch(seed)
    rng, found = np.random.RandomState(seed), []
    for changes in (
        {"c_max": 2.4, "until": 0.5, "epoch": 2, "epochs": 8},
        {"c_max": 0.6, "until": 0.5, "epoch": 6, "epochs": 8},
        {"threshold": 1.2, "fosc_reference": "start", "start": "unclipped"},
        {"threshold": 0.4, "fosc_form": "box"},
        {"threshold": 1.5, "norm": "l2", "eps": 0.8},
        {"threshold": 1.6, "measure_last": False},
    ):
        given = {"eps": 0.2, "norm": "linf", "steps": 5, **changes}
        epoch, epochs = given.pop("epoch", None), given.pop("epochs", None)
        eps, norm, last = given["eps"], given["norm"], given.get("measure_last", True)
        limit = given.get("threshold")
        if limit is None:
            limit = max(given["c_max"] * (1 - (epoch - 1) / (given["until"] * epochs)), 0)
        away, drawn = noise(rng, eps, norm)
        begin = x + away
        if given.get("start") != "unclipped":
            begin = project(begin, x, eps, norm)
        end, taken, info = x.copy(), [], {"fosc": [], "grad_l1": []}
        for i in range(BATCH):
            own, label, z = x[i : i + 1], y[i : i + 1], begin[i : i + 1]
            centre = z if given.get("fosc_reference") == "start" else own
            for number in range(1, given["steps"] + 1):
                z = climb(net, own, label, z, eps / 4, 1, eps, norm)
                if number == given["steps"] and not last:
                    break
                g = cross_entropy_gradient(net, z, label)
                c = stationarity(z, centre, g, eps, norm, given.get("fosc_form", "ball"))
                size = np.abs(g).sum()
                clear(c - limit, "who stops")
                if c <= limit:
                    break
            end[i] = z[0]
            taken.append(number)
            info["fosc"].append(c)
            info["grad_l1"].append(size)
        moment = {} if epoch is None else {"epoch": epoch, "epochs": epochs}
        found.append(case(given, end, drawn, steps=taken, info=info, limit=limit, **moment))
    return found


def bullet_train(seed: int) -> list:
    """Groups by signed variance, their steps, and the running share R (papers 5.5)."""
    net, x, y = batch(seed, 3, 8)
    rng, found = np.random.RandomState(seed), []
    for share, start, eps, more in (
        (0.0, False, 0.2, {}),
        (0.5, True, 0.2, {"robust_steps": 1, "robust_step_size": 0.11}),
        (0.8, False, 0.3, {"momentum": 0.7, "discount": 0.9}),
    ):
        p = softmax(logits(net, x))
        s = np.where(wrong(net, x, y), -1, 1) * p.std(1)
        limit = max(0, np.quantile(s, 1 - share))
        robust = s > limit
        boundary = (s >= 0) & ~robust
        clear((s - limit)[s != limit], "who is robust")
        end, drawn = x.copy(), []
        for rows, steps, alpha in (
            (boundary, 4, eps / 4),
            (robust, more.get("robust_steps", 2), more.get("robust_step_size", 3 * eps / 4)),
        ):
            if not rows.any():
                continue
            away = 0 * x[rows]
            if start:
                away, draw = noise(rng, eps, "linf", int(rows.sum()))
                drawn += draw
            begin = project(x[rows] + away, x[rows], eps, "linf")
            end[rows] = climb(net, x[rows], y[rows], begin, alpha, steps, eps, "linf")
        right = 1 - wrong(net, end, y).mean()
        momentum, gamma = more.get("momentum", 0.9), more.get("discount", 0.8)
        after = momentum * share + (1 - momentum) * gamma * right
        given = {"eps": eps, "steps": 4, "random_start": start, **more}
        groups = {"boundary": boundary, "robust": robust}
        found.append(case(given, end, drawn, share=share, share_after=after, **groups))
    return found
