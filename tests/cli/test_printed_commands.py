"""Every command that rayat prints works when it is pasted where it was printed."""

from __future__ import annotations

import html
import re
import shlex

import pytest

from rayat.ledger.writer import Ledger

STUDY = """
from ray import tune
from rayat.study import Study
study = Study(
    name="small",
    base={"data": {"name": "digits", "train_size": 64, "val_size": 32}, "epochs": 2,
          "model": {"name": "cnn"}, "attack": {"name": "fgsm", "eps": 0.1},
          "eval": {"steps": 1, "final_steps": 1, "final_size": 16}},
    space={"lr.shape": tune.grid_search(["constant", "cosine"])},
    seeds=(0,), target=0.1, baseline="lr.shape=constant",
)
"""
COMMAND = re.compile(
    r"\brayat (?:run|resume|status|compare|report|repair|refit|evaluate)\b[^\n`<;]*"
)


def printed(text):
    """Return the commands in a text as their words, without the program's name."""
    return [shlex.split(found.rstrip(" .,"))[1:] for found in COMMAND.findall(text)]


@pytest.mark.slow
def test_what_a_run_and_its_report_print_can_be_pasted(rayat, local_ray, tmp_path, monkeypatch):
    """In a folder with a space; the run is made again beside the first."""
    (tmp_path / "my work").mkdir()
    monkeypatch.chdir(tmp_path / "my work")
    (tmp_path / "my work" / "small study.py").write_text(STUDY)
    arguments = ["run", "small study.py", "--out", "my runs/first", "--set", "lr.peak=0.05"]
    monkeypatch.setattr("sys.argv", ["rayat", *arguments])
    made = rayat(*arguments)
    assert made.exit_code == 0, made.output
    assert rayat("report", "my runs/first").exit_code == 0
    page = html.unescape((tmp_path / "my work/my runs/first/report.html").read_text())
    page = page[page.index("How to get these numbers again") :]
    status = rayat("status", "my runs/first").output
    commands = [*printed(made.output), *printed(status), *printed(page)]
    verbs = {words[0] for words in commands}
    assert verbs >= {"compare", "report", "run"}, commands
    for words in commands:
        result = rayat(*words)
        assert result.exit_code == 0, (words, result.output)
    assert (tmp_path / "my work/my runs/first-again/run.json").exists()


def test_what_an_error_says_can_be_pasted(rayat, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small study.py").write_text(STUDY)
    folder = tmp_path / "a run"
    with Ledger.create(folder, {"study": {"name": "small"}, "metric": "val_robust_acc"}):
        pass
    again = rayat("train", "--out", "a run")
    assert again.exit_code == 3
    (words,) = printed(again.stderr)
    assert words[0] == "resume" and (tmp_path / words[1]) == folder
    (folder / "trials.parquet").write_bytes(b"PAR1 no table")
    broken = rayat("compare", "a run")
    assert broken.exit_code == 3
    for words in printed(broken.stderr):
        assert rayat(*words).exit_code == 0, words
