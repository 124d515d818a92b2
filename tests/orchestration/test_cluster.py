"""A local Ray listens on loopback only, with a token that others cannot read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import psutil
import pytest

from rayat.errors import PlacementError
from rayat.orchestration.cluster import cluster, local_capacity


def ray_processes() -> list[psutil.Process]:
    words = ("gcs_server", "raylet", "ray::", "ray/_private", "ray/dashboard")
    found = [psutil.Process()]
    for process in psutil.process_iter():
        try:
            if any(word in " ".join(process.cmdline()) for word in words):
                found.append(process)
        except psutil.Error:
            continue
    return found


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


def test_the_token_is_on_and_private(local_ray):
    assert os.environ["RAY_AUTH_MODE"] == "token"
    token = Path.home() / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_a_joined_ray_is_used_as_it_is(local_ray):
    with cluster(cpus=7) as inner:
        assert inner.cpus == local_ray.cpus


def test_a_client_address_is_refused_with_the_way_to_do_it():
    from rayat.orchestration.cluster import _join

    with pytest.raises(PlacementError, match="--address auto"):
        _join("ray://head:10001", allow_open=True)


def test_a_cluster_without_a_token_is_refused(monkeypatch):
    from rayat.orchestration.cluster import _join

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(PlacementError, match="--allow-open-cluster"):
        _join("10.0.0.1:6379", allow_open=False)


def test_local_capacity_is_what_the_process_may_use():
    assert local_capacity().cpus == len(os.sched_getaffinity(0))
    assert local_capacity(cpus=5, gpus=1).largest_gpus == 1
