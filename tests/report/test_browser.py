"""The report as a reader meets it: in a browser, wide and narrow, dark, on paper, without scripts.

One browser serves the whole file. Where no Chromium is installed these tests are skipped.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rayat.ledger.reader import read_run
from rayat.report.write import write_report

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
RESULTS = Path(__file__).parents[2] / "results"
RUNS = {"methods": RESULTS / "methods", "searched": RESULTS / "joint" / "accel-0"}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    return {
        name: write_report(read_run(run), folder / f"{name}.html") for name, run in RUNS.items()
    }


@pytest.fixture(scope="module", params=RUNS)
def opened(request, browser, reports):
    """Return a page that has drawn all, what it complained of, and what it asked for."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    said, asked = [], []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda call: asked.append(call.url))
    page.goto(reports[request.param].as_uri())
    drawn = page.evaluate("window.drawn")
    yield request.param, page, drawn, said, asked
    page.close()


def test_every_chart_is_drawn_without_a_word_and_without_a_request(opened):
    _, page, drawn, said, asked = opened
    assert drawn == page.locator("[data-chart]").count() >= 5
    assert page.locator(".live .still:visible").count() == 0
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_out_of_the_page(opened, width, scheme):
    _, page, *_ = opened
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = """() => [...document.querySelectorAll('table')].filter(table => {
        const box = table.closest('.wide');
        return table.offsetWidth > box.clientWidth + 1
            && getComputedStyle(box).overflowX !== 'auto';
    }).length"""
    assert page.evaluate(cut) == 0
    empty = """() => [...document.querySelectorAll('h1, h2, th, summary')]
        .filter(head => !head.textContent.trim()).length"""
    assert page.evaluate(empty) == 0
    contrast = (
        "getComputedStyle(document.body).color !== getComputedStyle(document.body).backgroundColor"
    )
    assert page.evaluate(contrast)
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_barrier(opened, scheme):
    from axe_playwright_python.sync_playwright import Axe

    _, page, *_ = opened
    page.emulate_media(color_scheme=scheme)
    found = Axe().run(page).response["violations"]
    serious = [
        (one["id"], one["nodes"][0]["html"][:120])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    page.emulate_media(color_scheme="light")


def column(page, at: int) -> list[str]:
    cells = page.locator(f"table >> nth=0 >> tbody tr:not([hidden]) td:nth-child({at})")
    return [text.strip() for text in cells.all_inner_texts()]


def test_a_table_is_sorted_by_its_headers_and_filtered_by_words(opened):
    name, page, *_ = opened
    head = page.locator("table >> nth=0 >> thead th").first
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    up = column(page, 1)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, 1) == up[::-1] != up
    if name != "methods":
        return
    passes = page.locator("table >> nth=0 >> thead th").nth(6)
    passes.locator("button").click()
    told = [text for text in column(page, 7) if text != "-"]
    assert len(told) > 3 and told == sorted(told, key=size)
    page.get_by_label("Filter rows").first.fill("pgd-2")
    assert column(page, 1) == ["pgd-2"]
    page.get_by_label("Filter rows").first.fill("")


def size(text: str) -> float:
    value, _, unit = text.partition(" ")
    return float(value) * {"k": 1e3, "M": 1e6}[unit]


def test_an_arm_is_taken_away_from_every_chart_and_lit_from_the_table(opened):
    name, page, *_ = opened
    lines = "() => document.querySelectorAll('[data-chart=cost-0] .mark-line path').length"
    before = page.evaluate(lines)
    page.locator("#arms input").first.uncheck()
    page.wait_for_function(f"({lines})() === {before - 1}")
    page.locator("#arms input").first.check()
    page.wait_for_function(f"({lines})() === {before}")
    button = page.locator("button.arm").last
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    faint = """() => [...document.querySelectorAll('[data-chart=cost-0] .mark-line path')]
        .filter(path => getComputedStyle(path).opacity < 0.5).length"""
    page.wait_for_function(f"({faint})() >= {1 if name == 'searched' else 5}")
    button.click()


def test_paper_shows_the_static_pictures(opened):
    _, page, *_ = opened
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 794, "height": 1000})  # A4 at 96 points an inch
    assert page.evaluate("document.documentElement.scrollWidth") <= 794
    assert page.locator(".still svg:visible, .still img:visible").count() >= 4
    assert page.locator(".chart:visible, #choose:visible").count() == 0
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_without_scripts_the_static_pictures_and_tables_stand(browser, reports):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(reports["methods"].as_uri())
    assert page.locator(".still svg:visible, .still img:visible").count() >= 4
    assert page.locator(".chart:visible, #choose:visible").count() == 0
    assert page.locator("p.verdict").inner_text().startswith("Train with fgsm-rs-then-pgd")
    context.close()
