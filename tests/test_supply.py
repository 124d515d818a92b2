"""What is installed is what is written: every dependency is pinned, and nothing else is named."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = [
    Requirement(line)
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line.strip() and not line.startswith("#")
]


def here() -> dict[str, str]:
    """Return the pins that hold for this Python and system, by canonical name."""
    environment = dict(default_environment())
    return {
        canonicalize_name(line.name): str(line.specifier).removeprefix("==")
        for line in LINES
        if line.marker is None or Marker(str(line.marker)).evaluate(environment)
    }


def test_every_line_is_one_exact_version_from_the_index():
    for line in LINES:
        assert line.url is None, line
        assert re.fullmatch(r"==[^*,]+", str(line.specifier)), line


def test_every_dependency_is_pinned_to_a_version_that_it_allows():
    pins = here()
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
    for requirement in map(Requirement, wanted):
        pin = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin, prereleases=True), requirement


def test_whatever_a_pinned_package_needs_is_pinned_too():
    pins, missing, seen = here(), set(), 0
    environment = {**default_environment(), "extra": ""}
    for name in pins:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # of another system
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate(environment):
                seen += 1
                if canonicalize_name(need.name) not in pins:
                    missing.add(f"{name} needs {need}")
    print(f"supply: {len(LINES)} pins, {seen} requirements of theirs, {len(missing)} not pinned")
    assert seen > 50
    # Build tools that every environment has.
    assert {text for text in missing if not text.endswith("setuptools")} == set()
