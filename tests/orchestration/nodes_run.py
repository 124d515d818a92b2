"""A script: run a study whose trials fit only on another node than the driver's.

`nodes_run.py FOLDER` starts a cluster of two nodes on this machine, the driver's without CPUs.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rayat.orchestration.cluster import LOOPBACK_SWITCH, cluster
from rayat.orchestration.sweep import run
from rayat.study import Study

folder = Path(sys.argv[1])
os.environ[LOOPBACK_SWITCH] = "0"

import ray  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

ray._private.ray_constants.ENABLE_RAY_CLUSTER = False
nodes = Cluster(
    initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}, connect=True
)
other = nodes.add_node(num_cpus=2)
nodes.wait_for_nodes()
try:
    study = Study(
        name="nodes",
        base={
            "data": {"name": "digits", "train_size": 128, "val_size": 32},
            "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
            "epochs": 2,
            "batch_size": 64,
            "attack": {"name": "fgsm", "eps": 0.2},
            "eval": {"steps": 1, "final_steps": 1, "final_size": 32},
        },
        arms={"one": {}, "two": {"workers": 2}},
        seeds=(0,),
    )
    with cluster() as capacity:
        assert (capacity.nodes, capacity.cpus) == (2, 2)
        summary = run(study, folder)
    here = ray.get_runtime_context().get_node_id()
    print(json.dumps({"statuses": summary.statuses, "elsewhere": other.node_id != here}))
finally:
    ray.shutdown()
    nodes.shutdown()
