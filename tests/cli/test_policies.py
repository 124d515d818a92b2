"""`rayat replay` and `rayat verify` on a real ledger and on a table."""

from __future__ import annotations

import json

from rayat.ledger.writer import Ledger
from rayat.replay.synthetic import save, synthetic


def test_replay_of_a_table(rayat, tmp_path):
    path = tmp_path / "c.parquet"
    save(synthetic(9, 12, 0), path)
    extra = ["--plot", tmp_path / "f.svg", "--log", tmp_path / "d.jsonl"]
    result = rayat("replay", path, "--policy", "asha,accel:none", "--sweeps", 3, "--json", *extra)
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["policies"]
    assert [row["policy"] for row in rows] == ["none", "asha", "accel:none"]
    for key in ("compute", "makespan", "final", "worse_share", "spearman"):
        assert all(len(row[f"{key}_ci"]) == 2 for row in rows)
    assert "accel:none" in (tmp_path / "f.svg").read_text()
    first = json.loads((tmp_path / "d.jsonl").read_text().splitlines()[0])
    assert {"policy", "sweep", "trial_id", "epoch", "rule", "sentence", "evidence"} <= set(first)


def test_replay_of_a_run(rayat, run_folder):
    result = rayat("replay", run_folder, "--policy", "median", "--sweeps", 2)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("policy  compute")


def test_replay_refuses_what_it_does_not_know(rayat, run_folder):
    assert rayat("replay", run_folder, "--policy", "asho").exit_code == 2
    result = rayat("replay", run_folder, "--map", "pgd")
    assert result.exit_code == 2
    assert "--map takes ROLE=COLUMN" in result.stderr


def test_verify_has_code_4_on_a_difference(rayat, run_folder):
    result = rayat("verify", run_folder)
    assert result.exit_code == 0, result.output
    assert result.stdout == "0 decisions from 30 reports: none differs\n"
    with Ledger.open(run_folder) as ledger:
        name = next(iter(ledger.trials()))
        ledger.decision(name, 2, action="stop", rule="x", sentence="1", evidence={"a": 1})
    result = rayat("verify", run_folder)
    assert result.exit_code == 4
    assert f"trial {name}: epoch 2: stop by x is recorded, but not made again" in result.stdout
    assert json.loads(rayat("verify", run_folder, "--json").stdout)["difference"]
