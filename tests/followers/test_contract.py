"""What every follower promises without its package."""

from __future__ import annotations

import sys

import pytest

from rayat.errors import ConfigError
from rayat.registry import FOLLOWERS


@pytest.mark.parametrize("name", FOLLOWERS.names())
def test_a_missing_package_is_named_with_its_extra(name, monkeypatch):
    follower = FOLLOWERS.build(name)
    monkeypatch.setitem(sys.modules, follower.package, None)
    with pytest.raises(ConfigError, match=rf"pip install 'rayat\[{name}\]'"):
        follower.library()


@pytest.mark.parametrize("name", FOLLOWERS.names())
def test_every_follower_has_an_extra_with_its_name(name):
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    needed = project["project"]["optional-dependencies"][name]
    package = FOLLOWERS.build(name).package
    assert any(line.startswith(package) for line in needed)
