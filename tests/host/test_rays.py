"""What surrounds a local Ray: told, hidden, and given back. Beside real heads: test_heads.py."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rayat.errors import PlacementError
from rayat.host.rays import FOREIGN, apart, surroundings, temporary

START = """
from rayat.orchestration.cluster import cluster
with cluster(cpus=3) as capacity:
    print(capacity.cpus)
"""
STUDY = """
from rayat.study import Study
study = Study(name="one", base={
    "data": {"name": "digits", "train_size": 64, "val_size": 16}, "batch_size": 32, "epochs": 1,
    "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
    "attack": {"name": "fgsm", "eps": 0.2}, "eval": {"steps": 1, "final_steps": 1},
}, seeds=(0,))
"""


def test_what_is_ignored_is_named_by_doctor_and_plan(monkeypatch, tmp_path):
    from typer.testing import CliRunner

    from rayat.cli.app import app

    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert surroundings() == ""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    monkeypatch.setenv("RAY_ADDRESS", "10.9.8.7:6379")
    said = surroundings()
    assert "RAY_ADDRESS=10.9.8.7:6379" in said
    assert "127.0.0.1:1; nothing listens there any more" in said
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # the folder of this test is too long for sockets
    found = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    assert "10.9.8.7:6379" in {c["name"]: c["found"] for c in found}["other ray"]
    study = tmp_path / "one.py"
    study.write_text(STUDY)
    plan = CliRunner().invoke(app, ["plan", str(study), "--json"])
    assert "10.9.8.7:6379" in json.loads(plan.stdout)["notes"][0]


def test_the_environment_is_hidden_and_given_back(monkeypatch):
    for name in FOREIGN:
        monkeypatch.setenv(name, "x")
    with apart():
        assert not [name for name in FOREIGN if name in os.environ]
    assert all(os.environ[name] == "x" for name in FOREIGN)


def test_a_long_folder_for_temporary_files_gives_way_to_a_short_and_private_one(
    monkeypatch, tmp_path
):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    long = tmp_path / ("d" * 90)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    with apart() as folder:
        assert not folder.is_relative_to(long)
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
        assert (
            len(f"{folder}/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store") <= 107
        )
    assert not folder.parent.exists()


def test_a_folder_that_is_not_there_or_not_writable_gives_way_too(monkeypatch):
    for place in ("/proc/nowhere", "/proc"):
        monkeypatch.setenv("RAY_TMPDIR", place)
        folder = temporary()
        folder.rmdir()
        assert not folder.is_relative_to(place)


def test_no_place_at_all_is_one_sentence(monkeypatch):
    def refuse(prefix: str, dir: str) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(PlacementError, match=r"/var/tmp: Permission denied.*set RAY_TMPDIR"):
        temporary()


@pytest.mark.slow
@pytest.mark.own_ray
def test_ray_starts_under_a_long_folder_for_temporary_files(tmp_path):
    long = tmp_path / ("d" * 90)
    long.mkdir()
    told = {**os.environ, "TMPDIR": str(long), "RAY_TMPDIR": str(long)}
    done = subprocess.run([sys.executable, "-c", START], env=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.splitlines()[-1]) == 3
    assert not list(Path(long).iterdir())
