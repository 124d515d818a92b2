"""Do what README and the tour say, word for word, in an empty home: `make newcomer`.

The repository is cloned, and what is done is copied out of the clone's own files: a Python block
that follows the name of a file is saved under it, other Python blocks and every line of a shell
block are run in order. Whatever fails, or does not bring what the text promises, ends it.

    python tests/newcomer.py [--small] [REPOSITORY]

`--small` installs nothing (this Python's environment is lent to the clone) and trains little.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PAGES = {"README.md": ("## Two commands", "## What it holds"), "docs/tour.md": ("# Tour", "\0")}
"""Pages to follow, with the headings between which they say what to do."""
PART = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`(\w+\.py)`")
ACTIVATE = "source .venv/bin/activate"
ELSEWHERE = {
    "make test": "is what runs this",
    "--address": "needs a cluster",
    "/shared/": "needs it",
}
INSTALLING = {"make quickstart": "installs"}
SMALL = {
    r"rayat (plan|run) study\.py": "--set data.name=digits --set data.train_size=128 --set epochs=1"
    " --set eval.size=32 --set eval.final_size=32"
    " --seeds 0 --arm lr.shape=constant --arm lr.shape=piecewise",
    r"rayat (plan|run) tour\.py": "--set epochs=2 --set data.train_size=128",
}
"""What is added to lines that would train for long."""
KEPT = ("PATH", "LANG", "TMPDIR", "PIP_", "UV_", "SSL_", "RAY_TMPDIR", "PYTHON", "VENV")


class Deviation(Exception):
    """What was done is not what the text promises."""


def parts(text: str, start: str, end: str) -> Iterator[tuple[str, str, str]]:
    """Yield (the text before, language, content) of each block between two headings."""
    text = text[text.index(start) :].partition(end)[0]
    at = 0
    for block in PART.finditer(text):
        yield text[at : block.start()], block[1], block[2]
        at = block.end()


class Newcomer:
    """Somebody who has a clone, an empty home, and does as told.

    Attributes:
        clone: where the repository is. run: the folder that `RUN` stands for.
    """

    def __init__(self, home: Path, clone: Path, small: bool) -> None:
        self.home, self.clone, self.small = home, clone, small
        self.run, self.ready = "", ""
        mine = str(Path(sys.prefix) / "bin")
        self.environment = {k: v for k, v in os.environ.items() if k.startswith(KEPT)}
        path = self.environment["PATH"].split(os.pathsep)
        self.environment["PATH"] = os.pathsep.join(p for p in path if p != mine)
        self.environment |= {"HOME": str(home), "COLUMNS": "80"}
        if small:
            (clone / ".venv").symlink_to(sys.prefix)
            self.environment["PYTHONPATH"] = str(clone)  # its code, and not that beside the .venv

    def follow(self, page: str) -> int:
        """Do what a page says; return how many lines and programs were run."""
        done, text = 0, (self.clone / page).read_text(encoding="utf-8")
        for before, language, content in parts(text, *PAGES[page]):
            if f"`{ACTIVATE}`" in before:
                self.ready = f"{ACTIVATE} && "
            names = NAMED.findall(before.rstrip().rpartition("\n\n")[2])  # the last paragraph
            if language == "python" and names:
                (self.clone / names[-1]).write_text(content, encoding="utf-8")
                continue
            lines = ["python - <<'BLOCK'\n" + content + "BLOCK"] if language == "python" else []
            if language in ("", "bash"):
                lines = [line.partition(" #")[0].rstrip() for line in content.splitlines()]
            for line in filter(None, lines):
                done += self.do(line, page)
        return done

    def do(self, line: str, page: str) -> bool:
        """Run one line; return whether it was. Raises `Deviation`."""
        left_out = ELSEWHERE | (INSTALLING if self.small else {})
        for part, why in left_out.items():
            if part in line:
                print(f"{page}: not run, {why}: {line}", flush=True)
                return False
        line = re.sub(r"\bRUN\b", lambda _: self.run, line).rstrip()
        if self.small:
            for start, more in SMALL.items():
                line = re.sub(f"^({start})", rf"\1 {more}", line)
        print(f"{page}: {line}", flush=True)
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {self.ready}{line}"],
            cwd=self.clone,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        said = done.stdout + done.stderr
        if done.returncode or "Traceback" in said:
            raise Deviation(f"{page}: {line!r} ended with {done.returncode}:\n{said}")
        for folder in re.findall(r"rayat compare (\S+)", said):
            self.run = folder
        self.promised(page, line, said)
        return True

    def promised(self, page: str, line: str, said: str) -> None:
        """Refuse a line that did not bring what it is for."""
        files = [self.clone / self.run / "report.html"] if "rayat report " in line else []
        files += [self.clone / name for name in re.findall(r"--out (\S+\.json)", line)]
        missing = [str(file) for file in files if not file.exists() or not file.stat().st_size]
        if re.match(r"rayat run", line) and not (self.clone / self.run / "trials.parquet").exists():
            missing.append("the run's tables")
        if missing or (not said.strip() and not line.startswith("python")):
            raise Deviation(f"{page}: {line!r} left no {', '.join(missing) or 'word'}:\n{said}")


def main(arguments: list[str]) -> int:
    """Follow every page; return the exit code."""
    small = "--small" in arguments
    others = [argument for argument in arguments if argument != "--small"]
    source = Path(others[0] if others else Path(__file__).parents[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        home = Path(folder)
        clone = home / "rayat"
        command = ["git", "clone", "--quiet", "--depth", "1", f"file://{source}", str(clone)]
        subprocess.run(command, check=True)
        newcomer = Newcomer(home, clone, small)
        try:
            counts = {page: newcomer.follow(page) for page in PAGES}
        except Deviation as deviation:
            print(deviation, file=sys.stderr)
            return 1
    print("newcomer: " + ", ".join(f"{n} steps of {page}" for page, n in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
