"""Attack schedules, as the cards `docs/methods/schedule-*` say.

A moment is (epoch, epochs, progress): a step belongs to what its end has reached, so that the step
that ends at a switch is still before it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

Case = dict[str, Any]

PGD = {"name": "pgd", "eps": Fraction(1, 10), "steps": 10, "step_size": Fraction(1, 40)}
KEPT = {"eps": Fraction(1, 10), "norm": "linf", "bn_mode": "batch"}
"""What every attack has, and a change of the attack leaves alone."""
EPOCHS, STEPS = 6, 4


def vectors() -> dict[str, dict[str, list[Case]]]:
    """Return every schedule's cases: an attack, moments, and what the attack is at each."""
    fast = {"name": "fgsm-rs", **KEPT}
    cw = {"name": "fgsm", "eps": Fraction(1, 20)}
    stages = [
        [Fraction(0), {"name": "fgsm-rs"}],
        [Fraction(1, 3), {"steps": 3}],
        [Fraction(1, 2), {"eps": Fraction(1, 5), "step_size": Fraction(1, 16)}],
        [Fraction(5, 6), {}],
    ]
    dynamic = {
        "name": "dynamic",
        "eps": Fraction(1, 10),
        "steps": 10,
        "step_size": Fraction(1, 40),
        "threshold": Fraction(0),
    }
    cases = {
        "none": [case({}, PGD, lambda e, n, t: PGD)],
        "switch": [
            case({"at": Fraction(1, 2)}, fast, lambda e, n, t: switch(t, fast, Fraction(1, 2))),
            case(
                {"at": Fraction(1, 3), "to": {"steps": 3, "eps": Fraction(1, 20)}},
                PGD,
                lambda e, n, t: (
                    {**PGD, "steps": 3, "eps": Fraction(1, 20)} if t > Fraction(1, 3) else PGD
                ),
            ),
            case(
                {"at": Fraction(0), "to": cw},
                {"name": "pgd", **KEPT, "steps": 7},
                lambda e, n, t: {**KEPT, **cw},
            ),
        ],
        "stages": [
            case({"stages": stages}, {**PGD, **KEPT}, lambda e, n, t: staged(t, stages)),
            case(
                {"stages": [[Fraction(1, 4), {"steps": 2}]]},
                PGD,
                lambda e, n, t: {**PGD, "steps": 2} if t > Fraction(1, 4) else PGD,
            ),
        ],
        "curriculum": [
            case({}, PGD, lambda e, n, t: curriculum(e, n, 10, Fraction(1)), epochs=11),
            case({}, PGD, lambda e, n, t: curriculum(e, n, 10, Fraction(1)), epochs=7),
            case({}, PGD, lambda e, n, t: curriculum(e, n, 10, Fraction(1)), epochs=30),
            # 6 * 1 / (0.2 * 6) is a little less than 5 in doubles.
            case(
                {"until": Fraction(1, 5)},
                {**PGD, "steps": 5},
                lambda e, n, t: curriculum(e, n, 5, Fraction(1, 5)),
            ),
            case(
                {"until": Fraction(3, 10)},
                {**PGD, "steps": 2},
                lambda e, n, t: curriculum(e, n, 2, Fraction(3, 10)),
                epochs=10,
            ),
        ],
        "ramp": [
            case(
                {"eps": Fraction(0), "until": Fraction(1, 2)},
                PGD,
                lambda e, n, t: {**PGD, "eps": line(t, 0, PGD["eps"], 0, Fraction(1, 2))},
            ),
            case(
                {
                    "steps": 0,
                    "step_size": Fraction(1, 10),
                    "begin": Fraction(1, 4),
                    "until": Fraction(3, 4),
                },
                PGD,
                lambda e, n, t: ramped(t),
            ),
            case(
                {"threshold": Fraction(1, 2)},
                dynamic,
                lambda e, n, t: {**dynamic, "threshold": line(t, Fraction(1, 2), 0, 0, 1)},
            ),
        ],
    }
    return {name: {"cases": found} for name, found in cases.items()}


def case(given: dict[str, Any], attack: dict[str, Any], rule: Any, epochs: int = EPOCHS) -> Case:
    """Return a case of `epochs` epochs of a few steps each."""
    moments, attacks = [], []
    for epoch in range(1, epochs + 1):
        for step in range(1, STEPS + 1):
            progress = Fraction(STEPS * (epoch - 1) + step, STEPS * epochs)
            moments.append([epoch, epochs, float(progress)])
            attacks.append(plain(rule(epoch, epochs, progress)))
    # The steps of an epoch mostly have the same attack; a list of places in a list of attacks.
    kinds = [a for i, a in enumerate(attacks) if a not in attacks[:i]]
    return {
        "given": plain(given),
        "attack": plain(attack),
        "moments": moments,
        "attacks": kinds,
        "at": [kinds.index(a) for a in attacks],
    }


def switch(t: Fraction, before: dict[str, Any], at: Fraction) -> dict[str, Any]:
    return {**KEPT, "name": "pgd"} if t > at else before


def staged(t: Fraction, stages: list[list[Any]]) -> dict[str, Any]:
    """The last stage whose beginning is over; another attack keeps the radius and no steps."""
    begun = [changes for after, changes in stages if after < t]
    if not begun or not begun[-1]:
        return {**PGD, **KEPT}
    return {**KEPT, **begun[-1]} if "name" in begun[-1] else {**PGD, **KEPT, **begun[-1]}


def curriculum(epoch: int, epochs: int, most: int, until: Fraction) -> dict[str, Any]:
    """min(K, floor((K + 1) e / (until E))) steps in epoch e from 0; 0 steps are clean images."""
    steps = min(most, (most + 1) * (epoch - 1) * until.denominator // (until.numerator * epochs))
    return {**PGD, "steps": steps} if steps else {"name": "none", "eps": PGD["eps"]}


def line(t: Fraction, first: Any, last: Any, begin: Any, until: Any) -> Fraction:
    """The straight line from (begin, first) to (until, last), flat outside."""
    t = min(max(t, Fraction(begin)), Fraction(until))
    return (first * (until - t) + last * (t - begin)) / Fraction(until - begin)


def ramped(t: Fraction) -> dict[str, Any]:
    """Steps from 0 to 10 and step size from 0.1 to 0.025 while progress goes from 1/4 to 3/4."""
    quarter, most = Fraction(1, 4), Fraction(3, 4)
    exact = line(t, 0, 10, quarter, most)
    steps = int(exact) + (exact - int(exact) >= Fraction(1, 2))  # a half up
    if steps == 0:
        return {"name": "none", "eps": PGD["eps"]}
    step_size = line(t, Fraction(1, 10), Fraction(1, 40), quarter, most)
    return {**PGD, "steps": steps, "step_size": step_size}


def plain(given: Any) -> Any:
    """Return fractions as the nearest doubles."""
    if isinstance(given, dict):
        return {key: plain(value) for key, value in given.items()}
    if isinstance(given, list):
        return [plain(value) for value in given]
    return float(given) if isinstance(given, Fraction) else given
