"""The policy `verdict` changes no verdict: recorded ledgers and generated studies, to the letter.

In any order of arrival, with trials that are lost and with drivers that are killed. What is kept
is the verdict that the same trials would have had, had those that it stopped gone on.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from kept import generated, play, recorded

from rayat.compare.table import compare
from rayat.ledger.reader import read_run
from rayat.ledger.status import Status
from rayat.policies.question import AT_END, AT_TARGET
from rayat.policies.verdict import Paid, Verdict
from rayat.registry import POLICIES
from rayat.replay.whatif import asking, shortened

RESULTS = Path(__file__).parents[2] / "results"
LEDGERS = sorted(str(p.parent.relative_to(RESULTS)) for p in RESULTS.rglob("run.json"))
ends = pytest.mark.parametrize("ends", [AT_END, AT_TARGET])


@pytest.fixture(scope="module")
def ledgers():
    return {name: read_run(RESULTS / name) for name in LEDGERS}


def changed(known, played):
    """Return the arms whose verdict is another one, with both."""
    if not played.stopped:
        return {}
    full = known.words(played.full_epochs, played.full_ends)
    found = known.words(played.epochs, played.ends)
    return {arm: (full[arm], found[arm]) for arm in full if full[arm] != found[arm]}


@pytest.mark.slow
@ends
def test_no_ledgers_verdict_changes(ledgers, ends, size):
    stops = {}
    for name, run in ledgers.items():
        known, tuned = recorded(run, ends), run.trials.groupby("arm")["config_id"].nunique()
        for number in range(size(2, 40)):
            draw = random.Random(f"{name} {ends} {number}")
            played = play(known, POLICIES.build("verdict"), draw, losses=0.1 * (number % 2))
            assert changed(known, played) == {}, (name, number)
            assert all(tuned[known.views[n].arm] == 1 for n in played.stopped), name
            stops[name] = stops.get(name, 0) + len(played.stopped)
    assert stops["methods"] and stops["lr_shapes"] and stops["dat_bits"]


@pytest.mark.slow
@ends
def test_no_generated_studys_verdict_changes(ends, size):
    stopped, seen = 0, set()
    for number in range(size(500, 2000)):
        draw = random.Random(f"{ends} {number}")
        known = generated(draw, ends)
        played = play(known, POLICIES.build("verdict"), draw, losses=draw.choice((0, 0, 0.2)))
        assert changed(known, played) == {}, number
        stopped += len(played.stopped)
        seen |= set(known.words(played.epochs, played.ends).values())
    assert stopped > 1000
    assert {"slower", "no difference shown", "not reached", "baseline not reached"} <= seen
    faster = {"faster", "faster but less robust"} if ends == AT_END else set()
    assert (faster or {"faster, robustness not asked"}) <= seen


def guesses_from_a_seed_without_a_pair(self, pairs):
    return next(((s, {"seed": s}) for s, (_, arm) in pairs.items() if arm.short), None)


def stops_what_has_cost_more(self, pairs):
    late = [s for s, (b, a) in pairs.items() if b.reached is not None and a.cost > 2 * b.reached]
    return (late[0], {"seed": late[0]}) if late else None


def forgets_that_a_trial_may_be_lost(bounds):
    return any(least >= most for most, least, _ in bounds)


@pytest.mark.parametrize(
    ("place", "rule"),
    [
        ((Verdict, "_not_reached"), guesses_from_a_seed_without_a_pair),
        ((Verdict, "_not_reached"), stops_what_has_cost_more),
        (("rayat.policies.verdict.never_faster",), forgets_that_a_trial_may_be_lost),
        ((Paid, "counts"), property(lambda paid: True)),
    ],
)
def test_a_rule_that_guesses_is_caught(monkeypatch, place, rule):
    monkeypatch.setattr(*place, rule)
    for number in range(3000):
        draw = random.Random(f"{AT_END} {number}")
        known = generated(draw, AT_END)
        if changed(known, play(known, POLICIES.build("verdict"), draw, losses=0.2)):
            return
    pytest.fail("no study tells this rule from a right one")


@ends
@pytest.mark.parametrize(
    "name",
    [
        "lr_shapes",
        "methods_mended",
        "joint/accel-0",
        "joint/random-0-confirmed",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in LEDGERS
            if name not in ("lr_shapes", "methods_mended")
        ),
    ],
)
def test_the_table_itself_says_the_same(ledgers, name, ends):
    run = asking(ledgers[name], ends)
    known = recorded(run, ends)
    target = known.question.target
    played = play(known, POLICIES.build("verdict"), random.Random(name))
    # Those that broke before they had a value are in no play, and in every table.
    whole = run.trials.set_index("trial_id")["epochs_run"].to_dict()
    left = shortened(run, {**whole, **played.epochs}, Status.STOPPED)
    full, found = (compare(each, target=target).rows for each in (run, left))
    assert {row.arm: row.verdict for row in found} == {row.arm: row.verdict for row in full}
    words = known.words(played.full_epochs, played.full_ends)
    unseen = set(run.trials["arm"][~run.trials["trial_id"].isin(list(known.views))])
    seen = {row.arm: row.verdict for row in full if row.arm in words and row.arm not in unseen}
    assert {arm: words[arm] for arm in words if arm not in unseen} == seen
    if ends == AT_TARGET:
        assert all(row.robust_difference is None for row in found)
