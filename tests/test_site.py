"""The site builds without a warning, needs nothing from elsewhere, and a link to nothing fails."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def assembling():
    spec = importlib.util.spec_from_file_location("assemble", ROOT / "docs/assemble.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(folder):
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--strict"]
    return subprocess.run(
        [*command, "-f", "mkdocs.yml"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    assembling().assemble(folder)
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stderr
    return folder / "site"


@pytest.mark.slow
def test_every_page_is_built_and_fetches_nothing(site):
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    cards = {f"methods/{path.stem}.html" for path in (ROOT / "docs/methods").glob("*.md")}
    tops = {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}
    assert pages >= cards | tops | {"index.html", "results/index.html"}
    fetched = re.compile(r'<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"')
    for page in pages - {"404.html"}:  # a server's alone
        text = (site / page).read_text()
        assert not fetched.search(text), f"{page}: {fetched.search(text)[0]}"
        for link in re.findall(r'<script[^>]* src="([^"]+)"', text):
            assert (site / page).parent.joinpath(link).resolve().exists(), f"{page}: {link}"


@pytest.mark.slow
def test_search_finds_pages_from_a_folder(site):
    """A browser lets no page read a file beside it: the index is a script there."""
    index = (site / "search.js").read_text()
    assert "attack-bullet-train.html" in index and "robust overfitting" in index
    assert "iframe-worker.js" in (site / "index.html").read_text()


@pytest.mark.slow
def test_the_api_pages_show_what_they_name(site):
    for title, names in assembling().API.items():
        text = (site / f"api/{title.lower().replace('.', '-')}.html").read_text()
        for name in names:
            assert f'id="rayat.{name}"' in text


def test_the_api_pages_have_every_public_name():
    import rayat

    names = {name.rpartition(".")[2] for page in assembling().API.values() for name in page}
    assert names >= set(rayat.__all__) - {"__version__", "TrialConfig"}
    contracts = re.findall(r"^def (\w+_contract)", (ROOT / "rayat/testing.py").read_text(), re.M)
    assert contracts and names >= set(contracts)


@pytest.mark.parametrize(
    ("page", "link", "turned"),
    [
        ("docs/cli.md", "studies.md", "studies.md"),
        ("docs/methods/attack-pgd.md", "../papers.md#a", "../papers.md#a"),
        ("README.md", "docs/cli.md", "cli.md"),
        ("docs/cli.md", "../README.md", "index.md"),
        ("docs/cli.md", "../results/collapse", "results/README.md"),
        ("docs/cli.md", "../search_spaces/joint.py", "source/search_spaces/joint.py.md"),
        ("docs/cli.md", "https://a.example/b", "https://a.example/b"),
        ("docs/cli.md", "#below", "#below"),
    ],
)
def test_links_are_turned_to_where_pages_stand(tmp_path, page, link, turned):
    assert assembling().Site(tmp_path).turned(Path(page), link) == turned


@pytest.mark.parametrize("link", ["studys.md", "../search_spaces/none.py", "../../etc/passwd"])
def test_a_link_to_nothing_is_an_error(tmp_path, link):
    module = assembling()
    with pytest.raises(
        module.BrokenLink, match=re.escape(f"docs/cli.md: no such file or folder: {link}")
    ):
        module.Site(tmp_path).turned(Path("docs/cli.md"), link)


def test_an_anchor_that_is_not_there_is_an_error(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Top\n\n[down](#nowhere)\n")
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump({"site_name": "x"}))
    done = build(tmp_path)
    assert done.returncode != 0 and "anchor does not exist" in done.stdout + done.stderr
