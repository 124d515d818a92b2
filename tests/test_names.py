"""Names: those of a user as paths never leave the root, private ones never leave their room."""

from __future__ import annotations

import ast
import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayat.api.studies import run_folder
from rayat.errors import RayatError
from rayat.imports import base
from rayat.ledger.writer import Ledger
from rayat.study import Study

PARTS = (
    "..", ".", "/", "\\", "%2e%2e", "%2f", "\0", "\n", "\r", "\t", "~", "$HOME", "`id`",
    "a", "B", "0", "-", "--out", "_", "#", "?", "*", ":", ";", "&", "|", "<", ">", '"', "'", " ",
    "CON", "nul", "аdmin", "․․", "／", "\u202e", "\ud800", "é", "🙂", "x" * 300,
    "C:", "file://", "@", "=", ",",
)  # fmt: skip
"""Separators, dots, their look-alikes and encodings, names that a system reserves, endless ones."""


def names(count: int) -> list[str]:
    """Return so many names, from those that were used against others, and their mixtures."""
    known = [
        "../x", "../../etc/passwd", "/etc/passwd", "a/../../x", "..\\x", "%2e%2e/x", "....//x",
        "a/b", ".hidden", "-rf", "CON", "x" * 300, "", ".", "..", "\0", "a\nb", "a\0b", "~/x",
        "a b", "а",
    ]  # fmt: skip
    draw = random.Random(0)
    while len(known) < count:
        known.append("".join(draw.choice(PARTS) for _ in range(draw.randint(1, 5))))
    return known


def study(root: Path, name: str) -> None:
    run_folder(Study(name=name, seeds=(0,)).name, None, None).mkdir(parents=True)


def named_run(root: Path, name: str) -> None:
    run_folder("study", None, name).mkdir(parents=True)


def trial(root: Path, name: str) -> None:
    with Ledger.create(root / "run", {"metric": "val_robust_acc"}) as ledger:
        ledger.trial(name, 0, "a", "0" * 12, "0" * 64, "{}", 0, 1, 1)
        (root / "run" / "checkpoints" / name).mkdir(parents=True)


def imported(root: Path, name: str) -> None:
    rows = [{"epoch": 1, "val_robust_acc": 0.5}]
    source = base.Source("table", [base.Imported(name, "a", 0, {}, rows, 1)], [])
    base.write(source, root / name.replace("\0", ""), root / "run", ["rayat", "import"])
    (root / "run" / "checkpoints" / next(iter(_trials(root / "run")))).mkdir(parents=True)


def _trials(folder: Path) -> list[str]:
    with Ledger.open(folder) as ledger:
        return list(ledger.trials())


ENTRIES: list[Callable[[Path, str], None]] = [study, named_run, trial, imported]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
def test_no_name_leaves_the_root(tmp_path, monkeypatch, entry, size):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: None)
    monkeypatch.setattr(base, "describe_environment", dict)  # asks git, each time
    refused, outside, count = 0, 0, size(150, 500)
    for number, name in enumerate(names(count)):
        above = tmp_path / f"{number}"
        root = above / "home"
        root.mkdir(parents=True)
        monkeypatch.chdir(root)
        try:
            entry(root, name)
        except RayatError:
            refused += 1
        outside += sum(path != root for path in above.iterdir())
        links = [path for path in root.rglob("*") if ".." in path.parts]
        outside += len(links)
    print(f"names, {entry.__name__}: {count} names, {refused} refused, {outside} files outside")
    assert outside == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(map(str, range(count)))


@given(st.text(max_size=80))
def test_an_accepted_name_is_one_plain_folder(name):
    try:
        made = Study(name=name, seeds=(0,)).name
    except RayatError:
        return
    assert Path(made).parts == (made,)
    assert made.isascii() and not made.startswith((".", "-")) and len(made) <= 64


def private_imports(root: Path) -> list[str]:
    """Return the imports below `root` of a module or name with an underscore of another room."""
    found = []
    for file in sorted(root.rglob("*.py")):
        own = (root.name, *file.relative_to(root).parts[:-1])[:2]
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                asked = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                asked = [alias.name for alias in node.names]
            else:
                continue
            for path in (name.split(".") for name in asked):
                private = any(re.match("_[^_]", part) for part in path)
                if path[0] == root.name and private and tuple(path[: len(own)]) != own:
                    found.append(f"{file}:{node.lineno}: {'.'.join(path)}")
    return found


def test_a_name_with_an_underscore_stays_in_its_room():
    found = private_imports(Path("rayat"))
    assert not found, "give what rooms share a public name:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("line", "crosses"),
    [
        ("from rayat.b._own import x", True),
        ("from rayat.b import _own", True),
        ("from rayat.b.shared import _x", True),
        ("import rayat.b._own", True),
        ("from rayat.b import __all__", False),
        ("from rayat.a._own import x", False),
        ("from rayat.b.shared import x", False),
        ("from torch import _C", False),
    ],
)
def test_an_import_that_crosses_is_seen(tmp_path, line, crosses):
    room = tmp_path / "rayat" / "a"
    room.mkdir(parents=True)
    (room / "file.py").write_text(f"{line}\n")
    assert bool(private_imports(tmp_path / "rayat")) == crosses
