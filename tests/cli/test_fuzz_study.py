"""A user's study file and options, wrong in every plausible way: one sentence, nothing started."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sizes import tries

HEAD = "from ray import tune\nfrom rayat.study import Study\n"
BASE = (
    '{"data": {"name": "digits", "train_size": 64, "val_size": 32}, "model": {"name": "cnn"}, '
    '"epochs": 1, "attack": {"name": "fgsm", "eps": 0.1}, "eval": {"steps": 1}}'
)


def study(**fields):
    """Return the text of a study's file; fields are Python texts."""
    given = {"name": '"s"', "base": BASE, "seeds": "(0,)", **fields}
    inner = ", ".join(f"{name}={text}" for name, text in given.items())
    return f"{HEAD}study = Study({inner})\n"


@pytest.fixture
def refused(rayat, tmp_path):
    """Return a function: `rayat plan` of a file refuses it in one sentence and leaves nothing."""

    def ask(content, *arguments, code=2):
        path = tmp_path / "mine.py"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        before = sorted(p.name for p in tmp_path.iterdir())
        result = rayat("plan", path, "--cpus", 1, *arguments)
        assert result.exit_code == code, (content, result.output, result.exception)
        assert "Traceback" not in result.output and "Traceback" not in result.stderr
        assert "\n" not in result.stderr.strip().splitlines()[-1]
        assert sorted(p.name for p in tmp_path.iterdir()) == before
        return result.stderr.strip().splitlines()[-1]

    return ask


FILES = {
    "empty": b"",
    "no study": b"x = 1\n",
    "another type": b"study = {'name': 's'}\n",
    "syntax": b"study = Study(name='s'\n",
    "not UTF-8": b"# caf\xe9\nstudy = 1\n",
    "null bytes": b"study = 1\x00\n",
    "raises": b"1 / 0\n",
    "leaves": b"import sys\nsys.exit(3)\n",
    "leaves with a text": b"raise SystemExit('nothing to see')\n",
    "exception group": b"raise BaseExceptionGroup('several', [ValueError('a')])\n",
    "recursion": b"def f(): return f()\nf()\n",
    "missing module": b"import no_such_module\n",
    "YAML": b"name: s\nbase:\n  epochs: 1\n",
    "notebook": b'{"cells": [], "metadata": {}, "nbformat": 4}\n',
    "an error without words": b"class E(Exception):\n def __str__(self): return 3\nraise E\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_study_is_refused(refused, name):
    assert "mine.py" in refused(FILES[name])


def test_a_folder_and_a_file_that_is_not_there_are_refused(rayat, tmp_path):
    for what in (tmp_path, tmp_path / "no.py", tmp_path / "no.ipynb", "quikstart"):
        result = rayat("plan", what)
        assert result.exit_code == 2 and "Traceback" not in result.output


FIELDS = [
    ("name", "''"),
    ("name", "'a/b'"),
    ("name", "'\\u202e'"),
    ("name", "None"),
    ("base", "[]"),
    ("base", '{"epochs": -1}'),
    ("base", '{"epochs": 10**30}'),
    ("base", '{"epochs": "three"}'),
    ("base", '{"lr.peak": float("nan")}'),
    ("base", '{"lr.peak": float("inf")}'),
    ("base", '{"lr.peek": 0.1}'),
    ("base", '{"attack": {"name": "pdg"}}'),
    ("base", '{"attack": {"name": "pgd", "eps": 8}}'),
    ("base", '{"data": {"name": "imagefolder", "path": "/no/such/folder"}}'),
    ("base", "{1: 2}"),
    ("seeds", "()"),
    ("seeds", "(0, 0)"),
    ("seeds", "(-1,)"),
    ("seeds", "'0'"),
    ("seeds", "(0.5,)"),
    ("space", '{"lr.shape": tune.grid_search([])}'),
    ("space", '{"lr.shape": tune.grid_search(["cosin"])}'),
    ("space", '{"nothing": tune.uniform(0, 1)}'),
    ("space", '{"lr.peak": tune.sample_from(lambda config: 1 / 0)}'),
    ("space", '{"lr.peak": tune.sample_from(lambda config: __import__("no_such_module"))}'),
    ("space", '{"lr.peak": tune.sample_from(lambda config: config["nothing"])}'),
    ("arms", '{"a=b": {}}'),
    ("arms", '{"a": {"lr.peek": 1}}'),
    ("target", "'high'"),
    ("metric", "'accuracy'"),
    ("policy", "'ahsa'"),
    ("policy", '{"name": "asha", "eta": 0}'),
    ("search", "'optima'"),
    ("baseline", "'lr.shape=cosine'"),
    ("draws", "0"),
    ("wrong", "1"),
]


@pytest.mark.parametrize(("field", "text"), FIELDS)
def test_a_field_that_is_wrong_is_refused(refused, field, text):
    refused(study(**{field: text}))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--set", "lr.peak"),
        ("--set", "=1"),
        ("--set", "lr.peak=high"),
        ("--set", "lr.peek=1"),
        ("--set", "seed=3"),
        ("--set", "lr.peak=0.1", "--set", "lr.peak=0.2"),
        ("--set", 'model={"name": "cnn"'),
        ("--arm", "no-such-arm"),
        ("--workers", "two"),
        ("--workers", "0"),
        ("--link", "fast"),
    ],
)
def test_an_option_that_is_wrong_is_refused(refused, arguments):
    refused(study(), *arguments)


@settings(max_examples=tries(15, 60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.sampled_from(["epochs", "batch_size", "lr.peak", "attack.eps", "eval.steps", "model"]),
    value=st.one_of(
        st.none(),
        st.text(max_size=5),
        st.floats(allow_nan=True),
        st.integers(-(10**20), -1),
        st.lists(st.integers(), max_size=2),
        st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    ),
)
def test_no_value_of_a_key_ends_in_a_traceback(rayat, tmp_path, key, value):
    text = repr(value).replace("nan", 'float("nan")').replace("inf", 'float("inf")')
    path = tmp_path / "mine.py"
    path.write_text(study(base=f"{{**{BASE}, {key!r}: {text}}}"), encoding="utf-8")
    result = rayat("plan", path, "--cpus", 1)
    assert result.exit_code in (0, 2), (key, value, result.output, result.exception)
    assert "Traceback" not in result.output + result.stderr
