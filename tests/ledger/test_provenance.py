from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import rayat
from rayat.ledger.provenance import PACKAGES, describe_environment


def test_it_says_what_and_where():
    found = describe_environment()
    assert json.loads(json.dumps(found)) == found
    assert found["rayat"] == rayat.__version__
    assert set(found["packages"]) == set(PACKAGES)
    assert found["packages"]["pyarrow"]
    assert found["hardware"]["cores"] >= 1
    assert found["time"].endswith("Z")
    assert found["command"][0] == Path(sys.argv[0]).name


def test_the_command_names_no_folder_above_the_working_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    inside, outside = str(tmp_path / "runs" / "a"), str(tmp_path.parent / "b")
    monkeypatch.setattr(sys, "argv", ["/opt/bin/rayat", "run", "quickstart", inside, outside])
    assert describe_environment()["command"] == ["rayat", "run", "quickstart", "runs/a", outside]


def test_the_revision_and_whether_files_differ(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert describe_environment()["git"] is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "a").write_text("1")
    subprocess.run([*git, "add", "a"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "a"], check=True)
    clean = describe_environment()["git"]
    assert len(clean["revision"]) == 40 and clean["dirty"] is False
    (tmp_path / "a").write_text("2")
    assert describe_environment()["git"] == {**clean, "dirty": True}


def test_no_environment_variable_gets_in(monkeypatch):
    monkeypatch.setenv("RAYAT_TEST_TOKEN", "hunter2-of-the-test")
    assert "hunter2" not in json.dumps(describe_environment())


def test_a_missing_package_is_null(monkeypatch):
    monkeypatch.setattr("rayat.ledger.provenance.PACKAGES", ("no-such-package",))
    assert describe_environment()["packages"] == {"no-such-package": None}
