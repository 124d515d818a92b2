"""`rayat train --config`: what a configuration's file may be, and what is said of another."""

from __future__ import annotations

import json

import pytest

from rayat.cli.running import _read
from rayat.errors import ConfigError


def test_a_file_of_an_editor_that_puts_a_mark_first_is_read(tmp_path):
    (tmp_path / "c.json").write_text('{"epochs": 3}', encoding="utf-8-sig")
    assert _read(tmp_path / "c.json") == {"epochs": 3}


@pytest.mark.parametrize("text", ['{"epochs": 3, "epochs": 4}', '{"lr": {"peak": 1, "peak": 2}}'])
def test_a_key_that_is_given_twice_is_refused(tmp_path, text):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ConfigError, match=r"gives '(epochs|peak)' twice; give it once"):
        _read(tmp_path / "c.json")


def test_a_runs_record_is_no_configuration(run_folder, rayat, tmp_path):
    result = rayat("train", "--config", run_folder / "run.json", "--out", tmp_path / "out")
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    assert f"`rayat best {run_folder} --out best.json`" in result.stderr
    assert json.loads((run_folder / "run.json").read_text())["study"]
    assert not (tmp_path / "out").exists()
