"""`rayat doctor`: every finding has a name, a state and, where needed, what to do."""

from __future__ import annotations

import json

import pytest

from rayat.cli import checks
from rayat.cli.checks import Check


def test_this_machine_can_run_and_the_findings_are_complete(rayat):
    result = rayat("doctor", "--json")
    assert result.exit_code == 0, result.output
    found = {check["name"]: check for check in json.loads(result.stdout)}
    for name in ("python", "torch", "ray", "cores", "bf16 on CPU", "memory", "disk", "data digits"):
        assert name in found
    assert found["ray authentication"]["found"] == "token"
    assert all(check["advice"] for check in found.values() if check["state"] != "ok")


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("warn", 0), ("fail", 2)])
def test_only_what_makes_runs_impossible_fails(rayat, monkeypatch, state, code):
    def look():
        yield Check("thing", state, "as it is", "do this")

    monkeypatch.setattr("rayat.cli.doctor.CHECKS", (look,))
    result = rayat("doctor")
    assert result.exit_code == code
    assert "thing  as it is" in result.stdout
    assert "thing  do this" in result.stdout


def test_an_open_cluster_is_warned_of(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    first = next(checks.ray_safety())
    assert first.state == "warn"
    assert "unset RAY_AUTH_MODE" in first.advice


def test_a_token_that_others_can_read_is_warned_of(monkeypatch, tmp_path):
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("x")
    token.chmod(0o644)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    found = {check.name: check for check in checks.ray_safety()}
    assert found["ray token"].advice == f"chmod 600 {token}"


def test_little_memory_gives_a_smaller_concurrency(monkeypatch):
    monkeypatch.setattr(checks, "memory_bytes", lambda: (2**30, 2**29))
    first = next(checks.memory())
    assert (first.state, first.advice) == ("warn", "run at most 1 at once: --concurrency 1")


def test_every_data_set_that_needs_no_path_is_looked_for():
    found = {check.name: check for check in checks.data()}
    assert {"data digits", "data cifar10", "data fashion-mnist"} <= set(found)
    assert "data folder" not in found
    assert found["data digits"].found == "1297 training, 500 test images"
