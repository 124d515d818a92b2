"""The first Ctrl-C asks, the second leaves at once; afterwards the old handlers are back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from rayat.runs.interrupts import EXIT_INTERRUPTED, interruptible

WAITER = """
import signal, sys
from rayat.runs.interrupts import interruptible
with interruptible(lambda: print("stopping", flush=True)):
    print("ready", flush=True)
    while True:
        signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_calls_stop_and_the_handlers_come_back(number):
    before = signal.getsignal(number)
    calls: list[int] = []
    with interruptible(lambda: calls.append(1)):
        os.kill(os.getpid(), number)
    assert calls == [1]
    assert signal.getsignal(number) is before


def test_the_second_signal_leaves_at_once_with_130():
    waiter = subprocess.Popen([sys.executable, "-c", WAITER], stdout=subprocess.PIPE, text=True)
    assert waiter.stdout is not None
    assert waiter.stdout.readline() == "ready\n"
    waiter.send_signal(signal.SIGINT)
    assert waiter.stdout.readline() == "stopping\n"
    waiter.send_signal(signal.SIGINT)
    assert waiter.wait() == EXIT_INTERRUPTED
    waiter.stdout.close()


def test_outside_the_main_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def body():
        with interruptible(lambda: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [before]
