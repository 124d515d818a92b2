"""Of the wrong type or out of range: one sentence with what was given, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import rayat
from rayat.api.given import refuse_wrong
from rayat.errors import ConfigError

RUN = Path(__file__).parents[2] / "results" / "lr_shapes"


@pytest.fixture(scope="module")
def run():
    return rayat.open(RUN)


@pytest.mark.parametrize(
    ("call", "given", "said"),
    [
        ("compare", {"baseline": 5}, "compare: baseline should be a valid string, got 5"),
        ("compare", {"target": "x"}, "target should be a valid number, got 'x'"),
        ("compare", {"target": True}, "target should be a valid number, got True"),
        ("compare", {"arms": 3}, "arms should be a valid string or a list, got 3"),
        ("evaluate", {"n": 0}, "evaluate: n should be greater than or equal to 1, got 0"),
        ("evaluate", {"workers": 0}, "workers should be greater than or equal to 1, got 0"),
        ("evaluate", {"eps": "8/255"}, "eps should be a list, got '8/255'"),
        ("load_model", {"trial": 3}, "trial should be a valid string, got 3"),
        ("load_model", {"checkpoint": "bset"}, "checkpoint should be 'best' or 'last', got 'bset'"),
        ("load_model", {"device": "cud"}, "no device 'cud'"),
        ("evaluate", {"device": "cud"}, "no device 'cud'"),
        ("best", {"top": 0}, "top should be greater than or equal to 1, got 0"),
        ("what_if", {"budget": [1]}, "budget should be a valid number or a valid string"),
        ("report", {"path": 3}, "path should be a valid string or an instance of Path, got 3"),
    ],
)
def test_of_a_run(run, call, given, said):
    with pytest.raises(ConfigError) as error:
        getattr(run, call)(**given)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cpus": 0}, "how to run: cpus should be greater than or equal to 1, got 0"),
        ({"cpus": "2"}, "cpus should be a valid integer, got '2'"),
        ({"concurrency": 0}, "concurrency should be greater than or equal to 1, got 0"),
        ({"launcher": "x"}, "launcher should be 'ranks' or 'trainer', got 'x'"),
        ({"time_budget": -1.0}, "time_budget should be greater than 0, got -1.0"),
        ({"seeds": 5}, "run: seeds should be a list, got 5"),
        ({"changes": [1]}, "run: changes should be a valid dictionary, got [1]"),
        ({"cpu": 2}, "there is no option 'cpu' (did you mean 'cpus'?)"),
    ],
)
def test_of_how_to_run(given, said, tmp_path):
    with pytest.raises(ConfigError) as error:
        rayat.run("quickstart", tmp_path / "run", **given)
    assert said in str(error.value)
    assert not (tmp_path / "run").exists()


def test_numbers_of_numpy_are_numbers(run):
    assert run.compare(target=np.float64(0.7)).target == 0.7
    assert len(run.best(np.int64(2)).rows) == 2


@pytest.mark.parametrize("seeds", [range(3), (0, 1), [0], np.arange(2)])
def test_seeds_are_whatever_lists_whole_numbers(seeds):
    refuse_wrong({"seeds": seeds}, {"seeds": Sequence[int] | None}, "run")


def test_help_lists_every_option_of_how_to_run():
    assert set(rayat.How.__annotations__) == {
        name for name in rayat.How.__annotations__ if f"`{name}`" in rayat.run.__doc__
    }
