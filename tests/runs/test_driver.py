"""The driver's judgement on a real ledger, without Ray: durable, judged once, rebuilt exactly."""

from __future__ import annotations

import random

import pytest

from rayat.columns import declared
from rayat.ledger.log import LOG, MAGIC, encode, read_log
from rayat.ledger.repair import repair
from rayat.ledger.writer import Ledger
from rayat.policies.base import TrialView
from rayat.probes import ProbeConfig
from rayat.registry import POLICIES
from rayat.replay.verify import verify
from rayat.runs.driver import Driver, Observer
from rayat.runs.record import run_info
from rayat.runs.search import declare
from rayat.training.messages import Evaluated, Failed, Report, parse, to_text

EPOCHS = 9


LOOK = {"name": "first-look", "peers": "all", "grace": 2, "eta": 3}


@pytest.fixture(params=["none"])
def begun(request, tiny, tmp_path):
    """A new ledger with six declared trials of nine epochs, and the views of its trials."""
    from ray import tune

    study = tiny(
        base={"epochs": EPOCHS},
        space={"lr.peak": tune.grid_search([0.1, 0.2])},
        seeds=(0, 1, 2),
        policy=request.param,
    )
    ledger = Ledger.create(tmp_path / "run", run_info(study, [], None, ["test"]))
    for trial in study.trials():
        declare(ledger, trial)
    views = [TrialView(t.trial_id, t.config.tree(), t.config.epochs, t.arm) for t in study.trials()]
    yield ledger, views
    ledger.close()


looking = pytest.mark.parametrize("begun", [LOOK], indirect=True, ids=["first-look"])


class Phases(Observer):
    def __init__(self):
        self.said = []

    def phase(self, text):
        self.said.append(text)


def goes_on(decision) -> bool:
    return decision.action == "continue"


def message(epoch: int, value: float | None, start: str = "host:1:a", **more: object) -> str:
    row = {"epoch": epoch, "train_loss": 1.0, "val_robust_acc": value, "samples": 10, **more}
    return to_text(Report(row, start, "cpu"))


def test_a_trial_that_says_it_is_finished_has_finished_also_when_rebuilt(begun):
    ledger, views = begun
    driver = Driver(ledger, POLICIES.build("none"), views, "val_robust_acc")
    name = views[0].trial_id
    assert goes_on(driver.message(name, message(1, 0.5)))
    assert ledger.status(name) == "running"
    assert goes_on(driver.message(name, message(2, 0.6, outcome="finished")))
    assert ledger.status(name) == "finished" and ledger.reported(name) == 2
    other = views[1].trial_id
    ledger.attempt(other, device="cpu", host="host")
    ledger.report(other, 1, parse(message(1, 0.4, outcome="finished")).row)
    Driver(ledger, POLICIES.build("none"), views, "val_robust_acc")
    assert ledger.status(other) == "finished", "a crash came between its report and its end"


@pytest.mark.parametrize(
    ("more", "said"),
    [({"bend": 0.5}, "unknown key 'bend' of a report row"), ({"lr": "high"}, "must be a number")],
    ids=["undeclared", "wrong type"],
)
def test_a_report_that_no_ledger_holds_fails_its_own_trial_alone(begun, more, said):
    ledger, views = begun
    driver = Driver(ledger, POLICIES.build("none"), views, "val_robust_acc")
    bad, good = (view.trial_id for view in views[:2])
    assert goes_on(driver.message(bad, message(1, 0.5)))
    assert not goes_on(driver.message(bad, message(2, 0.5, **more))), "it must stop"
    assert ledger.status(bad) == "failed" and said in ledger.state.trial(bad).reason
    assert ledger.reported(bad) == 1
    assert goes_on(driver.message(good, message(1, 0.5))) and ledger.status(good) == "running"
    Driver(ledger, POLICIES.build("none"), views, "val_robust_acc")
    assert ledger.status(bad) == "failed"


def test_the_last_epoch_finishes_a_trial_and_lets_it_go_on_to_its_evaluation(begun):
    ledger, views = begun
    driver = Driver(ledger, POLICIES.build("none"), views, "val_robust_acc")
    told = [driver.message(views[0].trial_id, message(e, 0.5)) for e in range(1, EPOCHS + 1)]
    assert all(map(goes_on, told))
    assert ledger.status(views[0].trial_id) == "finished"
    row = {"checkpoint": "best", "epoch": 3, "suite": "pgd-3", "split": "test", "n": 4}
    evals = to_text(Evaluated([{**row, "trial_id": views[0].trial_id}]))
    assert goes_on(driver.message(views[0].trial_id, evals))
    assert len(ledger.evaluations()) == 1


def test_dear_validation_is_said_once(begun):
    ledger, views = begun
    driver = Driver(ledger, POLICIES.build("none"), views, "val_robust_acc", observer=Phases())
    costs = {"eval_fwd_passes": 60, "eval_bwd_passes": 40}
    # Validated at every second epoch, 100 of 400 passes: within the budget; then 100 of 399.
    for view, last in zip(views[:3], (150, 149, 10), strict=True):
        driver.message(view.trial_id, message(1, None, fwd_passes=150, eval_fwd_passes=0))
        driver.message(view.trial_id, message(2, 0.5, bwd_passes=last, **costs))
        assert bool(driver.warning) is (last < 150)
    (said,) = driver.observer.said
    assert said.startswith(f"warning: validation takes 25% of the passes of {views[1].arm}, above")
    assert "eval.every" in said and "eval.size" in said and "eval.steps" in said


def test_a_probe_is_no_validation_that_could_be_made_cheaper(begun):
    ledger, views = begun
    trial_id = views[0].trial_id
    columns = declared([("probe", ProbeConfig(at=(1,)))])
    ledger.state.trial(trial_id).columns.update(columns)
    driver = Driver(ledger, POLICIES.build("none"), views, "val_robust_acc")
    costs = {"eval_fwd_passes": 300, "eval_bwd_passes": 200}
    driver.message(trial_id, message(1, 0.5, **costs, probe_passes=490))
    assert ledger.reports(trial_id)[0]["probe_passes"] == 490
    assert not driver.warning


def test_a_replayed_epoch_counts_for_the_new_attempt_and_is_judged_once(begun):
    ledger, views = begun
    driver = Driver(ledger, POLICIES.build("none"), views, "val_robust_acc")
    trial_id = views[0].trial_id
    driver.message(trial_id, message(1, 0.1))
    driver.message(trial_id, message(2, 0.2))
    driver.message(trial_id, message(2, 0.2, start="host:2:b"))
    driver.message(trial_id, message(3, 0.3, start="host:2:b"))
    rows = ledger.reports(trial_id)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["attempt"] for row in rows] == [1, 2, 2]
    assert [e for t, e, _ in ledger.observations() if t == trial_id] == [1, 2, 3]


def test_a_non_finite_loss_ends_the_trial_as_diverged(begun):
    ledger, views = begun
    driver = Driver(ledger, POLICIES.build("none"), views, "val_robust_acc")
    assert not goes_on(
        driver.message(views[0].trial_id, message(1, None, train_loss=None, outcome="diverged"))
    )
    assert ledger.status(views[0].trial_id) == "diverged"


def test_a_rollback_is_recorded_and_ends_no_trial_not_even_by_the_policy(begun):
    ledger, views = begun
    policy = POLICIES.build({"name": "patience", "epochs": 1})
    driver = Driver(ledger, policy, views, "val_robust_acc")
    back, plain = (view.trial_id for view in views[:2])
    for epoch, value in ((1, 0.6), (2, 0.1)):
        more = {"train_robust_acc": 0.4 * epoch, "rollback_epoch": 1 if epoch == 2 else None}
        assert goes_on(driver.message(back, message(epoch, value, **more)))
    assert ledger.status(back) == "running"
    (decision,) = ledger.decisions(back)
    assert (decision["epoch"], decision["action"], decision["rule"]) == (
        2,
        "continue",
        "rolled-back",
    )
    driver.message(plain, message(1, 0.6, train_robust_acc=0.4))
    assert not goes_on(driver.message(plain, message(2, 0.1, train_robust_acc=0.8)))
    assert ledger.status(plain) == "collapsed"


def test_a_failure_of_the_trial_itself_is_final(begun):
    ledger, views = begun
    driver = Driver(ledger, POLICIES.build("none"), views, "val_robust_acc")
    text = to_text(Failed("ValueError: no"))
    assert not goes_on(driver.message(views[0].trial_id, text))
    assert ledger.status(views[0].trial_id) == "failed"


def test_what_never_ended_is_lost_unless_interrupted(begun):
    ledger, views = begun
    driver = Driver(ledger, POLICIES.build("none"), views, "val_robust_acc")
    driver.interrupted = True
    driver.settle([v.trial_id for v in views], {})
    assert ledger.status(views[0].trial_id) == "pending"
    driver.interrupted = False
    driver.settle([v.trial_id for v in views[:2]], {views[0].trial_id: "killed four times"})
    statuses = [ledger.status(v.trial_id) for v in views]
    assert statuses == ["lost", "lost", *["pending"] * (len(views) - 2)], "others launch later"


@pytest.mark.parametrize("seed", range(5))
def test_a_rebuilt_driver_decides_as_the_one_that_never_died(begun, seed):
    ledger, views = begun
    draw = random.Random(seed)
    policy = POLICIES.build({"name": "asha", "grace": 1, "eta": 2})
    reports = [(v.trial_id, e, draw.random()) for e in range(1, EPOCHS) for v in views]
    driver = Driver(ledger, policy, views, "val_robust_acc")
    expected = {}
    for trial_id, epoch, value in reports:
        if ledger.status(trial_id) in ("pending", "running"):
            driver.message(trial_id, message(epoch, value))
    for view in views:
        expected[view.trial_id] = [(d["epoch"], d["rule"]) for d in ledger.decisions(view.trial_id)]
    ledger.close()

    again = Ledger.open(ledger.folder)
    try:
        before = len(again.events()), {v.trial_id: again.status(v.trial_id) for v in views}
        rebuilt = Driver(again, policy, views, "val_robust_acc")
        assert before == (
            len(again.events()),
            {v.trial_id: again.status(v.trial_id) for v in views},
        )
        for view in views:
            found = [(d["epoch"], d["rule"]) for d in again.decisions(view.trial_id)]
            assert found == expected[view.trial_id]
        assert rebuilt.host.policy.model_dump() == policy.model_dump()
    finally:
        again.close()


def first_look(ledger, views, skip=()):
    """Give every trial its two epochs, better for later trials; return the driver."""
    driver = Driver(ledger, POLICIES.build(LOOK), views, "val_robust_acc")
    for number, view in enumerate(views):
        for epoch in (1, 2):
            if view.trial_id not in skip:
                driver.message(view.trial_id, message(epoch, 0.1 * number, f"h:{number}:a"))
    return driver


def actions(ledger, views):
    return [[(d["epoch"], d["action"]) for d in ledger.decisions(v.trial_id)] for v in views]


@looking
def test_trials_pause_until_all_were_looked_at_and_the_best_go_on(begun):
    ledger, views = begun
    names = [view.trial_id for view in views]
    driver = first_look(ledger, views, skip=names[5:])
    assert [ledger.status(name) for name in names] == ["paused"] * 5 + ["pending"]
    assert driver.ready() == names[5:]
    assert not goes_on(driver.message(names[0], message(3, 0.9, "h:0:a"))), (
        "a paused trial reports no more"
    )
    assert goes_on(driver.message(names[5], message(1, 0.5, "h:5:a")))
    assert goes_on(driver.message(names[5], message(2, 0.5, "h:5:a"))), (
        "the last one looked at goes on"
    )
    assert [ledger.status(name) for name in names] == ["stopped"] * 4 + ["running"] * 2
    assert driver.ready() == [names[5], names[4]], "the best first"
    assert goes_on(driver.message(names[5], message(3, 0.6, "h:5:a")))
    assert goes_on(driver.message(names[4], message(3, 0.6, "h:4:b")))
    assert [row["attempt"] for row in ledger.reports(names[4])] == [1, 1, 2]
    assert (
        actions(ledger, views)
        == [[(2, "pause"), (2, "stop")]] * 4 + [[(2, "pause"), (2, "continue")]] * 2
    )
    ledger.close()
    done = verify(ledger.folder)
    assert (done.difference, done.decisions) == (None, 12)


@looking
@pytest.mark.parametrize("end", ["failed", "lost"])
def test_a_trial_that_never_reports_is_not_waited_for(begun, end):
    ledger, views = begun
    names = [view.trial_id for view in views]
    driver = first_look(ledger, views, skip=names[:1])
    assert driver.ready() == names[:1]
    if end == "failed":
        driver.message(names[0], to_text(Failed("ValueError: no")))
    else:
        driver.settle(names[:1], {names[0]: "killed four times"})
    assert ledger.status(names[0]) == end
    assert driver.ready() == [names[5], names[4]]
    ledger.close()
    assert verify(ledger.folder).difference is None
    with Ledger.open(ledger.folder) as again:
        rebuilt = Driver(again, POLICIES.build(LOOK), views, "val_robust_acc")
        assert rebuilt.ready() == driver.ready()
        assert actions(again, views) == actions(ledger, views)


@looking
@pytest.mark.parametrize("records", range(0, 31, 3))
def test_a_driver_that_died_anywhere_goes_on_to_the_same_pauses_and_verdicts(begun, records):
    ledger, views = begun
    driver = first_look(ledger, views)
    expected, ready = actions(ledger, views), driver.ready()
    ledger.close()
    path = ledger.folder / LOG
    whole = []
    read_log(path, whole.append)
    kept = whole[: 1 + len(views) + records]
    path.write_bytes(MAGIC + b"".join(map(encode, kept)))
    repair(ledger.folder)
    with Ledger.open(ledger.folder) as again:
        rebuilt = Driver(again, POLICIES.build(LOOK), views, "val_robust_acc")
        for number, view in enumerate(views):
            start = f"h:{number}:{'b' if again.reported(view.trial_id) else 'a'}"
            for epoch in range(again.reported(view.trial_id) + 1, 3):
                rebuilt.message(view.trial_id, message(epoch, 0.1 * number, start))
        assert actions(again, views) == expected
        assert rebuilt.ready() == ready
    assert verify(ledger.folder).difference is None


@looking
def test_a_driver_that_died_after_a_verdict_does_not_say_it_again(begun):
    ledger, views = begun
    driver = first_look(ledger, views)
    for epoch in (3, 4):
        driver.message(views[5].trial_id, message(epoch, 0.6, "h:5:a"))
    expected, ready = actions(ledger, views), driver.ready()
    ledger.close()
    with Ledger.open(ledger.folder) as again:
        rebuilt = Driver(again, POLICIES.build(LOOK), views, "val_robust_acc")
        assert actions(again, views) == expected
        assert rebuilt.ready() == ready
    assert verify(ledger.folder).difference is None


@looking
def test_a_pause_that_nobody_ends_is_a_stop_and_not_a_hang(begun):
    ledger, views = begun
    driver = first_look(ledger, views, skip=[views[5].trial_id])
    driver.strand()
    assert ledger.status(views[0].trial_id) == "stopped"
    assert ledger.trials()
    assert driver.ready() == [views[5].trial_id]
