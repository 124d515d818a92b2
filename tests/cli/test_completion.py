"""Completion in bash: the script that it installs, and what the program answers it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
ASK = {"PATH": f"{BIN}:/usr/bin:/bin"}


def completed(home, line):
    """Return what bash offers where Tab is pressed at the end of a line, by its script."""
    script = f"""
        source ~/.bashrc
        COMP_WORDS=({line}) && [[ "{line}" == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        $(complete -p rayat | sed 's/.*-F //') rayat
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = {**ASK, "HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return [word.strip() for word in done.stdout.split()]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a home in which completion was installed from bash."""
    folder = tmp_path_factory.mktemp("home")
    (folder / ".bashrc").write_text("")
    environment = {**os.environ, **ASK, "HOME": str(folder)}
    done = subprocess.run(
        ["bash", "-c", "rayat --install-completion bash; exit $?"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "bash completion installed" in done.stdout
    return folder


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rayat re", {"resume", "refit", "reproduce", "report", "replay", "repair"}),
        ("rayat run --conc", {"--concurrency"}),
        ("rayat ls sh", {"shapes"}),
        ("rayat show opt", {"optimizers"}),
        ("rayat plan quick", {"quickstart"}),
        ("rayat compare results/", set()),
    ],
)
def test_tab_completes_verbs_options_kinds_and_studies(home, line, offered):
    """Nothing for files: bash itself completes those (`-o default`)."""
    assert set(completed(home, line)) == offered


def test_files_are_left_to_the_shell(home):
    shown = subprocess.run(
        ["bash", "--norc", "-c", "source ~/.bashrc; complete -p rayat"],
        env={**ASK, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "-o default" in shown.stdout


def test_a_completion_loads_neither_torch_nor_ray_nor_pandas():
    """It must answer while the key is down."""
    code = (
        "import sys\n"
        "from rayat.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'pandas', 'rich'} & set(sys.modules)))"
    )
    words = {"_RAYAT_COMPLETE": "complete_bash", "COMP_WORDS": "rayat plan qui", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **words},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["quickstart", "[]"]
