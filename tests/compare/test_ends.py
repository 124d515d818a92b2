"""A study that asks for the cost to its target alone: what its table may and may not say."""

from __future__ import annotations

import pytest

from rayat.compare.beside import beside
from rayat.compare.best import best
from rayat.compare.table import compare
from rayat.report.write import report

FAST, SLOW = "lr.shape=cyclic", "lr.shape=constant"


@pytest.fixture
def asked(builder):
    """Return a run whose trials ended at the target, but for those of an arm that never got there.

    Cosine was `not reached` by its first seed, and the others were stopped for it.
    """
    for seed in range(3):
        # The shared test rows are there: whatever they say, nobody asked.
        builder.trial(SLOW, seed, [0.1] * 7 + [0.6], status="stopped", test=(0.9, 0.6))
        builder.trial(
            FAST, seed, [0.1] * 3 + [0.6 + 0.01 * seed], status="stopped", test=(0.9, 0.2)
        )
        cosine = [0.1] * (1 if seed else 9)
        builder.trial("lr.shape=cosine", seed, cosine, status="stopped" if seed else "finished")
    return builder.build(ends="at-target")


def test_a_faster_arm_is_said_to_be_so_and_nothing_of_its_robustness(asked):
    found = compare(asked)
    rows = {row.arm: row for row in found.rows}
    assert rows[FAST].verdict == "faster, robustness not asked"
    assert rows[FAST].fates == {"reached": 3}
    assert rows[FAST].costs["epochs"].mean == 4, "stopped at the target: its cost is exact"
    assert rows[FAST].sentence.endswith("3 seeds; final robustness was not asked.")
    assert f". Train with {FAST}: it reaches 0.500" in found.headline
    assert "3 seeds; final robustness was not asked." in found.headline
    assert rows["lr.shape=cosine"].verdict == "not reached"
    assert rows["lr.shape=cosine"].fates == {"not reached": 1, "stopped before the target": 2}
    for row in found.rows:
        assert row.robust_difference is None
        assert set(row.robust.values()) | set(row.clean.values()) == {None}
        assert not row.differs


def test_every_form_of_the_table_says_that_robustness_was_not_asked(asked):
    found = compare(asked)
    texts = (found.render(), found.markdown(), found.csv(), found.latex(), report(asked, found))
    for text in texts:
        assert "not asked" in text
        assert "no loss shown" not in text and "robust accuracy differs" not in text
    assert "Trials (accuracy: not asked" in texts[0] and "robust best" not in texts[0]
    assert 'asks for the cost to its target alone (ends="at-target")' in texts[0]
    assert "Clean against robust accuracy" not in texts[-1]
    assert found.to_json()["asked"] is False


def test_without_a_faster_arm_nothing_is_said_of_matched_robustness(builder):
    builder.arm(SLOW, [[0.1, 0.6]] * 3).arm(FAST, [[0.1, 0.1, 0.6]] * 3)
    headline = compare(builder.build(ends="at-target")).headline
    assert headline == (
        "No arm is shown to reach 0.500 robust accuracy on validation sooner than "
        f"{SLOW} (1 slower)."
    )


def test_accuracies_are_shown_where_a_suite_is_named_and_decide_nothing(asked):
    row = next(row for row in compare(asked, suite="pgd-20").rows if row.arm == FAST)
    assert row.verdict == "faster, robustness not asked"
    assert row.robust_difference is None


def test_the_best_configuration_is_ranked_by_cost_with_a_word_on_its_value(asked):
    found = best(asked, top=2)
    assert found.rows[0].arm == FAST
    assert found.rows[0].verdict == "faster, robustness not asked"
    assert any("is not what they would have come to" in note for note in found.notes)


def test_beside_a_run_that_asks_for_more_no_robustness_is_compared(make_run, tmp_path):
    runs = []
    for name, ends in (("one", "at-end"), ("two", "at-target")):
        made = make_run().arm(SLOW, [[0.1, 0.6]] * 3, test=(0.9, 0.5))
        made.arm(FAST, [[0.6, 0.6]] * 3, test=(0.9, 0.5))
        runs.append(made.build(tmp_path / name, ends=ends))
    for order in (runs, runs[::-1]):
        found = compare(beside(order))
        assert not found.asked
        assert all("no loss" not in row.sentence for row in found.rows)
