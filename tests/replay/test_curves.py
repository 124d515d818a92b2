"""Tables of curves are recognised, whatever their columns are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rayat.errors import LedgerError
from rayat.ledger.writer import Ledger
from rayat.replay.curves import METRIC, read_curves, smooth, table_curves


def frame(**more):
    base = {"run": ["a", "a", "a", "b", "b"], "epoch": [1, 2, 3, 1, 2], "train_seconds": 2.0}
    return pd.DataFrame({**base, "robust_acc": [0.1, 0.2, 0.3, 0.2, 0.1], **more})


def test_runs_of_unequal_length_in_any_row_order():
    a, b = table_curves(frame(lr=[0.1, 0.1, 0.01, 0.2, 0.2]).iloc[::-1], {}, "t")[::-1]
    assert [row[METRIC] for row in a.rows] == [0.1, 0.2, 0.3]
    assert (a.view.trial_id, a.view.epochs, a.view.rates) == ("a", 3, (0.1, 0.1, 0.01))
    assert (b.view.epochs, b.seconds.tolist(), len(b.rows)) == (2, [2.0, 2.0], 2)
    assert a.truth.tolist() == pytest.approx([0.15, 0.2, 0.25])


def test_the_first_known_column_with_values_counts():
    table = frame(val_robust_acc=np.nan, lr=0.5, lr_now=[1.0, 0.5, 0.1, 1.0, 1.0], seconds=3.0)
    a, _ = table_curves(table.assign(test_robust_acc=0.4, clean_acc=0.9), {}, "t")
    assert a.view.rates == (1.0, 0.5, 0.1)
    assert a.seconds.tolist() == [3.0] * 3
    assert a.truth.tolist() == [0.4] * 3
    assert a.rows[0]["val_clean_acc"] == 0.9


def test_epochs_may_count_from_0_and_have_gaps():
    table = frame(epoch=[0, 1, 4, 0, 1])
    a, b = table_curves(table, {}, "t")
    assert [row[METRIC] for row in a.rows] == [0.1, 0.2, None, None, 0.3]
    assert a.seconds.tolist() == [2, 2, 0, 0, 2]
    assert a.best(4) == 1 and a.best(5) == 4
    assert b.view.epochs == 2


def test_other_columns_are_named():
    table = frame().rename(columns={"robust_acc": "pgd"})
    with pytest.raises(LedgerError, match=r"no column for robust_acc .* --map robust_acc=COLUMN"):
        table_curves(table, {}, "t")
    assert len(table_curves(table, {"robust_acc": "pgd"}, "t")) == 2
    with pytest.raises(LedgerError, match=r"no column 'pgdd' \(did you mean 'pgd'\?\)"):
        table_curves(table, {"robust_acc": "pgdd"}, "t")
    with pytest.raises(LedgerError, match=r"unknown role 'robust'"):
        table_curves(table, {"robust": "pgd"}, "t")


def test_wrong_tables_are_refused(tmp_path):
    with pytest.raises(LedgerError, match="trial 'a' has an epoch twice"):
        table_curves(frame(epoch=[1, 1, 2, 1, 2]), {}, "t")
    with pytest.raises(LedgerError, match="trial 'b' has no robust accuracy at all"):
        table_curves(frame(robust_acc=[0.1, 0.2, 0.3, np.nan, np.nan]), {}, "t")
    with pytest.raises(LedgerError, match="no such file or run"):
        read_curves(tmp_path / "none.parquet")
    (tmp_path / "x.parquet").write_bytes(b"text")
    with pytest.raises(LedgerError, match="not a readable Parquet file"):
        read_curves(tmp_path / "x.parquet")


def test_a_feedback_shapes_future_is_not_given_away():
    table = frame(lr=[0.1, 0.05, 0.05, 0.1, 0.1], lr_shape="accelat")
    a, _ = table_curves(table, {}, "t")
    assert a.view.rates is None
    assert a.view.config["lr"] == {"shape": "accelat", "peak": 0.1, "factor": 0.5}
    assert [row["lr"] for row in a.rows] == [0.1, 0.05, 0.05]


def test_a_runs_own_ledger_is_read(tmp_path):
    info = {"study": {"name": "s", "policy": {"name": "none"}}, "metric": METRIC}
    with Ledger.create(tmp_path / "run", info) as ledger:
        ledger.trial("t0", 0, "x=1", "c", "0", '{"lr": {"shape": "constant"}}', 0, 4, 1)
        attempt = ledger.attempt("t0")
        for epoch, value in enumerate((0.1, 0.3, 0.2), 1):
            row = {
                "epoch": epoch,
                "lr": 0.1,
                METRIC: value,
                "train_seconds": 1.5,
                "val_clean_acc": 0.5,
            }
            ledger.report("t0", attempt, row)
    (curve,) = read_curves(tmp_path / "run")
    assert curve.view.epochs == 4  # as planned: a policy must not know where the record ends
    assert curve.view.config == {"lr": {"shape": "constant"}}
    assert curve.seconds.tolist() == [1.5] * 3
    assert curve.rows[1][METRIC] == 0.3


def test_smoothing_is_centred_and_skips_what_is_missing():
    assert smooth(np.array([0.0, 3.0, 6.0])).tolist() == [1.5, 3.0, 4.5]
    assert smooth(np.array([1.0, np.nan, 3.0])).tolist() == [1.0, 2.0, 3.0]


RESULTS = Path(__file__).parents[2] / "results"


@pytest.mark.parametrize(
    ("run", "diverged", "stops"), [("dat_bits", 5, True), ("collapse", 0, False)]
)
def test_a_run_says_which_of_its_trials_broke_and_whether_a_collapse_ended_them(
    run, diverged, stops
):
    found = read_curves(RESULTS / run)
    assert sum(curve.rows[-1].get("outcome") == "diverged" for curve in found) == diverged
    assert {curve.stop_collapsed for curve in found} == {stops}
    assert all("train_robust_acc" in curve.rows[0] for curve in found)
