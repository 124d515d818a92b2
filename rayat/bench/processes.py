"""Processes that train beside each other, started and asked one line at a time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class Worker:
    """One process running `rayat.bench.worker`, or another module that answers like it.

    Args:
        threads: for the libraries that read their number of threads when they are imported.
        module: what it runs. inside: a command that starts the process given as its arguments.
        environment: further variables.
    """

    def __init__(
        self,
        threads: int = 1,
        module: str = "rayat.bench.worker",
        inside: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
        self.process = subprocess.Popen(
            [*inside, sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **dict.fromkeys(names, str(threads)), **(environment or {})},
        )

    def ask(self, request: Any) -> None:
        """Send a request; `answer` waits for its end."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def answer(self) -> float:
        """Return the seconds that the request took in the process; see `reply`."""
        return float(self.reply()["seconds"])

    def reply(self) -> dict[str, Any]:
        """Return the answer to the oldest open request.

        Raises:
            RuntimeError: the process ended instead; its own traceback is on standard error.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a measuring process ended with {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@contextlib.contextmanager
def workers(count: int, threads: int = 1) -> Iterator[list[Worker]]:
    """Give `count` processes with `threads` threads each, and end them."""
    started = [Worker(threads) for _ in range(count)]
    try:
        yield started
    finally:
        for worker in started:
            worker.close()


def together(group: Sequence[Worker], request: dict[str, Any]) -> float:
    """Return the wall seconds until all of the group have done the request at the same time."""
    began = time.perf_counter()
    for worker in group:
        worker.ask(request)
    for worker in group:
        worker.answer()
    return time.perf_counter() - began
