"""The command that makes a run again: the one that made it, into a folder of its own."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rayat.ledger.merging import merged

PLACES = ("--out", "--name")
"""Options that say where a run lies."""
MAKING = ("run", "train", "refit", "merge")
BESIDE = "-again"


def asked(info: Mapping[str, Any]) -> list[str]:
    """Return the command that asked for all of a run: of an extended one the last, it asks most."""
    extensions = info.get("extensions") or [{}]
    return list(extensions[-1].get("command") or info.get("command") or [])


def all_again(info: Mapping[str, Any]) -> str:
    """Return the commands that make a run again, a line each: first those of runs it came from."""
    commands = [asked(part) for part in merged(info)] + [asked(info)]
    return "\n".join(again(command) for command in commands if command)


def again(command: Sequence[object]) -> str:
    """Return a command for a shell that repeats a recorded one beside what that made.

    A folder that holds a run is refused by `train` and `refit`, and `run` would find nothing
    missing there: so the command's `--out` or `--name` gets `-again` behind it. Without either, as
    for any other command, nothing needs to change.

    Args:
        command: the words of `run.json`, such as `["rayat", "run", "quickstart", "--out", "a"]`.
    """
    words = [str(word) for word in command]
    if len(words) < 2 or words[1] not in MAKING:
        return shlex.join(words)
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option not in PLACES:
            continue
        if equals:
            words[place] = f"{option}={_beside(value)}"
        elif place + 1 < len(words):
            words[place + 1] = _beside(words[place + 1])
    return shlex.join(words)


def _beside(path: str) -> str:
    return path.rstrip("/") + BESIDE
