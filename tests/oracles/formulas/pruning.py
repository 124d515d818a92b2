"""The rules of the pruners (docs/papers.md 5.2 to 5.6): gradients, matching, greedy gains.

Images are pixels 0 to 255; the network sees `(x / 255 - mean) / std`. They are attacked by FGSM.
"""

from __future__ import annotations

import math

import numpy as np
from formulas import objectives
from formulas._network import (
    HIDDEN,
    PIXELS,
    clear,
    cross_entropy_gradient,
    derivative,
    logits,
    network,
)

TRAIN, VAL, MEAN, STD, BATCH, RATE = 24, 32, 0.5, 0.25, 5, 0.1
HEAD = ("w2", "b2")
LOSSES = {
    "madry": (objectives.madry, {"label_smoothing": 0.1}),
    "trades": (objectives.trades, {"beta": 6.0}),
    "mart": (objectives.mart, {"beta": 5.0}),
    "dat": (objectives.dat, {"clean_weight": 0.5}),
}


def data(seed: int) -> dict:
    """Return a network and two splits of images with labels."""
    rng = np.random.RandomState(seed)
    given = {"network": network(seed, 0.2), "mean": MEAN, "std": STD, "lr": RATE, "batch": BATCH}
    for split, n in (("train", TRAIN), ("val", VAL)):
        pixels = np.clip(rng.randint(-60, 316, (n, PIXELS)), 0, 255)
        given[split] = {"pixels": pixels, "y": rng.randint(0, 3, n)}
    return given


def seen(given: dict, split: str, eps: float) -> tuple:
    """Return what the network sees of the clean and of the attacked images of a split."""
    pixels, y = given[split]["pixels"] / 255, given[split]["y"]
    clean = (pixels - MEAN) / STD
    slope = cross_entropy_gradient(given["network"], clean, y)
    clear(slope[:, np.arange(PIXELS) != 4], "a pixel's sign", 1e-6)
    attacked = np.clip(pixels + eps * np.sign(slope), 0, 1)
    return clean, (attacked - MEAN) / STD, y


def gradients(net: dict, views: tuple, loss: str) -> np.ndarray:
    """Return d loss_i / d [W, b] of the last layer, (N, classes, HIDDEN + 1), the bias last."""
    clean, attacked, y = views
    rule, parameters = LOSSES[loss]

    def losses(head):
        whole = {**net, **head}
        return rule(logits(whole, clean), logits(whole, attacked), y, **parameters)

    slope = derivative(losses, {name: net[name] for name in HEAD}, HEAD)
    return np.concatenate([slope["w2"], slope["b2"][:, None]], 1).transpose(2, 0, 1)


# GRAD-MATCH (papers 5.3).


def pursue(atoms: np.ndarray, target: np.ndarray, budget: int, ridge: float, picks: int) -> tuple:
    """Non-negative orthogonal matching pursuit: atom numbers in order of choice, their weights."""
    chosen: list[int] = []
    weights, dropped, lowest = np.zeros(0), 0, float(target @ target)

    def refit(some):
        rows = atoms[some]
        return np.linalg.solve(rows @ rows.T + ridge * np.eye(len(some)), rows @ target)

    while len(chosen) < budget:
        rest = target - weights @ atoms[chosen] if chosen else target
        score = atoms @ rest
        score[chosen] = -np.inf
        order = np.argsort(-score)[: min(picks, budget - len(chosen))]
        best = [int(j) for j in order if score[j] > 1e-9 * np.abs(atoms @ target).max()]
        if not best:
            break
        ranked = np.sort(score)[::-1]
        if len(ranked) > len(order) and np.isfinite(ranked[len(order)]):
            clear(ranked[len(order) - 1] / ranked[len(order)] - 1, "the best atom", 1e-3)
        some = [*chosen, *best]
        fitted = refit(some)
        while fitted.min() < 0:
            del some[int(fitted.argmin())]
            fitted, dropped = refit(some), dropped + 1
        missed = target - fitted @ atoms[some]
        now = float(missed @ missed + ridge * fitted @ fitted)
        clear(now / lowest - 1, "whether the round helped", 1e-9)
        if now >= lowest:
            break
        chosen, weights, lowest = some, fitted, now
    return chosen, weights, dropped


def permutation(rng: np.random.RandomState, n: int) -> dict:
    """Return a recorded draw of `torch.randperm(n)`."""
    return {"call": "randperm", "arguments": [n], "values": rng.permutation(n)}


def filled(found: tuple, n: int, budget: int, rng: np.random.RandomState, drawn: list) -> tuple:
    """Add random others with weight 1 where the solver stopped short (papers 5.3)."""
    chosen, weights, _ = found
    others = [i for i in range(n) if i not in chosen]
    drawn.append(permutation(rng, len(others)))
    extra = [others[int(i)] for i in drawn[-1]["values"][: budget - len(chosen)]]
    return chosen + extra, [*weights, *np.ones(len(extra))], len(extra)


def per_batch(g: np.ndarray, budget: int, ridge: float, rng, drawn: list) -> tuple:
    """Match the mean gradients of consecutive batches; a sample's weight is its batch's share."""
    rows = [np.arange(i, min(i + BATCH, TRAIN)) for i in range(0, TRAIN, BATCH)]
    atoms = np.stack([g[r].mean(0).ravel() for r in rows])
    count = math.ceil(budget / BATCH)
    found = pursue(atoms, g.sum(0).ravel(), count, ridge, 1)
    chosen, weights, extra = filled(found, len(rows), count, rng, drawn)
    picked, given = [], []
    for place, (batch, weight) in enumerate(zip(chosen, weights, strict=True)):
        size = len(rows[batch])
        picked += rows[batch].tolist()
        given += [weight / size if place < count - extra else 1.0] * size
    tail = sum(len(rows[batch]) for batch in chosen[count - extra :])
    return picked, given, tail, found[2]


def per_class(g, y, budget: int, ridge: float, rows: str, picks: int, rng, drawn: list) -> tuple:
    """Match the images of each class on their own, budgets in proportion to its size."""
    members = [np.flatnonzero(y == c) for c in range(3)]
    drawn += [permutation(rng, len(m)) for m in members]
    members = [m[draw["values"]] for m, draw in zip(members, drawn, strict=True)]
    exact = [len(m) * budget / TRAIN for m in members]
    shares = [math.floor(e) for e in exact]
    for c in sorted(range(3), key=lambda c: shares[c] - exact[c])[: budget - sum(shares)]:
        shares[c] += 1
    picked, given, random, dropped = [], [], 0, 0
    for c, (m, share) in enumerate(zip(members, shares, strict=True)):
        atoms = g[m, c] if rows == "class" else g[m].reshape(len(m), -1)
        found = pursue(atoms, atoms.sum(0), share, ridge, picks)
        chosen, weights, extra = filled(found, len(m), share, rng, drawn)
        picked += m[chosen].tolist()
        given += list(weights)
        random, dropped = random + extra, dropped + found[2]
    return picked, given, random, dropped


def grad_match(seed: int) -> dict:
    """Return selections of both variants, and the gradients that are matched."""
    given, cases = data(seed), []
    rng = np.random.RandomState(seed)
    for loss, fraction, more in (
        ("madry", 0.5, {}),
        ("trades", 0.8, {"ridge": 0.3}),
        ("madry", 0.5, {"variant": "per-class", "picks": 1}),
        ("madry", 0.5, {"variant": "per-class", "ridge": 0.0, "picks": 1}),
        ("trades", 0.4, {"variant": "per-class", "rows": "all", "ridge": 0.0, "picks": 1}),
        ("madry", 0.9, {"variant": "per-class", "ridge": 0.0, "picks": 1}),
        ("mart", 0.5, {"variant": "per-class", "rows": "all", "picks": 3}),
        ("dat", 0.5, {"variant": "per-class", "ridge": 4.0, "picks": 1}),
    ):
        views = seen(given, "train", 0.1)
        g = gradients(given["network"], views, loss)
        budget, drawn, y = round(fraction * TRAIN), [], given["train"]["y"]
        if more.get("variant") == "per-class":
            ridge, rows = more.get("ridge", 0.5), more.get("rows", "class")
            found = per_class(g, y, budget, ridge, rows, more["picks"], rng, drawn)
        else:
            found = per_batch(g, budget, more.get("ridge", 0.0), rng, drawn)
        picked, weights, random, dropped = found
        order = np.argsort(picked)
        cases.append(
            {
                "parameters": {"fraction": fraction, **more},
                "objective": {"name": loss, **LOSSES[loss][1]},
                "draws": drawn,
                "indices": np.array(picked)[order],
                "weights": np.array(weights)[order],
                "random_fill": random / len(picked),
                "dropped": dropped,
                "gradients": g[:4],
            }
        )
    return {**given, "eps": 0.1, "cases": cases}


# GLISTER (papers 5.4).


def glister(seed: int) -> dict:
    """Return greedy selections by `gain(i | S) = <g_i, g_V(theta - eta sum_S g_j)>`."""
    given, cases = data(seed), []
    rng = np.random.RandomState(seed)
    for loss, fraction, more in (
        ("madry", 0.4, {"mode": "naive", "eta": 0.5}),
        ("madry", 0.4, {"mode": "naive", "last_layer": "all"}),
        ("trades", 0.3, {"mode": "naive", "last_layer": "all", "eta": 0.3}),
        ("madry", 0.5, {"mode": "r-greedy", "rounds": 4, "eta": 1.0}),
        ("madry", 0.5, {"mode": "stochastic", "eta": 0.2}),
    ):
        net, eta = given["network"], more.get("eta", RATE)
        train, val = seen(given, "train", 0.1), seen(given, "val", 0.1)
        g, budget = gradients(net, train, loss), round(fraction * TRAIN)
        only_bias = np.r_[np.zeros(HIDDEN), 1] if "last_layer" not in more else 1
        g = g * only_bias
        order, drawn, left = [], [], list(range(TRAIN))
        number = math.ceil(TRAIN / budget * math.log(100))
        while len(order) < budget:
            step = -eta * g[order].sum(0)
            moved = {**net, "w2": net["w2"] + step[:, :-1], "b2": net["b2"] + step[:, -1]}
            toward = gradients(moved, val, loss).mean(0) * only_bias
            size, at = 1, np.arange(len(left))
            if more["mode"] == "r-greedy":
                size = min(math.ceil(budget / more["rounds"]), budget - len(order))
            if more["mode"] == "stochastic" and number < len(left):
                at = rng.randint(0, len(left), number)
                drawn.append({"call": "randint", "arguments": [len(left), number], "values": at})
            gains = {left[p]: float((g[left[p]] * toward).sum()) for p in at}
            best = sorted(gains, key=lambda i: -gains[i])
            values = [gains[i] for i in best]
            if len(best) > size:
                clear(values[size - 1] - values[size], "the best image", 1e-5)
            for i in best[:size]:
                # A place is that in the list of those left, where the last takes a picked one's.
                if more["mode"] == "stochastic":
                    left[left.index(i)] = left[-1]
                    left.pop()
                else:
                    left.remove(i)
            order += best[:size]
        cases.append(
            {
                "parameters": {"fraction": fraction, **more},
                "objective": {"name": loss, **LOSSES[loss][1]},
                "draws": drawn,
                "order": order,
                "indices": sorted(order),
                "weights": np.ones(budget),
            }
        )
    return {**given, "eps": 0.1, "cases": cases}


# What needs no gradient, and the schedule (papers 5.6).


def phases(epochs: int, fraction: float, every: int, warm: float, redraw: bool = True) -> list:
    """Return what each epoch does: T_w = round(f floor(kappa E)) full ones, a gap, selections."""
    begin = math.floor(warm * epochs)
    found = []
    for e in range(epochs):
        if e < round(fraction * begin):
            found.append("full")
        elif e < begin:
            found.append("skip")
        else:
            again = (e - begin) % every == 0 and (redraw or e == begin)
            found.append("select" if again else "subset")
    return found


def chance(seed: int) -> dict:
    """A uniformly random subset with weights 1."""
    given, rng, cases = data(seed), np.random.RandomState(seed), []
    for fraction, every, warm, redraw in (
        (0.5, 4, 0.0, True),
        (0.3, 3, 0.5, True),
        (0.25, 5, 0.4, False),
    ):
        drawn, size = permutation(rng, TRAIN), round(fraction * TRAIN)
        parameters = {"fraction": fraction, "every": every, "warm_start": warm, "redraw": redraw}
        cases.append(
            {
                "parameters": parameters,
                "draws": [drawn],
                "indices": np.sort(drawn["values"][:size]),
                "weights": np.ones(size),
                "phases": phases(20, fraction, every, warm, redraw),
            }
        )
    return {**given, "cases": cases}


def none(seed: int) -> dict:
    """Every image, every epoch."""
    whole = {"indices": np.arange(TRAIN), "weights": np.ones(TRAIN), "phases": ["full"] * 20}
    return {**data(seed), "cases": [{"parameters": {"fraction": 0.5}, "draws": [], **whole}]}


def vectors() -> dict:
    """Return one object for each pruner."""
    return {
        "none": none(31),
        "random": chance(32),
        "grad-match": grad_match(47),
        "glister": glister(34),
    }
