"""Every kind of message is read as it was written; what is no message is one sentence."""

from __future__ import annotations

import json
import math

import pytest

from rayat.errors import RayatError
from rayat.training.messages import Evaluated, Failed, Lost, Report, parse, result, to_text


@pytest.mark.parametrize(
    "message",
    [
        Report({"epoch": 3, "lr": 0.1 + 0.2, "val_robust_acc": None}, "host:1:a", "cpu"),
        Evaluated([{"suite": "pgd-3", "robust_acc": 0.25}]),
        Lost("worker 1 died", "died", False),
        Failed("ValueError: no", "cuda"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_is_read_as_it_was_written(message):
    assert parse(to_text(message)) == message
    assert parse(result(message, 3)["message"]) == message


def test_what_is_not_finite_arrives_as_it_is():
    told = parse(to_text(Report({"epoch": 1, "train_loss": math.nan}, "host:1:a")))
    assert isinstance(told, Report) and math.isnan(told.row["train_loss"])


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"kind": "paused", "content": {}}),
        json.dumps({"row": {"epoch": 1}, "start": "host:1:a"}),
        json.dumps({"kind": "failed", "content": {"failed": "no"}}),
        json.dumps({"kind": "failed"}),
    ],
)
def test_what_no_version_of_ours_wrote_is_refused_with_what_to_do(text):
    with pytest.raises(RayatError, match="install the same version of rayat on every node"):
        parse(text)
