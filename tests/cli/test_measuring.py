"""`rayat bench` and `rayat profile`: what they print, write and exit with."""

from __future__ import annotations

import json
import math

import pyarrow.parquet as pq
import pytest
import torch

from rayat.bench.ray_suite import ORCHESTRATION
from rayat.bench.rows import METADATA_KEY, Bar, BenchRow, measured
from rayat.bench.suite import ENGINE, Benchmark, choose


@pytest.fixture(autouse=True)
def process_settings():
    """Put back what a benchmark sets for the whole process."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture
def one_row(monkeypatch):
    """Return a function that puts a benchmark with the given row in place of B10."""

    def put(row: BenchRow) -> None:
        monkeypatch.setitem(ENGINE, "B10", Benchmark("one row", lambda settings: [row]))

    return put


def test_a_row_stands_with_its_bar_and_result(rayat):
    result = rayat("bench", "B10", "--quick")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    (row,) = [line for line in lines if line.startswith("B10")]
    assert ">= 20" in row and "not judged" in row and "window view" in row
    assert any(line.startswith("processor") for line in lines)
    assert any(line.startswith("load") for line in lines)
    assert lines[-1] == "quick: sizes are too small for any claim"


@pytest.mark.parametrize(
    ("value", "strict", "code"), [(1.0, False, 0), (1.0, True, 4), (3.0, True, 0)]
)
def test_a_missed_bar_is_said_and_fails_only_if_asked_to(rayat, one_row, value, strict, code):
    one_row(measured("B10", "ours", [value], bar=Bar(2)))
    result = rayat("bench", "B10", *(["--strict"] if strict else []))
    assert result.exit_code == code
    said = "1 of 1 bars reached" if value == 3 else "0 of 1 bars reached; missed: B10"
    assert result.stdout.splitlines()[-1] == said


def test_a_row_that_could_not_run_says_why_and_misses_nothing(rayat, one_row):
    one_row(BenchRow("B10", "ours", bar=Bar(2), reason="not here: install it"))
    result = rayat("bench", "B10", "--strict")
    assert result.exit_code == 0
    assert "B10: not here: install it" in result.stdout


def test_json_and_parquet_hold_rows_and_machine(rayat, one_row, tmp_path):
    one_row(measured("B10", "ours", [1.0, 2.0, 3.0], bar=Bar(2)))
    path = tmp_path / "rows.parquet"
    result = rayat("bench", "B10", "--json", "--out", path)
    said = json.loads(result.stdout)
    assert [row["name"] for row in said["rows"]] == ["B10"]
    assert said["rows"][0]["passed"] is True
    assert said["machine"]["packages"]["torch"] == torch.__version__.partition("+")[0]
    table = pq.read_table(path)
    assert table.to_pylist()[0]["value"] == 2.0
    about = json.loads(table.schema.metadata[METADATA_KEY])
    assert about["hardware"]["cores"] == said["machine"]["hardware"]["cores"]
    assert "load_average_after" in about


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--quick", "--strict"], "--strict judges, and --quick is too small"),
        (["B99"], "unknown benchmark 'B99'"),
    ],
)
def test_what_makes_no_sense_is_refused(rayat, arguments, text):
    result = rayat("bench", *arguments)
    assert result.exit_code == 2
    assert text in result.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_rows_are_not_run(rayat):
    result = rayat("bench", "--gpu")
    assert result.exit_code == 0
    assert "G: not run: no GPU" in result.stdout


SMALL = ["data.train_size=128", "data.val_size=32", 'model={"name":"preactresnet","width":2}']


def test_profile_says_where_the_time_goes(rayat):
    changes = [part for text in SMALL for part in ("--set", text)]
    result = rayat("profile", "shapes", "--epochs", 2, "--ops", 3, "--json", *changes)
    assert result.exit_code == 0
    facts = json.loads(result.stdout)
    assert facts["epochs"] == 2
    assert sum(facts["shares"].values()) == pytest.approx(1)
    assert set(facts["shares"]) >= {"attack", "train", "data", "eval", "checkpoint", "reporting"}
    assert len(facts["operators"]) == 3
    assert "ray_seconds" not in facts


def test_profile_is_a_table_for_people(rayat):
    changes = [part for text in SMALL for part in ("--set", text)]
    result = rayat("profile", "shapes", "--epochs", 2, "--ops", 0, *changes)
    assert result.exit_code == 0
    assert result.stdout.startswith("shapes, lr.shape=constant: 2 epochs in ")
    assert "\nattack " in result.stdout and "torch operator" not in result.stdout


@pytest.mark.slow
def test_profile_through_ray_adds_what_ray_costs(local_ray, rayat):
    changes = [part for text in SMALL for part in ("--set", text)]
    arguments = ["--epochs", 2, "--ops", 0, "--through-ray", "--json", *changes]
    facts = json.loads(rayat("profile", "shapes", *arguments).stdout)
    assert set(facts["ray_seconds"]) == {"per_epoch", "per_trial", "process", "cluster"}
    assert facts["ray_seconds"]["process"] > 0
    assert all(math.isfinite(seconds) for seconds in facts["ray_seconds"].values())


ALL = (*(f"B{n}" for n in range(1, 14)), "S2", "S3", "O1", "O2", "O3")


def test_the_whole_suite_is_what_runs_where_none_is_named():
    assert set(choose(ENGINE | ORCHESTRATION, [], [])) == set(ALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "run"),
    # What runs here is what tests/bench/ does not run.
    [(("O1",), ("O1",)), pytest.param((), ALL, marks=pytest.mark.long)],
    ids=["through Ray", "all"],
)
def test_the_suite_runs_quickly_and_misses_nothing_that_it_could_not_judge(
    local_ray, rayat, tmp_path, asked, run
):
    path = tmp_path / "quick.parquet"
    result = rayat("bench", "--quick", "--out", path, *asked)
    assert result.exit_code == 0, result.stderr
    rows = pq.read_table(path).to_pylist()
    names = {row["name"].partition(".")[0] for row in rows}
    assert names == set(run)
    assert not [row for row in rows if row["passed"] is not None]
    found = {row["name"]: {**row, **json.loads(row["context_json"])} for row in rows}
    (run,) = (row for name, row in found.items() if name.startswith("O1"))
    assert run["value"] > 0 and run["rounds"] == 1
    assert run["trials"] == run["epochs"] == 2
    if "O3" not in names:
        return
    assert [name for name in found if name.startswith("O3")] == ["O3.a", "O3.b", "O3.c", "O3.d"]
    if found["O3.a"]["reason"]:
        assert "fashion" in found["O3.a"]["reason"].lower()
    else:
        assert found["O3.a"]["trial_mb"]["rss"] > 100
        assert 0 < found["O3.d"]["value"] < found["O3.a"]["value"]
        assert found["O3.c"]["trials"] == [1, 2]
