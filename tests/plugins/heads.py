"""Real Ray heads to join, and a way to wait for what Ray has no event for."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from rayat.host.ray_settings import LOOPBACK_SWITCH


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


OURS = ("RAY_worker_niceness", "RAY_prestart_worker_first_driver")
"""What tests/conftest.py tells every Ray of the tests, and why."""


class Head:
    """`ray start --head` as a user starts it, on loopback; `address` is where to join it.

    Its address file lies in `root`, which is what `RAY_TMPDIR` must name to find it.
    """

    def __init__(self, cpus: int = 1, token: str | None = "0123456789abcdef" * 4) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="rt-", dir="/tmp"))
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("RAY_") or k in OURS},
            LOOPBACK_SWITCH: "0",  # or Ray binds its ports to loopback alone
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": str(self.root),
            "RAY_AUTH_MODE": "token" if token else "disabled",
            **({"RAY_AUTH_TOKEN": token} if token else {}),
        }
        command = [
            *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"),
            *("--node-ip-address=127.0.0.1", f"--port={self.address.rpartition(':')[2]}"),
            *(f"--num-cpus={cpus}", "--include-dashboard=false", "--object-store-memory=100000000"),
            f"--temp-dir={self.root / 'ray'}",
        ]
        while not self._starts(command):
            self.kill()

    def _starts(self, command: list[str]) -> bool:
        """Start it; False if a busy machine did not within the 30 s that Ray gives itself."""
        told = self.root / "said"
        with told.open("w") as said:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=said, stderr=said, text=True
            )
        while "Ray runtime started" not in told.read_text():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.2)
                assert "timed out during startup" in told.read_text(), told.read_text()[-3000:]
                return False
        return True

    def kill(self) -> None:
        """Kill everything at once, as a machine that loses its power: the address file stays."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def _processes(self) -> list[psutil.Process]:
        found = {}
        with contextlib.suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.process.pid)
            found = {p.pid: p for p in (first, *first.children(recursive=True))}
        # Those whose parent has ended name the folder of this head alone.
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.root) in " ".join(process.cmdline()):
                    found[process.pid] = process
        return list(found.values())

    def close(self) -> None:
        """End it and remove its files."""
        self.kill()
        shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture
def start_head():
    """Return a maker of real heads, which are ended with the test: `start_head(cpus=1)`."""
    with contextlib.ExitStack() as stack:

        def start(**settings) -> Head:
            head = Head(**settings)
            stack.callback(head.close)
            return head

        yield start


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], object]], bool]:
    """Return a function that waits until a condition of the cluster holds.

    Ray has no event for processes that end and resources that come back. The limit only ends a wait
    in vain.
    """

    def wait(condition: Callable[[], object], most: float = 300.0) -> bool:
        end, pause = time.monotonic() + most, threading.Event()
        while not condition():
            if time.monotonic() > end:
                return False
            pause.wait(0.1)
        return True

    return wait
