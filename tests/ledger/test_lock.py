from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from rayat.errors import LedgerError, LockedError
from rayat.ledger.lock import LOCK, SIZE, RunLock
from rayat.ledger.log import LOG, MAGIC, encode
from rayat.ledger.writer import Ledger

RACERS = """
import os, sys
from rayat.errors import LedgerError
from rayat.ledger.writer import Ledger

def race(folder, go, end):
    os.read(go, 1)  # returns when every racer is there
    try:
        ledger = Ledger.create(folder, {"metric": "val_robust_acc"})
    except LedgerError as error:
        os.write(1, f"{type(error).__name__}\\n".encode())
    else:
        os.write(1, b"won\\n")
        os.read(end, 1)
        ledger.close()

for line in sys.stdin:
    (go, all_there), (end, all_done) = os.pipe(), os.pipe()
    pids = []
    for _ in range(10):
        pids.append(os.fork())
        if pids[-1] == 0:
            os.close(all_there)
            os.close(all_done)
            race(line.strip(), go, end)
            os._exit(0)
    os.close(all_there)
    sys.stdin.readline()
    os.close(all_done)
    codes = [os.waitpid(pid, 0)[1] for pid in pids]
    os.write(1, f"{sum(codes)}\\n".encode())
"""
"""For every folder it is told, ten processes create the run at once; a line more ends them."""


def test_the_second_driver_is_refused_by_name(tmp_path):
    lock = RunLock.acquire(tmp_path)
    with pytest.raises(LockedError, match=rf"process {os.getpid()} on .+ for \d+ s; wait for it"):
        RunLock.acquire(tmp_path)
    lock.release()
    RunLock.acquire(tmp_path).release()


def test_the_fence_grows_with_every_driver(tmp_path):
    for expected in (1, 2, 3):
        lock = RunLock.acquire(tmp_path)
        assert lock.fence == expected
        lock.release()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from rayat.ledger.lock import RunLock;"
        "RunLock.acquire(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path]).returncode == -9
    assert json.loads((tmp_path / LOCK).read_bytes())["fence"] == 1
    lock = RunLock.acquire(tmp_path)
    assert lock.fence == 2
    lock.release()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"fence": "x"}', b"\0" * SIZE])
def test_a_torn_lock_file_stops_no_one(tmp_path, content):
    (tmp_path / LOCK).write_bytes(content)
    lock = RunLock.acquire(tmp_path)
    assert lock.fence == 1
    lock.release()


def test_a_torn_lock_file_does_not_lower_the_fence_of_a_run(finished):
    with Ledger.open(finished) as ledger:
        ledger.event("resumed")
        assert ledger.lock.fence == 2
    (finished / LOCK).write_bytes(b"")
    with Ledger.open(finished) as ledger:
        assert ledger.lock.fence == 3


def test_a_driver_that_lost_the_run_writes_nothing(ledger, make_row):
    (ledger.folder / LOCK).unlink()
    with Ledger.open(ledger.folder) as new:
        size = (ledger.folder / LOG).stat().st_size
        with pytest.raises(LockedError, match="has lost the run to another one"):
            ledger.report("t", 1, make_row(1))
        with pytest.raises(LockedError, match="has lost the run"):
            ledger.project()
        assert (ledger.folder / LOG).stat().st_size == size
        assert new.attempt("t") == 2
    with pytest.raises(LockedError, match="has lost the run"):
        ledger.close()


def test_records_of_an_overtaken_driver_are_ignored(finished):
    with Ledger.open(finished) as ledger:
        ledger.event("mark")
        trials, fence = ledger.trials(), ledger.lock.fence
    late = {"fence": fence - 1, "kind": "end", "at": 0, "trial_id": "t", "status": "lost"}
    with (finished / LOG).open("ab") as file:
        file.write(encode({**late, "reason": None}))
    with Ledger.open(finished) as ledger:
        assert ledger.status("t") == "finished"
        assert ledger.trials() == trials
        assert ledger.state.ignored == 1


def test_a_released_lock_cannot_be_used(tmp_path):
    lock = RunLock.acquire(tmp_path)
    lock.release()
    lock.release()
    with pytest.raises(LockedError, match="was released"):
        lock.check()


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    import fcntl

    def refuse(*args):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(LedgerError, match=r"cannot lock \(No locks available\); put the run on"):
        RunLock.acquire(tmp_path)


@pytest.mark.slow
def test_of_ten_drivers_exactly_one_starts(tmp_path, size):
    rounds = size(5, 200)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", RACERS], **pipes) as racers:
        for number in range(rounds):
            folder = tmp_path / str(number)
            racers.stdin.write(f"{folder}\n")
            racers.stdin.flush()
            answers = [racers.stdout.readline().strip() for _ in range(10)]
            assert answers.count("won") == 1, answers
            assert set(answers) <= {"won", "LockedError", "LedgerError"}
            with pytest.raises(LockedError, match="is being written by process"):
                Ledger.open(folder)
            racers.stdin.write("end\n")
            racers.stdin.flush()
            assert racers.stdout.readline() == "0\n"
            with Ledger.open(folder) as ledger:
                assert ledger.log.records == 1
        racers.stdin.close()
    print(f"double launch: 10 drivers, {rounds} rounds, {rounds} single winners")


def test_the_log_starts_with_its_magic(finished):
    assert (finished / LOG).read_bytes().startswith(MAGIC)
