"""The help in a real terminal of 80 columns: every line is whole."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from rayat.cli.app import _VERBS

COLUMNS = 80


def shown(*words: str) -> list[str]:
    """Return the lines that a terminal of 80 columns shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "rayat.cli", *words]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "COLUMNS": "80"}
    ) as process:
        os.close(theirs)
        text = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            text += part
    os.close(ours)
    assert process.returncode == 0, text
    return text.decode().replace("\r\n", "\n").splitlines()


def test_every_line_of_the_help_is_whole():
    lines = shown("--help")
    assert max(map(len, lines)) <= COLUMNS
    assert not [line for line in lines[1:] if line.rstrip().endswith("...")]
    listed = {line.split()[0]: line for line in lines if line.startswith("  ") and line.split()}
    for verb, command in _VERBS.items():
        first = (command.__doc__ or "").strip().splitlines()[0]
        assert listed[verb].endswith(first), f"{verb}: {first!r} is cut; make it shorter"


@pytest.mark.parametrize("verb", ["run", "evaluate"])
def test_the_longest_pages_fit_too(verb):
    lines = shown(verb, "--help")
    assert max(map(len, lines)) <= COLUMNS and not any(line.endswith("...") for line in lines)
