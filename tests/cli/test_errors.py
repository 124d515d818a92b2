"""Every mistake is one sentence on standard error and an exit code that says whose it is."""

from __future__ import annotations

import pytest
import typer

from rayat.cli.app import app
from rayat.errors import (
    ConfigError,
    DataError,
    LedgerError,
    LockedError,
    PlacementError,
    StudyError,
)
from rayat.ledger.writer import Ledger

STUDY = """
from ray import tune
from rayat.study import Study

study = Study(
    name="small",
    base={"epochs": 1, "model": {"name": "cnn"}},
    space={"lr.shape": tune.grid_search(["constant", "cosine"]), "attack": "fgsm"},
)
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(STUDY)
    return path


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError, 2),
        (StudyError, 2),
        (DataError, 2),
        (PlacementError, 2),
        (LedgerError, 3),
        (LockedError, 3),
        (KeyboardInterrupt, 130),
    ],
)
def test_each_error_has_its_code_and_no_traceback(rayat, monkeypatch, error, code):
    def fail(_path):
        raise error("this is wrong, do that")

    monkeypatch.setattr("rayat.ledger.reader.read_run", fail)
    result = rayat("status", "somewhere")
    assert result.exit_code == code
    assert result.stdout == ""
    expected = "interrupted" if error is KeyboardInterrupt else "this is wrong, do that"
    assert result.stderr == expected + "\n"


def test_a_bug_keeps_its_traceback(rayat, monkeypatch):
    def fail(_path):
        raise RuntimeError("a bug")

    monkeypatch.setattr("rayat.ledger.reader.read_run", fail)
    result = rayat("status", "somewhere")
    assert result.exit_code == 1
    assert isinstance(result.exception, RuntimeError)


def test_errors_do_not_move_the_cursor(rayat):
    result = rayat("ls", "\x1b[31mred\u202e")
    assert result.exit_code == 2
    assert "\x1b" not in result.stderr
    assert "\u202e" not in result.stderr
    assert "x1b[31mred" in result.stderr


@pytest.mark.parametrize("verb", ["status", "compare", "report", "resume", "refit", "repair"])
def test_a_folder_without_a_run_is_refused_by_every_reader(rayat, tmp_path, verb):
    result = rayat(verb, tmp_path)
    assert result.exit_code == 3
    assert str(tmp_path) in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_run_that_is_being_written_cannot_be_repaired(rayat, run_folder):
    with Ledger.open(run_folder):
        result = rayat("repair", run_folder)
    assert result.exit_code == 3
    assert "is being written by process" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "lr.shape=linear"], "'lr.shape' is an axis of study 'small'"),
        (["--set", "seed=3"], "a study has seeds of its own"),
        (["--set", "epochs"], "--set needs KEY=VALUE, got 'epochs'"),
        (["--set", "=1"], "--set needs KEY=VALUE, got '=1'"),
        (["--set", "epochs=1", "--set", "epochs=2"], "--set gives 'epochs' twice"),
        (["--set", "epocs=1"], "unknown key 'epocs' (did you mean 'epochs'?)"),
        (["--set", "epochs=many"], "epochs: "),
        (["--set", "workers=64"], "lower workers, or join a larger cluster"),
        (["--set", "gpus_per_worker=64"], "a worker needs 1 CPU and 64 GPUs"),
        (["--cpus", "2", "--address", "auto"], "leave them out"),
        (["--set", "data.name=cifar10", "--set", "data.root=/nowhere"], "/nowhere"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(rayat, study, arguments, sentence):
    arguments = arguments if "--address" in arguments else ["--cpus", "2", *arguments]
    result = rayat("plan", study, "--set", "batch_size=64", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no_such_study"], "no study 'no_such_study'"),
        (["quickstrat"], "(did you mean 'quickstart'?)"),
        (["away/x.py"], "no study file 'away/x.py'"),
        (["quickstart", "--name", "../x"], "--name becomes a folder"),
        (["quickstart", "--name", "x", "--out", "y"], "--name has no place"),
        (["quickstart", "--set", "lr.shape=linear"], "is an axis of study 'quickstart'"),
    ],
)
def test_a_wrong_run_is_refused_and_leaves_no_folder(
    rayat, tmp_path, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    result = rayat("run", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["status", "run", "plan", "show"])
def test_a_forgotten_argument_is_wrong_input(rayat, verb):
    result = rayat(verb)
    assert result.exit_code == 2
    assert "Missing argument" in result.stderr


def test_an_unknown_verb_names_the_nearest(rayat):
    result = rayat("comprae", "x")
    assert result.exit_code == 2
    assert "compare" in result.stderr


def test_no_verb_hides_another_ones_help():
    helps = [command.help for command in typer.main.get_command(app).commands.values()]
    assert all(helps)
    assert len(set(helps)) == len(helps)
