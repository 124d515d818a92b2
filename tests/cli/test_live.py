"""What a living run shows, fed by a real driver over a real ledger."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rayat.cli import live
from rayat.cli.live import Guarded, LiveTable, PlainLines
from rayat.runs.driver import Observer

ROOM = 5


def terminal(height: int = 24, width: int = 120) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None
    )


def drawn(table: LiveTable) -> str:
    # Another console: a living one draws its table below whatever is printed.
    page = Console(file=io.StringIO(), width=table._console.size.width, color_system=None)
    page.print(table.render())
    return page.file.getvalue()


def test_plain_lines_say_each_end_once_and_the_total(bench, clock):
    stream = io.StringIO()
    observer = PlainLines(stream, clock)
    here = bench(observer, [("cosine", 2), ("constant", 2)])
    observer.begin(here.driver, 2)
    for epoch in (1, 2):
        here.report(0, epoch, robust=0.25 * epoch)
    here.fail(1, "ValueError: wrong")
    observer.finish()
    lines = stream.getvalue().splitlines()
    assert lines == [
        "2 of 2 trials to run, 2 at once",
        "0000-cosine-s0 (lr.shape=cosine, seed 0) finished at epoch 2/2, robust 0.500, clean 0.600",
        "0001-constant-s0 (lr.shape=constant, seed 0) failed at epoch 0/2, robust -, clean -: "
        "ValueError: wrong",
        "2/2 trials ended; 0 running; 2 epochs done, at most 0 to go; "
        "best val_robust_acc 0.500 (lr.shape=cosine)",
    ]


def test_plain_lines_say_progress_at_most_every_ten_seconds(bench, clock):
    stream = io.StringIO()
    observer = PlainLines(stream, clock)
    here = bench(observer, [("cosine", 100)])
    observer.begin(here.driver, 1)
    for epoch in range(1, 51):
        clock.now += 1
        here.report(0, epoch)
    lines = stream.getvalue().splitlines()[1:]
    assert len(lines) == 5
    assert lines[0].startswith("0/1 trials ended; 1 running; 10 epochs done, at most 90 to go")
    assert lines[0].endswith("about 1 min 30 s left")


def test_the_time_left_counts_only_this_drivers_epochs(bench, clock):
    here = bench(None, [("cosine", 10)])
    for epoch in range(1, 6):
        here.report(0, epoch)
    stream = io.StringIO()
    observer = PlainLines(stream, clock)
    observer.begin(here.driver, 1)
    here.driver.observer = observer
    clock.now = 20
    here.report(0, 6)
    # One epoch took 20 s; the five before belong to another driver.
    assert "about 1 min 20 s left" in stream.getvalue()
    assert "best val_robust_acc 0.500" in stream.getvalue()


def test_the_time_left_is_unknown_until_a_whole_wave_has_reported(bench, clock):
    stream = io.StringIO()
    observer = PlainLines(stream, clock)
    here = bench(observer, [("cosine", 100), ("constant", 100), ("linear", 100), ("cyclic", 100)])
    observer.begin(here.driver, 3)
    for trial in (0, 1):
        clock.now += 15
        here.report(trial, 1)
    clock.now += 15
    here.fail(2, "broken")
    clock.now += 15
    here.report(0, 2)
    lines = [line for line in stream.getvalue().splitlines() if "to go" in line]
    assert [line.rpartition("; ")[2] for line in lines[:2]] == ["time left unknown"] * 2
    # 3 epochs in 60 s, and 297 to go.
    assert lines[2].endswith("about 1 h 39 min left")


def test_reasons_cannot_move_the_cursor(bench, clock):
    stream = io.StringIO()
    observer = PlainLines(stream, clock)
    here = bench(observer, [("cosine", 2)])
    observer.begin(here.driver, 1)
    here.fail(0, "\x1b[2J\nRuntimeError")
    assert "\x1b" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 2


def test_the_table_shows_a_trial_with_its_numbers_and_its_reason(bench, clock):
    console = terminal()
    observer = LiveTable(console, clock)
    here = bench(observer, [("cosine", 4), ("constant", 4)])
    observer.begin(here.driver, 2)
    here.report(0, 1, robust=0.125)
    here.fail(1, "[red]not markup[/red]")
    text = drawn(observer)
    observer.finish()
    for cell in ("0000-cosine-s0", "1/4", "0.1", "0.125", "0.225", "running", "6.0 s"):
        assert cell in text
    assert "failed: [red]" in text
    assert "1/2 trials ended" in text


def test_the_table_is_never_higher_than_the_terminal(bench, clock):
    height = ROOM + live.FRAME_LINES
    console = terminal(height)
    observer = LiveTable(console, clock)
    here = bench(observer, [("cosine", 2)] * 20)
    observer.begin(here.driver, 2)
    for trial in range(18):
        here.fail(trial, "over")
    for trial in (18, 19):
        here.report(trial, 1)
    observer.phase("evaluating")
    text = drawn(observer)
    observer.finish()
    assert len(text.splitlines()) < height
    shown = [line for line in text.splitlines() if "-cosine-" in line]
    # Those that run first, then those that ended last.
    assert [line.strip()[:4] for line in shown] == [
        "0018",
        "0019",
        "0017",
        "0016",
        "0015",
    ]


def test_a_narrow_terminal_has_what_matters_and_cuts_no_number(bench, clock):
    console = terminal(width=80)
    observer = LiveTable(console, clock)
    here = bench(observer, [("cosine", 24), ("constant", 24)])
    observer.begin(here.driver, 2)
    for epoch in range(1, 13):
        here.report(0, epoch, robust=0.125)
    here.fail(1, "a reason that is long " * 9)
    head, _, first, second, *below = [line for line in drawn(observer).splitlines() if line.strip()]
    observer.finish()
    assert head.split() == ["lr.shape", "seed", "epoch", "LR", "robust", "state", "ETA"]
    assert first.split() == ["cosine", "0", "━━━━━━", "12/24", "0.1", "0.125", "running", "24", "s"]
    assert second.split() == ["constant", "0", "━━━━━━", "0/24", "-", "-", "failed"]
    assert all(len(line) <= 80 for line in (head, first, second, *below))
    assert " ".join(" ".join(below).split()).endswith("left")


def test_arms_are_told_apart_by_what_differs():
    arms = ["arm=weak,attack.eps=0.1,lr=cosine(peak=0.1,floor=0)", "arm=full,attack.eps=0.1,lr=x"]
    heading, names = live.short_names(arms)
    assert heading == "arm, lr"
    assert list(names.values()) == ["weak, cosine(peak=0.1,floor=0)", "full, x"]
    assert live.short_names(["pgd", "fgsm"])[1] == {"pgd": "pgd", "fgsm": "fgsm"}
    assert live.short_names(["arm=pgd"]) == ("arm", {"arm=pgd": "arm=pgd"}), "one arm is itself"
    heading, names = live.short_names(["lr=a,top=1", "lr=b", "lr=a,top=2"])
    assert heading == "arm" and list(names.values()) == ["a, 1", "b", "a, 2"]


def test_the_table_is_drawn_at_most_four_times_a_second(bench, clock, monkeypatch):
    console = terminal()
    observer = LiveTable(console, clock)
    times = []
    render = observer.render
    monkeypatch.setattr(observer, "render", lambda: (times.append(clock.now), render())[1])
    here = bench(observer, [("cosine", 100)])
    observer.begin(here.driver, 1)
    for epoch in range(1, 101):
        clock.now += 0.01
        here.report(0, epoch)
    observer.finish()
    assert 4 <= len(times) <= 6


@pytest.mark.parametrize("broken", ["begin", "changed", "phase", "finish"])
def test_a_display_that_fails_ends_no_run(bench, clock, capsys, broken):
    class Broken(Observer):
        pass

    def fail(self, *arguments):
        raise OSError("no terminal")

    setattr(Broken, broken, fail)
    observer = Guarded(Broken())
    here = bench(observer, [("cosine", 1)])
    observer.begin(here.driver, 1)
    here.report(0, 1)
    observer.phase("evaluating")
    observer.finish()
    observer.finish()
    assert here.driver.ledger.status(here.ids[0]) == "finished"
    assert capsys.readouterr().err.count("the display failed") == 1


def test_a_closed_stream_ends_no_run(bench, clock):
    stream = io.StringIO()
    stream.close()
    observer = Guarded(PlainLines(stream, clock))
    here = bench(observer, [("cosine", 1)])
    observer.begin(here.driver, 1)
    here.report(0, 1)
    observer.finish()
    assert here.driver.ledger.status(here.ids[0]) == "finished"


def test_off_a_terminal_there_are_lines(monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(live.observer()._observer, PlainLines)


def test_a_start_that_takes_long_is_called_so_with_its_time(bench, clock):
    stream, console = io.StringIO(), terminal()
    lines, table = PlainLines(stream, clock), LiveTable(console, clock)
    here = bench(None, [("cosine", 2), ("constant", 2)])
    for observer in (lines, table):
        observer.begin(here.driver, 2)
        observer.changed(here.ids[0], "launched")
    for _ in range(189):
        clock.now += 1
        lines.tick()
    said = stream.getvalue().splitlines()[1:]
    assert [line.partition("; 0 epochs")[0] for line in said] == [
        f"0/2 trials ended; 1 running (starting, no report yet, {time})"
        for time in ("10 s", "1 min 10 s", "2 min 10 s")
    ]
    assert "starting, no report yet, 3 min 09 s" in drawn(table)
    here.driver.observer = lines
    here.report(0, 1)
    table.changed(here.ids[0], "report")
    assert "no report yet" not in drawn(table)
    before = len(stream.getvalue())
    clock.now += 100
    lines.tick()
    assert len(stream.getvalue()) == before, "what reports is said when it reports"
    table.changed(here.ids[0], "lost")
    clock.now += 5
    assert "starting, no report yet, 5.0 s" in drawn(table)
    table.finish()
