"""The example cluster files stay valid: Ray's own schema for one, the fields used for the other."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def test_the_cluster_file_is_valid_for_ray():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((ROOT / "examples/cluster.yaml").read_text())
    validate_config(prepare_config(dict(config)))
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        started = [c for c in config[commands] if "ray start" in c]
        assert started, commands
        assert all("RAY_AUTH_MODE=token" in c for c in started), commands


def test_the_rayjob_asks_for_authentication_and_shared_storage():
    job = yaml.safe_load((ROOT / "examples/rayjob.yaml").read_text())
    assert job["kind"] == "RayJob"
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"]["mode"] == "token"
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        mounts = {m["name"] for c in pod["containers"] for m in c["volumeMounts"]}
        assert mounts <= {v["name"] for v in pod["volumes"]}
    out = job["spec"]["entrypoint"].split("--out ")[1]
    paths = {m["mountPath"] for m in groups[0]["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert any(out.startswith(p) for p in paths)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "search_spaces").rglob("*.py")), ids=lambda p: p.stem
)
def test_every_shipped_study_expands(path):
    from rayat.study import load_study

    study = load_study(path)
    trials = study.trials()
    assert trials
    assert len({t.trial_id for t in trials}) == len(trials)
