"""Beside real heads: what a joined cluster refuses, a local Ray that is alone, a head's death.

A head takes long to start, so that one answers every question about a living one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from rayat.cli.app import app
from rayat.errors import PlacementError
from rayat.orchestration.joining import joinable

pytestmark = [pytest.mark.slow, pytest.mark.own_ray]

TRAIN = (
    *(sys.executable, "-m", "rayat.cli", "train", "--set", "data.name=digits"),
    *("--set", "data.train_size=64", "--set", "data.val_size=16", "--set", "batch_size=32"),
    *("--set", "model.width=4", "--set", "model.blocks=[1]", "--set", "attack.name=fgsm"),
    *("--set", "eval.steps=1", "--set", "eval.final_steps=1", "--set", "eval.final_size=8"),
)
START = """
import json
import ray
from rayat.orchestration.cluster import cluster
with cluster(cpus=3) as capacity:
    print(json.dumps([capacity.cpus, ray.get_runtime_context().gcs_address]))
"""
ANOTHER = """
import json, sys
import ray
from rayat.errors import PlacementError
from rayat.orchestration.cluster import cluster
with cluster(cpus=3) as ours:
    try:
        with cluster(sys.argv[1]) as found:
            print("worked on", found.cpus, "CPUs")
    except PlacementError as error:
        print(error)
    with cluster() as found:
        print(json.dumps([found.cpus, ray.get_runtime_context().gcs_address]))
"""
INSIDE = """
import subprocess, sys
import ray
ray.init(sys.argv[1], log_to_driver=False)
done = ray.get(ray.remote(num_cpus=1)(
    lambda text: subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
).remote(sys.argv[2]))
print(done.stdout, end="")
print(done.stderr, file=sys.stderr)
"""
JOB = {"runtime_env": {"env_vars": {"FOREIGN": "1"}}, "metadata": {"job": "another"}}


def python(text: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", text, *arguments],
        env={**os.environ, **more},
        capture_output=True,
        text=True,
    )


def alone(done: subprocess.CompletedProcess[str], head) -> bool:
    assert done.returncode == 0, done.stderr[-3000:]
    cpus, address = json.loads(done.stdout.splitlines()[-1])
    return cpus == 3 and address != head.address


def test_a_head_refuses_a_wrong_token_and_a_local_ray_beside_it_is_alone(start_head, monkeypatch):
    head = start_head(cpus=1)
    with monkeypatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", head.environment["RAY_AUTH_TOKEN"])
        assert joinable(head.address, allow_open=False) == head.address
        patch.setenv("RAY_AUTH_TOKEN", "f" * 64)
        with pytest.raises(PlacementError, match="refuses the token of this host"):
            joinable(head.address, allow_open=False)

    told = {
        "RAY_TMPDIR": str(head.root),
        "RAY_NAMESPACE": "another",
        "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(JOB),
        "RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": 1}),
    }
    assert alone(python(START, RAY_ADDRESS=head.address, **told), head)
    assert alone(python(INSIDE, head.address, START, **head.environment), head)

    # By its address file alone; and a notebook that has a Ray, and then names the cluster that it
    # wants to work on, does not work in silence on the one that it has.
    another = python(ANOTHER, head.address, **head.environment)
    assert alone(another, head)
    refused = another.stdout.strip().splitlines()[-2]
    assert "has already joined the Ray at" in refused and "ray.shutdown()" in refused


def test_a_run_whose_head_is_killed_says_so_and_goes_on_elsewhere(start_head, tmp_path):
    """Joined by a user's command, killed in the middle; a local Ray then starts all the same."""
    head = start_head()
    folder = tmp_path / "run"
    joined = subprocess.Popen(
        [*TRAIN, "--set", "epochs=100000", "--address", head.address, "--out", str(folder)],
        env={**os.environ, **head.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = folder / "log" / "000001.rlog"
    while not log.exists() or b'"kind":"report"' not in log.read_bytes():
        try:
            joined.wait(0.2)
            raise AssertionError(joined.communicate())
        except subprocess.TimeoutExpired:
            continue
    head.kill()
    out, err = joined.communicate()
    assert joined.returncode == 3, (out, err)
    assert f"the head of the Ray cluster at {head.address} is gone; go on with: " in err
    assert f"rayat resume {folder}" in err.splitlines()[-1]
    assert "rpc_client" not in err and "Traceback" not in err
    status = CliRunner().invoke(app, ["status", str(folder)], prog_name="rayat")
    assert status.exit_code == 0 and "rayat resume" in status.stdout
    # The address file of the dead stays, and leads nobody astray.
    assert (head.root / "ray" / "ray_current_cluster").read_text() == head.address
    assert alone(python(START, RAY_TMPDIR=str(head.root)), head)
