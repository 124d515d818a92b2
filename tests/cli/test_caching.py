"""`rayat cache` on a run that trials share: what it holds, what is damaged, what may go."""

from __future__ import annotations

import json

import pytest
from shared_runs import ARMS, shared_run, small_configs
from typer.testing import CliRunner

from rayat.cli.app import app

ONES = {name: ARMS[name] for name in ("constant", "late", "half")}


def cache(*arguments):
    return CliRunner().invoke(app, ["cache", *map(str, arguments)])


@pytest.fixture
def ended(tmp_path):
    shared_run(tmp_path / "run", small_configs(ONES))
    return tmp_path / "run"


def test_states_are_shown_checked_and_pruned(ended):
    facts = json.loads(cache(ended, "--json").output)
    assert [s["epoch"] for s in sorted(facts["states"], key=lambda s: s["epoch"])] == [2, 3]
    assert all(s["bytes"] > 0 and not s["damage"] for s in facts["states"])
    assert cache(ended, "--check").exit_code == 0

    hurt = ended / "states" / facts["states"][0]["key"] / "last" / "state.pt"
    hurt.write_bytes(b"x")
    assert cache(ended).exit_code == 0  # nothing was read
    said = cache(ended, "--check")
    assert said.exit_code == 3 and "state.pt is damaged" in said.output

    assert cache(ended, "--prune").exit_code == 0
    assert cache(ended).output == "0 states, 0 KiB\n"


def test_what_unfinished_trials_may_start_from_stays(tmp_path):
    folder = tmp_path / "run"
    shared_run(folder, small_configs(ONES), stop=lambda trial_id, epoch: epoch == 3)
    said = cache(folder, "--prune").output
    assert "0 KiB removed: 3 trials without an end may start from them" in said
    assert json.loads(cache(folder, "--json").output)["states"]
