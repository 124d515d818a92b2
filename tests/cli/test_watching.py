"""`rayat watch`: what another process writes, read from its log."""

from __future__ import annotations

import io
import signal
import subprocess
import sys

import pytest

from rayat.cli.live import PlainLines
from rayat.cli.watching import Watched


def test_it_shows_what_the_driver_shows(bench, clock):
    own, other = io.StringIO(), io.StringIO()
    lines, reader = PlainLines(own, clock), PlainLines(other, clock)
    here = bench(lines, [("cosine", 3), ("constant", 3)])
    lines.begin(here.driver, 0)
    watched = Watched(here.driver.ledger.folder)
    watched.advance()
    reader.begin(watched, 0)

    def look():
        for trial_id, what in watched.advance():
            reader.changed(trial_id, what)

    for epoch in (1, 2, 3):
        clock.now += 7
        here.report(0, epoch, robust=0.1 * epoch)
        look()
    here.fail(1, "ValueError: wrong")
    look()
    lines.finish()
    reader.finish()
    assert other.getvalue() == own.getvalue()
    assert "0000-cosine-s0 (lr.shape=cosine, seed 0) finished at epoch 3/3" in other.getvalue()


def test_a_pause_and_what_a_policy_lets_go_on_are_seen(bench):
    here = bench(None, [("cosine", 3)])
    here.report(0, 1)
    ledger, (trial_id,) = here.driver.ledger, here.ids
    watched = Watched(ledger.folder)
    assert (trial_id, "start") in watched.advance()
    ledger.decision(trial_id, 1, action="pause", rule="first-look", sentence="waits", evidence={})
    assert watched.advance() == [(trial_id, "decided")]
    assert watched.ledger.status(trial_id) == "paused"


def test_a_run_that_is_over_is_shown_once(rayat, run_folder):
    found = rayat("watch", run_folder)
    assert found.exit_code == 0
    assert found.output.count(" finished at epoch 5/5") == 6
    assert found.output.splitlines()[-1].startswith("6/6 trials ended; 0 running; 30 epochs done")


def test_once_does_not_wait_for_a_living_one(rayat, bench):
    here = bench(None, [("cosine", 3)])
    here.report(0, 1)
    found = rayat("watch", "--once", here.driver.ledger.folder)
    assert found.exit_code == 0
    assert "0/1 trials ended; 1 running; 1 epochs done, at most 2 to go" in found.output


def test_a_run_whose_trials_are_starting_says_so(rayat, bench):
    here = bench(None, [("cosine", 3)])
    found = rayat("watch", "--once", here.driver.ledger.folder)
    assert found.exit_code == 0
    assert "its driver lives; its next trials are starting and have not reported" in found.output
    here.report(0, 1)
    assert "starting" not in rayat("watch", "--once", here.driver.ledger.folder).output


DRIVER = """
import sys
from rayat.ledger.writer import Ledger
with Ledger.open(sys.argv[1]) as ledger:
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_driver_that_is_killed_ends_it_with_the_command_that_goes_on(bench):
    here = bench(None, [("cosine", 3)])
    here.report(0, 1)
    folder = here.driver.ledger.folder
    here.driver.ledger.close()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(folder)], **pipes)
    assert driver.stdout.readline() == "open\n"
    command = [sys.executable, "-m", "rayat.cli", "watch", str(folder)]
    watching = subprocess.Popen(command, stderr=subprocess.PIPE, **pipes)
    assert "1 of 1 trials to run" in watching.stdout.readline(), "it watches while the driver lives"
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    _, said = watching.communicate()
    assert watching.returncode == 3
    assert said.endswith(f"1 trial of it has no end; go on with: rayat resume {folder}\n")


def test_a_log_is_read_on_where_it_was_left_also_in_the_middle_of_a_record(tmp_path, bench):
    here = bench(None, [("cosine", 3)])
    here.report(0, 1)
    watched = Watched(here.driver.ledger.folder)
    watched.advance()
    path = here.driver.ledger.log.path
    before = path.read_bytes()
    here.report(0, 2)
    new = path.read_bytes()[len(before) :]
    path.write_bytes(before + new[:-3])
    assert watched.advance() == []
    path.write_bytes(before + new)
    assert watched.advance() == [(here.ids[0], "report")]
    assert watched.ledger.reported(here.ids[0]) == 2


@pytest.mark.parametrize("what", ["no run", "no log", "damaged"])
def test_what_cannot_be_followed_is_one_sentence(rayat, run_folder, tmp_path, what):
    if what == "no run":
        run_folder = tmp_path / "none"
    elif what == "no log":
        next((run_folder / "log").iterdir()).unlink()
    else:
        path = next((run_folder / "log").iterdir())
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    found = rayat("watch", run_folder)
    assert found.exit_code == 3
    assert len(found.stderr.strip().splitlines()) == 1
    assert not isinstance(found.exception, LookupError)
