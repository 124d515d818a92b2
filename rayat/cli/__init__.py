"""The command line: verbs only. It parses, calls the rooms that do the work, and prints."""

from __future__ import annotations


def main() -> None:
    """Run the command that `sys.argv` names, and exit with its code (docs/cli.md lists them)."""
    from rayat.cli.app import app

    app(prog_name="rayat")
