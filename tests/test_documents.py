"""What the documents show runs as it is written, and names only verbs and options that exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from rayat.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

# A process of its own: a block may register a method.
RUN = """
import re, sys, traceback
from pathlib import Path
failed = count = 0
for name in sys.argv[1:]:
    space = {}
    blocks = re.findall(r"^```python\\n(.*?)^```", Path(name).read_text(), re.M | re.S)
    for number, text in enumerate(blocks, 1):
        count += 1
        try:
            exec(compile(text, f"{name}, block {number}", "exec"), space)
        except Exception:
            failed += 1
            print(f"{name}, block {number}: {traceback.format_exc(limit=-1)}")
print(f"{count} blocks, {failed} failed")
sys.exit(bool(failed))
"""


def test_every_python_block_runs_as_it_is_written():
    """Those of a page in order, in one namespace, from the repository's folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    names = [str(page.relative_to(ROOT)) for page in PAGES]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, *names],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split(" blocks")[0].split()[-1]) >= 60, done.stdout


def commands():
    """Yield (page, words) of every line of a shell block that calls rayat."""
    for page in PAGES:
        for language, text in BLOCK.findall(page.read_text()):
            if language in ("", "bash", "sh", "console"):
                for line in text.replace("\\\n", " ").splitlines():
                    line = line.strip().removeprefix("$ ")
                    if line.startswith("rayat "):
                        yield str(page.relative_to(ROOT)), line


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_every_command_has_verbs_and_options_that_exist(page, line):
    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app)
    for name in words:
        if name.startswith("-") or not hasattr(command, "commands"):
            break
        assert name in command.commands, f"{page}: {line}"
        command = command.commands[name]
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
    used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used <= known | {"--help", "-h"}, f"{page}: {line}"
