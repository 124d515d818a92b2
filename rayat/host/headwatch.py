"""Whether the head of the cluster is still there: without it Ray says nothing for a minute, then
ends the process with a line of its own."""

from __future__ import annotations

import os
import shlex
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from rayat.host.rays import answer

PERIOD_S = 1.0
REFUSED = 3
"""Refused connections in a row after which nothing listens there any more."""
SILENT_S = 9.0
"""Seconds without any answer after which the machine itself is gone."""
HEAD_LOST = 3


def leave(address: str, folder: Path | None) -> None:
    """Say what happened and how to go on, and end the process: Ray would end it later.

    Everything that was acknowledged is on disk already.
    """
    how = f"; go on with: rayat resume {shlex.quote(str(folder))}" if folder else ""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")  # the table hides the cursor
    sys.stderr.write(f"the head of the Ray cluster at {address} is gone{how}\n")
    sys.stderr.flush()
    os._exit(HEAD_LOST)


class HeadWatch:
    """Asks the head every second, in a thread of its own; a context manager.

    Args:
        address: of the control service, `host:port`. folder: of the run that needs it.
        ask: returns whether the address answers: True, False (refused) or None (silent).
        lost: told, once, that it is gone. pause: waits so many seconds, true if it is over.
    """

    def __init__(
        self,
        address: str,
        folder: Path | None,
        ask: Callable[[str], bool | None] = answer,
        lost: Callable[[str, Path | None], None] = leave,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        self.address, self.folder, self.ask, self.lost, self.clock = (
            address,
            folder,
            ask,
            lost,
            clock,
        )
        self._over = threading.Event()
        self._pause = pause or self._over.wait
        self._thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self) -> None:
        """Ask until it is over or the head is gone."""
        heard, refused = self.clock(), 0
        while not self._pause(PERIOD_S):
            state = self.ask(self.address)
            if state:
                heard, refused = self.clock(), 0
                continue
            refused = refused + 1 if state is False else 0
            if refused >= REFUSED or self.clock() - heard >= SILENT_S:
                if not self._over.is_set():
                    self.lost(self.address, self.folder)
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(timeout=10)
