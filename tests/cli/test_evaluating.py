"""`rayat evaluate` from the command line; tests/evaluation/test_run.py has the runs."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
import torch

from rayat.ledger.schema import EVALS

FACTORY = """
from torch import nn

def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def soft():
    return nn.Sequential(linear(), nn.Softmax(1))
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The present folder holds a network's module and its weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", __import__("sys").path.copy())
    (tmp_path / "elsewhere_net.py").write_text(FACTORY)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = {"1.weight": torch.randn(10, 64), "1.bias": torch.randn(10)}
    torch.save(weights, "w.pt")
    yield ["--model", "elsewhere_net:linear", "--weights", "w.pt", "--data", "digits"]
    __import__("sys").modules.pop("elsewhere_net", None)


def test_a_network_from_elsewhere_gives_rows(rayat, elsewhere):
    asked = ["--eps", "8/255", "--attack", "pgd:2", "--attack", "fgsm", "--n", 50]
    result = rayat("evaluate", *elsewhere, *asked, "--out", "rows.parquet", "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [row["suite"] for row in rows] == ["pgd-2", "fgsm"]
    assert {row["eps"] for row in rows} == {8 / 255} and {row["n"] for row in rows} == {50}
    table = pq.read_table("rows.parquet")
    assert table.schema.names == EVALS.names
    assert table["robust_acc"].to_pylist() == [row["robust_acc"] for row in rows]
    text = rayat("evaluate", *elsewhere, *asked).stdout.splitlines()
    assert text[0].split()[:3] == ["trial", "checkpoint", "suite"]
    assert text[1].split()[:3] == ["elsewhere_net:linear", "w.pt", "pgd-2"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "give a RUN or a CHECKPOINT, or --model, --data and --eps"),
        (["run", "--weights", "w.pt"], "leave out --model, --weights, --data"),
        (["run", "--attack", "pgt"], "unknown suite 'pgt' (did you mean 'pgd'?)"),
        (["run", "--eps", "8/0"], "--eps is a number or a fraction such as 8/255, got '8/0'"),
        (["run", "--eps", "-1"], "--eps must be at least 0, got -1"),
        (["run", "--checkpoint", "first"], "--checkpoint is best, last or best,last"),
        (["run", "--device", "gpu"], "no device 'gpu'"),
    ],
)
def test_wrong_input_is_one_sentence(rayat, tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    result = rayat("evaluate", *arguments)
    assert result.exit_code == 2 and text in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_no_run_there_is_said(rayat, tmp_path):
    result = rayat("evaluate", tmp_path / "nothing")
    assert result.exit_code == 3 and "is not a run" in result.stderr


def test_a_network_without_a_radius_or_with_a_softmax_is_refused(rayat, elsewhere):
    result = rayat("evaluate", *elsewhere)
    assert result.exit_code == 2 and "give --eps" in result.stderr
    soft = ["--model", "elsewhere_net:soft", "--data", "digits", "--eps", "0.1"]
    result = rayat("evaluate", *soft)
    assert result.exit_code == 2 and "leave out the softmax" in result.stderr
