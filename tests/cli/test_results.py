"""`rayat status`, `compare`, `report`, `repair` on runs from a real ledger."""

from __future__ import annotations

import json
import os
from datetime import datetime

from rayat.ledger.writer import Ledger


def test_status_of_an_ended_run(rayat, run_folder):
    result = rayat("status", run_folder)
    assert result.exit_code == 0
    assert "none; every trial has ended" in result.stdout
    assert "6: 6 finished; 0 evaluated" in result.stdout
    assert result.stdout.count("lr.shape=cosine") == 3
    assert "5/5" in result.stdout


def test_status_for_a_machine(rayat, run_folder):
    facts = json.loads(rayat("status", run_folder, "--json").stdout)
    assert facts["complete"] is True
    assert facts["writer"] is None
    assert facts["statuses"] == {"finished": 6}
    first = facts["trials"][0]
    assert first["stop_reason"] is None
    assert first["epochs_run"] == first["best_epoch"] == 5
    assert abs(first["best_value"] - 0.35) < 1e-9


def test_status_of_a_living_run_names_its_writer(rayat, run_folder):
    with Ledger.open(run_folder):
        facts = json.loads(rayat("status", run_folder, "--json").stdout)
        text = rayat("status", run_folder).stdout
    assert facts["writer"]["pid"] == os.getpid()
    assert f"process {os.getpid()} on {facts['writer']['host']} is writing it" in text
    assert json.loads(rayat("status", run_folder, "--json").stdout)["writer"] is None


def test_status_does_not_keep_the_driver_out(rayat, run_folder):
    rayat("status", run_folder)
    Ledger.open(run_folder).close()


def test_status_of_an_interrupted_run_says_how_to_go_on(rayat, bench, tmp_path, monkeypatch):
    here = bench(None, [("cosine", 3), ("constant", 3)])
    here.report(0, 1)
    here.fail(1, "\x1b[31mbad")
    here.driver.ledger.close()
    monkeypatch.chdir(tmp_path)
    result = rayat("status", "bench-0")
    assert "none; go on with: rayat resume bench-0" in result.stdout
    assert "2: 1 failed, 1 interrupted" in result.stdout
    assert "failed: \\x1b[31mbad" in result.stdout


def test_compare_names_the_faster_arm(rayat, run_folder):
    result = rayat("compare", run_folder, "--baseline", "lr.shape=constant")
    assert result.exit_code == 0, result.output
    assert "lr.shape=cosine" in result.stdout
    assert json.loads(rayat("compare", run_folder, "--json").stdout)


def test_compare_refuses_an_arm_that_is_not_there(rayat, run_folder):
    result = rayat("compare", run_folder, "--baseline", "lr.shape=constnt")
    assert result.exit_code == 2
    assert "constnt" in result.stderr


def test_report_is_one_html_file(rayat, run_folder, tmp_path):
    result = rayat("report", run_folder, "--out", tmp_path / "r.html")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip().endswith("r.html")
    text = (tmp_path / "r.html").read_text()
    assert "lr.shape=cosine" in text
    assert rayat("report", run_folder).exit_code == 0
    assert (run_folder / "report.html").is_file()


def test_repair_says_what_it_rebuilt(rayat, run_folder):
    (run_folder / "epochs.parquet").write_bytes(b"PAR1")
    refused = rayat("status", run_folder)
    assert refused.exit_code == 3
    assert "epochs.parquet" in refused.stderr
    result = rayat("repair", run_folder)
    assert result.exit_code == 0
    assert "epochs.parquet" in result.stdout
    assert rayat("status", run_folder).exit_code == 0
    assert json.loads(rayat("repair", run_folder, "--json").stdout)["rebuilt"] == []


def test_a_run_is_copied_to_a_uri_and_back(rayat, run_folder, tmp_path):
    uri, back = f"file://{tmp_path}/store", tmp_path / "back"
    assert f"each compared: {uri}" in rayat("copy", run_folder, uri).stdout
    done = json.loads(rayat("copy", uri, back, "--json").stdout)
    assert done["files"] > 5
    one, other = (rayat("compare", folder, "--markdown").stdout for folder in (run_folder, back))
    assert one == other != ""


def test_a_living_run_is_not_copied(rayat, run_folder, tmp_path):
    with Ledger.open(run_folder):
        result = rayat("copy", run_folder, tmp_path / "copy")
    assert result.exit_code == 3
    assert "is being written" in result.stderr
    assert not (tmp_path / "copy").exists()


def test_best_says_what_to_train_with_and_writes_it(rayat, run_folder, tmp_path):
    file = tmp_path / "best.json"
    result = rayat("best", run_folder, "--top", 2, "--out", file)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("lr.shape=cosine (cosinexxxxxx) reached")
    assert "partly" in result.stdout and "rayat confirm" in result.stdout
    assert result.stdout.rstrip().endswith(f"rayat train --config {file}")
    assert json.loads(file.read_text()) == {"epochs": 5, "lr": {"shape": "cosine"}}
    told = json.loads(rayat("best", run_folder, "--json").stdout)
    assert [row["arm"] for row in told["rows"]] == ["lr.shape=cosine"]
    assert rayat("best", run_folder, "--baseline", "cosin").exit_code == 2
    whole = json.loads(rayat("best", run_folder, "--front", "--json").stdout)
    assert {"points", "axes", "warning"} <= set(whole)
    shown = rayat("best", run_folder, "--front", "--axes").stdout
    assert "Best value for the passes until it" in shown and "counts, no effects" in shown


def test_compare_prints_one_format_and_the_arms_asked_for(rayat, run_folder):
    csv = rayat("compare", run_folder, "--format", "csv", "--arms", "lr.shape=cosine").stdout
    assert csv.startswith("study,metric,arm,") and len(csv.splitlines()) == 3
    assert "\\toprule" in rayat("compare", run_folder, "--format", "latex").stdout
    same = [("--markdown",), ("--format", "markdown")]
    assert len({rayat("compare", run_folder, *asked).stdout for asked in same}) == 1
    plain = rayat("compare", run_folder, "--json").stdout
    assert rayat("compare", run_folder, "--json", "--format", "json").stdout == plain
    refused = rayat("compare", run_folder, "--json", "--format", "csv")
    assert refused.exit_code == 2 and "one format at a time, got csv and json" in refused.stderr


def test_what_if_says_what_less_would_have_found(rayat, run_folder):
    result = rayat("what-if", run_folder, "--budget", "0.5", "--policy", "none")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Cut after 33 k of 66 k passes (50 %), the run would have")
    assert "the whole record" in result.stdout and "partly luck" in result.stdout
    told = json.loads(rayat("what-if", run_folder, "--json").stdout)
    assert [row["how"] for row in told["rows"]][:2] == ["cut short", "median"]
    assert rayat("what-if", run_folder, "--budget", "half").exit_code == 2


def test_status_of_a_living_run_says_when_it_was_heard_of(rayat, bench, tmp_path):
    here = bench(None, [("cosine", 3)])
    here.driver.ledger.project()
    text = rayat("status", tmp_path / "bench-0").stdout
    assert "is writing it; starting, no report yet, begun" in text
    here.report(0, 1)
    here.driver.ledger.project()
    assert "is writing it; last report" in rayat("status", tmp_path / "bench-0").stdout
    facts = json.loads(rayat("status", tmp_path / "bench-0", "--json").stdout)
    begun, last = (datetime.fromisoformat(facts[key]) for key in ("begun", "last_report"))
    assert last >= begun
