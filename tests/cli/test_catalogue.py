"""`rayat ls` and `rayat show`: whatever is registered is listed."""

from __future__ import annotations

import json

import pytest

from rayat.api.studies import shipped
from rayat.cli.catalogue import KINDS
from rayat.registry import ROOMS


def test_every_room_is_listed():
    assert set(KINDS) == {*ROOMS, "studies"}


@pytest.mark.parametrize("kind", ROOMS)
def test_ls_prints_every_name_with_its_claim_one_a_line(rayat, kind):
    result = rayat("ls", kind)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ROOMS[kind].names()
    for line, name in zip(lines, ROOMS[kind].names(), strict=True):
        assert line.endswith(ROOMS[kind].get(name).claim())


@pytest.mark.parametrize("kind", ROOMS)
def test_show_prints_no_address_of_this_process(rayat, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the shapes are drawn to a file
    assert " at 0x" not in rayat("show", kind).stdout


def test_ls_without_a_kind_lists_everything(rayat):
    result = rayat("ls", "--json")
    entries = json.loads(result.stdout)
    expected = {(kind, name) for kind in ROOMS for name in ROOMS[kind].names()}
    expected |= {("studies", name) for name in shipped()}
    assert {(e["kind"], e["name"]) for e in entries} == expected
    assert all(e["claim"] for e in entries)
    assert len(rayat("ls").stdout.splitlines()) == len(entries)


def test_the_shipped_studies_are_listed_with_their_first_line(rayat):
    lines = rayat("ls", "studies").stdout.splitlines()
    assert any(line.startswith("shapes ") and "shape" in line for line in lines)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in ROOMS for name in ROOMS[kind].names()]
)
def test_show_names_every_parameter(rayat, kind, name):
    result = rayat("show", kind, name)
    assert result.exit_code == 0
    for field in ROOMS[kind].get(name).model_fields:
        assert f"    {field} " in result.stdout or f"    {field}\n" in result.stdout


def test_show_gives_json(rayat):
    card = json.loads(rayat("show", "policies", "asha", "--json").stdout)["asha"]
    assert card["parameters"]["eta"]["default"] == 3
    assert card["doc"]


def test_show_of_a_study_is_its_file(rayat):
    assert rayat("show", "studies", "quickstart").stdout == shipped()["quickstart"].read_text()


def test_show_shapes_draws_a_picture(rayat, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = rayat("show", "shapes")
    assert result.exit_code == 0, result.output
    assert "drawn to shapes.png" in result.stdout
    assert (tmp_path / "shapes.png").read_bytes().startswith(b"\x89PNG")
    one = rayat("show", "shapes", "cosine", "--out", "cosine.png")
    assert one.exit_code == 0
    assert (tmp_path / "cosine.png").is_file()


def test_only_shapes_have_a_picture(rayat, tmp_path):
    result = rayat("show", "attacks", "--out", tmp_path / "x.png")
    assert result.exit_code == 2
    assert "have no picture" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["show", "shapes", "cosin"], "'cosine'"),
        (["show", "studies", "quickstrat"], "'quickstart'"),
        (["show", "shape"], "'shapes'"),
        (["ls", "study"], "'studies'"),
    ],
)
def test_a_misspelt_name_gets_the_nearest(rayat, arguments, hint):
    result = rayat(*arguments)
    assert result.exit_code == 2
    assert f"did you mean {hint}" in result.stderr
