"""What orchestration costs: the driver without Ray, then runs on a real Ray."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rayat.bench import driver_cost, launchers, memory, trials
from rayat.bench.ray_overhead import Times, reckon
from rayat.bench.ray_suite import ORCHESTRATION
from rayat.bench.timing import QUICK, Settings
from rayat.config import TrialConfig
from rayat.data.prepare import prepare
from rayat.policies.base import CONTINUE


@pytest.fixture
def config():
    return TrialConfig.parse(
        {
            "data": {"name": "digits", "train_size": 256, "val_size": 64},
            "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
            "epochs": 2,
            "batch_size": 64,
            "attack": {"name": "fgsm", "eps": 0.2},
            "eval": {"steps": 1},
        }
    )


def test_a_report_is_timed_with_all_trials_alive():
    (row,) = driver_cost.o2(QUICK)
    assert row.name == "O2" and row.unit == "ms"
    assert 0 < row.value <= row.context["slowest_ms"]
    assert row.context["reports"] == 8


def test_a_sent_row_is_in_the_ledger(config):
    with driver_cost.driver_of(trials.study_of(config, 2)) as driver:
        first, second = driver.trials
        assert driver_cost.send(driver, first, driver_cost.report(1)) == CONTINUE
        (stored,) = driver.ledger.reports(first)
        assert stored["val_robust_acc"] == pytest.approx(driver_cost.report(1)["val_robust_acc"])
        assert driver.ledger.reported(second) == 0


def test_a_benchmarks_study_is_the_configuration_under_many_seeds(config):
    made = trials.study_of(config, 3).trials()
    assert [trial.config.seed for trial in made] == [0, 1, 2]
    assert {trial.config.config_id for trial in made} == {config.config_id}


def test_an_epoch_that_is_long_enough_at_once_keeps_one_attack_step():
    assert trials.lasting(0.0, epochs=7).attack.steps == 1
    assert trials.lasting(0.0, epochs=7).epochs == 7


def test_overhead_is_what_no_row_accounts_for():
    times = Times()
    times.began = 100.0
    times.arrived = {"b": [121.0, 123.0], "a": [105.0, 108.0, 111.5]}
    times.rows = {"b": [2.0, 3.5], "a": [3.0, 5.0, 8.0]}
    found = reckon(times, started=4.0)
    assert found.process == pytest.approx(2.0)  # 105 - 100, less an epoch of 3
    assert found.per_trial == pytest.approx(7.5)  # 121 - 111.5, less an epoch of 2
    assert found.per_epoch == pytest.approx(0.5)  # the median of 1, 0.5 and 0.5
    assert found.cluster == 4.0


def test_the_memory_of_a_process_is_ordered_as_its_kinds_are():
    held = memory.memory(os.getpid())
    assert 0 < held.uss <= held.pss <= held.rss
    assert memory.memory(2**22 + 1) == memory.Memory()


def test_data_bytes_are_those_of_all_arrays():
    prepared = prepare(TrialConfig.parse({"data": "digits"}).data)
    images = len(prepared.train) + len(prepared.val) + len(prepared.test)
    assert memory.data_bytes(prepared) == images * (64 + 8)


def test_the_benchmarks_of_the_room_are_listed():
    assert list(ORCHESTRATION) == ["O1", "O2", "O3", "O4", "O5", "O6", "R1", "R2"]
    assert ORCHESTRATION["O4"].extra == "--long"


@pytest.mark.slow
def test_trials_are_looked_at_while_all_of_them_live(local_ray, config):
    """What O3 is made of; all of it runs in the long run (tests/cli/test_measuring.py)."""
    forever = config.replace({"epochs": memory.EPOCHS, "checkpoint_every": memory.EPOCHS})
    bare, torch, held = memory.ray_process(), memory.torch_process(), memory.live_trials(forever, 2)
    assert 100 * memory.MB < torch.rss < bare.rss < held.rss / 2
    assert held.uss < held.pss < held.rss, "two processes share pages"


def test_the_growth_of_data_leaves_out_what_processes_need_without_data(monkeypatch):
    sizes = {2_000: 30, 64: 10}
    asked = []

    def live(config, count):
        asked.append((config.data.train_size, count))
        # A process needs 100, and its data are half in pages that it shares with no other.
        return memory.Memory(pss=count * (100 + sizes[config.data.train_size] // 2))

    monkeypatch.setattr(memory, "live_trials", live)
    monkeypatch.setattr(memory, "prepare", lambda source: source)
    monkeypatch.setattr(memory, "data_bytes", lambda source: sizes[source.train_size])
    copies, context = memory.data_growth(few=1, many=3, images=2_000)
    assert asked == [(2_000, 1), (2_000, 3), (64, 1), (64, 3)]
    assert copies == 2 * (15 - 5) / 20
    assert context["trials"] == [1, 3]


# O1 runs with the whole quick suite, and `overhead` with `rayat profile --through-ray`, in
# tests/cli/test_measuring.py. O4 is O1 with other sizes and no bar.
@pytest.mark.slow
@pytest.mark.long
def test_a_long_run_has_no_bar_where_its_sizes_are_small(local_ray):
    (row,) = trials.o4(Settings(rounds=1, quick=True))
    assert row.bar is None and row.value > 0


@pytest.mark.slow
@pytest.mark.parametrize("keys", ["a", pytest.param("abc", marks=pytest.mark.long)])
def test_the_launchers_of_several_workers_are_compared(local_ray, monkeypatch, keys):
    """What each of them starts, tests/orchestration/ shows."""
    assert list(launchers.LAUNCHERS) == ["a", "b", "c"]
    monkeypatch.setattr(launchers, "LAUNCHERS", {key: launchers.LAUNCHERS[key] for key in keys})
    rows = {row.name: row for row in launchers.o5(QUICK)}
    assert list(rows) == [f"O5.{key}" for key in keys]
    assert all(row.unit == "s" and row.value > 0 for row in rows.values())


@pytest.mark.parametrize("waits", [True, False])
def test_the_cpu_time_of_ended_processes_counts_also_where_no_parent_waits(waits):
    # The kernel adds a child's time to its parent's only if the parent takes note of its end.
    ignore = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"

    def metered(seconds: float) -> float:
        burn = f"import time\nwhile time.process_time() < {seconds}: pass"
        start = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])"
        with launchers.CpuMeter() as meter:
            command = [sys.executable, "-c", ("" if waits else ignore) + start]
            subprocess.run(command, check=True)
        return meter.seconds

    # The rest is what starting two processes takes, more on a busy machine.
    short, long = metered(0.5), metered(1.5)
    assert short >= 0.4 and 0.6 < long - short < 1.4
