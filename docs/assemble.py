"""Lay out the site's pages: `python docs/assemble.py FOLDER`, then a builder on FOLDER/mkdocs.yml.

The Markdown of the repository is written for a code host: its links go from file to file, and to
sources and folders too. Here each page gets its place on the site and each link is turned to it;
a source that a page links to becomes a page. A link to nothing is an error.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "lr": "Learning-rate shapes",
    "attack": "Attacks",
    "schedule": "Attack schedules",
    "objective": "Objectives",
    "pruning": "Pruning",
    "optimizer": "Optimisers",
    "exchange": "Gradient exchange",
    "model": "Models",
    "data": "Data",
    "suite": "Evaluation suites",
    "policy": "Stopping policies",
    "search": "Searchers",
    "follower": "Followers",
}
"""What a card's name begins with, and what its room is called."""
API = {
    "rayat": (
        *("api.verbs.run", "api.verbs.resume", "api.verbs.plan", "api.verbs.open"),
        *("api.verbs.compare", "api.verbs.merge", "api.confirming.confirm"),
        *("api.reproducing.reproduce", "api.how.How", "errors.RayatError"),
    ),
    "rayat.Run": ("api.run.Run",),
    "rayat.study": ("study.Study", "study.load_study"),
    "rayat.testing": (
        *("testing.attack_contract", "testing.shape_contract", "testing.objective_contract"),
        *("testing.policy_contract", "testing.exchange_contract"),
    ),
    "Methods": (
        *("registry.Part", "columns.Column", "lr_shapes.base.LRShape", "attacks.base.Attack"),
        *("attacks.base.Adversarial", "objectives.base.Objective", "attacks.base.Outcome"),
        *(
            "policies.base.Policy",
            "policies.base.Decision",
            "data.base.Source",
            "models.base.Model",
        ),
        *("models._body.Body",),
    ),
}
"""Pages of the API reference: names below `rayat`, where they are defined."""
FENCE = re.compile(r"^(```.*?^```[ ]*$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\])\(([^()\s]+)\)")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".sh": "bash", ".sbatch": "bash"}
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md")


class BrokenLink(Exception):
    """A page links to nothing."""


def place(path: Path) -> Path:
    """Return where a file of the repository stands on the site; both paths are relative."""
    if path == Path("README.md"):
        return Path("index.md")
    if path.parts[0] == "docs":
        return path.relative_to("docs")
    return path if str(path) in PAGES else Path("source", f"{path}.md")


class Site:
    """The pages under way: what is written, and what a link still asks for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources: set[Path] = set()

    def page(self, path: Path) -> None:
        """Write a page of Markdown with its links turned."""
        parts = FENCE.split((ROOT / path).read_text(encoding="utf-8"))
        for i in range(0, len(parts), 2):  # between the fences
            parts[i] = LINK.sub(lambda found: f"({self.turned(path, found[1])})", parts[i])
        self.write(place(path), "".join(parts))

    def turned(self, page: Path, link: str) -> str:
        """Return a page's link as it must read on the site."""
        if re.match(r"[a-z]+:|#", link):
            return link
        name, _, anchor = link.partition("#")
        target = Path(os.path.normpath(page.parent / name))
        if target.parts[0] == ".." or not (ROOT / target).exists():
            raise BrokenLink(f"{page}: no such file or folder: {link}")
        while (ROOT / target).is_dir():  # what says most of it
            inside = target / "README.md"
            target = inside if (ROOT / inside).exists() else target.parent
        to = place(target)
        if to.parts[0] == "source":
            self.sources.add(target)
        turned = os.path.relpath(to, place(page).parent)
        return f"{turned}#{anchor}" if anchor else turned

    def source(self, path: Path) -> None:
        """Write a page that shows a source."""
        text = (ROOT / path).read_text(encoding="utf-8").rstrip("\n")
        language = LANGUAGES.get(path.suffix, "text")
        self.write(place(path), f"# {path.name}\n\n`{path}`\n\n````{language}\n{text}\n````\n")

    def write(self, to: Path, text: str) -> None:
        """Write one file of the site."""
        (self.folder / to).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / to).write_text(text, encoding="utf-8")


def cards() -> list[dict[str, Any]]:
    """Return the navigation of the method cards, by room."""
    found: dict[str, list[dict[str, str]]] = {name: [] for name in ROOMS.values()}
    for path in sorted((ROOT / "docs/methods").glob("*.md")):
        room, _, name = path.stem.partition("-")
        found[ROOMS[room]].append({name: f"methods/{path.name}"})
    return [{room: entries} for room, entries in found.items()]


def api(site: Site) -> list[dict[str, str]]:
    """Write the pages of the API reference; return their navigation."""
    entries = []
    for title, names in API.items():
        page = f"api/{title.lower().replace('.', '-')}.md"
        blocks = "\n".join(f"::: rayat.{name}\n" for name in names)
        site.write(Path(page), f"# {title}\n\n{blocks}")
        entries.append({title: page})
    return entries


def filled(entry: Any, ready: dict[str, Any]) -> Any:
    """Return a navigation with its `@names` replaced."""
    if isinstance(entry, dict):
        return {key: filled(value, ready) for key, value in entry.items()}
    if isinstance(entry, list):
        return [filled(value, ready) for value in entry]
    return ready.get(entry, entry)


def linked(entry: Any) -> set[str]:
    """Return the pages that a navigation names."""
    if isinstance(entry, str):
        return {entry}
    values = entry.values() if isinstance(entry, dict) else entry
    return set().union(*map(linked, values))


def assemble(folder: Path) -> None:
    """Write pages and configuration. Raises `BrokenLink`."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    site = Site(pages)
    written = [*map(Path, PAGES), *(p.relative_to(ROOT) for p in (ROOT / "docs").rglob("*.md"))]
    for path in written:
        site.page(path)
    for path in sorted(site.sources):
        site.source(path)
    for name in ("images", "assets"):
        shutil.copytree(ROOT / "docs" / name, pages / name)
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    config["nav"] = filled(config["nav"], {"@cards": cards(), "@api": api(site)})
    config["docs_dir"] = "pages"
    config["site_dir"] = "site"
    handlers = next(p["mkdocstrings"] for p in config["plugins"] if "mkdocstrings" in p)["handlers"]
    handlers["python"]["paths"] = [str(ROOT)]
    missing = {str(place(path)) for path in written} - linked(config["nav"])
    config["nav"] += [{"More": sorted(missing)}] if missing else []  # till mkdocs.yml places them
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(config, sort_keys=False))


if __name__ == "__main__":
    try:
        assemble(Path(sys.argv[1]))
    except BrokenLink as error:
        sys.exit(str(error))
