"""Early-stopping policies on small sweeps: who reports what, and what is decided then.

Accuracies are counts of few images, so that equal ones and exact bars occur; some were not measured
(null) or are not finite ("nan"). The order of the reports is drawn and recorded.
"""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise
from typing import Any

from formulas import shapes
from formulas._accel import Accel
from formulas._evidence import Evidence
from formulas._peers import Asha, FirstLook, Hyperband, Median, Patience, Probe, Rule, Trial
from formulas._verdict import Verdict

Case = dict[str, Any]

BAR = [70, 69, 68, 58, 57, 56, 55, 54, 53, 52]


OLD = {"keep_best": False}
"""Of the cases in which limits end also the best."""


def vectors() -> dict[str, dict[str, list[Case]]]:
    """Return every policy's cases: trials and reports in, decisions out."""
    small = {"grace": 2}
    cases = {
        "none": [case({}, sweep(1, 4, 8), lambda trials: Rule())],
        "patience": [
            case({}, sweep(31, 5, 9), lambda trials: Patience()),
            case({"epochs": 2}, sweep(3, 5, 9), lambda trials: Patience(2)),
        ],
        "asha": [
            case({}, sweep(4, 16, 12), lambda trials: Asha()),
            # Of ten earlier trials six are below the bar, 2/3 of the way: equal to it is enough.
            case({"grace": 1}, one_by_one(6, 1, [*BAR, 58, 57, 58]), lambda trials: Asha(grace=1)),
            case({"eta": 2, **small}, sweep(5, 10, 9), lambda trials: Asha(2, grace=2)),
            case(small, sweep(35, 16, 12, seeds=3), lambda trials: Asha(grace=2)),
            case(
                {"peers": "seeds", **small},
                sweep(7, 14, 8, seeds=2),
                lambda trials: Asha(grace=2, by="seeds"),
            ),
            case(
                {"eta": 4, "compare_within": ["lr.shape"], **small},
                sweep(8, 12, 9, within=True),
                lambda trials: Asha(4, grace=2),
            ),
        ],
        "probe": [
            case({}, probed(61, 14, 10, (2, 5)), lambda trials: Probe()),
            case(
                {"eta": 2, "grace": 3},
                probed(62, 15, 8, (2, 4), seeds=3),
                lambda trials: Probe(2, grace=3),
            ),
        ],
        "median": [
            case({}, sweep(9, 10, 13), lambda trials: Median()),
            case(
                {"min_samples": 1, **small},
                sweep(35, 10, 8, seeds=2),
                lambda trials: Median(1, grace=2),
            ),
            case(
                {"compare_within": ["lr.shape"], **small},
                sweep(11, 12, 8, within=True),
                lambda trials: Median(grace=2),
            ),
        ],
        "hyperband": [
            case({}, sweep(12, 14, 9), lambda trials: Hyperband()),
            case({"eta": 2, **small}, sweep(13, 16, 9), lambda trials: Hyperband(2, grace=2)),
            # The 36th trial finds two brackets as far below their shares; the bolder one takes it,
            # and ends it at epoch 2.
            case(
                {"eta": 2}, one_by_one(16, 2, [*range(35, 70), 0, 0]), lambda trials: Hyperband(2)
            ),
        ],
        "first-look": [
            case({}, sweep(14, 15, 5), FirstLook),
            # Two configurations whose seeds' means are equal: the one declared first goes on.
            case(
                {"eta": 2, "grace": 1},
                one_by_one(6, 2, [15, 15, 10, 20], seeds=2),
                lambda trials: FirstLook(trials, 2, grace=1),
            ),
            case(
                {"eta": 2, **small},
                sweep(34, 12, 6, seeds=3),
                lambda trials: FirstLook(trials, 2, grace=2),
            ),
            case(
                {"eta": 2, "compare_within": ["lr.shape"]},
                sweep(35, 9, 60, 6, within=True),
                lambda trials: FirstLook(trials, 2),
            ),
        ],
        "verdict": [compared(seed, ends) for seed in (1, 2, 5) for ends in ("at-end", "at-target")],
        "accel": [
            case({"filter": "none", **OLD}, courses(51, 5, 24), Accel),
            case(
                {"filter": "none", "kappa": 4.0, **OLD},
                courses(55, 6, 24),
                lambda trials: Accel(trials, kappa=4.0),
            ),
            case(
                {"filter": "none", "kappa": 0.0, "gain": 0.05, **OLD},
                courses(54, 5, 12),
                lambda trials: Accel(trials, kappa=0.0, gain=0.05),
            ),
            case(OLD, courses(50, 7, 20), lambda trials: Accel(trials, Evidence(Median()))),
            case(OLD, courses(210, 14, 20), lambda trials: Accel(trials, Evidence(Median()))),
            case(
                {"chance": 0.0, **OLD}, courses(50, 7, 20), lambda trials: Accel(trials, Median())
            ),
            case(
                {"filter": "asha", "grace": 3, "patience": 2, "kappa": 0.5, "gain": 0.02, **OLD},
                courses(77, 8, 16, seeds=2),
                lambda trials: Accel(trials, Evidence(Asha(grace=3), grace=3), 2, 0.5, 0.02),
            ),
            case(
                {"filter": "probe", "chance": 0.0, **OLD},
                probed(63, 9, 16, (4, 8), courses),
                lambda trials: Accel(trials, Probe()),
            ),
            case(
                {"filter": "first-look", "grace": 1, "tau": 0.02, **OLD},
                courses(33, 6, 16),
                lambda trials: Accel(trials, FirstLook(trials, grace=1), tau=0.02),
            ),
            case(
                {"filter": "none", "cut_first": True, "kappa": 0.5, **OLD},
                adaptive(165, 26),
                lambda trials: Accel(trials, kappa=0.5, cut_first=True),
            ),
            # Longer than 96 epochs: blocks of two.
            case({"filter": "none", **OLD}, courses(40, 2, 110), Accel),
            case(
                {"filter": "none"},
                courses(51, 5, 24),
                lambda trials: Accel(trials, keep_best=True),
            ),
            case(
                {},
                courses(210, 14, 20),
                lambda trials: Accel(trials, Evidence(Median()), keep_best=True),
            ),
        ],
    }
    return {name: {"cases": found} for name, found in cases.items()}


def sweep(
    seed: int, count: int, epochs: int, reports: int = 0, seeds: int = 1, within: bool = False
) -> dict[str, Any]:
    """Return trials whose accuracy rises to an end of their own, with noise, and a draw.

    A fifth of them is measured at another radius, and so never compared with the rest; with
    `within` their learning-rate shapes differ, too, and set them apart.
    """
    draw = random.Random(seed)
    trials, curves = [], []
    for i in range(count):
        number = i // seeds
        eps = 0.2 if number % 5 == 4 else 0.1
        shape = ("cosine", "constant")[number % 2]
        config = {"attack": {"eps": eps}, "lr": {"shape": shape, "peak": (1 + number) / 100}}
        long = epochs if i % 7 != 6 else epochs - 2
        trial = trial_of(i, {**config, "seed": i % seeds}, long)
        trial["group"] = (eps, shape) if within else eps
        trial["configuration"] = number
        trials.append(trial)
        end, slow = draw.uniform(0.3, 0.6), draw.uniform(1, 5)
        curve = []
        for e in range(1, long + 1):
            rest = (e / slow) / (1 + e / slow)
            curve.append(measured(draw, end * rest + draw.gauss(0, 0.02), 100))
        curves.append([{"value": value} for value in curve])
    return {"draw": draw, "trials": trials, "curves": curves, "reports": reports}


def probed(
    seed: int, count: int, epochs: int, at: tuple[int, ...], make: Any = sweep, **given: Any
) -> dict[str, Any]:
    """Return drawn trials with probes after some epochs: now and then one tells nothing."""
    runs, draw = make(seed, count, epochs, **given), random.Random(-seed)
    for rows in runs["curves"]:
        for epoch in at:
            value = measured(draw, draw.uniform(0.3, 0.6), 50, 0.1)
            rows[epoch - 1]["probe"] = value if isinstance(value, Fraction) else None
    return runs


def compared(seed: int, ends: str) -> Case:
    """Return a case of a baseline and four arms, three seeds each, before a target of 0.4.

    They pay unequal passes for an epoch; some never get there.
    """
    draw, target = random.Random(seed), Fraction(2, 5)
    trials, curves = [], []
    for number, arm in enumerate(("base", "soon", "late", "dear", "never")):
        for s in range(3):
            i = len(trials)
            trials.append({**trial_of(i, {"seed": s, "width": number}, 8), "arm": arm})
            end = 0.38 if arm == "never" else 0.46
            slow = {"soon": 0.7, "late": 2.2, "base": 1.5}.get(arm, 1.2)
            rows = []
            for e in range(1, 9):
                value = measured(draw, end * (1 - 2 ** (-e / slow)) + draw.gauss(0, 0.015), 200)
                passes = draw.randrange(90, 110) * (2 if arm == "dear" else 1)
                rows.append({"value": value, "passes": passes})
            curves.append(rows)
    runs = {"draw": draw, "trials": trials, "curves": curves, "reports": 8}
    found = case({}, runs, lambda trials: Verdict(trials, target, ends == "at-target"))
    return {**found, "question": {"target": 0.4, "baseline": "base", "ends": ends}}


class InOrder(random.Random):
    """Draws the first of those that are left."""

    def choice(self, seq: Any) -> Any:
        return seq[0]


def one_by_one(epochs: int, reports: int, percents: list[int], seeds: int = 1) -> dict[str, Any]:
    """Return trials of which each reports the same value a few times before the next one does."""
    trials = []
    for i in range(len(percents)):
        trials.append(trial_of(i, {"seed": i % seeds, "width": i // seeds}, epochs))
        trials[-1]["group"], trials[-1]["configuration"] = 0, i // seeds
    curves = [[{"value": Fraction(p, 100)}] * reports for p in percents]
    return {"draw": InOrder(0), "trials": trials, "curves": curves, "reports": reports}


def courses(seed: int, count: int, epochs: int, seeds: int = 1) -> dict[str, Any]:
    """Return trials with a learning rate that drops: a jump, then robust overfitting.

    Every third drops to a tenth, to nothing in a line, or to just a half. One learning rate is not
    known, one trial collapses.
    """
    draw = random.Random(seed)
    trials, curves = [], []
    for i in range(count):
        at = draw.choice([epochs // 2, epochs // 3, 2 * epochs // 3, epochs])
        low = 0.5 if i % 3 == 2 else 0.1
        rates = [1.0 if e <= at else low for e in range(1, epochs + 1)]
        if i % 3 == 1:
            rates = [round(1 - e / epochs, 3) for e in range(1, epochs + 1)]
        number = i // seeds
        trial = trial_of(i, {"seed": i % seeds, "width": number}, epochs)
        trial["rates"] = None if i == 4 else rates
        trial["group"], trial["configuration"] = 0, number
        trials.append(trial)
        level, rows = draw.uniform(0.25, 0.45), []
        for e in range(1, epochs + 1):
            done = e / epochs
            value = level * (1 - 2 ** (-12 * done)) + draw.gauss(0, 0.004)
            clean = 0.4 + 0.4 * (1 - 2 ** (-6 * done)) + draw.gauss(0, 0.004)
            if e > at:
                value += 0.06 - 0.25 * (e - at) / epochs
                clean += 0.05
            if i == 3 and e > epochs // 2:
                value, clean = 0.03, 0.9  # catastrophic overfitting
            clean_seen = None if draw.random() < 0.1 else round(clean, 3)
            rows.append({"value": measured(draw, value, 2000, 0.03), "clean": clean_seen})
        curves.append(rows)
    return {"draw": draw, "trials": trials, "curves": curves, "reports": 0}


def adaptive(seed: int, epochs: int) -> dict[str, Any]:
    """Return three trials of AccelAT, whose rates are reported, and one of a shape that is known.

    Every cut of the first one's rate brings a little; rates are reported as twice the shape's, as a
    scaled batch size would have it.
    """
    draw = random.Random(seed)
    rule = {"window": 2, "quiet": 3, "threshold": Fraction(1, 100), "factor": Fraction(9, 10)}
    rule["peak"] = Fraction(1, 10)
    trials, curves = [], []
    for i in range(4):
        spec = {"shape": "accelat", **shapes.plain(rule)} if i else {"shape": "linear", "peak": 0.2}
        trial = trial_of(i, {"lr": spec, "seed": 0, "width": i}, epochs)
        trial["group"], trial["configuration"], trial["accelat"] = 0, i, rule if i else None
        known = [] if i else shapes.steps(shapes.linear, epochs)["rates"]
        trial["rates"], trial["told"] = known or None, False
        level, rows, history = draw.uniform(0.3, 0.45), [], []
        for e in range(1, epochs + 1):
            rates = shapes.accelat(history, epochs, **rule)["rates"] if history else [0.1]
            lr = known[e - 1] if known else rates[len(history)]
            cuts = sum(b < a for a, b in pairwise(rates[:e])) if i == 1 else 0
            value = level * (1 - 2 ** (-14 * e / epochs)) + 0.03 * cuts
            value -= 0.3 * max(0, e / epochs - 0.4)
            value = measured(draw, value + draw.gauss(0, 0.003), 2000, 0.03)
            history.append(value if isinstance(value, Fraction) else None)
            clean = round(0.8 * (1 - 2 ** (-9 * e / epochs)), 3)
            rows.append({"value": value, "clean": clean, "lr": 2 * lr})
        trials.append(trial)
        curves.append(rows)
    return {"draw": draw, "trials": trials, "curves": curves, "reports": 0}


def trial_of(number: int, config: dict[str, Any], epochs: int) -> Trial:
    return {
        "id": number,
        "config": config,
        "epochs": epochs,
        "seed": config["seed"],
        "rates": None,
        "told": True,
    }


def measured(draw: random.Random, value: float, images: int, holes: float = 0.06) -> Any:
    """Return a share of so many images, or now and then nothing or no number."""
    chance = draw.random()
    if chance < holes / 2:
        return None
    if chance < holes:
        return "nan"
    return Fraction(round(images * min(max(value, 0), 1)), images)


def case(given: dict[str, Any], runs: dict[str, Any], make: Any) -> Case:
    """Let drawn trials report until nobody is left, and record what the rule says.

    An event is [trial, epoch, value, clean, lr], more columns by name last, or [trial] for a trial
    that has ended otherwise than by the policy: at its last epoch, or because it diverged.
    """
    draw, trials, curves = runs["draw"], runs["trials"], runs["curves"]
    rule, state = make(trials), ["run"] * len(trials)
    at, events, decisions, verdicts = [0] * len(trials), [], {}, {}
    diverges = draw.randrange(len(trials)) if not runs["reports"] else None
    while any(s == "run" for s in state):
        i = draw.choice([i for i, s in enumerate(state) if s == "run"])
        at[i] += 1
        trial, row = trials[i], curves[i][at[i] - 1]
        value = row["value"] if isinstance(row["value"], Fraction) else None
        answer = rule.report(trial, at[i], value, row)
        shown = float(row["value"]) if value is not None else row["value"]
        events.append([i, at[i], shown, *(row[key] for key in ("clean", "lr") if key in row)])
        if "passes" in row:
            events[-1].append({"fwd_passes": row["passes"]})
        if "probe" in row:
            told = row["probe"]
            events[-1].append({"probe_robust_acc": None if told is None else float(told)})
        if answer is not None:
            state[i] = answer[0]
            decisions[str(len(events) - 1)] = [*answer[:2], plain(answer[2])]
        tell(rule, state, events, verdicts)
        limit = min(trial["epochs"], runs["reports"] or trial["epochs"])
        if state[i] == "run" and (at[i] >= limit or (i == diverges and at[i] == 3)):
            state[i] = "end"
            rule.lost(trial)
            events.append([i])
            tell(rule, state, events, verdicts)
    assert getattr(rule, "near", 1) > 1e-6, "a decision that rounding could turn"
    assert "pause" not in state
    return {
        "given": given,
        "trials": [
            {k: t[k] for k in ("arm", "config", "epochs", "rates")[: 3 + t["told"]] if t.get(k)}
            for t in trials
        ],
        "events": events,
        "decisions": decisions,
        "verdicts": verdicts,
    }


def tell(rule: Rule, state: list[str], events: list[Any], verdicts: dict[str, Any]) -> None:
    """Take what the rule says of those that wait."""
    due = rule.verdicts()
    if due:
        verdicts[str(len(events) - 1)] = {f"t{i}": action for i, action in due.items()}
    for i, action in due.items():
        state[i] = "run" if action == "continue" else "stop"


def plain(by: dict[str, Any]) -> dict[str, Any]:
    return {key: float(v) if isinstance(v, Fraction) else v for key, v in by.items()}
