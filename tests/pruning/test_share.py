"""One selection for all workers: real processes over gloo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rayat.distributed.exchange import Exchange
from rayat.pruning.base import Selection
from rayat.pruning.share import shared

WORKER = Path(__file__).with_name("share_worker.py")


def test_one_worker_keeps_its_own():
    selection = Selection.sort(torch.arange(3))
    assert shared(lambda: selection, Exchange()) is selection


@pytest.mark.slow
def test_two_workers_have_the_selection_of_the_first_and_its_cost_once(tmp_path):
    workers = [
        subprocess.Popen(
            [sys.executable, WORKER, str(rank), tmp_path],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        for worker in workers:
            output, _ = worker.communicate()
            assert worker.returncode == 0, output
    finally:
        for worker in workers:
            worker.kill()
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first[:2] == second[:2]
    assert first[0] == [3, 2**40]
    assert first[2:] == [5, 4] and second[2:] == [0, 0]
