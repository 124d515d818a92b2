"""The rules of the attacks that learn beside the network."""

from __future__ import annotations

import numpy as np
from formulas._network import (
    PIXELS,
    cross_entropy_gradient,
    direction,
    images,
    input_gradient,
    into_ball,
    logits,
    network,
    onehot,
    softmax,
    weight_gradient,
)
from formulas._steps import batch, case


def free(seed: int) -> list:
    """m updates on each batch; delta lives on and is cut to the ball (papers 7.1).

    The box is applied to what is shown (ashafahi), or to the delta that is kept (locuslab).
    """
    found = []
    for eps, norm, replays, box in (
        (0.2, "linf", 1, "shown"),
        (0.2, "linf", 3, "shown"),
        (0.5, "l2", 2, "shown"),
        (0.2, "linf", 2, "stored"),
    ):
        rng, rate = np.random.RandomState(seed), 0.5
        net = network(seed)
        delta = np.zeros((4, PIXELS))
        given, shown = [], []
        for n in (4, 4, 2):
            x, y = images(rng, n), rng.randint(0, 3, n)
            given.append({"x": x, "y": y})
            for _ in range(replays):
                z = np.clip(x + delta[:n], 0, 1) if box == "shown" else x + delta[:n]
                error = (softmax(logits(net, z)) - onehot(y)) / n
                # A pixel that the box cuts does not feel its perturbation.
                g = input_gradient(net, z, error) * (z == x + delta[:n])
                moved = delta[:n] + eps * direction(g, norm)
                for name, slope_of in weight_gradient(net, z, error).items():
                    net[name] = net[name] - rate * slope_of
                delta[:n] = into_ball(moved, eps, norm)
                if box == "stored":
                    delta[:n] = np.clip(delta[:n], 0 - x, 1 - x)
            shown.append(z)  # the last of the batch
        parameters = {"eps": eps, "norm": norm, "replays": replays, "box": box}
        found.append(
            {
                "parameters": parameters,
                "rate": rate,
                "batches": given,
                "shown": shown,
                "delta": delta,
            }
        )
    return found


def fgsm_sdi(seed: int) -> list:
    """eta = eps tanh(G(x, s)); delta = clip(eta + eps sign(grad at x + eta)) (papers 6.2, 6.3).

    The generator is the smallest there is, `G = a x + b s + c` per pixel, so that its ascent, Adam
    with decay on the smoothed loss, is written out too.
    """
    net, x, y = batch(seed)
    found = []
    for eps, q, clip, updates in (
        (0.1, 1.0, True, 0),
        (0.2, 0.5, True, 2),
        (0.2, 1.0, False, 2),
    ):
        theta = np.array([-0.9, 0.4, 0.2])
        s = np.sign(cross_entropy_gradient(net, x, y))
        given = np.stack([x, s, np.ones_like(x)])
        bound = (0, 1) if clip else (-np.inf, np.inf)

        def made(theta, eps=eps, given=given, bound=bound):
            eta = eps * np.tanh(np.tensordot(theta, given, 1))
            at = np.clip(x + eta, *bound)
            raw = eta + eps * np.sign(cross_entropy_gradient(net, at, y))
            whole = x + np.clip(raw, -eps, eps)
            inside = (np.abs(raw) <= eps) & (whole >= bound[0]) & (whole <= bound[1])
            return eta, np.clip(whole, *bound), inside

        first, second, steps = np.zeros(3), np.zeros(3), []
        for t in range(1, updates + 1):
            eta, z, inside = made(theta)
            target = np.where(onehot(y) == 1, q, (1 - q) / 2)
            g = input_gradient(net, z, softmax(logits(net, z)) - target) / len(x) * inside
            uphill = (given * (g * eps * (1 - (eta / eps) ** 2))).sum((1, 2))
            down = -uphill + 5e-4 * theta  # Adam descends on -L, with its decay
            first, second = 0.9 * first + 0.1 * down, 0.999 * second + 0.001 * down**2
            size = np.sqrt(second / (1 - 0.999**t)) + 1e-8
            theta = theta - 1e-3 * first / (1 - 0.9**t) / size
            steps.append({"theta": theta, "x": made(theta)[1]})
        eta, z, _ = made(theta)
        info = {
            "start_size": np.abs(eta).mean(1) / eps,
            "start_agreement": (np.sign(eta) == s).mean(1),
        }
        parameters = {"eps": eps, "q": q, "clip": clip}
        begin = np.array([-0.9, 0.4, 0.2])
        found.append(case(parameters, z, theta=begin, updates=steps, info=info))
    return found


def generator(seed: int) -> dict:
    """Return the release's generator at width 2 in evaluation mode: layers, and eta / eps.

    Convolution, BN, ReLU; twice BN, PReLU, convolution, and what went in; BN; convolution; tanh
    (papers 6.4). The first convolution has no bias, the later norms no weights.
    """
    rng = np.random.RandomState(seed)
    net, x, y = batch(seed)
    side = round(PIXELS**0.5)

    def conv(inputs, outputs, bias=True):
        made = {"weight": np.round(rng.normal(0, 0.5, (outputs, inputs, 3, 3)), 2)}
        return {**made, "bias": np.round(rng.normal(0, 0.3, outputs), 2)} if bias else made

    def norm(affine=False):
        mean, var = np.round(rng.normal(0, 0.5, 2), 2), np.round(rng.uniform(0.3, 2, 2), 2)
        made = {"running_mean": mean, "running_var": var}
        if affine:
            made |= {"weight": np.round(rng.uniform(0.5, 2, 2), 2), "bias": np.array([0.2, -0.3])}
        return made

    slope = {"weight": np.array([0.25])}
    layers = [conv(2, 2, bias=False), norm(affine=True)]
    layers += [norm(), slope, conv(2, 2), norm(), slope, conv(2, 2), norm(), conv(2, 1)]

    def convolved(v, layer):
        wide = np.pad(v, ((0, 0), (0, 0), (1, 1), (1, 1)))
        out = np.zeros((len(v), len(layer["weight"]), side, side))
        for row in range(side):
            for column in range(side):
                patch = wide[:, :, row : row + 3, column : column + 3]
                out[:, :, row, column] = np.tensordot(
                    patch, layer["weight"], ((1, 2, 3), (1, 2, 3))
                )
        return out + np.reshape(layer.get("bias", 0), (1, -1, 1, 1))

    def normed(v, layer, tiny=1e-5):
        def each(a):
            return np.reshape(a, (1, -1, 1, 1))

        out = (v - each(layer["running_mean"])) / np.sqrt(each(layer["running_var"]) + tiny)
        return out * each(layer.get("weight", [1, 1])) + each(layer.get("bias", [0, 0]))

    s = np.sign(cross_entropy_gradient(net, x, y))
    v = np.stack([x, s], 1).reshape(-1, 2, side, side)
    v = np.maximum(normed(convolved(v, layers[0]), layers[1], 1e-3), 0)
    inner = v
    for first in (2, 5):
        inner = normed(inner, layers[first])
        inner = convolved(np.where(inner > 0, inner, 0.25 * inner), layers[first + 2])
    out = np.tanh(convolved(normed(v + inner, layers[8]), layers[9]))
    return {"layers": layers, "sign": s, "share": out.reshape(len(x), -1)}
