"""Verdicts: none without the controls, and what the interval allows with them."""

import dataclasses

import pytest

from rayat.claims.claim import Claim, Published, Reading
from rayat.claims.judge import HELD, OPEN, REFUTED, UNRUN, judge

SOONER = Reading("sooner", "new", "full", least=1.2)
CLAIM = Claim(
    "sooner", "new is sooner", Published(2.0, "abstract"), honest=SOONER, controls=("random",)
)


def verdict(run, claim=CLAIM):
    _, (found,) = judge(run, [claim])
    return found


def whole(runs):
    """All arms have run: `new` costs a quarter of `full` to the target and is as robust."""
    runs.arm("full", passes=1000).arm("random", passes=250, reached=(4, 4, 4))
    return runs.arm("new", passes=250)


def test_a_claim_whose_arms_have_all_run_is_judged(runs):
    found = verdict(whole(runs).build())
    assert (found.verdict, found.honest.estimate.value) == (HELD, 4.0)
    assert found.difference == pytest.approx(2.0)
    assert (found.passes[0].mean, found.passes[1].mean) == (1000, 4000)
    assert found.said == HELD


@pytest.mark.parametrize("control", ["full", "random", "new"])
def test_no_verdict_where_an_arm_was_not_run(runs, control):
    run = whole(runs).build()
    without = run.trials[run.trials["arm"] != f"arm={control}"]
    found = verdict(dataclasses.replace(run, trials=without))
    what = control if control == "new" else f"its control {control}"
    assert found.said == f"{UNRUN}: {what} was not run"
    assert found.honest is None and found.faithful is None and found.difference is None
    assert not any(word in found.why for word in (HELD, REFUTED, OPEN))


@pytest.mark.parametrize("status", ["failed", "lost", "running", "interrupted", "pending"])
def test_no_verdict_where_a_seed_of_a_control_has_no_end_of_its_own(runs, status):
    run = whole(runs).build()
    run.trials.loc[run.trials["trial_id"] == "random-s1", "status"] = status
    found = verdict(run)
    assert found.said == (
        f"{UNRUN}: its control random has run in 2 of the 3 seeds that an interval needs"
    )


def test_no_verdict_on_seeds_that_the_arms_do_not_share(runs):
    run = whole(runs).build()
    own = run.trials["arm"] == "arm=random"
    run.trials.loc[own, "seed"] += 1
    found = verdict(run)
    assert found.said.startswith(f"{UNRUN}: new shares 2 seeds") or "shares 2" in found.said


def test_a_control_that_broke_has_run(runs):
    """A collapse is its method's own doing: what it cost until the target counts."""
    runs.arm("full").arm("new", passes=250)
    runs.arm("random", statuses=("collapsed",) * 3)
    assert verdict(runs.build()).verdict == HELD


@pytest.mark.parametrize(
    ("robust", "wanted"),
    [
        ((0.50, 0.51, 0.52), HELD),
        ((0.40, 0.41, 0.42), REFUTED),
        ((0.35, 0.50, 0.58), OPEN),
    ],
)
def test_the_whole_interval_decides(runs, robust, wanted):
    whole(runs).arm("arm", robust=robust)
    kept = Reading("robust", "arm", "full", least=-0.03)
    assert verdict(runs.build(), Claim("kept", "it is", CLAIM.published, kept)).verdict == wanted


def test_what_must_hold_besides_decides_too(runs):
    run = runs.arm("full").arm("random").arm("new", passes=250, robust=(0.4, 0.4, 0.4)).build()
    run.epochs["val_robust_acc"] = run.epochs["val_robust_acc"].where(
        run.epochs["val_robust_acc"] < 0.2, 0.6
    )
    assert verdict(run).verdict == HELD
    kept = Reading("robust", "new", "full", least=-0.03)
    found = verdict(run, dataclasses.replace(CLAIM, also=(kept,), fails="it pays in robustness"))
    assert found.verdict == REFUTED
    assert "it pays in robustness" in found.why


def test_without_its_premise_a_claim_is_not_shown(runs):
    """A control of equal passes that does not have them refutes nothing."""
    equal = Reading("cheaper", "new", "random", least=0.9, most=1.1)
    claim = dataclasses.replace(CLAIM, premises=(equal,))
    assert verdict(whole(runs).build(), claim).verdict == HELD
    run = whole(type(runs)()).build()
    own = run.epochs["trial_id"].str.startswith("random")
    run.epochs.loc[own, "fwd_passes"] *= 4
    found = verdict(run, claim)
    assert found.verdict == OPEN
    assert "its premise does not hold" in found.why


def test_an_arm_that_never_gets_there_refutes_and_a_control_that_does_not_holds(runs):
    never = (2, 2, None)
    runs.arm("full", reached=never).arm("random").arm("new", passes=250)
    found = verdict(runs.build())
    assert (found.verdict, found.honest.estimate.bound) == (HELD, ">")
    assert found.difference is None
    other = type(runs)().arm("full").arm("random").arm("new", passes=250, reached=never)
    found = verdict(other.build())
    assert found.verdict == REFUTED
    assert "1 of 3 seeds of new never reached 0.500" in found.why
    neither = type(runs)().arm("full", reached=never).arm("random").arm("new", reached=never)
    found = verdict(neither.build())
    assert (found.verdict, found.honest.estimate) == (OPEN, None)
    assert "nor did all of full" in found.why


def test_a_training_that_broke_is_no_cheaper_one(runs):
    runs.arm("full").arm("new", passes=100, statuses=("finished", "collapsed", "finished"))
    cheaper = Claim("c", "it is", CLAIM.published, Reading("cheaper", "new", "full", least=3.0))
    found = verdict(runs.build(), cheaper)
    assert found.verdict == REFUTED
    assert "1 of 3 trainings of new broke" in found.why


def test_what_is_counted_and_how_near_it_must_be(runs):
    runs.arm("full", columns={"comm_bytes": 400}).arm("new", 250, columns={"comm_bytes": 100})
    reading = Reading("cheaper", "new", "full", least=0.9 * 4, most=1.1 * 4)
    found = verdict(runs.build(), Claim("f", "it is", CLAIM.published, reading))
    assert (found.verdict, found.honest.estimate.value) == (HELD, 4.0)
    few = Reading("cheaper", "new", "full", least=2.0, most=3.0)
    assert verdict(runs.build(), Claim("f", "", CLAIM.published, few)).verdict == REFUTED
    fewer = Reading("cheaper", "new", "full", least=3.5, counted="bytes")
    found = verdict(runs.build(), Claim("b", "it is", CLAIM.published, fewer))
    assert found.honest.estimate.value == 4.0
    unknown = Reading("cheaper", "new", "full", least=1.0, counted="attack_steps")
    found = verdict(runs.build(), Claim("s", "it is", CLAIM.published, unknown))
    assert (found.verdict, found.honest.why) == (OPEN, "no attack_steps were recorded")


def test_an_honest_accuracy_is_of_the_test_set_and_a_leak_of_what_chose_it(runs):
    runs.arm("full").arm("new", robust=(0.6, 0.6, 0.6), last=0.1)
    honest = Reading("robust", "new", "full", least=0.0)
    leak = dataclasses.replace(honest, chosen_by="itself")
    last = dataclasses.replace(honest, checkpoint="last")
    claim = Claim("r", "it is", CLAIM.published, honest, faithful=leak)
    found = verdict(runs.build(), claim)
    assert found.honest.estimate.value == pytest.approx(0.1)
    assert "on the images that chose the checkpoint" in found.why
    found = verdict(runs.build(), dataclasses.replace(claim, honest=last))
    assert found.honest.estimate.value == pytest.approx(-0.4)
    found = verdict(runs.build(tested=False), claim)
    assert found.verdict == OPEN
    assert "the test set was not looked at" in found.why
