"""Starting or joining Ray, safely and quietly, and asking what it can hold."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ray

from rayat.errors import PlacementError

LOOPBACK_SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch for single-machine use; off, every port of every process is bound to 127.0.0.1."""

LOOPBACK_INTERFACE = "lo" if sys.platform == "linux" else "lo0"


@dataclass(frozen=True)
class Capacity:
    """What the cluster has: whole CPUs and GPUs, over all nodes and on its largest node."""

    cpus: float
    gpus: float
    nodes: int
    largest_cpus: float
    largest_gpus: float


@contextlib.contextmanager
def cluster(
    address: str | None = None,
    cpus: int | None = None,
    gpus: int | None = None,
    object_store_bytes: int | None = None,
    allow_open: bool = False,
) -> Iterator[Capacity]:
    """Start a local Ray on loopback, or join the cluster at `address`; leave it afterwards.

    A Ray that the process has already joined is used as it is and left running.

    Args:
        address: of a running cluster (`auto`, `host:port`); None starts a local one.
        cpus: logical CPUs of the local Ray; default: the machine's cores.
        gpus: GPUs of the local Ray; default: as found.
        object_store_bytes: size of the local object store; default: Ray's own choice.
        allow_open: join a cluster that has no token authentication.

    Raises:
        PlacementError: the cluster cannot be joined, or has no authentication.
    """
    _quiet()
    if ray.is_initialized():
        yield capacity()
        return
    session: str | None = None
    if address is None:
        session = _start_local(cpus, gpus, object_store_bytes)
    else:
        _join(address, allow_open)
    try:
        yield capacity()
    finally:
        ray.shutdown()
    if session is not None:
        # Ray never removes its session folders; after an error its logs may be wanted.
        shutil.rmtree(session, ignore_errors=True)


def _start_local(cpus: int | None, gpus: int | None, object_store_bytes: int | None) -> str:
    """Start Ray on this machine and return its session folder."""
    # Ray listens on all interfaces unless it believes that it can have no other node
    # (ray/_private/services.py get_node_ip_address). The constant is read when ray is imported, so
    # it is set beside the variable that the started processes read.
    os.environ[LOOPBACK_SWITCH] = "0"
    constants = ray._private.ray_constants
    constants.ENABLE_RAY_CLUSTER = False
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):  # the workers' own connections
        os.environ.setdefault(name, LOOPBACK_INTERFACE)
    cores = len(os.sched_getaffinity(0))
    before = os.umask(0o077)  # the started processes write for this user only
    ray.init(
        num_cpus=cpus or cores,
        num_gpus=gpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="CRITICAL",
        object_store_memory=object_store_bytes,
        namespace="rayat",
    )
    os.umask(before)
    token = Path.home() / ".ray" / "auth_token"
    if token.exists():
        token.chmod(0o600)
    return str(ray._private.worker._global_node.get_session_dir_path())


def _join(address: str, allow_open: bool) -> None:
    if address.startswith("ray://"):
        raise PlacementError(
            f"{address} is a Ray Client address: run rayat on a node of the cluster "
            "with --address auto"
        )
    if os.environ.get("RAY_AUTH_MODE") != "token" and not allow_open:
        raise PlacementError(
            "RAY_AUTH_MODE is not 'token', so anyone who reaches the cluster runs code on it: "
            "set it on every node, or pass --allow-open-cluster"
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level="CRITICAL", namespace="rayat")
    except (ConnectionError, RuntimeError, ValueError) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PlacementError(f"no Ray cluster at {address!r}: {line}") from error


def capacity() -> Capacity:
    """Return what the joined cluster has now."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Capacity(
        cpus=sum(node.get("CPU", 0) for node in nodes),
        gpus=sum(node.get("GPU", 0) for node in nodes),
        nodes=len(nodes),
        largest_cpus=max((node.get("CPU", 0) for node in nodes), default=0),
        largest_gpus=max((node.get("GPU", 0) for node in nodes), default=0),
    )


def local_capacity(cpus: int | None = None, gpus: int | None = None) -> Capacity:
    """Return what a local Ray would have, without starting it."""
    cores = float(cpus or len(os.sched_getaffinity(0)))
    found = float(gpus if gpus is not None else _visible_gpus())
    return Capacity(cores, found, 1, cores, found)


def _visible_gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _quiet() -> None:
    for name in ("ray", "ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"ray(\.|$)")
