"""Three raylets on one host, the driver's without CPUs; others are killed while trials run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rayat.ledger.reader import read_run
from rayat.ledger.schema import EPOCHS
from rayat.ledger.writer import Ledger

# Four raylets' worth of processes start one after another; the limit only ends what hangs.
pytestmark = [pytest.mark.slow, pytest.mark.own_ray, pytest.mark.timeout(1800)]

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"
TIMES = [name for name in EPOCHS.names if "seconds" in name] + ["reported_at", "attempt"]
DRIVER = """
import os
import sys
from rayat.host.ray_settings import settle, settle_token
settle()
settle_token()  # Ray reads it when it is imported
from rayat.host.ray_settings import LOOPBACK_SWITCH
from rayat.orchestration.cluster import LOOPBACK_INTERFACE
os.environ[LOOPBACK_SWITCH] = "0"
os.environ["GLOO_SOCKET_IFNAME"] = LOOPBACK_INTERFACE
import ray
from ray import tune
from ray.cluster_utils import Cluster
from rayat.orchestration.cluster import cluster as joined
from rayat.runs.driver import Observer
from rayat.orchestration.execute import Options
from rayat.api.sweep import run
from rayat.orchestration.cluster import Where
from rayat.study import Study, load_study

# A node counts as lost after five looks in vain: one every half second, by default every third one.
health = {"health_check_period_ms": 500}
head = {"num_cpus": 0, "include_dashboard": False, "_system_config": health}
cluster = Cluster(initialize_head=True, head_node_args=head)
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]

class Remove(Observer):
    '''Kills a node that runs a worker: once while trials of one worker run, once of two.'''
    phases = 0
    def begin(self, driver, concurrency):
        self.driver, self.done = driver, False
        self.phases += 1
    def changed(self, trial_id, what):
        if what == "report" and not self.done and self.driver.ledger.reported(trial_id) == 3:
            # Of one worker: the node of the trial that reports, since the other one's may only be
            # starting.
            at = place(self.driver._starts[trial_id][0]) if self.phases == 1 else None
            found = [node for node in nodes if used(node) and at in (None, node.node_id)]
            if not found:
                return
            self.done = True
            victim = found[0]
            nodes.remove(victim)
            print("removed", self.phases, flush=True)
            cluster.remove_node(victim, allow_graceful=False)
            nodes.append(cluster.add_node(num_cpus=1))

def place(start):
    pid = int(start.split(":")[1])
    actors = ray._private.state.actors().values()
    return next(actor["Address"]["NodeID"] for actor in actors if actor["Pid"] == pid)

def used(node):
    free = ray._private.state.available_resources_per_node().get(node.node_id, {})
    return free.get("CPU", 0) < 1

study = Study(
    name="nodes",
    base={
        "data": {"name": "digits", "train_size": 128, "val_size": 64},
        "model": {"name": "cnn"},
        "epochs": 12, "batch_size": 64, "lr.peak": 0.1,
        "attack": {"name": "pgd", "eps": 0.2, "steps": 2},
        "eval": {"steps": 2, "final_steps": 2, "final_size": 64},
    },
    arms={"one": {}, "two": {"workers": 2}},
    seeds=(0, 1),
)
where = Where(address=cluster.address)
with joined(cluster.address) as capacity:
    print("nodes", capacity.nodes, "CPUs", int(capacity.cpus), flush=True)
for name, at_once, observer in (("whole", 1, None), ("lost", None, Remove())):
    options = Options(placement="spread", max_failures=2, at_once=at_once)
    done = run(study, sys.argv[1] + "/" + name, where, options, observer)
    print(name, done.statuses, flush=True)
    study = study.model_copy(update={"final_eval": False})
# Methods of one's own: no worker's node holds the study's folder on its path.
options = Options(placement="spread", at_once=1)
done = run(load_study(sys.argv[2]), sys.argv[1] + "/plugin", where, options)
print("plugin", done.statuses, flush=True)
cluster.shutdown()
"""


def table(folder):
    epochs = read_run(folder).epochs
    return epochs.drop(columns=TIMES).sort_values(["trial_id", "epoch"]).reset_index(drop=True)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Return what the driver printed, and the folder of its two runs."""
    folder = tmp_path_factory.mktemp("nodes")
    driver = [sys.executable, "-c", DRIVER, str(folder), str(PLUGIN / "study.py")]
    done = subprocess.run(driver, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, folder


def test_workers_on_other_nodes_keep_their_checkpoints_in_the_runs_folder(ran):
    """The folder is a path that all nodes see; on the driver's own node nothing can run."""
    said, folder = ran
    assert "nodes 3 CPUs 2" in said
    whole = read_run(folder / "whole")
    assert set(whole.trials["status"]) == {"finished"}
    for trial in whole.trials.itertuples():
        for path in (trial.checkpoint_best, trial.checkpoint_last):
            assert (whole.folder / path / "model.safetensors").stat().st_size > 0
    assert whole.trials["workers"].tolist() == [1, 1, 2, 2]
    assert whole.epochs["epoch"].tolist() == [*range(1, 13)] * 4
    assert len(whole.evals) == 2 * 4


def test_trials_of_one_and_of_several_workers_survive_the_loss_of_nodes(ran):
    said, folder = ran
    assert said.count("removed") == 2
    result = read_run(folder / "lost")
    assert set(result.trials["status"]) == {"finished"}
    before, after = table(folder / "whole"), table(folder / "lost")
    rows = set(zip(after["trial_id"], after["epoch"], strict=True))
    with Ledger.open(folder / "lost") as ledger:
        events = [e for e in ledger.events() if e["name"] == "lost"]
    gaps = len(before) - len(rows)
    print(
        f"faults injected 2, 1 run of 4 trials, rows lost {gaps}, "
        f"rows doubled {len(after) - len(rows)}, trials that started again {len(events)}"
    )
    assert before.equals(after)
    assert {"died", "node"} >= {event["payload"]["kind"] for event in events}
    assert len(events) >= 2


def test_methods_of_ones_own_reach_the_workers_of_every_node(ran):
    """The example's shape, attack and network, on one worker and on two of two nodes."""
    said, folder = ran
    assert "plugin {'finished': 2}" in said
    result = read_run(folder / "plugin")
    assert result.trials["workers"].tolist() == [1, 2]
    assert list(result.info["own_parts"]["files"]) == ["example_plugin.py"]
    assert (folder / "plugin" / "code" / "example_plugin.py").is_file()
    assert result.epochs["val_robust_acc"].notna().all()
