"""A search over configurations that do not differ finds a winner; its confirmation finds none."""

from __future__ import annotations

import random

import pytest

from rayat.compare.ranking import ranking
from rayat.ledger.reader import read_run

pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
import searches


def pace(config, mean):
    """Return the epochs that a trial takes to the target: the luck of its seed, nothing else."""
    return max(1.0, random.Random(config.sha256()).gauss(mean, mean / 5))


def lucky(config, epoch):
    """Return accuracies in which no configuration is better than another."""
    return 0.45 * epoch / pace(config, 6)


def quick(config, epoch):
    """Return accuracies in which all but the control are there twice as soon."""
    return 0.45 * epoch / pace(config, 8 if config.lr.kind == "constant" else 4)


def asked():
    return searches.study(seeds=(0,), policy="none", base={"epochs": 12})


@pytest.mark.slow
@pytest.mark.parametrize(("value", "confirms"), [(lucky, False), (quick, True)])
def test_the_winner_of_a_search_is_confirmed_if_it_is_no_luck(tmp_path, value, confirms):
    searches.searched(tmp_path / "search", asked(), value)
    order = ranking(read_run(tmp_path / "search"))
    assert order.baseline.cost / order.order[0].cost > 1.3, "the winner looks much faster"
    text = searches.confirmed(tmp_path / "search", tmp_path / "confirm", value)
    assert ("Train with this" in text, "Nothing confirmed" in text) == (confirms, not confirms)
