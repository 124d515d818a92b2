"""A newcomer who does what README and the tour say gets what they promise."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "newcomer.py"
ROOT = SCRIPT.parents[1]


def script():
    spec = importlib.util.spec_from_file_location("newcomer", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def follow(tmp_path):
    """Return a call that follows a page of the given text and returns the newcomer."""
    module = script()
    (tmp_path / "clone").mkdir()

    def follow(text):
        (tmp_path / "clone/README.md").write_text(f"## Two commands\n{text}\n## What it holds\n")
        newcomer = module.Newcomer(tmp_path, tmp_path / "clone", small=True)
        newcomer.steps = newcomer.follow("README.md")
        return newcomer

    follow.Deviation = module.Deviation
    return follow


def test_blocks_are_copied_and_lines_run_in_order(follow, tmp_path):
    newcomer = follow(
        "Save it as `mine.py`:\n\n```python\nprint('rayat compare runs/first')\n```\n\n"
        "```\npython mine.py   # it names a run\necho RUN\n```\n"
        "And:\n\n```python\nassert open('mine.py').read()\n```\n"
        "```bash\nmake test\nrayat run x --address auto\n```\n"
        "```text\nfalse\n```\n"
    )
    assert (tmp_path / "clone/mine.py").read_text() == "print('rayat compare runs/first')\n"
    assert newcomer.run == "runs/first"
    assert newcomer.steps == 3, "a cluster and the tests are left out, other languages are no steps"


@pytest.mark.parametrize(
    "text",
    [
        "```\nfalse\n```",
        "```\nrayat no-such-verb\n```",
        "```\npython -c 'open(\"none\")'\n```",
        "```\necho Traceback\n```",
        "```\ntrue --out best.json\n```",
        "```\ntrue\n```",
        "```python\nraise SystemExit(1)\n```",
    ],
    ids=["fails", "no such verb", "raises", "traceback", "no file", "not a word", "block"],
)
def test_a_deviation_is_noticed(follow, text):
    with pytest.raises(follow.Deviation, match=r"^README\.md: "):
        follow(text)


def test_the_pages_have_their_parts():
    module = script()
    for page, (start, end) in module.PAGES.items():
        text = (ROOT / page).read_text()
        assert start in text and (end == "\0" or end in text)
        blocks = list(module.parts(text, start, end))
        assert sum(language == "python" for _, language, _ in blocks) >= 2
        assert module.ACTIVATE in text
        saved = [name for before, _, _ in blocks for name in module.NAMED.findall(before)]
        assert saved, f"{page} names the file that its study is saved as"


@pytest.mark.long
@pytest.mark.own_ray
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no repository to clone")
def test_readme_and_the_tour_hold_what_they_say():
    command = [sys.executable, str(SCRIPT), "--small"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "steps of README.md" in done.stdout and "steps of docs/tour.md" in done.stdout
