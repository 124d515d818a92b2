"""How three workers' gradients become one: docs/papers.md 3.5 and the cards `exchange-*`.

A gradient is a flat vector, layer after layer; every worker has its own. What is recorded: the mean
that each worker trains with, step by step, and the bytes that one of them sends.

Draws are uniform in [0, 1): a level is rounded up if its draw is not below one minus its fraction.
A message that is nearly a whole level up or down would be turned by single precision: none is.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

Case = dict[str, Any]
Array = np.ndarray

WORLD = 3
SHAPES = [[4, 5], [5], [2, 2, 2], [0], []]
"""Layers: 20 + 5 + 8 + 0 + 1 = 34 coordinates, no multiple of three."""
SIZES = [math.prod(shape) for shape in SHAPES]
TOTAL = sum(SIZES)
MARGIN = 1e-3


def vectors() -> dict[str, dict[str, list[Case]]]:
    """Return every exchange's cases: gradients and draws in, means and bytes out."""
    cases = {
        "none": [mean()],
        "fp16": [half(11, 2.0**-14, 2.0**-24), half(11, 8.0, 2.0**-24), overflow()],
        "bf16": [half(8, 2.0**-14, 0.0), half(8, 2.0**110, 0.0)],
        "qsgd": [
            qsgd(scheme="gather", sides=1, bits=7),
            qsgd(scheme="gather", sides=2, bits=3),
            qsgd(scheme="scatter", sides=1, bits=8),
            qsgd(scheme="scatter", sides=2, bits=2),
            qsgd(scheme="gather", sides=2, bits=4, per="bucket", bucket_size=8),
            qsgd(scheme="scatter", sides=2, bits=1, per="bucket", bucket_size=6),
            qsgd(scheme="gather", sides=2, bits=1, error_feedback=True),
            qsgd(scheme="scatter", sides=2, bits=2, error_feedback=True),
        ],
        "powersgd": [powersgd(1), powersgd(2)],
    }
    return {name: {"shapes": SHAPES, "cases": found} for name, found in cases.items()}


def gradients(rng: np.random.RandomState, steps: int = 1) -> Array:
    """Return (steps, workers, coordinates), short in single precision; a bias is 0."""
    made = np.round(rng.normal(0, 1, (steps, WORLD, TOTAL)) * 256) / 256
    made[..., 21] = 0
    return made


def ring(nbytes: int) -> int:
    """Each of M workers sends 2 (M - 1) / M of a tensor to all-reduce it."""
    return 2 * (WORLD - 1) * nbytes // WORLD


def case(gradients: Array, means: Any, sent: int, **more: Any) -> Case:
    return {"given": {}, "gradients": gradients, "means": means, "sent": sent, **more}


def mean() -> Case:
    """The mean in single precision."""
    given = gradients(np.random.RandomState(1))
    return case(given, given.mean(1), ring(4 * TOTAL))


def half(digits: int, unit: float, smallest: float) -> Case:
    """Each worker's third of the mean, rounded to so many bits, and their sum.

    Thirds lie near multiples of four units in the last place, so that no sum of them is rounded in
    whatever order it is taken; below `smallest` numbers end, and half of it is rounded to even: 0.
    """
    rng = np.random.RandomState(digits)
    whole = 4.0 * rng.randint(2 ** (digits - 3) + 1, 2 ** (digits - 2) - 1, (1, WORLD, TOTAL))
    whole *= rng.choice([-1, 1], whole.shape)
    given, parts = 3 * (whole + rng.randint(-7, 8, whole.shape) / 16) * unit, whole * unit
    if smallest:
        given[0, :, 0], parts[0, :, 0] = 3 * 0.4375 * smallest, 0.0
        given[0, :, 1], parts[0, :, 1] = 3 * 0.5625 * smallest, smallest
    return case(given, parts.sum(1), ring(2 * TOTAL))


def overflow() -> Case:
    """Divided before the sum: three times 60000 is no infinity, three times 3 * 65520 is one."""
    given = np.full((1, WORLD, TOTAL), 60000.0)
    given[0, :, 1] = 3 * 65520.0
    means = np.full((1, TOTAL), 60000.0)
    means[0, 1] = math.inf
    return case(given, [["inf" if math.isinf(m) else m for m in means[0]]], ring(2 * TOTAL))


class Messages:
    """What QSGD makes of a vector whose groups of coordinates have a norm each."""

    def __init__(self, groups: list[int], bits: int, feedback: bool) -> None:
        self.groups, self.s, self.feedback = groups, 2**bits - 1, feedback

    def sent(self, x: Array, draws: list[float]) -> Array:
        """Q(x) = norm * sign * level / s; with feedback the multiple of it nearest to x."""
        out, start = np.zeros_like(x), 0
        for width in self.groups:
            g = x[start : start + width]
            norm = math.sqrt(math.fsum(v * v for v in g))
            for j, v in enumerate(g):
                r = self.s * abs(v) / norm if norm else 0.0
                draw, level = draws.pop(0), math.floor(r)
                if norm:
                    assert abs(r + draw - round(r + draw)) > MARGIN
                up = draw >= 1 - (r - level)
                out[start + j] = math.copysign(norm * (level + up) / self.s, v)
            q = out[start : start + width]
            if self.feedback and (length := float(q @ q)):
                q *= float(q @ g) / length
            start += width
        return out


def cut(pieces: int, per: str, bucket_size: int) -> list[list[int]]:
    """Return the sizes of the groups of each of so many equal pieces; layers are cut with them."""
    length, ends = -(-TOTAL // pieces), np.cumsum(SIZES).tolist()
    found = []
    for start in range(0, TOTAL, length):
        stop = min(start + length, TOTAL)
        inner = ends if per == "tensor" else range(start + bucket_size, stop, bucket_size)
        edges = [start, *sorted({e for e in inner if start < e < stop}), stop]
        found.append([b - a for a, b in pairwise(edges)])
    return found


def qsgd(
    *,
    scheme: str,
    sides: int,
    bits: int,
    per: str = "tensor",
    bucket_size: int = 512,
    error_feedback: bool = False,
) -> Case:
    """Return a case of QSGD; the first seed of draws that single precision cannot turn."""
    given = {"scheme": scheme, "sides": sides, "bits": bits, "per": per}
    given.update({"bucket_size": bucket_size, "error_feedback": error_feedback})
    plan = cut(1 if scheme == "gather" else WORLD, per, bucket_size)
    lengths = [sum(groups) for groups in plan]
    nbytes = max(4 * len(g) + (bits + 1) * -(-n // 8) for g, n in zip(plan, lengths, strict=True))
    back = nbytes if sides == 2 else 4 * lengths[0]
    sent = (WORLD - 1) * (nbytes if scheme == "gather" else nbytes + back)
    codecs = [Messages(groups, bits, error_feedback) for groups in plan]
    for seed in range(1000):
        try:
            return {**exchanged(seed, codecs, lengths, sides, error_feedback, sent), "given": given}
        except AssertionError:
            continue
    raise RuntimeError(given)


def exchanged(
    seed: int, codecs: list[Messages], lengths: list[int], sides: int, feedback: bool, sent: int
) -> Case:
    """Every worker's message, their mean, and with two sides the mean's own message."""
    rng, steps = np.random.RandomState(seed), 3 if feedback else 1
    given, scatter = gradients(rng, steps), len(codecs) > 1
    edges = list(pairwise([0, *np.cumsum(lengths).tolist()]))
    # A worker's own stream; what is the same for all is drawn from the stream that they share.
    again = max(lengths) if scatter and sides == 2 else 0
    own = np.round(rng.uniform(0, 1, (WORLD, steps, TOTAL + again)), 4).tolist()
    shared = np.round(rng.uniform(0, 1, (steps, TOTAL)), 4).tolist()
    if scatter or sides == 1:
        shared = []
    owes, owes_mean = np.zeros((WORLD, TOTAL)), np.zeros(TOTAL)
    used: list[list[float]] = [[] for _ in range(WORLD)]
    means = []
    for step in range(steps):
        said = np.zeros((WORLD, TOTAL))
        streams = [list(own[w][step]) for w in range(WORLD)]
        for w in range(WORLD):
            x = given[step, w] + owes[w]
            for codec, (a, b) in zip(codecs, edges, strict=True):
                said[w, a:b] = codec.sent(x[a:b], streams[w])
            owes[w] = x - said[w] if feedback else 0
        mean = said.mean(0)
        if sides == 2:
            x, told = mean + owes_mean, np.zeros(TOTAL)
            for w, (codec, (a, b)) in enumerate(zip(codecs, edges, strict=True)):
                told[a:b] = codec.sent(x[a:b], streams[w] if scatter else list(shared[step]))
            owes_mean = x - told if feedback else owes_mean
            mean = told
        means.append(mean)
        for w in range(WORLD):
            used[w] += own[w][step][: len(own[w][step]) - len(streams[w])]
    draws = {"own": used, "shared": [d for step in shared for d in step]}
    return case(given, means, sent, draws=draws)


def powersgd(rank: int) -> Case:
    """Algorithms 1 and 2 with warm start; Gram-Schmidt makes the left factors orthonormal."""
    rng, steps = np.random.RandomState(10 + rank), 3
    given, low = gradients(rng, steps), []
    for shape in SHAPES:
        m, n = (shape[0] if shape else 1), math.prod(shape[1:])
        r = min(rank, m, n)
        low.append((m, n, r) if r * (m + n) < m * n else None)
    right = [np.round(rng.normal(0, 1, k[1:]) * 256) / 256 for k in low if k]
    start, owes, means = [q.tolist() for q in right], np.zeros((WORLD, TOTAL)), []
    edges = list(pairwise([0, *np.cumsum(SIZES).tolist()]))
    for step in range(steps):
        x, mean, number = given[step] + owes, np.zeros(TOTAL), 0
        for (a, b), k in zip(edges, low, strict=True):
            if k is None:
                mean[a:b] = x[:, a:b].mean(0)
                owes[:, a:b] = 0
                continue
            matrices = x[:, a:b].reshape(WORLD, *k[:2])
            left = gram_schmidt((matrices @ right[number]).mean(0))
            right[number] = np.mean([matrix.T @ left for matrix in matrices], 0)
            mean[a:b] = (left @ right[number].T).ravel()
            owes[:, a:b] = x[:, a:b] - mean[a:b]
            number += 1
        means.append(mean)
    first = sum(m * r if r else m * n for m, n, r in map(factors, low, SHAPES))
    second = sum(k[1] * k[2] for k in low if k)
    return case(given, means, ring(4 * first) + ring(4 * second), given={"rank": rank}, right=start)


def factors(k: tuple[int, int, int] | None, shape: list[int]) -> tuple[int, int, int]:
    return k or (math.prod(shape), 1, 0)


def gram_schmidt(matrix: Array) -> Array:
    """Return orthonormal columns of the same span."""
    columns: list[Array] = []
    for column in matrix.T:
        for other in columns:
            column = column - (other @ column) * other
        columns.append(column / math.sqrt(column @ column))
    return np.array(columns).T
