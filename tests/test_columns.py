"""Report columns: what a name may be, who may declare it, and that two methods agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rayat.columns import FIXED, GRAD_L1, MEASURED, Column, Declared, columns_of, declared
from rayat.config import TrialConfig
from rayat.errors import ConfigError
from rayat.registry import ATTACKS, EXCHANGES, OBJECTIVES, PRUNERS

BEND = Column("bend", "float", "nats", "how far the loss bends along the step")


class Part:
    columns = (BEND,)

    def __init__(self, kind="mine", *columns):
        self.kind = kind
        if columns:
            self.__class__ = type("Other", (Part,), {"columns": columns})


@pytest.mark.parametrize("name", ["", "Bend", "a b", "1st", "epoch", "outcome", "trial_id", "é"])
def test_a_name_that_cannot_be_a_column_is_refused(name):
    with pytest.raises(ConfigError, match=re.escape(f"got {name!r}")):
        Column(name, "float", "", "")


def test_a_type_that_cannot_be_a_column_is_refused():
    with pytest.raises(ConfigError, match="is of the type float or int, got 'str'"):
        Column("bend", "str", "", "")


def test_what_a_class_declares_is_added_to_what_its_bases_declare():
    class Further(Part):
        columns = (Column("twist", "float", "", "more"),)

    assert list(columns_of(Further())) == ["bend", "twist"]
    assert list(columns_of(Part())) == ["bend"]


def test_declared_columns_have_their_method_and_leave_out_the_fixed_ones():
    found = declared([("attack", Part("mine", GRAD_L1)), ("objective", Part("yours"))])
    # `Other` inherits bend, so the attack is the first to declare it.
    assert found == {"bend": Declared(BEND, "attack 'mine'")}
    assert Declared.parse(found["bend"].record()) == found["bend"]


def test_a_fixed_column_belongs_to_no_method():
    with pytest.raises(ConfigError, match=r"attack 'mine' declares the column 'lr', which every"):
        declared([("attack", Part("mine", Column("lr", "float", "", "mine")))])


@pytest.mark.parametrize(
    "other",
    [
        Column("bend", "int", "nats", BEND.says),
        Column("bend", "float", "", BEND.says),
        Column("bend", "float", "nats", "another thing"),
    ],
    ids=["type", "unit", "meaning"],
)
def test_one_name_means_one_thing(other):
    parts = [("attack", Part()), ("objective", type("O", (), {"columns": (other,), "kind": "o"})())]
    with pytest.raises(ConfigError, match=r"objective 'o' declares the column 'bend' as .*attack"):
        declared(parts)
    assert declared([parts[0], parts[0]])


def test_attacks_of_a_schedule_declare_too(monkeypatch):
    fgsm = ATTACKS.get("fgsm")
    monkeypatch.setattr(fgsm, "columns", (BEND,), raising=False)
    schedule = {"name": "switch", "to": "fgsm"}
    config = TrialConfig.parse({"attack": "pgd", "attack_schedule": schedule})
    assert config.declared_columns() == {"bend": Declared(BEND, "attack 'fgsm'")}
    assert TrialConfig.parse({"attack": "pgd"}).declared_columns() == {}


def test_a_configuration_whose_methods_disagree_is_refused(monkeypatch):
    other = Column("bend", "int", "", "a count")
    monkeypatch.setattr(ATTACKS.get("fgsm"), "columns", (BEND,), raising=False)
    monkeypatch.setattr(OBJECTIVES.get("trades"), "columns", (other,), raising=False)
    with pytest.raises(ConfigError, match=r"objective 'trades' declares .*'bend' as int"):
        TrialConfig.parse({"attack": "fgsm", "objective": "trades"})


ROOMS = {"attack": ATTACKS, "objective": OBJECTIVES, "pruning": PRUNERS, "exchange": EXCHANGES}
NAMES = [(role, name) for role, room in ROOMS.items() for name in room.names()]


@pytest.mark.parametrize(("role", "name"), NAMES)
def test_the_card_of_a_method_names_the_columns_that_it_adds(role, name):
    own = ROOMS[role].get(name).__dict__.get("columns", ())
    card = Path(f"docs/methods/{role}-{name}.md")
    for column in own:
        assert f"`{column.name}`" in card.read_text(), f"{card} must say what {column.name} is"


def test_every_fixed_column_says_what_it_is():
    assert all(column.says and len(column.says) < 70 for column in FIXED.values())
    assert all(column is FIXED[column.name] for column in MEASURED)
