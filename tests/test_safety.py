"""What the code never does, read from its syntax: nothing that runs code from a file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import rayat

FOLDER = Path(rayat.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))
RUN_CODE = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml"}
ARCHIVES = {"tarfile", "zipfile", "patoolib"}
RESTRICTED = {"data/cifar.py": {"pickle"}, "evaluation/weights_file.py": {"pickle"}}
"""CIFAR's own files are pickles: its reader admits arrays and plain values only (its own tests).
Weights from elsewhere are read by `torch.load(weights_only=True)`, whose refusal is pickle's error.
"""


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").partition(".")[0]


def calls(tree: ast.AST) -> Iterator[tuple[str, set[str]]]:
    """Yield each call as (dotted name, `keyword=value` texts)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {ast.unparse(keyword) for keyword in node.keywords}


def wrong(name: str, source: str) -> list[str]:
    """Return what a file does that none may do."""
    tree = ast.parse(source)
    allowed = RESTRICTED.get(name, set())
    found = [f"imports {module}" for module in imported(tree) if module in ARCHIVES]
    found += [f"imports {m}" for m in imported(tree) if m in RUN_CODE and m not in allowed]
    for call, keywords in calls(tree):
        if call == "torch.load" and "weights_only=True" not in keywords:
            found.append("torch.load without weights_only=True")
        if call in ("eval", "exec", "pickle.load", "pickle.loads", "torch.export.load"):
            found.append(call)
        if call.endswith(("Tuner.restore", "Trainer.restore")):
            found.append("restores from Ray's pickles")
        if "allow_pickle=True" in keywords or "shell=True" in keywords:
            found.append(f"{call} with {sorted(keywords)}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_file_of_the_package_runs_code_from_what_it_reads(path):
    assert wrong(path.relative_to(FOLDER).as_posix(), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import yaml.nodes",
        "def f():\n    import tarfile",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "eval(text)",
        "tune.Tuner.restore(path, trainable)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_each_of_these_would_be_found(source):
    assert len(wrong("any.py", source)) == 1
