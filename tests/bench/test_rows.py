"""Rows, bars, ratios, and the Parquet file."""

from __future__ import annotations

import json
import math
import statistics

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayat.bench.rows import METADATA_KEY, Bar, BenchRow, measured, ratios, write
from rayat.errors import LedgerError

times = st.floats(1e-6, 1e6)


@given(st.lists(st.tuples(times, times, st.floats(0.1, 10)), min_size=1, max_size=9))
def test_a_round_that_is_slower_for_both_sides_changes_no_ratio(rounds):
    plain = ratios([a for a, _, _ in rounds], [b for _, b, _ in rounds])
    slowed = ratios([a * f for a, _, f in rounds], [b * f for _, b, f in rounds])
    assert slowed == pytest.approx(plain)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_a_measured_row_holds_median_extremes_and_rounds(samples):
    row = measured("B1.a", "x", samples)
    assert (row.low, row.value, row.high) == (
        min(samples),
        statistics.median(samples),
        max(samples),
    )
    assert row.rounds == len(samples)
    assert row.low <= row.value <= row.high


def test_ratios_need_as_many_rounds_on_both_sides():
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("side", "value", "holds"),
    [
        (">=", 2.0, True),
        (">=", 1.999, False),
        ("<=", 2.0, True),
        ("<=", 2.001, False),
        (">=", math.nan, False),
        ("<=", math.nan, False),
    ],
)
def test_a_bar_is_reached_at_its_limit_and_never_by_nan(side, value, holds):
    assert Bar(2.0, side).holds(value) is holds


@pytest.mark.parametrize(
    ("fields", "state", "passed"),
    [
        ({"value": 2.5, "bar": Bar(2)}, "ok", True),
        ({"value": 1.5, "bar": Bar(2)}, "missed", False),
        ({"value": 1.5}, "no bar", None),
        ({"value": 1.5, "bar": Bar(2), "judged": False}, "not judged", None),
        ({"bar": Bar(2), "reason": "not installed"}, "not run", None),
    ],
)
def test_a_row_says_what_became_of_its_bar(fields, state, passed):
    row = BenchRow("B1.a", "x", **fields)
    assert (row.state, row.passed) == (state, passed)


def test_the_parquet_file_has_this_schema_and_the_machine_in_its_metadata(tmp_path):
    path = tmp_path / "new" / "bench.parquet"
    rows = [
        measured("B1.a", "engine", [1.0, 2.0, 4.0], bar=Bar(3), context={"load": 0.5}),
        BenchRow("B2.a", "not here", reason="not installed"),
    ]
    write(path, rows, {"processor": "some"})
    table = pq.read_table(path)
    assert {f.name: str(f.type) for f in table.schema} == {
        "name": "string",
        "what": "string",
        "unit": "string",
        "value": "double",
        "low": "double",
        "high": "double",
        "rounds": "int64",
        "bar": "double",
        "bar_side": "string",
        "passed": "bool",
        "state": "string",
        "reason": "string",
        "context_json": "string",
    }
    about = json.loads(table.schema.metadata[METADATA_KEY])
    assert about == {"schema_version": 1, "processor": "some"}
    first, second = table.to_pylist()
    assert (first["value"], first["low"], first["high"], first["rounds"]) == (2.0, 1.0, 4.0, 3)
    assert (first["bar"], first["bar_side"], first["passed"]) == (3.0, ">=", False)
    assert json.loads(first["context_json"]) == {"load": 0.5}
    assert second["value"] is None and second["bar"] is None and second["passed"] is None
    assert (second["state"], second["reason"]) == ("not run", "not installed")


def test_a_file_is_replaced_whole_and_a_folder_in_its_place_is_named(tmp_path):
    path = tmp_path / "bench.parquet"
    write(path, [measured("B1", "x", [1.0])], {})
    write(path, [measured("B2", "x", [1.0])], {})
    assert pa.Table.to_pydict(pq.read_table(path))["name"] == ["B2"]
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(LedgerError, match=r"folder\.parquet"):
        write(tmp_path / "folder.parquet", [], {})
