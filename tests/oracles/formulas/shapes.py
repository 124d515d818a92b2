"""Learning-rate shapes, as docs/papers.md 2.2, 2.3 and 7.3 and the cards `docs/methods/lr-*` say.

Step i of n has the rate at progress i / n. Edges are met in whole numbers and fractions, so that no
rounding decides on which side of one a step lies.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

Case = dict[str, Any]
NAN = "nan"

PEAK = Fraction(1, 5)
FLOOR = Fraction(1, 500)


def vectors() -> dict[str, dict[str, list[Case]]]:
    """Return every shape's cases: its parameters, and the rate of each of n steps."""
    third, tenth = Fraction(1, 3), Fraction(1, 10)
    cases = {
        "constant": [steps(constant, 6), steps(constant, 12, warmup=Fraction(1, 4))],
        "cosine": [steps(cosine, 12), steps(cosine, 10, floor=FLOOR, warmup=tenth)],
        "cyclic": [
            steps(triangular, 10, form="triangular"),
            steps(triangular, 18, form="triangular", cycles=3, floor=FLOOR),
            steps(sawtooth, 30, form="sawtooth", floor=FLOOR),
            steps(sawtooth, 9, form="sawtooth", cycles=2),
        ],
        "exponential": [
            steps(decay, 10, ratio=Fraction(1, 100), form="decay"),
            # As released: 1e-8 * 10 ** (e / (T / 10)), e = 0..T; the first of its epochs has no
            # step that ends at progress 0.
            {
                "given": {"form": "range-test", "peak": 1e2, "ratio": 1e-10},
                "rates": [1e-8 * 10 ** (e / (20 / 10)) for e in range(1, 21)],
            },
        ],
        "linear": [
            steps(linear, 10, floor=FLOOR),
            steps(linear, 12, power=2, until=Fraction(3, 4), floor=FLOOR),
        ],
        "onecycle": [
            released_onecycle(30),
            steps(
                onecycle,
                14,
                start=Fraction(1, 4),
                end=Fraction(1, 50),
                top_at=Fraction(2, 7),
                back_at=Fraction(5, 7),
                floor=FLOOR,
            ),
        ],
        "onedrop": [steps(onedrop, 20), steps(onedrop, 9, at=third, factor=third, floor=FLOOR)],
        "piecewise": [
            steps(piecewise, 30),
            steps(
                piecewise,
                8,
                milestones=(Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)),
                multipliers=(Fraction(1, 2), Fraction(1), Fraction(1, 4), Fraction(0)),
                floor=FLOOR,
            ),
        ],
        "trapezoid": [
            steps(trapezoid, 20, floor=FLOOR),
            steps(trapezoid, 10, rise=Fraction(2, 5), decay=Fraction(3, 5)),
            steps(trapezoid, 6, rise=Fraction(0), decay=Fraction(1)),
        ],
        "accelat": accelat_cases(),
    }
    return {name: {"cases": found} for name, found in cases.items()}


def steps(share: Callable[..., Any], n: int, **given: Any) -> Case:
    """Return a case: floor + (peak - floor) * share of progress, times the ramp of a warm-up."""
    own = {k: v for k, v in given.items() if k not in ("floor", "warmup", "form")}
    floor, warmup = given.get("floor", Fraction(0)), given.get("warmup", Fraction(0))
    rates = []
    for i in range(1, n + 1):
        t = Fraction(i, n)
        rate = float(floor) + float(PEAK - floor) * float(share(t, **own))
        rates.append(rate * float(min(Fraction(1), t / warmup) if warmup else 1))
    return {"given": plain({"peak": PEAK, **given}), "rates": rates}


def constant(t: Fraction) -> Fraction:
    return Fraction(1)


def cosine(t: Fraction) -> float:
    return (1 + math.cos(math.pi * t)) / 2


def triangular(t: Fraction, cycles: int = 1) -> Fraction:
    """0 -> 1 in the first half of each cycle, 1 -> 0 in the second; an end counts as an end."""
    inside = t * cycles - (math.ceil(t * cycles) - 1)
    return 2 * inside if inside <= Fraction(1, 2) else 2 - 2 * inside


def sawtooth(t: Fraction, cycles: int = 5) -> Fraction:
    """1 - (e + 1) / step with step = P * ceil((e + 1) / P) and P = T / cycles, e + 1 = t T."""
    period = Fraction(1, cycles)
    return 1 - t / (period * math.ceil(t / period))


def decay(t: Fraction, ratio: Fraction) -> float:
    return math.exp(float(t) * math.log(ratio))


def linear(t: Fraction, power: int = 1, until: Fraction = Fraction(1)) -> Fraction:
    return (1 - min(t, until) / until) ** power


def onedrop(
    t: Fraction, at: Fraction = Fraction(1, 2), factor: Fraction = Fraction(1, 10)
) -> Fraction:
    return Fraction(1) if t <= at else factor


def piecewise(
    t: Fraction,
    milestones: Sequence[Fraction] = (Fraction(1, 3), Fraction(2, 3)),
    multipliers: Sequence[Fraction] = (Fraction(1), Fraction(1, 10), Fraction(1, 100)),
) -> Fraction:
    """A milestone is the last moment of its piece."""
    for milestone, multiplier in zip(milestones, multipliers[:-1], strict=True):
        if t <= milestone:
            return multiplier
    return multipliers[-1]


def onecycle(
    t: Fraction, start: Fraction, end: Fraction, top_at: Fraction, back_at: Fraction
) -> Fraction:
    """Straight lines through (0, start), (top_at, 1), (back_at, start), (1, end)."""
    corners = [(Fraction(0), start), (top_at, Fraction(1)), (back_at, start), (Fraction(1), end)]
    for (a, low), (b, high) in pairwise(corners):
        if a <= t <= b:
            return low + (high - low) * (t - a) / (b - a)
    raise AssertionError(t)


def released_onecycle(n: int) -> Case:
    """eta -> 10 eta on [0, 0.4 T], back by 0.8 T, eta / 100 at T; the top of it is our peak."""
    eta = PEAK / 10
    rates = []
    for e in range(1, n + 1):
        if e <= Fraction(2, 5) * n:
            rate = eta + 9 * eta * e / (Fraction(2, 5) * n)
        elif e <= Fraction(4, 5) * n:
            rate = 10 * eta - 9 * eta * (e - Fraction(2, 5) * n) / (Fraction(2, 5) * n)
        else:
            rate = eta - Fraction(99, 100) * eta * (e - Fraction(4, 5) * n) / (Fraction(1, 5) * n)
        rates.append(float(rate))
    return {"given": {"peak": float(PEAK)}, "rates": rates}


def trapezoid(
    t: Fraction, rise: Fraction = Fraction(1, 10), decay: Fraction = Fraction(1, 5)
) -> Fraction:
    if t < rise:
        return t / rise
    return Fraction(1) if t <= 1 - decay else (1 - t) / decay


def accelat_cases() -> list[Case]:
    """Return accuracies that climb, stall, fall, gain the threshold exactly, or were not measured.

    Accuracies are counts of a thousand images: sums of them are exact.
    """
    draw = random.Random(2)
    noisy = [Fraction(min(600, 200 + 9 * e) + draw.randint(-25, 25), 1000) for e in range(40)]
    climbing = [Fraction(100 + 6 * e, 1000) for e in range(16)]
    exact = [Fraction(100 + 5 * e, 1000) for e in range(12)] + [Fraction(159, 1000)]
    exact += [Fraction(159 + 5 * e, 1000) for e in range(1, 8)]
    falling = [Fraction(500 - 10 * abs(e - 9), 1000) for e in range(24)]
    holes = [None if e in (3, 8, 9, 17) else Fraction(300, 1000) for e in range(26)]
    other = {
        "window": 3,
        "quiet": 2,
        "threshold": Fraction(1, 100),
        "factor": Fraction(1, 2),
        "floor": Fraction(1, 64),
        "peak": Fraction(1, 4),
    }
    return [
        accelat([Fraction(1, 2)] * 30, 30),
        accelat(climbing, 16),
        accelat(exact, 20),
        accelat(falling, 24),
        accelat(holes, 26),
        accelat(noisy, 40),
        accelat(noisy[:20], 20, **other),
        accelat(noisy[:20], 20, **other, warmup=Fraction(1, 4)),
        # The epochs to come, as if accuracy stayed flat: what a policy is told.
        accelat(noisy[:9], 24, **other),
        accelat([*noisy[:9], None], 24, **other),
    ]


def accelat(history: Sequence[Fraction | None], epochs: int, **given: Any) -> Case:
    """Return the rate of each epoch, by the moving average that docs/papers.md 2.2 defines."""
    window, quiet = given.get("window", 5), given.get("quiet", 5)
    threshold = given.get("threshold", Fraction(1, 200))
    factor, floor = given.get("factor", Fraction(4, 5)), given.get("floor", Fraction(1, 10**6))
    peak, warmup = given.get("peak", Fraction(1, 1000)), given.get("warmup", Fraction(0))
    measured = [value for value in history if value is not None]
    flat = measured[-1] if measured else Fraction(0)
    a = [*history, *[flat] * (epochs - len(history))]
    rate, last, rates = peak, None, []
    for e in range(epochs):
        ramp = min(Fraction(1), Fraction(e + 1, epochs) / warmup) if warmup else Fraction(1)
        rates.append(float(rate * ramp))
        if e < window + 1 or (last is not None and e - last < quiet):
            continue
        if a[e] is None or a[e - window] is None:
            continue  # what the average gained is not known
        # What lies between the two cancels out of the averages' difference: 0 for a hole.
        filled = [value or Fraction(0) for value in a]
        now = sum(filled[e - window + 1 : e + 1]) / window
        before = sum(filled[e - window : e]) / window
        if now - before < threshold:
            rate, last = max(factor * rate, floor), e
    return {
        "given": plain({"peak": peak, **given}),
        "history": [NAN if value is None else float(value) for value in history],
        "rates": rates,
    }


def plain(given: Any) -> Any:
    """Return fractions as the nearest doubles."""
    if isinstance(given, dict):
        return {key: plain(value) for key, value in given.items()}
    if isinstance(given, tuple):
        return [plain(value) for value in given]
    return float(given) if isinstance(given, Fraction) else given
