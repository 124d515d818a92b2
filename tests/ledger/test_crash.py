"""Crashes between any two system calls, full disks at any call, and real kills."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
from collections import Counter

import pytest

from rayat.errors import LedgerError
from rayat.ledger.info import RUN
from rayat.ledger.reader import read_run
from rayat.ledger.writer import Ledger

pytestmark = pytest.mark.slow

WRITERS = """
import os, sys
from rayat.ledger import writer
from rayat.ledger.writer import Ledger

def write(folder):
    writer.CADENCE_SECONDS = writer.COST_FACTOR = 0
    ledger, attempts = Ledger.open(folder), {}
    for trial in list("abc") * 10_000:
        if trial not in attempts:
            ledger.trial(trial, ord(trial), "arm", "id", "sha", "{}", 0, 10_000, 1)
            attempts[trial] = ledger.attempt(trial)
        epoch = ledger.reported(trial) + 1
        ledger.report(trial, attempts[trial], {"epoch": epoch, "val_robust_acc": epoch / 7})
        print(trial, epoch, flush=True)
        ledger.maybe_project()

for line in sys.stdin:
    if pid := os.fork():
        print("pid", pid, flush=True)
        print("gone", os.waitpid(pid, 0)[1], flush=True)
    else:
        write(line.strip())
"""
"""Forks a driver for every folder it is told, and says when that driver is dead."""


def run_writer(folder, info, make_row, declare, opened, acknowledged):
    """A small run; what is acknowledged is noted as soon as the call has returned."""
    ledger = Ledger.create(folder, info)
    opened.append(ledger)
    declare(ledger, "t")
    ledger.attempt("t")
    for epoch in (1, 2):
        ledger.report("t", 1, make_row(epoch))
        acknowledged.append(epoch)
        if epoch == 1:
            ledger.project()
    ledger.decision("t", 2, "stop", "plateau")
    acknowledged.append("decision")
    ledger.end("t", "stopped")
    acknowledged.append("end")
    ledger.close()


def let_go(opened):
    """Do what the kernel does for a dead process: close its files."""
    for ledger in opened:
        ledger.log.close()
        ledger.lock.release()


def check(folder, info, make_row, declare, acknowledged):
    """Go on with the run and finish it; nothing acknowledged is lost, nothing counts twice."""
    if not (folder / RUN).exists():
        assert not acknowledged
        Ledger.create(folder, info).close()
    with Ledger.open(folder) as ledger:
        declare(ledger, "t")
        rows = ledger.reports("t")
        epochs = [a for a in acknowledged if isinstance(a, int)]
        assert [r["epoch"] for r in rows][: len(epochs)] == epochs
        assert len(rows) <= len(epochs) + 1
        for row in rows:
            assert row.items() >= make_row(row["epoch"]).items()
        assert ("decision" not in acknowledged) or len(ledger.decisions("t")) == 1
        assert ("end" not in acknowledged) or ledger.status("t") == "stopped"
        if ledger.status("t") != "stopped":
            attempt = ledger.attempt("t")
            for epoch in range(len(rows) + 1, 3):
                assert ledger.report("t", attempt, make_row(epoch))
            ledger.decision("t", 2, "stop", "plateau")
            ledger.end("t", "stopped")
    run = read_run(folder)
    assert list(run.epochs["epoch"]) == [1, 2]
    assert list(run.epochs["passes_cum"]) == [1221, 2442]
    assert len(run.decisions) == 1 and list(run.trials["status"]) == ["stopped"]
    return len(rows)


def test_a_crash_at_any_call_is_before_or_after(
    tmp_path, info, make_row, declare, faulty_os, crash
):
    with faulty_os(None) as calls:
        run_writer(tmp_path / "whole", info, make_row, declare, [], [])
        count = calls.calls
    rng = random.Random(0)
    for at in range(1, count + 1):
        folder, opened, acknowledged = tmp_path / str(at), [], []
        with faulty_os(at), pytest.raises(crash):
            run_writer(folder, info, make_row, declare, opened, acknowledged)
        let_go(opened)
        if opened:  # from its first moment a run is readable
            assert len(read_run(folder).epochs) <= len(acknowledged) + 1
        # A second crash while the run is opened again.
        again = []
        if (folder / RUN).exists():
            with faulty_os(rng.randrange(1, 45)):
                try:
                    again.append(Ledger.open(folder))
                    again[0].project()
                except crash:
                    pass
            let_go(again)
            if opened:
                read_run(folder)
        check(folder, info, make_row, declare, acknowledged)
    print(f"crashes: {count} calls, {count} runs went on, 0 rows lost, 0 doubled")
    assert count > 80


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_at_any_call_loses_nothing(
    tmp_path, info, make_row, declare, faulty_os, code, size
):
    with faulty_os(None) as calls:
        run_writer(tmp_path / "whole", info, make_row, declare, [], [])
        count = calls.calls
    outcomes = Counter()
    # Every call where the disk is full; for the other error, which is met alike, every third.
    tried = range(1, count + 1, 1 if code == errno.ENOSPC else size(3, 1))
    for at in tried:
        folder, opened, acknowledged = tmp_path / str(at), [], []
        with faulty_os(at, crash=False, code=code):
            try:
                run_writer(folder, info, make_row, declare, opened, acknowledged)
                outcomes["unharmed"] += 1
            except LedgerError as error:
                outcomes["refused" if str(tmp_path) in str(error) else "nameless"] += 1
        if opened:
            assert len(read_run(folder).epochs) <= len(acknowledged)
            # There is space again: the same driver goes on without a restart.
            ledger = opened[0]
            if not ledger._closed:
                ledger.event("space again")
                ledger.project()
                held = len(ledger.reports("t")) if ledger.trials() else 0
                assert held == len([a for a in acknowledged if a in (1, 2)])
        let_go(opened)
        check(folder, info, make_row, declare, acknowledged)
    print(f"full disk: {len(tried)} of {count} calls, {dict(outcomes)}, 0 rows lost")
    assert outcomes["nameless"] == 0
    assert outcomes["refused"] > 0.9 * len(tried)


def test_killed_drivers_lose_and_double_nothing(tmp_path, info, size):
    folder, kills, acknowledged = tmp_path / "run", size(8, 20), []
    Ledger.create(folder, info).close()
    rng = random.Random(0)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", WRITERS], **pipes) as drivers:
        for _ in range(kills):
            drivers.stdin.write(f"{folder}\n")
            drivers.stdin.flush()
            word, pid = drivers.stdout.readline().split()
            assert word == "pid"
            lines = [drivers.stdout.readline().split() for _ in range(rng.randrange(1, 30))]
            os.kill(int(pid), signal.SIGKILL)
            while (line := drivers.stdout.readline().split())[0] != "gone":
                lines.append(line)
            assert line == ["gone", str(int(signal.SIGKILL))], lines
            acknowledged += [(trial, int(epoch)) for trial, epoch in lines]
            assert len(read_run(folder).trials) <= 3
        drivers.stdin.close()
    with Ledger.open(folder) as ledger:
        held = [(t, r["epoch"]) for t in ledger.trials() for r in ledger.reports(t)]
        observed = [(t, e) for t, e, _ in ledger.observations()]
    epochs = read_run(folder).epochs
    lost = set(acknowledged) - set(held)
    doubled = len(epochs) - len(epochs.drop_duplicates(["trial_id", "epoch"]))
    print(
        f"kills: {kills}, {len(acknowledged)} reports acknowledged, {len(lost)} lost, "
        f"{doubled} doubled, {len(held) - len(set(acknowledged))} durable and unacknowledged"
    )
    assert not lost and doubled == 0
    assert len(observed) == len(set(observed)) == len(held)
    assert len(acknowledged) == len(set(acknowledged))
    assert len(held) <= len(acknowledged) + kills


def test_a_crash_after_a_replacement_that_failed_half_way(ledger, make_row, faulty_os, crash):
    """The failed one is finished before the next begins, so one generation is always whole."""
    with faulty_os(None) as calls:
        ledger.project()
        count = calls.calls
    epoch = halves = 0
    for failing in range(1, count + 1):
        for crashing in range(1, count + 1, 3):
            ledger.project()
            epoch += 1
            ledger.report("t", 1, make_row(epoch))
            with faulty_os(failing, crash=False), pytest.raises(LedgerError):
                ledger.project()
            if not (ledger.folder / "manifest.json.next").exists():
                break  # nothing was half done
            halves += 1
            before = len(read_run(ledger.folder).epochs)
            epoch += 1
            ledger.report("t", 1, make_row(epoch))
            with faulty_os(crashing), pytest.raises(crash):
                ledger.project()
            assert len(read_run(ledger.folder).epochs) in (before, epoch - 1, epoch)
    assert halves > 50
