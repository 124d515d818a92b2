"""Every registered method has a card in docs/methods that says what a reader needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rayat.registry import ROOMS

CARDS = Path(__file__).parents[1] / "docs" / "methods"
PREFIX = {
    "shapes": "lr",
    "policies": "policy",
    "data": "data",
    "models": "model",
    "attacks": "attack",
    "schedules": "schedule",
    "objectives": "objective",
    "optimizers": "optimizer",
    "pruners": "pruning",
    "exchanges": "exchange",
    "suites": "suite",
    "searchers": "search",
    "followers": "follower",
}
PARTS = {
    "claim": r"\*\*Claim\b",
    "use": r"\*\*Use\b|^## Use",
    "cost": r"\*\*Cost\b",
    "when it fails": r"\*\*When it fails\b",
    "what the paper did that we do not": r"\*\*What the (paper|papers|code)\b.* not\b",
    "a link to the paper": r"https://\S|\(\.\./papers\.md\)|\*\*Paper\.\*\* None",
}


def methods() -> list[tuple[str, str]]:
    return [(room, name) for room, registry in ROOMS.items() for name in registry.names()]


def test_the_rooms_are_those_of_the_registry():
    assert set(PREFIX) == set(ROOMS)


@pytest.mark.parametrize(("room", "name"), methods())
def test_a_claim_is_one_short_sentence(room, name):
    """`rayat ls` shows it in a line."""
    claim = ROOMS[room].get(name).claim()
    assert claim.endswith(".") and len(claim) <= 100, claim


@pytest.mark.parametrize(("room", "name"), methods())
def test_a_method_has_a_card_with_every_part(room, name):
    path = CARDS / f"{PREFIX[room]}-{name}.md"
    assert path.exists(), f"{room} {name} has no card: write {path}"
    text = path.read_text(encoding="utf-8")
    missing = [part for part, how in PARTS.items() if not re.search(how, text, re.MULTILINE)]
    assert not missing, f"{path.name} does not say: {', '.join(missing)}"


@pytest.mark.parametrize(("room", "name"), methods())
def test_a_card_names_every_parameter(room, name):
    text = (CARDS / f"{PREFIX[room]}-{name}.md").read_text(encoding="utf-8")
    found = {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"\w+", code)}
    missing = set(ROOMS[room].get(name).model_fields) - found
    assert not missing, f"parameters without a word: {sorted(missing)}"


def test_no_card_is_left_of_a_method_that_is_gone():
    known = {f"{PREFIX[room]}-{name}.md" for room, name in methods()}
    assert {path.name for path in CARDS.glob("*.md")} <= known
