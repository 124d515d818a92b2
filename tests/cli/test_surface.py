"""The command line is a promise: a change of a verb or an option changes this file."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import typer

from rayat.cli.app import app

PLACE = ["--address", "--cpus", "--gpus", "--allow-open-cluster"]
SURFACE = {
    "ls": ["kind", "--json"],
    "show": ["kind", "name", "--out", "--json"],
    "train": ["--config", "--set", "--workers", *PLACE, "--out", "--json"],
    "plan": [
        "study",
        *PLACE,
        "--concurrency",
        "--workers",
        "--link",
        "--out",
        "--set",
        "--policy",
        "--seeds",
        "--order-seed",
        "--arm",
        "--until-decided",
        "--max-seeds",
        "--json",
    ],
    "run": [
        "study",
        *PLACE,
        "--concurrency",
        "--fresh-processes",
        "--launcher",
        "--placement",
        "--collective-timeout",
        "--trial-timeout",
        "--fail-fast",
        "--time-budget",
        "--follow",
        "--out",
        "--name",
        "--set",
        "--policy",
        "--seeds",
        "--order-seed",
        "--arm",
        "--until-decided",
        "--max-seeds",
        "--no-share",
        "--report",
        "--json",
    ],
    "resume": [
        "run",
        *PLACE,
        "--concurrency",
        "--fresh-processes",
        "--launcher",
        "--placement",
        "--collective-timeout",
        "--trial-timeout",
        "--retry",
        "--fail-fast",
        "--time-budget",
        "--follow",
        "--json",
    ],
    "status": ["run", "--json"],
    "watch": ["run", "--once"],
    "refit": ["run", "--set", "--workers", *PLACE, "--out", "--json"],
    "best": ["run", "--top", "--baseline", "--target", "--out", "--front", "--axes", "--json"],
    "confirm": [
        "run",
        "--top",
        "--seeds",
        "--baseline",
        "--target",
        "--attack",
        "--n",
        *PLACE,
        "--concurrency",
        "--out",
        "--report",
        "--json",
    ],
    "reproduce": [
        "paper",
        "--smoke",
        "--cpu",
        "--full",
        "--data",
        "--dry-run",
        *PLACE,
        "--concurrency",
        "--fail-fast",
        "--time-budget",
        "--out",
        "--json",
    ],
    "evaluate": [
        "what",
        "--attack",
        "--n",
        "--split",
        "--eps",
        "--norm",
        "--checkpoint",
        "--trials",
        "--chosen",
        "--flags",
        "--again",
        "--model",
        "--weights",
        "--weights-key",
        "--data",
        "--seed",
        "--workers",
        "--device",
        "--out",
        "--json",
    ],
    "compare": [
        "runs",
        "--baseline",
        "--target",
        "--suite",
        "--arms",
        "--format",
        "--markdown",
        "--json",
    ],
    "report": ["run", "--out"],
    "what-if": ["run", "--budget", "--policy", "--ends", "--json"],
    "replay": [
        "curves",
        "--policy",
        "--workers",
        "--sweeps",
        "--seed",
        "--peers",
        "--successive-seeds",
        "--map",
        "--plot",
        "--log",
        "--json",
    ],
    "compare-policies": ["runs", "--baseline", "--markdown", "--json"],
    "import": ["kind", "source", "--map", "--percent", "--out", "--json"],
    "verify": ["run", "--json"],
    "repair": ["run", "--json"],
    "merge": ["runs", "--out", "--json"],
    "copy": ["run", "to", "--json"],
    "cache": ["run", "--check", "--prune", "--json"],
    "doctor": ["--json"],
    "bench": [
        "rows",
        "--quick",
        "--gpu",
        "--slowdowns",
        "--long",
        "--links",
        "--strict",
        "--out",
        "--json",
    ],
    "profile": ["study", "--epochs", "--ops", "--through-ray", "--set", "--json"],
}
LIGHT = {
    "help": ["--help"],
    "version": ["--version"],
    "run --help": ["run", "--help"],
    "ls shapes": ["ls", "shapes"],
    "ls studies": ["ls", "studies"],
    "ls policies": ["ls", "policies"],
}


def test_the_verbs_and_their_options_are_these_and_in_this_order():
    commands = typer.main.get_command(app).commands
    assert list(commands) == list(SURFACE)
    for verb, command in commands.items():
        assert [p.opts[0] for p in command.params] == SURFACE[verb], verb


@pytest.mark.parametrize("verb", [None, *SURFACE])
@pytest.mark.parametrize("columns", ["80", "200"])
def test_help_fits_eighty_columns(rayat, monkeypatch, verb, columns):
    monkeypatch.setenv("COLUMNS", columns)
    result = rayat(*([verb] if verb else []), "--help")
    assert result.exit_code == 0
    assert max(len(line) for line in result.output.splitlines()) <= 80
    said = result.output.replace("[ARGS]...", "").replace("[ROWS]...", "")
    said = said.replace("RUNS...", "").replace("{RUNS}...", "")
    assert "..." not in said


def test_the_help_says_what_the_exit_codes_mean(rayat):
    text = rayat("--help").output
    for code in ("0 ", "1 ", "2 ", "3 ", "4 ", "130"):
        assert f"\n    {code}" in text


def test_version_is_the_package_version(rayat):
    import rayat as package

    assert rayat("--version").output == f"rayat {package.__version__}\n"


def modules_after(arguments: list[str]) -> tuple[int, set[str]]:
    """Run a command in a new process; return its exit code and what it had imported."""
    code = (
        "import sys, json, contextlib, io\n"
        "from rayat.cli import main\n"
        "code = 0\n"
        "try:\n"
        "    with contextlib.redirect_stdout(io.StringIO()):\n"
        "        main()\n"
        "except SystemExit as end:\n"
        "    code = end.code or 0\n"
        "print(json.dumps([code, sorted({m.split('.')[0] for m in sys.modules})]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    exit_code, names = json.loads(done.stdout)
    return exit_code, set(names)


@pytest.mark.parametrize("arguments", LIGHT.values(), ids=LIGHT.keys())
def test_light_commands_start_without_torch_ray_and_pandas(arguments):
    exit_code, modules = modules_after(arguments)
    assert exit_code == 0
    assert not modules & {"torch", "ray", "pandas", "matplotlib", "rich"}


@pytest.mark.parametrize("verb", ["status", "compare", "repair"])
def test_reading_a_run_needs_neither_torch_nor_ray(run_folder, verb):
    exit_code, modules = modules_after([verb, str(run_folder)])
    assert exit_code == 0
    assert not modules & {"torch", "ray"}


def test_the_module_runs_like_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "rayat.cli", "ls", "shapse"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("unknown kind 'shapse' (did you mean 'shapes'?)")
