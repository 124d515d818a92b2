from __future__ import annotations

import json
import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayat.ledger.publish import parquet
from rayat.ledger.schema import EPOCHS, TABLES
from rayat.ledger.state import State
from rayat.ledger.tables import build
from rayat.ledger.writer import Ledger


def fold(configs=({},), rows=(), metric="val_robust_acc"):
    """Return the tables of trials with the given configurations; `rows` belong to the first."""
    state, at = State(), 1_700_000_000_000_000
    head = {"fence": 1, "at": at}
    state.apply({**head, "kind": "run", "info": {"metric": metric}})
    for index, config in enumerate(configs):
        trial = {"trial_id": f"t{index}", "trial_index": index, "config_json": json.dumps(config)}
        state.apply({**head, "kind": "trial", "trial": trial})
    begin = {**head, "trial_id": "t0", "device": "cpu", "host": "h"}
    state.apply({**begin, "kind": "attempt"})
    for epoch, row in enumerate(rows, 1):
        report = {"trial_id": "t0", "attempt": 1, "row": {"epoch": epoch, **row}}
        state.apply({**head, "kind": "report", **report})
    return build(state)


BEND = {"name": "bend", "kind": "float", "unit": "nats", "says": "how far", "by": "attack 'a'"}
COUNT = {"name": "count", "kind": "int", "unit": "", "says": "how many", "by": "pruning 'p'"}


def declaring():
    """Return the state of three trials: two declare columns of their own, one does not."""
    state, head = State(), {"fence": 1, "at": 0}
    state.apply({**head, "kind": "run", "info": {"metric": "val_robust_acc"}})
    for index, columns in enumerate(([BEND], [], [BEND, COUNT])):
        trial = {"trial_id": f"t{index}", "trial_index": index, "config_json": "{}"}
        more = {"columns": columns} if columns else {}
        state.apply({**head, "kind": "trial", "trial": trial, **more})
        begin = {**head, "trial_id": f"t{index}", "device": "cpu", "host": "h"}
        state.apply({**begin, "kind": "attempt"})
        row = {"epoch": 1, "lr": 0.5, "bend": 0.1 * index, "count": index}
        state.apply({**head, "kind": "report", "trial_id": f"t{index}", "attempt": 1, "row": row})
    return state


def test_declared_columns_follow_the_fixed_ones_and_are_null_where_nobody_declared_them():
    table = build(declaring())["epochs"]
    assert table.schema.names == [*EPOCHS.names, "bend", "count"]
    assert table["bend"].to_pylist() == [0.0, None, 0.2]
    assert table["count"].to_pylist() == [None, None, 2]
    assert table.schema.field("count").type == pa.int64()
    said = {k.decode(): v.decode() for k, v in table.schema.field("bend").metadata.items()}
    assert said == {"unit": "nats", "says": "how far", "by": "attack 'a'"}


def test_observations_hold_the_declared_columns_of_their_trial():
    state = declaring()
    names = [dict(zip(state.trials[t].names, v, strict=True)) for t, _, v in state.observed]
    assert [row.get("bend", "absent") for row in names] == [0.0, "absent", 0.2]


def test_a_declared_column_that_became_a_fixed_one_is_the_fixed_one():
    state = State()
    state.apply({"fence": 1, "at": 0, "kind": "run", "info": {"metric": "val_robust_acc"}})
    trial = {"trial_id": "t", "trial_index": 0, "config_json": "{}"}
    columns = [{**BEND, "name": "fosc"}]
    state.apply({"fence": 1, "at": 0, "kind": "trial", "trial": trial, "columns": columns})
    assert state.columns() == {}
    assert build(state)["epochs"].schema.names == EPOCHS.names


def first(table):
    return table.to_pylist()[0]


def test_tables_have_the_schema_and_say_its_version():
    for name, table in fold().items():
        schema = TABLES[name]
        assert table.schema.names[: len(schema.names)] == schema.names
        assert [table.schema.field(n).type for n in schema.names] == schema.types
        assert table.schema.metadata[b"rayat.schema_version"] == b"1"


def test_a_trial_without_reports():
    row = first(fold()["trials"])
    assert (row["status"], row["epochs_run"], row["seconds"]) == ("running", 0, 0.0)
    assert row["best_epoch"] is row["best_value"] is row["last_value"] is None
    assert row["checkpoint_best"] is row["checkpoint_last"] is row["fwd_passes"] is None
    assert row["selected_on"] == "none"


def test_the_summary_of_a_trial():
    rows = [{"val_robust_acc": v, "fwd_passes": 10, "eval_seconds": 0.5} for v in (0.1, 0.3, 0.3)]
    row = first(fold(rows=[*rows, {"fwd_passes": 1}])["trials"])
    assert (row["best_epoch"], row["best_value"], row["last_value"]) == (2, 0.3, None)
    assert (row["fwd_passes"], row["bwd_passes"], row["seconds"]) == (31, None, 1.5)
    assert (row["selected_on"], row["epochs_run"]) == ("val", 4)
    assert row["checkpoint_best"] == "checkpoints/t0/best"
    assert row["checkpoint_last"] == "checkpoints/t0/last"
    assert row["started_at"].tzinfo is not None and row["ended_at"] is None


def test_a_metric_of_the_training_split_is_no_selection():
    row = first(fold(rows=[{"train_robust_acc": 0.5}], metric="train_robust_acc")["trials"])
    assert (row["best_value"], row["selected_on"]) == (0.5, "none")


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=8))
def test_the_best_is_the_first_largest(values):
    row = first(fold(rows=[{"val_robust_acc": v} for v in values])["trials"])
    finite = [v for v in values if v is not None]
    assert row["best_value"] == (max(finite) if finite else None)
    assert row["best_epoch"] == (values.index(max(finite)) + 1 if finite else None)


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "fwd_passes": st.integers(0, 10**9),
                "eval_bwd_passes": st.integers(0, 10**9),
                "train_seconds": st.floats(0, 1e6),
                "checkpoint_seconds": st.floats(0, 1e6),
                "samples": st.integers(0, 10**9),
            },
        ),
        min_size=1,
        max_size=6,
    )
)
def test_running_totals_are_sums(rows):
    tables = fold(rows=rows)
    passes = seconds = 0
    for given_row, row in zip(rows, tables["epochs"].to_pylist(), strict=True):
        passes += given_row.get("fwd_passes", 0) + given_row.get("eval_bwd_passes", 0)
        seconds += given_row.get("train_seconds", 0) + given_row.get("checkpoint_seconds", 0)
        assert row["passes_cum"] == passes
        assert math.isclose(row["seconds_cum"], seconds)
    assert math.isclose(first(tables["trials"])["seconds"], seconds)


@pytest.mark.parametrize(
    ("leaves", "kind", "expected"),
    [
        ([1, 2], pa.int64(), [1, 2]),
        ([1, 0.5], pa.float64(), [1.0, 0.5]),
        ([True, None], pa.bool_(), [True, None]),
        (["a", "b"], pa.string(), ["a", "b"]),
        ([None, None], pa.string(), [None, None]),
        ([1, "a"], pa.string(), ["1", '"a"']),
        ([True, 1], pa.string(), ["true", "1"]),
        ([[1, 2], None], pa.string(), ["[1,2]", None]),
        ([2**70, 1], pa.string(), [str(2**70), "1"]),
    ],
)
def test_configuration_columns_have_the_narrowest_type(leaves, kind, expected):
    table = fold(configs=[{"lr": {"peak": leaf}} for leaf in leaves])["trials"]
    assert table.schema.field("cfg.lr.peak").type == kind
    assert table["cfg.lr.peak"].to_pylist() == expected


def test_a_leaf_that_only_some_trials_have_is_null_elsewhere():
    table = fold(configs=[{"a": 1}, {"b": {"c": "x"}}])["trials"]
    assert table["cfg.a"].to_pylist() == [1, None]
    assert table["cfg.b.c"].to_pylist() == [None, "x"]


def test_the_same_log_gives_the_same_bytes(finished):
    with Ledger.open(finished) as ledger:
        again = {f"{name}.parquet": parquet(table) for name, table in build(ledger.state).items()}
    for name, data in again.items():
        assert (finished / name).read_bytes() == data
