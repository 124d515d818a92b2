"""What methods report besides the fixed columns: their means, or a refusal by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rayat.columns import Column
from rayat.errors import ConfigError
from rayat.registry import ATTACKS, OBJECTIVES, PRUNERS
from rayat.training.run import run

BEND = Column("bend", "float", "nats", "how far the loss bends along the step")


@pytest.fixture
def tells(monkeypatch):
    """Return a function that makes a method of rayat's report a value, and declare columns."""

    def change(room, name, method, add, *columns):
        cls = room.get(name)
        told = getattr(cls, method)

        def tell(self, *args, **kwargs):
            found = told(self, *args, **kwargs)
            return replace(found, info={**found.info, **add(found)})

        monkeypatch.setattr(cls, method, tell)
        monkeypatch.setattr(cls, "columns", columns, raising=False)

    return change


def per_image(found):
    return {"bend": found.x.flatten(1).sum(1) * 0 + 0.25}


def of_loss(found):
    return {"bend": found.loss.detach() * 0 + 0.5}


@pytest.mark.parametrize(
    ("room", "name", "method", "add", "mean"),
    [
        (ATTACKS, "pgd", "perturb", per_image, 0.25),
        (OBJECTIVES, "madry", "loss", of_loss, 0.5),
    ],
    ids=["attack", "objective"],
)
def test_a_declared_column_holds_the_mean_over_the_images(
    room, name, method, add, mean, tells, small, launch
):
    tells(room, name, method, add, BEND)
    context = launch()
    run(small(epochs=2), context)
    assert [row["bend"] for row in context.rows] == [mean, mean]
    assert all(row["grad_l1"] > 0 for row in context.rows), "what its base class declares stays"


def test_a_pruner_reports_where_it_selects_and_null_elsewhere(tells, small, launch):
    tells(PRUNERS, "random", "choose", lambda found: {"bend": 3.0}, BEND)
    context = launch()
    run(small(epochs=2, pruning={"name": "random", "every": 2}), context)
    assert [row["bend"] for row in context.rows] == [3.0, None]
    assert [row["random_fill"] for row in context.rows] == [0.0, None]


@pytest.mark.parametrize(
    ("room", "name", "method", "add", "said"),
    [
        (ATTACKS, "pgd", "perturb", per_image, "attack 'pgd' reports 'bend'"),
        (OBJECTIVES, "madry", "loss", of_loss, "objective 'madry' reports 'bend'"),
        (PRUNERS, "random", "choose", lambda _: {"bend": 1.0}, "pruning 'random' reports 'bend'"),
    ],
    ids=["attack", "objective", "pruner"],
)
def test_a_column_that_nobody_declared_is_refused_by_name(
    room, name, method, add, said, tells, small, launch
):
    tells(room, name, method, add)
    with pytest.raises(ConfigError, match=f"{said}, a column that it does not declare; add Column"):
        run(small(epochs=1, pruning={"name": "random"}), launch())
