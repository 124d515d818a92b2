"""The watch for catastrophic overfitting, and what a rollback changes of it."""

from __future__ import annotations

from pathlib import Path

from rayat.collapse import CleanWatch, Seen, Watch
from rayat.ledger.reader import read_run


def row(val, train, back=None):
    return {"val_robust_acc": val, "train_robust_acc": train, "rollback_epoch": back}


def watched(*rows):
    watch = Watch()
    for epoch, seen in enumerate(rows, 1):
        watch.add(epoch, seen)
    return watch


def test_a_fall_names_both_epochs_and_asking_changes_nothing():
    watch = watched(row(0.5, 0.4), row(0.6, 0.5))
    for _ in range(2):
        assert watch.fall(3, row(0.35, 0.7)) == (Seen(2, 0.6, 0.5), Seen(3, 0.35, 0.7))
    assert watch.fall(3, row(0.55, 0.7)) is None
    assert watch.fall(5, row(0.35, 0.7)) is None, "longer ago than two epochs"


def test_without_a_rollback_the_next_epoch_is_measured_by_the_low_one_too():
    watch = watched(row(0.6, 0.5), row(0.1, 0.9))
    watch.add(3, row(0.1, 0.9))
    assert watch.fall(4, row(0.1, 0.95)) is None


def test_after_a_rollback_the_next_epochs_are_measured_by_what_it_fell_from():
    watch = watched(row(0.6, 0.5), row(0.1, 0.9, back=1))
    assert watch.fall(3, row(0.55, 0.55)) is None
    assert watch.fall(4, row(0.1, 0.9)) == (Seen(2, 0.6, 0.5), Seen(4, 0.1, 0.9))
    watch.add(3, row(0.1, 0.9, back=1))
    assert watch.fall(5, row(0.1, 0.9)) == (Seen(3, 0.6, 0.5), Seen(5, 0.1, 0.9))


def test_what_was_not_measured_is_no_fall():
    watch = watched(row(0.6, 0.5))
    for val, train in ((None, 0.9), (0.1, None), (float("nan"), 0.9)):
        assert watch.fall(2, row(val, train)) is None
        watch.add(2, row(val, train))
    assert watch.fall(3, {"val_robust_acc": 0.1, "train_robust_acc": 0.9}) is not None


def test_neither_question_holds_the_other_on_recorded_trials():
    """The counts that docs/collapse.md gives for keeping both."""
    run = read_run(Path(__file__).parents[1] / "results" / "collapse")
    by_rule, by_clean = set(), set()
    for trial, rows in run.epochs.sort_values("epoch").groupby("trial_id"):
        watch, clean = Watch(), CleanWatch()
        for each in rows.astype(object).where(rows.notna(), None).to_dict("records"):
            if watch.fall(each["epoch"], each):
                by_rule.add(trial)
            watch.add(each["epoch"], each)
            if each["val_robust_acc"] is not None:
                clean.fell(each["val_robust_acc"], each["val_clean_acc"])
            if clean.suspect >= 2:
                by_clean.add(trial)
    assert (len(by_rule), len(by_clean), len(by_rule & by_clean)) == (3, 4, 0)


def test_what_an_unstable_training_recovers_from_is_no_collapse():
    """The counts of docs/collapse.md: nothing was ended there, and the trial came back to 0.70."""
    run = read_run(Path(__file__).parents[1] / "results" / "unstable")
    ended: dict[int, set[str]] = {1: set(), 2: set()}
    for trial, rows in run.epochs.sort_values("epoch").groupby("trial_id"):
        for rule, found in ended.items():
            watch = Watch(rule)
            for each in rows.to_dict("records"):
                if watch.fall(each["epoch"], each):
                    found.add(trial)
                watch.add(each["epoch"], each)
    assert len(ended[1]) == 1 and not ended[2]
    last = run.trials.set_index("trial_id")["last_value"]
    assert last[ended[1].pop()] >= 0.69
