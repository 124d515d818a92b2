"""Parts and registries: names, claims, errors."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from rayat.errors import ConfigError, nearest
from rayat.registry import ROOMS, SHAPES, Part, Registry

BASE = """
from __future__ import annotations
from rayat.registry import Part, Registry
ROOM = Registry("tool", __name__.rpartition(".")[0])
class Tool(Part):
    '''The room's base.'''
    weight: float = 1.0
"""
HAMMER = """
from __future__ import annotations
from typing import ClassVar, Self
from pydantic import model_validator
from .base import ROOM, Tool
@ROOM.register("hammer")
class Hammer(Tool):
    '''Drives nails.

    And more.
    '''
    head: str = "steel"
    size: int = 3
    shorthand: ClassVar[str | None] = "head"

    @model_validator(mode="after")
    def _light(self) -> Self:
        if self.weight > 10:
            raise ValueError(f"weight must be at most 10, got {self.weight:g}")
        return self
"""
SAW = """
from .base import ROOM, Tool
@ROOM.register("saw")
class Saw(Tool):
    '''Cuts.'''
"""
numbers = itertools.count()


@pytest.fixture
def room(tmp_path, monkeypatch) -> Registry[Any]:
    """A room of two parts in a package of its own, one part a file."""
    name = f"room_{next(numbers)}"
    folder = tmp_path / name
    folder.mkdir()
    files = {"__init__": "", "base": BASE, "hammer": HAMMER, "saw": SAW}
    for stem, text in files.items():
        (folder / f"{stem}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = __import__(f"{name}.base", fromlist=["ROOM"])
    yield module.ROOM
    for key in [key for key in sys.modules if key.partition(".")[0] == name]:
        del sys.modules[key]


def test_a_file_in_the_folder_is_found(room):
    assert room.names() == ["hammer", "saw"]
    assert room.get("hammer").claim() == "Drives nails."
    assert room.get("saw").kind == "saw"


def test_a_part_is_built_from_a_name_a_mapping_or_itself(room):
    hammer = room.build("hammer")
    assert room.build({"name": "hammer"}) == hammer
    assert room.build(hammer) is hammer
    assert room.build({"name": "hammer", "size": 4}).size == 4
    assert room.build("saw") != hammer


def test_spec_has_the_name_first_and_every_default(room):
    spec = room.build("hammer").spec()
    assert list(spec) == ["name", "weight", "head", "size"]
    assert room.build(spec) == room.build("hammer")


def test_shorthand_fills_its_parameter_unless_given(room):
    assert room.build("hammer:wood").head == "wood"
    assert room.build({"name": "hammer:wood", "head": "iron"}).head == "iron"
    with pytest.raises(ConfigError, match="tool 'saw' takes nothing after a colon"):
        room.build("saw:wood")


def test_parts_are_frozen_and_replaced(room):
    hammer = room.build("hammer")
    with pytest.raises(ValidationError):
        hammer.size = 4
    assert hammer.replace(size=4).size == 4
    assert hammer.size == 3
    assert len({hammer, room.build("hammer")}) == 1


def test_common_parameters_are_those_of_the_rooms_base(room):
    assert room.common("hammer") == {"weight"}
    assert SHAPES.common("accelat") == {"peak", "floor", "warmup"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("hamer", "unknown tool 'hamer' (did you mean 'hammer'?); known: hammer, saw"),
        ("drill", "unknown tool 'drill'; known: hammer, saw"),
        ({"size": 4}, "tool has no 'name': give one of hammer, saw"),
        (5, "tool must be a name or a mapping with 'name', got 5"),
        (None, "tool must be a name or a mapping with 'name', got None"),
        ({"name": None}, "tool.name must be a name, got None"),
        ({"name": "saw", 1: 2}, "tool: keys must be words, got 1"),
        (
            {"name": "hammer", "sise": 4},
            "unknown key 'tool.sise' of tool 'hammer' (did you mean 'tool.size'?)",
        ),
        (
            {"name": "hammer", "nam": "saw"},
            "unknown key 'tool.nam' of tool 'hammer' (did you mean 'tool.name'?)",
        ),
        ({"name": "saw", "xyz": 4}, "unknown key 'tool.xyz' of tool 'saw'"),
        ({"name": "hammer", "weight": 11}, "tool: weight must be at most 10, got 11"),
    ],
)
def test_errors_say_what_was_given_and_what_to_do(room, value, text):
    with pytest.raises(ConfigError) as error:
        room.build(value)
    assert str(error.value) == text


def test_a_wrong_value_names_its_key_and_what_it_got(room):
    with pytest.raises(ConfigError, match=r"^tool\.size: .*integer.*, got 'big'$"):
        room.build({"name": "hammer", "size": "big"})
    with pytest.raises(ConfigError, match=r"^tool\.weight: .*finite.*, got inf$"):
        room.build({"name": "hammer", "weight": float("inf")})


def test_one_name_is_one_method(room):
    room.names()

    class Other(Part):
        """Another."""

    with pytest.raises(ValueError, match="tool 'saw' is registered by room_"):
        room.register("saw")(Other)


def test_a_name_is_loaded_only_when_asked(room):
    package = room.package
    assert f"{package}.hammer" not in sys.modules
    room.build("saw")
    assert f"{package}.hammer" in sys.modules


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("lr.shap", ["lr.shape", "seed"], " (did you mean 'lr.shape'?)"),
        ("shap", ["lr.shape", "seed"], " (did you mean 'lr.shape'?)"),
        ("zzz", ["lr.shape"], ""),
        ("x", [], ""),
    ],
)
def test_nearest(name, options, expected):
    assert nearest(name, options) == expected


@pytest.mark.parametrize("room_name", sorted(ROOMS))
def test_every_room_has_parts_that_make_a_claim_and_build_by_name(room_name):
    registry = ROOMS[room_name]
    assert registry.names()
    for name in registry.names():
        cls = registry.get(name)
        assert cls.kind == name
        assert cls.claim().endswith(".")
        # Some parts need a parameter (a path, an architecture): then the text names it.
        try:
            part = registry.build(name)
        except ConfigError as error:
            assert f"{registry.path}." in str(error)  # noqa: PT017
        else:
            assert registry.build(part.spec()) == part
