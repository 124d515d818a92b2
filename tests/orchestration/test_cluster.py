"""A local Ray listens on loopback only, with a token that others cannot read."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from rayat.errors import PlacementError
from rayat.orchestration.cluster import cluster, named
from rayat.orchestration.joining import joinable
from rayat.planning.placement import local_capacity


def ray_processes() -> list[psutil.Process]:
    # This process and all below it: another user's Ray is not this test's.
    return [psutil.Process(), *psutil.Process().children(recursive=True)]


def listening() -> dict[str, str]:
    addresses = {}
    for process in ray_processes():
        try:
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    addresses[f"{connection.laddr.ip}:{connection.laddr.port}"] = process.name()
        except psutil.Error:
            continue
    return addresses


def test_every_port_is_on_loopback(local_ray):
    addresses = listening()
    assert addresses, "found no listening socket of Ray: the test looks in the wrong place"
    open_ones = {
        address: name
        for address, name in addresses.items()
        if not address.startswith(("127.", "::ffff:127.", "::1"))
    }
    assert open_ones == {}


def test_nothing_is_started_that_a_local_ray_has_no_use_for(local_ray):
    scripts: list[str] = []
    for process in ray_processes():
        with contextlib.suppress(psutil.Error):  # a worker that has just ended
            scripts += [Path(word).name for word in process.cmdline()[:4]]
    assert "gcs_server" in scripts and "raylet" in scripts
    assert not {"monitor.py", "log_monitor.py"} & set(scripts)


def test_the_token_is_on_and_private(local_ray):
    assert os.environ["RAY_AUTH_MODE"] == "token"
    token = Path.home() / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


FORGERIES = {
    "no token": {},
    "a wrong token": {"Authorization": "Bearer 0123456789abcdef"},
    "a browser": {"User-Agent": "Mozilla/5.0", "Origin": "http://evil.example"},
    "another host": {"Host": "evil.example", "X-Ray-Authorization": "Bearer x"},
}


def test_no_port_takes_a_job_without_the_token(local_ray):
    tried, accepted = 0, []
    body = json.dumps({"entrypoint": "touch /tmp/rayat-was-here"})
    for address in listening():
        port = int(address.rpartition(":")[2])
        for name, headers in FORGERIES.items():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.5)
            tried += 1
            try:
                connection.request("POST", "/api/jobs/", body, headers)
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException):
                continue  # it speaks another protocol, or hung up
            finally:
                connection.close()
            if status < 300:
                accepted.append(f"{address}: {name}: {status}")
    print(f"forged jobs: {tried} requests, {len(accepted)} accepted")
    assert tried >= 4 and accepted == []


ASK = """
import sys
from ray._raylet import GcsClient
try:
    GcsClient(address=sys.argv[1]).internal_kv_put(b"forged", b"1", True, None, 5)
except Exception as error:
    print(f"refused: {type(error).__name__}: {error}"[:300])
else:
    print("accepted")
"""


@pytest.mark.parametrize(
    ("mode", "token", "answer"),
    [
        ("token", "0123456789abcdef0123456789abcdef", "refused"),
        ("disabled", None, "refused"),
        ("token", "right", "accepted"),
    ],
)
def test_the_control_service_answers_only_the_token(local_ray, mode, token, answer, tmp_path):
    """A process with a wrong token, without one, and as a control with the right one."""
    import ray

    if token == "right":
        token = (Path.home() / ".ray" / "auth_token").read_text().strip()
    environment = {**os.environ, "RAY_AUTH_MODE": mode, "HOME": str(tmp_path)}
    environment.pop("RAY_AUTH_TOKEN", None)
    if token is not None:
        environment["RAY_AUTH_TOKEN"] = token
    done = subprocess.run(
        [sys.executable, "-c", ASK, ray.get_runtime_context().gcs_address],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(answer), (done.stdout, done.stderr[-500:])


@pytest.mark.parametrize("late", [0, 2, 9])
def test_a_ray_that_a_busy_machine_starts_late_is_started_again(monkeypatch, late):
    from rayat.orchestration import cluster as room

    answers = iter(
        [*[Exception("The current node timed out during startup. This could")] * late, 1]
    )

    def init(**settings):
        if isinstance(answer := next(answers), Exception):
            raise answer

    monkeypatch.setattr(room.ray, "init", init)
    if late < room.STARTS:
        room._patiently(num_cpus=1)
        assert list(answers) == []
    else:
        with pytest.raises(PlacementError, match="very busy"):
            room._patiently(num_cpus=1)


def test_the_umask_is_as_before_where_ray_does_not_start(monkeypatch, tmp_path):
    from rayat.orchestration import cluster as room

    seen = []

    def init(**settings):
        seen.append(os.umask(0o077))
        raise RuntimeError("no")

    before = os.umask(0o022)
    monkeypatch.setattr(room.ray, "init", init)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "lo")
    monkeypatch.setenv(room.LOOPBACK_SWITCH, "0")
    monkeypatch.setattr(room.ray._private.ray_constants, "ENABLE_RAY_CLUSTER", False)
    try:
        with pytest.raises(RuntimeError, match="no"):
            room._start_local(tmp_path, 1, 0, None)
        assert (seen, os.umask(before)) == ([0o077], 0o022)
    finally:
        os.umask(before)


def test_a_joined_ray_is_used_as_it_is(local_ray):
    with cluster(cpus=7) as inner:
        assert inner.cpus == local_ray.cpus


def test_an_autoscaler_names_the_kinds_of_its_nodes(local_ray):
    assert not local_ray.grows
    assert not named(["node_4ee7d642", ""])
    assert named(["ray.head.default", "node_4ee7d642"])


def test_a_client_address_is_refused_with_the_way_to_do_it():
    with pytest.raises(PlacementError, match="--address auto"):
        joinable("ray://head:10001", allow_open=True)


def test_a_cluster_without_a_token_is_refused(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(PlacementError, match="--allow-open-cluster"):
        joinable("10.0.0.1:6379", allow_open=False)


def test_local_capacity_is_what_the_process_may_use():
    assert local_capacity().cpus == len(os.sched_getaffinity(0))
    assert local_capacity(cpus=5, gpus=1).gpus == 1
