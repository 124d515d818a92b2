"""Intervals that hold at every look, and what it costs to decide by them: 2,000 studies of each."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rayat.compare.bootstrap import Estimate
from rayat.compare.intervals import UNTIL, intervals, notes, shared
from rayat.compare.repeated import MOST, Design, bounds, closed, refuse_design
from rayat.compare.speedup import Cost, speed_up
from rayat.compare.verdict import word
from rayat.errors import StudyError
from rayat.ledger.status import Status

STUDIES = 2000
FIRST, LAST = 3, 10
CLEAN = Estimate(0.0, -0.001, 0.001, 10)
"""A robust accuracy that nobody doubts: these studies ask for cost alone."""


def lognormal(random, shape):
    """Costs of 20 % spread, half of it common to the seeds of a pair."""
    return np.exp(random.normal(0, 0.14, shape))


def skewed(random, shape):
    return np.exp(random.normal(0, 0.5, shape))


def heavy(random, shape):
    return np.exp(0.15 * random.standard_t(3, shape))


def epochs(random, shape):
    """Whole epochs, about five of them: as coarse as recorded runs of digits."""
    return np.ceil(5 * np.exp(random.normal(0, 0.1, shape)))


def outliers(random, shape):
    """One seed of ten takes twice as long."""
    return np.exp(random.normal(0, 0.1, shape)) * np.where(random.random(shape) < 0.1, 2, 1)


KINDS = {f.__name__: f for f in (lognormal, skewed, heavy, epochs, outliers)}


def pairs_of(baseline, arm):
    def side(values):
        return [
            Cost(seed, Status.FINISHED, True, 1, {"passes": float(cost)})
            for seed, cost in enumerate(values)
        ]

    return list(zip(side(baseline), side(arm), strict=True))


def decide(baseline, arm, design):
    """Return the verdict of a study whose seeds are added until it is decided, and its seeds."""
    for n in range(design.first, design.most + 1):
        pairs = pairs_of(baseline[:n], arm[:n])
        speed = speed_up(pairs, "passes", design)
        verdict = word(pairs, speed, CLEAN, design.least)
        chance = design.chance(baseline[:n], arm[:n])
        if closed(verdict, chance, n, design.most):
            return verdict, n
    raise AssertionError("open after all seeds")


def decided(kind, effect, design, studies=STUDIES):
    """Return the shares of faster and slower, and the mean number of seeds."""
    random = np.random.default_rng([list(KINDS).index(kind), round(1000 * effect)])
    shape = (studies, design.most)
    baseline, arm = KINDS[kind](random, shape), KINDS[kind](random, shape) / effect
    found = [decide(b, a, design) for b, a in zip(baseline, arm, strict=True)]
    words = [verdict for verdict, _ in found]
    seeds = sum(n for _, n in found) / studies
    return words.count("faster") / studies, words.count("slower") / studies, seeds


def fixed(n, shape_effect):
    """Return the power of Student's t for n pairs at a standardised effect."""
    bound = stats.t.ppf(0.975, n - 1)
    return stats.nct.sf(bound, n - 1, shape_effect * math.sqrt(n))


@pytest.mark.parametrize("kind", KINDS)
def test_equal_arms_are_called_faster_in_at_most_one_study_of_twenty(kind):
    """Half of the error of 5 % is each side's; 3 standard errors of 2,000 studies are 1.05 %."""
    faster, slower, seeds = decided(kind, 1.0, Design.of(FIRST, LAST))
    print(f"{kind}: faster {faster:.3f}, slower {slower:.3f}, {seeds:.1f} seeds of {LAST}")
    error = 3 * math.sqrt(0.025 * 0.975 / STUDIES)
    assert faster <= 0.05 and slower <= 0.05
    if kind == "lognormal":  # where the assumptions hold
        assert faster + slower <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)
        assert abs(faster - 0.025) < error
    assert seeds < 0.7 * LAST, "what is hopeless is given up"


def test_looking_at_fixed_intervals_would_not_do():
    """The same studies, each look at its own level of 95 %: the reason for all of this."""
    bare = Design(FIRST, LAST, tuple(stats.t.ppf(0.975, n - 1) for n in range(FIRST, LAST + 1)))
    faster, slower, _ = decided("lognormal", 1.0, bare, 1000)
    print(f"looking at fixed intervals: {faster + slower:.3f}")
    assert faster + slower > 0.10


def test_true_differences_are_found_with_fewer_seeds_than_a_fixed_number():
    """Effects in standard deviations of a pair's log ratio, which is 0.2 here."""
    design = Design.of(FIRST, LAST)
    print("effect  power (fixed 10)  seeds")
    for effect, power, seeds in (
        (1.0, 0.68, 8.0),
        (1.5, 0.95, 7.0),
        (3.0, 0.999, 5.0),
        (8, 1, 3.5),
    ):
        faster, slower, spent = decided("lognormal", math.exp(0.14 * math.sqrt(2) * effect), design)
        print(f"{effect:6.1f}  {faster:.3f} ({fixed(LAST, effect):.3f})  {spent:.1f}")
        assert faster >= power - 3 * math.sqrt(0.25 / STUDIES) * (power < 1)
        assert slower <= 0.005 and spent <= seeds
        assert faster >= fixed(LAST, effect) - 0.12


def test_the_ratio_is_within_all_its_intervals_in_19_of_20_studies():
    """The truth need not be 1: a ratio of 1.3 is covered at every look as well."""
    design, random, missed = Design.of(FIRST, LAST), np.random.default_rng(5), 0
    for _ in range(STUDIES):
        baseline, arm = lognormal(random, LAST), lognormal(random, LAST) / 1.3
        looks = (design.ratio(baseline[:n], arm[:n]) for n in range(FIRST, LAST + 1))
        missed += any(not look.low <= 1.3 <= look.high for look in looks)
    assert missed / STUDIES <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)


def test_bounds_fall_and_one_look_is_students_t():
    assert bounds(5, 5) == pytest.approx([stats.t.ppf(0.975, 4)])
    for first, most in ((3, 10), (3, 6), (6, 12), (3, MOST)):
        found = bounds(first, most)
        assert len(found) == most - first + 1
        assert list(found) == sorted(found, reverse=True)
        assert found[-1] > stats.t.ppf(0.975, most - 1)


@pytest.mark.parametrize(("first", "most"), [(3, 10), (5, 8)])
def test_bounds_hold_for_paths_that_they_were_not_made_from(first, most):
    random, paths = np.random.default_rng(99), 100_000
    drawn = random.standard_normal((paths, most))
    out = np.zeros(paths, bool)
    for n in range(first, most + 1):
        part = drawn[:, :n]
        t = part.mean(axis=1) / part.std(axis=1, ddof=1) * math.sqrt(n)
        out |= np.abs(t) > bounds(first, most)[n - first]
    assert abs(out.mean() - 0.05) < 4 * math.sqrt(0.05 * 0.95 * (1 / paths + 1 / 200_000))


def test_interval_is_the_estimate_and_its_bound():
    design = Design.of(3, 4)
    found = design.ratio([4.0, 5.0, 6.0], [2.0, 2.5, 3.2])
    u = np.array([4, 5, 6]) / 5 - np.array([2, 2.5, 3.2]) / (7.7 / 3)
    half = design.bounds[0] * u.std(ddof=1) / math.sqrt(3)
    assert found.value == pytest.approx(15 / 7.7)
    assert math.log(found.high / found.value) == pytest.approx(half)
    assert math.log(found.value / found.low) == pytest.approx(half)
    swapped = design.ratio([2.0, 2.5, 3.2], [4.0, 5.0, 6.0])
    assert swapped.low == pytest.approx(1 / found.high)
    gain = design.difference([0.5, 0.52, 0.51], [0.5, 0.5, 0.5])
    assert gain.value == pytest.approx(0.01)
    assert gain.high - gain.value == pytest.approx(design.bounds[0] * 0.01 / math.sqrt(3))


def test_without_a_look_there_is_no_interval():
    design = Design.of(4, 5)
    for n in (1, 3, 6):
        assert design.ratio([2.0] * n, [1.0] * n).low is None
        assert design.difference([0.2] * n, [0.1] * n).low is None
    pairs = pairs_of([2.0, 2.1, 2.2], [1.0, 1.1, 1.2])
    assert word(pairs, speed_up(pairs, "passes", design), CLEAN, design.least).startswith("no verd")


def test_equal_costs_of_coarse_epochs_are_neither_different_nor_hopeless():
    design = Design.of(3, 10)
    same = design.ratio([5.0, 6.0, 5.0], [5.0, 6.0, 5.0])
    assert (same.low, same.high) == (1.0, 1.0)
    assert design.chance([5.0, 6.0, 5.0], [5.0, 6.0, 5.0]) == 1.0
    assert design.chance([5.0] * 10, [5.0] * 10) == 0.0


def test_the_chance_is_that_of_the_last_look():
    """Against simulation: given three pairs, how often the tenth look shows a difference."""
    design, random = Design.of(3, 10), np.random.default_rng(3)
    baseline, arm = np.array([1.0, 1.05, 1.1]), np.array([0.93, 1.03, 0.96])
    said = design.chance(baseline, arm)
    u = baseline / baseline.mean() - arm / arm.mean()
    value, sd = math.log(baseline.mean() / arm.mean()), u.std(ddof=1)
    # A flat prior on mean and log sd: the posterior of both, then seven more pairs; the deviation
    # at the last look is taken as that of now.
    tries = 200_000
    sigma = sd * np.sqrt(2 / random.chisquare(2, tries))
    mean = random.normal(value, sigma / math.sqrt(3))
    last = (3 * value + 7 * random.normal(mean, sigma / math.sqrt(7))) / 10
    shown = np.abs(last) > design.bounds[-1] * sd / math.sqrt(10)
    assert abs(shown.mean() - said) < 4 * math.sqrt(0.25 / tries)
    assert 0.1 < said < 0.9


def test_what_is_decided_and_what_is_not():
    for verdict in ("faster", "faster but less robust", "slower"):
        assert closed(verdict, 1.0, 3, 10)
    for verdict in ("no verdict (2 seeds)", "no difference shown", "faster, robustness unclear"):
        assert not closed(verdict, 0.5, 3, 10)
        assert "all 10 seeds" in closed(verdict, 0.5, 10, 10)
    for verdict in ("not reached", "baseline not reached", "no verdict (eps 0.2 against 0.1)"):
        assert "cannot change" in closed(verdict, 1.0, 3, 10)
    assert "chance of 9%" in closed("no difference shown", 0.09, 4, 10)
    assert not closed("faster, robustness unclear", 0.0, 4, 10)


def test_a_run_keeps_its_bounds_and_says_what_they_are():
    design = Design.of(3, 5)
    record = design.record()
    info = {UNTIL: {**record, "bounds": [9.0, 8.0, 7.0]}}
    assert intervals(info).bound(4) == 8.0, "those of the run, not those of today"
    assert intervals({}).method.startswith("bootstrap")
    assert notes({}) == []
    looks = [{"arms": {"a": {"pairs": [0, 1, 2], "why": "", "open": True}}}]
    assert "Still open: a." in notes({UNTIL: {**record, "looks": looks}})
    assert shared([{}, {}]) == {}
    assert Design.parse(shared([{}, {UNTIL: record}])[UNTIL]) == design
    with pytest.raises(StudyError, match="3 to 5 and 3 to 6"):
        shared([{UNTIL: record}, {UNTIL: Design.of(3, 6).record()}])


def test_designs_that_are_none_are_refused():
    assert "at least 3" in refuse_design(2, 2)
    assert "50 at most" in refuse_design(3, 51)
    assert "has 5 seeds" in refuse_design(5, 4)
    assert refuse_design(3, 3) == ""


def confidence_sequence(alpha, n, c2=0.1):
    """Return the bound of |t| of a Gaussian mixture over effects (Wang & Ramdas 2023, sec. 4).

    A path of t stays below with probability 1 - alpha for ever; `c2` is the mixture's precision.
    """
    least = (math.sqrt((n + c2) / c2) / alpha) ** (2 / n)
    share = (1 - 1 / least) * (n + c2)
    return math.sqrt((n - 1) * share / (n - share)) if share < n else math.inf


def quantiles(spent, paths):
    """Return bounds that let through the error that a rule has spent by each look."""
    inside, found = np.ones(len(paths), bool), []
    for look, share in enumerate(spent):
        leave = round(share * len(paths)) - int(np.count_nonzero(~inside))
        held = np.sort(paths[inside, look])[::-1]
        found.append(held[max(leave, 0)])
        inside &= paths[:, look] <= found[-1]
    return found


def paths_of_t(values):
    counts = np.arange(FIRST, LAST + 1)
    sums, squares = (np.cumsum(v, axis=1)[:, FIRST - 1 :] for v in (values, values**2))
    return sums / np.sqrt(counts * (squares - sums**2 / counts) / (counts - 1))


def test_the_rule_was_chosen_by_power_at_equal_error():
    """All err in 5 % of studies; the confidence sequence in fewer, as it never has to stop."""
    counts = np.arange(FIRST, LAST + 1)
    share, noise = counts / LAST, np.random.default_rng(1).standard_normal((100_000, LAST))
    z = stats.norm.ppf(0.975)
    spent = {
        "Pocock": 0.05 * np.log(1 + (math.e - 1) * share),
        "linear": 0.05 * share,
        "square": 0.05 * share**2,
        "O'Brien-Fleming": 2 * stats.norm.sf(z / np.sqrt(share)),
    }
    null = np.abs(paths_of_t(noise))
    rules = {name: np.array(quantiles(s, null)) for name, s in spent.items()}
    rules["confidence sequence"] = np.array([confidence_sequence(0.05, int(n)) for n in counts])
    steps = np.diff(spent["square"], prepend=0)
    rules["Bonferroni over looks"] = stats.t.isf(steps / 2, counts - 1)
    found: dict[str, list[tuple[float, float]]] = {}
    fresh = np.random.default_rng(2).standard_normal((20_000, LAST))
    for name, bound in rules.items():
        for effect in (1.0, 1.5, 3.0, 5.0):
            out = paths_of_t(fresh + effect) > bound
            seeds = np.where(out.any(axis=1), counts[out.argmax(axis=1)], LAST).mean()
            found.setdefault(name, []).append((out.any(axis=1).mean(), seeds))
        figures = "  ".join(f"{power:.2f} at {seeds:.1f}" for power, seeds in found[name])
        print(f"{name:22} {figures}")
    power = {name: each[0][0] for name, each in found.items()}
    late = {name: each[2][1] for name, each in found.items()}
    assert power["square"] > max(power[n] for n in power if n not in ("square", "O'Brien-Fleming"))
    assert power["square"] > power["O'Brien-Fleming"] - 0.04
    assert late["square"] < late["O'Brien-Fleming"] - 0.3, "and it stops sooner"


def test_bounds_made_for_normal_statistics_let_through_more():
    """Why the bounds are quantiles of t itself, and not of a Brownian motion on its p-values."""
    counts = np.arange(FIRST, LAST + 1)
    noise = np.random.default_rng(4).standard_normal((200_000, LAST))
    z = np.abs(np.cumsum(noise, axis=1)[:, FIRST - 1 :] / np.sqrt(counts))
    normal = quantiles(0.05 * (counts / LAST) ** 2, z)
    bound = stats.t.isf(stats.norm.sf(normal), counts - 1)
    fresh = np.random.default_rng(5).standard_normal((200_000, LAST))
    error = (np.abs(paths_of_t(fresh)) > bound).any(axis=1).mean()
    print(f"bounds made for normal statistics: {error:.3f}")
    assert error > 0.054


def test_where_one_side_alone_is_skewed_the_error_is_no_longer_halved():
    """What the assumptions do not cover: a lognormal of spread 40 % against a constant."""
    design, random = Design.of(FIRST, LAST), np.random.default_rng(6)
    arm = np.full((STUDIES, LAST), math.exp(0.08)) * np.exp(random.normal(0, 0.02, (STUDIES, LAST)))
    skewed_side = np.exp(random.normal(0, 0.4, (STUDIES, LAST)))
    words = [decide(b, a, design)[0] for b, a in zip(skewed_side, arm, strict=True)]
    shares = [words.count(word) / STUDIES for word in ("faster", "slower")]
    print(f"one side skewed: faster {shares[0]:.3f}, slower {shares[1]:.3f}")
    assert max(shares) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)
