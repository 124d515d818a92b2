"""A measurement in one piece, in several, and on other things than before."""

from __future__ import annotations

import dataclasses
import os

import pytest
import torch

from rayat.data.prepare import prepare
from rayat.evaluation.journal import PREFIX, forget
from rayat.evaluation.measure import MeasureSettings, measure
from rayat.suites.base import suite
from rayat.training.network import build_model


@pytest.fixture
def prepared(small):
    return prepare(small().data)


@pytest.fixture
def model(small, prepared):
    return build_model(small(), prepared)


@pytest.fixture
def question(tmp_path):
    return MeasureSettings(
        suite("pgd-2"), 0.1, size=100, batch_size=40, journal=tmp_path / "journal"
    )


def plain(row):
    return {name: value for name, value in row.items() if name != "seconds"}


def journal(question):
    (path,) = question.journal.glob(f"{PREFIX}*")
    return path


class Stop(Exception):
    """What interrupts a measurement after a batch."""


def interrupt(done, of):
    if done == 2:
        raise Stop


def test_interrupted_behind_a_batch_it_goes_on_with_the_next_one(model, prepared, question):
    whole = measure(model, prepared, dataclasses.replace(question, journal=None))
    with pytest.raises(Stop):
        measure(model, prepared, dataclasses.replace(question, tell=interrupt))
    kept = journal(question).read_text().splitlines()
    assert len(kept) == 2
    seen = []
    model.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    again = measure(model, prepared, question)
    assert plain(again) == plain(whole) and whole["n"] == 100
    assert set(seen) == {20} | set(seen) and 40 not in seen, "only the last 20 images were shown"
    assert len(journal(question).read_text().splitlines()) == 3


def test_a_line_that_a_crash_cut_short_is_measured_again(model, prepared, question):
    whole = measure(model, prepared, question)
    path = journal(question)
    os.truncate(path, path.stat().st_size - 5)
    assert plain(measure(model, prepared, question)) == plain(whole)
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    "change", [{"eps": 0.2}, {"seed": 1}, {"size": 90}, {"split": "val"}, {"suite": suite("cw-2")}]
)
def test_another_question_is_another_journal(model, prepared, question, change):
    measure(model, prepared, question)
    measure(model, prepared, dataclasses.replace(question, **change))
    assert len(list(question.journal.iterdir())) == 2


def test_other_weights_are_another_journal(model, prepared, question):
    measure(model, prepared, question)
    with torch.no_grad():
        next(model.parameters()).flatten()[0] += 1e-3
    measure(model, prepared, question)
    assert len(list(question.journal.iterdir())) == 2
    forget(question.journal)
    assert not list(question.journal.iterdir())


def test_more_images_than_there_are_are_all(model, prepared, question):
    row = measure(model, prepared, dataclasses.replace(question, size=10**6))
    assert row["n"] == len(prepared.test)
