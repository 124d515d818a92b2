"""A search's budget: what it may be, and that it is spent to the report."""

from __future__ import annotations

import pytest

from rayat.errors import StudyError
from rayat.ledger.status import Status
from rayat.policies.base import TrialView
from rayat.policies.host import Host
from rayat.policies.spending import Budget, Spending
from rayat.registry import POLICIES


@pytest.mark.parametrize(
    ("text", "what", "amount"),
    [
        ("40 Mpasses", "passes", 40e6),
        ("1.5h", "seconds", 5400),
        (" 30 MIN ", "seconds", 1800),
        ("2e3 kpasses", "passes", 2e6),
        ("20_000 passes", "passes", 20_000),
    ],
)
def test_a_budget_is_a_number_and_a_unit(text, what, amount):
    found = Budget.parse(text)
    assert (found.what, found.amount) == (what, amount)


@pytest.mark.parametrize(
    "text", ["", "40", "Mpasses", "40 Mpass", "-1 h", "0 h", "nan h", "1e999 h"]
)
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(StudyError, match="budget"):
        Budget.parse(text)


INFO = {
    "search": {
        "budget": "300 passes",
        "arms": {"arm=pgd": {}, "one": {}, "two": {}},
        "controls": ["arm=pgd"],
    }
}


def row(passes):
    return {"train_loss": 1.0, "val_robust_acc": 0.1, "fwd_passes": passes, "eval_fwd_passes": None}


def test_arms_share_a_budget_and_controls_cost_none_of_it():
    host = Host(POLICIES.build("none"), "val_robust_acc", spending=Spending.of(INFO))
    trials = {
        name: TrialView(name, {}, 9, arm)
        for name, arm in {"a": "one", "b": "one", "c": "two", "d": "arm=pgd"}.items()
    }

    def told(name, epoch, passes):
        return host.observe(trials[name], epoch, row(passes))[0]

    assert told("d", 1, 10_000).decision.action == "continue"
    assert told("a", 1, 100).end is None
    assert told("b", 1, 49).end is None
    assert told("c", 1, 149).end is None, "the other arm has its own share"
    spent = told("b", 2, 1)
    assert (spent.end, spent.decision.rule) == (Status.STOPPED, "budget")
    assert spent.decision.evidence["spent"] == spent.decision.evidence["share"] == 150
    assert "budget of 300 passes, of which 150 are one's, is spent" in spent.decision.sentence
    assert told("a", 2, 5).end is Status.STOPPED
    assert told("c", 2, 1).end is Status.STOPPED


def test_a_trial_that_ends_with_the_report_that_spends_the_last_of_it_is_finished():
    host = Host(POLICIES.build("none"), "val_robust_acc", spending=Spending.of(INFO))
    judged = host.observe(TrialView("a", {}, 1, "one"), 1, row(500))[0]
    assert (judged.end, judged.decision.rule) == (Status.FINISHED, "")


def test_a_run_without_a_budget_or_without_a_searched_arm_spends_nothing():
    assert Spending.of({"metric": "x"}) is None
    alone = {"search": {**INFO["search"], "arms": {"arm=pgd": {}}}}
    assert Spending.of(alone) is None
