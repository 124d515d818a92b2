"""Methods that installed packages advertise: listed without an import, named when broken."""

from __future__ import annotations

import sys

import pytest
from typer.testing import CliRunner

from rayat.errors import ConfigError
from rayat.registry import ATTACKS

ATTACK = '''
from rayat.attacks.fgsm import FGSM
class Mine(FGSM):
    """FGSM by another name."""
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a package of one module with entry points for attacks."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, text: str, **points: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        info = tmp_path / f"{name}-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
        lines = "".join(f"{key} = {value}\n" for key, value in points.items())
        (info / "entry_points.txt").write_text(f"[rayat.attacks]\n{lines}")

    ATTACKS.get("pgd")  # all of rayat's own are known before
    known = dict(ATTACKS._parts)
    yield make
    ATTACKS._parts.clear()
    ATTACKS._parts.update(known)
    for name in ("ep_one", "ep_two", "ep_bad"):
        sys.modules.pop(name, None)


def test_an_advertised_method_is_listed_unread_and_built_by_its_name(install):
    install("ep_one", ATTACK, advertised="ep_one:Mine")
    assert "advertised" in ATTACKS.names()
    assert "ep_one" not in sys.modules
    part = ATTACKS.build({"name": "advertised", "eps": 0.1})
    assert part.kind == "advertised" and part.claim() == "FGSM by another name."
    assert ATTACKS.build(part.spec()) == part


def test_a_broken_one_is_named_with_its_package_and_hides_no_other(install):
    install("ep_bad", "import no_such_thing\n", broken="ep_bad:Mine")
    install("ep_one", ATTACK, advertised="ep_one:Mine")
    assert ATTACKS.build("advertised").kind == "advertised"
    with pytest.raises(ConfigError, match=r"attack 'broken' of the package ep_bad 0.1 cannot be"):
        ATTACKS.build("broken")


def test_one_name_of_two_packages_is_refused_and_rayats_own_name_stays_its_own(install):
    install("ep_one", ATTACK, twice="ep_one:Mine", pgd="ep_one:Mine")
    install("ep_two", ATTACK, twice="ep_two:Mine")
    with pytest.raises(ConfigError, match=r"advertised by several packages, ep_.* and ep_"):
        ATTACKS.build("twice")
    assert "twice" in ATTACKS.names()
    assert type(ATTACKS.build("pgd")).__module__ == "rayat.attacks.pgd"


def test_a_broken_one_does_not_keep_the_list_from_being_printed(install):
    install("ep_bad", "1 / 0\n", broken="ep_bad:Mine")
    from rayat.cli.app import app

    def run(*arguments: str):
        return CliRunner().invoke(app, list(arguments), prog_name="rayat")

    result = run("ls", "attacks")
    assert result.exit_code == 0, result.output
    assert "broken" in result.output and "ZeroDivisionError" in result.output
    assert run("show", "attacks").exit_code == 0
    assert run("show", "attacks", "broken").exit_code == 2
