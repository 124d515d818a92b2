from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayat.errors import LedgerError
from rayat.ledger.keys import REPORT_KEYS
from rayat.ledger.rows import eval_row, plain, report_row, text, trial_row
from rayat.ledger.schema import EPOCHS

FLOATS = [n for n in REPORT_KEYS if str(EPOCHS.field(n).type) == "double"]


def test_unknown_keys_name_the_nearest():
    with pytest.raises(LedgerError, match=r"unknown key 'val_robust_ac' of a report row \(did you"):
        report_row({"epoch": 1, "val_robust_ac": 0.1})
    with pytest.raises(
        LedgerError, match=r"unknown key 'robust' of a evaluation|of an? evaluation"
    ):
        eval_row({"robust": 1})


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 10**400, None, np.float32("nan")])
def test_what_is_not_finite_is_null(bad):
    assert "val_robust_acc" not in report_row({"epoch": 1, "val_robust_acc": bad})


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("lr", "0.1", "must be a number"),
        ("lr", True, "must be a number"),
        ("samples", 1.5, "must be a 64-bit integer"),
        ("samples", 2**63, "must be a 64-bit integer"),
        ("samples", 1e300, "must be a 64-bit integer"),
        ("outcome", 3, "must be a text"),
        ("lr", object(), "cannot be stored"),
    ],
)
def test_wrong_values_say_what_was_given(key, value, what):
    with pytest.raises(LedgerError, match=what):
        report_row({"epoch": 1, key: value})


@pytest.mark.parametrize("epoch", [None, 0, -1, math.nan])
def test_a_report_needs_its_epoch(epoch):
    with pytest.raises(LedgerError, match="an epoch of 1 or more, got"):
        report_row({"epoch": epoch})


def test_numpy_scalars_become_plain():
    row = report_row({"epoch": np.int64(2), "lr": np.float32(0.5), "samples": np.float64(7)})
    assert row == {"epoch": 2, "lr": 0.5, "samples": 7}
    assert [type(v) for v in row.values()] == [int, float, int]


def test_running_totals_are_not_believed():
    assert report_row({"epoch": 1, "seconds_cum": 5.0, "passes_cum": 3}) == {"epoch": 1}


def test_an_evaluation_needs_its_key():
    with pytest.raises(LedgerError, match="needs 'suite'"):
        eval_row({"trial_id": "t", "checkpoint": "best"})


def test_a_declaration_has_the_columns_types():
    with pytest.raises(LedgerError, match="trial key 'seed' must be a number, got 'a'"):
        trial_row({"trial_id": "t", "seed": "a"})


@given(st.sampled_from(FLOATS), st.floats())
def test_floats_survive_json_exactly(name, value):
    row = json.loads(json.dumps(report_row({"epoch": 1, name: value}), allow_nan=False))
    assert row.get(name) == (value if math.isfinite(value) else None) or name in (
        "seconds_cum",
        "passes_cum",
    )


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda below: st.lists(below) | st.tuples(below) | st.dictionaries(st.integers(), below),
    max_leaves=8,
)


@given(nested)
def test_plain_values_are_json_and_stay_as_they_are(value):
    once = plain(value)
    assert json.loads(json.dumps(once, allow_nan=False)) == once
    assert plain(once) == once


def test_text_holds_only_what_utf8_can():
    assert text("a\udc80b") == "a?b"
    assert text(None) is None
    assert text(7) == "7"
