"""The example's methods: their own tests, and a real run of them from elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rayat.cli.app import app

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"
pytestmark = pytest.mark.skipif(not PLUGIN.is_dir(), reason="the examples are not installed")


@pytest.fixture
def plugin(tmp_path):
    return Path(shutil.copytree(PLUGIN, tmp_path / "plugin"))


def python(*arguments, folder, **more):
    environment = {**os.environ, **more}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_it_is_small():
    text = (PLUGIN / "example_plugin.py").read_text() + (PLUGIN / "pyproject.toml").read_text()
    assert len(text.splitlines()) < 60


@pytest.mark.slow
def test_its_own_contract_tests_pass_and_fail_where_the_attack_leaves_the_ball(plugin):
    tests = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", plugin)
    code, said = python(*tests, "test_contract.py", folder=plugin)
    assert code == 0 and "2 passed" in said, said
    file = plugin / "example_plugin.py"
    file.write_text(file.read_text().replace("x + self.eps * sign", "x + 2 * self.eps * sign"))
    code, said = python(*tests, "test_contract.py", folder=plugin)
    assert code == 1 and "leaves the ball" in said, said


@pytest.mark.slow
@pytest.mark.own_ray
def test_it_runs_with_one_and_two_workers_from_elsewhere_and_goes_on_without_its_folder(
    plugin, tmp_path, monkeypatch
):
    def rayat(*arguments):
        """Run a command in this process, which has never seen the example's folder."""
        done = CliRunner().invoke(app, [str(a) for a in arguments], prog_name="rayat")
        return done.exit_code, done.output

    out = tmp_path / "out"
    command = (Path(sys.executable).with_name("rayat"), "run", plugin / "study.py")
    code, said = python(*command, "--out", out, "--cpus", 2, folder=tmp_path)
    assert code == 0 and "2 finished" in said, said
    held = json.loads((out / "run.json").read_text())["own_parts"]
    assert list(held["files"]) == ["example_plugin.py"]
    shutil.rmtree(plugin)
    monkeypatch.chdir(tmp_path)
    for verb, *more in (("compare",), ("verify",), ("evaluate", "--attack", "fgsm", "--n", "16")):
        code, said = rayat(verb, out, *more)
        assert code == 0, (verb, said)
    path = out / "code" / "example_plugin.py"
    path.write_text(path.read_text() + "# later\n")
    code, said = rayat("resume", out, "--cpus", 2)
    assert code == 3 and "example_plugin.py changed since the run began" in said, said
    assert "Traceback" not in said
