"""What all tests share: sizes, one thread, one Ray, who runs beside whom, and what they leave.

No test may depend on how fast or how busy the machine is: nothing here is a limit on time but the
time-out of `pyproject.toml`, which ends what hangs.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

# Small tensors are fastest on one thread, and processes beside each other need no more. Read when
# torch or numpy is imported, here and in every process that a test starts.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Ray starts its workers at niceness 15: beside anything else that works they would get a thirtieth
# of a core, and a start takes minutes.
os.environ.setdefault("RAY_worker_niceness", "0")

# What a module compiles to is kept, here and in every process that a test starts: without it each
# of hundreds takes ten seconds of a core to import torch and Ray, with it four.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Nor does Ray start workers before there is work: most starts here have none for them.
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")

import psutil  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402
from sizes import LONG, tries  # noqa: E402

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

pytest_plugins = ("heads", "trials")
"""Fixtures of several rooms, in tests/plugins."""

MARK = "RAYAT_TESTS"
"""A variable in the environment of every process that the tests start, also of orphans."""
os.environ.setdefault(MARK, uuid.uuid4().hex)
PATIENCE_S = 30
"""A process that was told to go may take this long on a busy machine; one that stays is named."""
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""What Python starts once for a whole process."""
RAY = ("ray::", "/ray/core/", "/ray/_private/", "/ray/dashboard/", "/ray/autoscaler/")
BROWSER = ("/playwright/driver/",)
"""One serves a whole file; that it is gone at the end is seen there."""
GROUP, BEFORE = pytest.StashKey[str](), pytest.StashKey[set[int]]()
WORKED, CPU = pytest.StashKey[float](), "cpu"
NAMED = 25


@pytest.fixture(scope="session")
def size() -> Callable[[int, int], int]:
    """Return a function of (tries for CI, tries for the long run)."""
    return tries


@pytest.fixture(scope="session")
def standard_error() -> Callable[[Iterable[object], Iterable[object]], float]:
    """Return a function: the standard error of a difference of accuracies on the same images.

    Args of the function: for each image whether it is right, by each side. Only images on which
    the sides differ count. If each of these n falls to one side or the other by chance, the
    difference of the counts has variance n, so that of two accuracies on N images sqrt(n) / N.
    """

    def of(ours: Iterable[object], theirs: Iterable[object]) -> float:
        pairs = [(bool(a), bool(b)) for a, b in zip(ours, theirs, strict=True)]
        return math.sqrt(sum(a != b for a, b in pairs)) / len(pairs)

    return of


@pytest.fixture(scope="session")
def local_ray() -> Iterator[object]:
    """A local Ray with two CPUs, started as `rayat run` starts it; for all tests of a process.

    Where tests run in parallel, those that ask for it run in the one process that has it.
    """
    from rayat.orchestration.cluster import cluster

    with cluster(cpus=2) as capacity:
        yield capacity


@pytest.fixture(autouse=True)
def process_settings() -> Iterator[None]:
    """Put back what `prepare_process` sets for good; nothing where torch was not imported."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=True)
def own_modules() -> Iterator[None]:
    """Forget the modules of a study's folder, which are found until another study's turn."""
    yield
    code = sys.modules.get("rayat.own.code")
    if code is not None:
        code.use(None)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what runs in one process: what shares the Ray, what starts its own, and each file.

    A file's fixtures are then made once, and two Rays at most live at a time. What takes longest
    begins first, so that no process is left alone with it at the end.
    """
    for item in items:
        if item.get_closest_marker("long") and not os.environ.get(LONG):
            item.add_marker(pytest.mark.skip(reason=f"a size for {LONG}=1: make torture LONG=1"))
        if "local_ray" in getattr(item, "fixturenames", ()):
            group = "ray"
        elif item.get_closest_marker("own_ray"):
            group = "own ray"
        else:
            group = item.nodeid.partition("::")[0]
        item.stash[GROUP] = group
        item.add_marker(pytest.mark.xdist_group(group))
    slow = {item.stash[GROUP] for item in items if item.get_closest_marker("slow")}
    first = {"ray": 0, "own ray": 1}
    items.sort(key=lambda item: first.get(item.stash[GROUP], 2 if item.stash[GROUP] in slow else 3))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run in processes that do not keep to the groups: two Rays would share one."""
    if getattr(session.config.option, "loadgroup", False):  # set in a process of pytest-xdist
        for item in session.items:
            if not item.nodeid.endswith(f"@{item.stash[GROUP]}"):
                raise pytest.UsageError(
                    f"pytest-xdist took no notice of the group of {item.nodeid}: this pytest and "
                    "this pytest-xdist do not fit; install those of requirements.txt"
                )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Remember which processes there were before the test, and how much this one had worked."""
    item.stash[BEFORE] = children()
    item.stash[WORKED] = worked()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # after all fixtures are done
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Fail a test that leaves a process of its own behind; the shared Ray's stay."""
    yield
    item.user_properties.append((CPU, worked() - item.stash[WORKED]))
    new = children() - item.stash[BEFORE]
    if new:
        ray = "ray" in sys.modules and sys.modules["ray"].is_initialized()
        left = end(new, (*HELPERS, *BROWSER, *(RAY if ray else ())))
        assert not left, f"the test left processes behind: {left}"


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Fail a whole run that leaves a process behind whose parent is gone."""
    yield
    if hasattr(session.config, "workerinput"):
        return  # a process of pytest-xdist: the one that started it looks
    mark, marked = f"{MARK}={os.environ[MARK]}".encode(), set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes():
                marked.add(int(path.parent.name))
    left = end(marked - {os.getpid()}, HELPERS)
    if left:
        print(f"\nthe tests left processes behind: {left}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the files that took longest, and the folders, in seconds of the wall and of the CPU."""
    wall: Counter[str] = Counter()
    cpu: Counter[str] = Counter()
    for report in (r for reports in terminalreporter.stats.values() for r in reports):
        if hasattr(report, "duration"):
            path = report.nodeid.partition("::")[0]
            for name in (path, path.rpartition("/")[0]):
                wall[name] += report.duration
                cpu[name] += dict(report.user_properties).get(CPU, 0) * (report.when == "teardown")
    for what, ending in (("files", True), ("folders", False)):
        named = [
            f"{name} {seconds:.0f} ({cpu[name]:.0f})"
            for name, seconds in wall.most_common()
            if seconds >= 5 and name.endswith(".py") == ending
        ]
        if named:
            said = ", ".join(named[:NAMED])
            terminalreporter.write_line(
                f"slowest {what}, in s of wall (CPU, without Ray's): {said}"
            )


def worked() -> float:
    """Return the CPU seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def children() -> set[int]:
    """Return the processes that this one started and that still live; cheap on Linux."""
    try:
        tasks = Path("/proc/self/task").iterdir()
        return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}
    except OSError:
        return {process.pid for process in psutil.Process().children()}


def title(process: psutil.Process) -> str:
    """Return the command line of a process; empty if it has ended."""
    try:
        return "" if process.status() == psutil.STATUS_ZOMBIE else " ".join(process.cmdline())
    except psutil.Error:
        return ""


def end(pids: set[int], spared: tuple[str, ...]) -> list[str]:
    """Wait for processes to go by themselves, end those that do not, and name these."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            text = title(process)
            if text and not any(word in text for word in spared):
                found.append(process)
    _, alive = psutil.wait_procs(found, timeout=PATIENCE_S)
    stay = [(process, text) for process in alive if (text := title(process))]
    for process, _ in stay:
        process.kill()
    return [f"{process.pid} {text[:200]}" for process, text in stay]
