"""Policies over several runs: paired by their trials, costs and chosen trials known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from rayat.compare.policies import compare_policies, label
from rayat.errors import StudyError

SPEED = {"none": 1.0, "asha": 2.0, "accel": 4.0}
START = pd.Timestamp("2026-01-01T00:00:00Z")


def sweep(builder, policy: str, seed: int, robust: float = 0.5, tested: bool = True):
    """A run of two trials: the second is better; cost falls by the policy's speed."""
    first = builder.trial(
        "a", seed, [0.3, 0.4], status="stopped" if policy != "none" else "finished"
    )
    second = builder.trial("b", seed, [0.5, 0.6 + seed / 100])
    if tested:
        builder.evaluation(second, "best", "pgd-50", 0.9, robust)
    if policy != "none":
        builder.decision(first, 2, "below")
    made = builder.build(Path(f"runs/{policy}-{seed}"), policy={"name": policy})
    trials = made.trials
    for name in ("fwd_passes", "bwd_passes", "eval_fwd_passes", "eval_bwd_passes"):
        trials[name] = 1000 * (seed + 1) / SPEED[policy]
    trials["seconds"] = 50 / SPEED[policy]
    trials["started_at"] = START + pd.to_timedelta([0, 5], unit="s")
    trials["ended_at"] = START + pd.to_timedelta([20, 100 / SPEED[policy]], unit="s")
    return made


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"extensions": [{}]}, "was extended"),
        ({"origin": {"merged": [{"run": "a"}]}}, "was merged"),
    ],
)
def test_a_run_that_no_policy_judged_whole_is_refused(builder, info, said):
    one = sweep(builder, "none", 0)
    with pytest.raises(StudyError, match=said):
        compare_policies([one, replace(one, info={**one.info, **info})])


@pytest.fixture
def run(builder):
    """Return a maker of runs: `run("asha", 0)`."""
    return lambda *given, **fields: sweep(type(builder)(), *given, **fields)


@pytest.fixture
def runs(run):
    """Return a maker of all repetitions: `runs("none", "asha")`."""
    return lambda *policies, seeds=(0, 1, 2), **fields: [
        run(policy, seed, **fields) for policy in policies for seed in seeds
    ]


def test_costs_and_gains_are_paired_over_repetitions(run, runs):
    given = runs("none", "asha")
    given += [run("accel", seed, robust=0.49 + seed / 100) for seed in (2, 0, 1)]
    found = compare_policies(given)
    assert [row.policy for row in found.rows] == ["none", "asha", "accel"]
    none, asha, accel = found.rows
    assert (found.repetitions, found.trials, found.source) == (3, 2, "test, pgd-50")
    assert none.costs["wall"].mean == 100 and asha.costs["wall"].mean == 50
    # Eight thousand passes a unit; units 1, 2, 3.
    assert none.costs["passes"].mean == pytest.approx(16_000)
    assert accel.ratios["passes"].value == pytest.approx(0.25)
    assert accel.ratios["wall"].value == pytest.approx(0.25)
    assert accel.ratios["seconds"].low == pytest.approx(0.25)
    assert accel.difference.value == pytest.approx(0.0)
    assert accel.difference.low < -0.01 < 0.01 < accel.difference.high
    assert none.ratios is None and none.difference is None
    assert none.stops == {} and asha.stops == {"median": 3}
    # Paired by their trials, in whatever order they were given.
    assert [s.folder for s in accel.sweeps] == [f"runs/accel-{n}" for n in (0, 1, 2)]
    assert accel.sweeps[2].chosen == none.sweeps[2].chosen
    assert found.notes == ()


def test_the_table_in_markdown_says_ratios_stops_and_sources(runs):
    lines = compare_policies(runs("accel", "none")).markdown().splitlines()
    assert lines[2].startswith(
        "| none | 1.7 min | 1 | 16 k | 1 | 1.7 min | 1 | 0.500 ±0.000 | - | none"
    )
    assert "| 0.25 [0.25, 0.25] |" in lines[3] and lines[3].endswith("| 3 median |")
    assert lines[5].startswith("- known: 2 trials a sweep, 3 paired repetitions")


def test_an_untested_choice_is_said_to_be_optimistic(runs):
    found = compare_policies(runs("none", "asha", tested=False))
    assert found.rows[0].robust.mean == pytest.approx(0.61)
    assert "`rayat evaluate runs/none-0 --chosen --checkpoint best" in found.notes[0]


def test_other_orders_are_other_repetitions_and_are_refused_without_a_pair(run, runs):
    with pytest.raises(StudyError, match="no run under asha has the trials of runs/none-1"):
        compare_policies([*runs("none", seeds=(0, 1)), run("asha", 0)])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda r: r.info["study"].update(name="other"), "of several studies: known, other"),
        (lambda r: r.trials.__setitem__("status", "running"), "2 trials without an end"),
        (lambda r: r.trials.__setitem__("status", "failed"), "nothing was chosen"),
    ],
)
def test_what_cannot_be_compared_is_refused(runs, change, text):
    given = runs("none", "asha", seeds=(0,))
    change(given[1])
    with pytest.raises(StudyError, match=text):
        compare_policies(given)


def test_a_policy_twice_and_an_unknown_baseline_are_refused(runs):
    given = runs("none", "asha", seeds=(0,))
    twice = [*given, replace(given[1], folder=Path("runs/again"))]
    with pytest.raises(StudyError, match="same trials under asha: leave one out"):
        compare_policies(twice)
    with pytest.raises(StudyError, match=r"no run has the policy 'non' \(did you mean 'none'"):
        compare_policies(given, baseline="non")


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({"name": "accel"}, "accel"),
        ({"name": "accel", "filter": "none"}, "accel:none"),
        ({"name": "asha", "grace": 2}, "asha(grace=2)"),
    ],
)
def test_a_policy_is_named_by_what_is_not_its_default(spec, name):
    from rayat.registry import POLICIES

    assert label(spec) == label(POLICIES.build(spec).spec()) == name
