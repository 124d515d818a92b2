"""Two layers whose gradients are written out, and the balls: plain numpy, float64.

Images are flat, (n, pixels); labels are integers, -1 for none. Every function also takes complex
weights, so that `derivative` can differentiate it.
"""

from __future__ import annotations

import numpy as np

PIXELS, HIDDEN, CLASSES = 9, 5, 3


def network(seed: int, scale: float = 1.0) -> dict:
    """Return weights with two decimals; pixel 4 is seen by none, so its gradient is 0."""
    rng = np.random.RandomState(seed)
    net = {
        "w1": rng.normal(0, scale, (HIDDEN, PIXELS)),
        "b1": rng.normal(0, 0.3, HIDDEN),
        "w2": rng.normal(0, 1.5, (CLASSES, HIDDEN)),
        "b2": rng.normal(0, 0.3, CLASSES),
    }
    net["w1"][:, 4] = 0
    return {name: np.round(value, 2) for name, value in net.items()}


def images(rng: np.random.RandomState, n: int) -> np.ndarray:
    """Return images of two decimals, about a third of whose pixels are 0 or 1."""
    return np.round(np.clip(rng.uniform(-0.25, 1.25, (n, PIXELS)), 0, 1), 2)


def features(net: dict, x: np.ndarray) -> np.ndarray:
    """Return `tanh(W1 x + b1)`."""
    return np.tanh(x @ net["w1"].T + net["b1"])


def logits(net: dict, x: np.ndarray) -> np.ndarray:
    """Return `W2 tanh(W1 x + b1) + b2`."""
    return features(net, x) @ net["w2"].T + net["b2"]


def softmax(z: np.ndarray) -> np.ndarray:
    """Return probabilities."""
    e = np.exp(z)
    return e / e.sum(1, keepdims=True)


def onehot(y: np.ndarray, classes: int = CLASSES) -> np.ndarray:
    """Return rows of 0 and a 1; of 0 alone for an image without a label."""
    return (np.asarray(y)[:, None] == np.arange(classes)).astype(float)


def input_gradient(net: dict, x: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the gradient with respect to the pixels for that with respect to the logits."""
    h = features(net, x)
    return ((error @ net["w2"]) * (1 - h * h)) @ net["w1"]


def cross_entropy_gradient(net: dict, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the input gradient of each image's own `-log p_y`."""
    return input_gradient(net, x, softmax(logits(net, x)) - onehot(y))


def weight_gradient(net: dict, x: np.ndarray, error: np.ndarray) -> dict:
    """Return the gradient with respect to the weights for that with respect to the logits."""
    h = features(net, x)
    back = (error @ net["w2"]) * (1 - h * h)
    return {"w1": back.T @ x, "b1": back.sum(0), "w2": error.T @ h, "b2": error.sum(0)}


def derivative(function, net: dict, names: tuple = ("w1", "b1", "w2", "b2")) -> dict:
    """Return d function(net) / d weights by the complex step, exact to rounding.

    `f(w + ih)` of an analytic f has the imaginary part `h f'(w)`: no difference is taken. What the
    function holds constant it must compute from real parts.

    Args:
        function: gives one number, or (n,) of them; those stand in the last axis of what returns.
    """
    found = {}
    for name in names:
        places = []
        for place in np.ndindex(net[name].shape):
            moved = {key: value.astype(complex) for key, value in net.items()}
            moved[name][place] += 1e-30j
            places.append(np.imag(function(moved)) / 1e-30)
        found[name] = np.array(places).reshape(net[name].shape + np.shape(places[0]))
    return found


def length(d: np.ndarray) -> np.ndarray:
    """Return the Euclidean length of each row, (n, 1)."""
    return np.sqrt((d * d).sum(1, keepdims=True))


def direction(g: np.ndarray, norm: str) -> np.ndarray:
    """Return the steepest step of length 1."""
    return np.sign(g) if norm == "linf" else g / length(g)


def into_ball(d: np.ndarray, eps: float, norm: str) -> np.ndarray:
    """Return the nearest difference that is in the ball (papers 1.1)."""
    if norm == "linf":
        return np.clip(d, -eps, eps)
    return d * np.minimum(1, eps / np.maximum(length(d), 1e-300))


def project(z: np.ndarray, x: np.ndarray, eps: float, norm: str) -> np.ndarray:
    """Return z in the ball around x first, then in the box of pixels."""
    return np.clip(x + into_ball(z - x, eps, norm), 0, 1)


def clear(gap: object, what: str, least: float = 1e-4) -> None:
    """Refuse to record a decision that rounding could turn."""
    if np.size(gap) and np.min(np.abs(gap)) < least:
        raise ValueError(f"{what} is decided by {np.min(np.abs(gap)):.1g}: choose another seed")


def wrong(net: dict, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return whether each image is misclassified."""
    z = logits(net, x)
    top = np.sort(z, 1)
    clear(top[:, -1] - top[:, -2], "the prediction")
    return z.argmax(1) != y
