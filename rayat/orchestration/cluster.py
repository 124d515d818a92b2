"""Starting or joining Ray, safely and quietly, and asking what it can hold."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray._raylet import Config  # type: ignore[attr-defined]

from rayat.errors import PlacementError
from rayat.host.headwatch import HeadWatch
from rayat.host.ray_settings import LOOPBACK_SWITCH, settle, settle_token
from rayat.host.rays import apart
from rayat.orchestration.joining import joinable, same
from rayat.planning.placement import Capacity, Node

STARTS = 5
"""How often a local Ray is started that does not come up in time."""

UNUSED = ("start_monitor", "start_log_monitor")
"""Processes of a head that a local Ray has no use for, each two CPU-seconds of its start: one asks
for more nodes, one hands the workers' output to a driver that does not want it."""

LOOPBACK_INTERFACE = "lo" if sys.platform == "linux" else "lo0"


@dataclass(frozen=True)
class Where:
    """Which Ray to use: a local one of the given size, or the cluster at `address`."""

    address: str | None = None
    cpus: int | None = None
    gpus: int | None = None
    allow_open: bool = False

    def joined(self, run: Path) -> contextlib.AbstractContextManager[Capacity]:
        """Start or join it for a run (`cluster`)."""
        return cluster(self.address, self.cpus, self.gpus, allow_open=self.allow_open, run=run)


LOCAL = Where()


@contextlib.contextmanager
def cluster(
    address: str | None = None,
    cpus: int | None = None,
    gpus: int | None = None,
    object_store_bytes: int | None = None,
    allow_open: bool = False,
    run: Path | None = None,
) -> Iterator[Capacity]:
    """Start a local Ray on loopback, or join the cluster at `address`; leave it afterwards.

    A Ray that the process has already joined is used as it is and left running; an `address` of
    another one is refused.

    Args:
        address: of a running cluster (`auto`, `host:port`); None starts a local one.
        cpus: logical CPUs of the local Ray; default: the machine's cores.
        gpus: GPUs of the local Ray; default: as found.
        object_store_bytes: size of the local object store; default: Ray's own choice.
        allow_open: join a cluster that has no token authentication.
        run: the folder of the run that needs it; named if the head dies, which ends the process.

    Raises:
        PlacementError: the cluster cannot be joined, or has no authentication, or the process has
            joined another one.
    """
    _quiet()
    settle()
    if ray.is_initialized():
        if address is not None:
            same(address, ray.get_runtime_context().gcs_address, allow_open)
        yield capacity()
        return
    if settle_token():
        Config.initialize("")  # Ray read its authentication mode when it was imported
    with contextlib.ExitStack() as stack:
        if address is None:
            folder = stack.enter_context(apart())
            _start_local(folder, cpus, gpus, object_store_bytes)
        else:
            _join(address, allow_open)
        stack.callback(ray.shutdown)
        stack.enter_context(HeadWatch(ray.get_runtime_context().gcs_address, run))
        yield capacity()


def _start_local(
    folder: Path, cpus: int | None, gpus: int | None, object_store_bytes: int | None
) -> None:
    """Start Ray on this machine, its files in `folder`."""
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
    try:
        with _own_groups(), _without_unused():
            _patiently(
                address="local",  # without it Ray follows the address that it finds around it
                num_cpus=cpus or cores,
                num_gpus=gpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="CRITICAL",
                object_store_memory=object_store_bytes,
                namespace="rayat",
                _temp_dir=str(folder),
            )
    finally:
        os.umask(before)
    token = Path.home() / ".ray" / "auth_token"
    if token.exists():
        token.chmod(0o600)


@contextlib.contextmanager
def _own_groups() -> Iterator[None]:
    """Let Ray's processes be started in groups of their own.

    What stops a run by a signal to its whole group (`timeout`, a scheduler, a container) would stop
    the Ray under it first, and the run could not end in order. The kernel ends them with this
    process; where it cannot, Ray needs them in one group to do so, and they stay there.
    """
    services: Any = ray._private.services
    plain = services.ConsolePopen
    if not ray._private.utils.detect_fate_sharing_support():
        yield
        return

    class Apart(plain):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, process_group=0, **settings)

    services.ConsolePopen = Apart
    try:
        yield
    finally:
        services.ConsolePopen = plain


@contextlib.contextmanager
def _without_unused() -> Iterator[None]:
    """Let Ray start without the processes of `UNUSED`."""
    node: Any = ray._private.node.Node
    kept = {name: vars(node)[name] for name in UNUSED if name in vars(node)}
    for name in kept:
        setattr(node, name, lambda self: None)
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(node, name, method)


def _patiently(**settings: Any) -> None:
    """Start Ray, again where a busy machine did not do it in the half minute that Ray waits.

    Raises:
        PlacementError: it never did.
    """
    for left in reversed(range(STARTS)):
        try:
            ray.init(**settings)
            return
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
            if not left:
                raise PlacementError(
                    f"Ray's processes did not start within 30 s, tried {STARTS} times: this "
                    "machine is very busy; try again, or end what else runs on it"
                ) from error


def _join(address: str, allow_open: bool) -> None:
    found = joinable(address, allow_open)
    hidden = os.environ.pop("RAY_ADDRESS", None)
    try:
        ray.init(address=found, log_to_driver=False, logging_level="CRITICAL", namespace="rayat")
    except (ConnectionError, RuntimeError, ValueError) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PlacementError(f"no Ray cluster at {address!r}: {line}") from error
    finally:
        if hidden is not None:
            os.environ["RAY_ADDRESS"] = hidden


def capacity() -> Capacity:
    """Return what the joined cluster has now, and what its autoscaler may add."""
    each = tuple(
        Node(dict(node["Resources"]), node["NodeManagerAddress"])
        for node in ray.nodes()
        if node["Alive"]
    )
    config = ray._private.state.state.get_cluster_config()
    kinds = [] if config is None else list(config.node_group_configs)
    return Capacity(
        each,
        tuple(
            (Node({name: float(n) for name, n in kind.resources.items()}, kind.name), more)
            for kind in kinds
            # -1 stands for as many as are asked for.
            if (more := sys.maxsize if kind.max_count < 0 else kind.max_count) > 0
        ),
        grows=bool(kinds) or _autoscales(),
    )


def _autoscales() -> bool:
    """Return whether an autoscaler of Ray's own says that it runs, in its old or its new way."""
    from ray.autoscaler.v2.sdk import get_cluster_status
    from ray.experimental.internal_kv import _internal_kv_get

    try:
        old = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or b"{}")
        new = get_cluster_status(ray.get_runtime_context().gcs_address)
    except Exception:  # another version of Ray: what is not told is not there
        return False
    report = old.get("autoscaler_report") or {}
    kinds = {*(report.get("active_nodes") or {}), *(report.get("idle_nodes") or {})}
    return named({*kinds, *(n.ray_node_type_name for n in (*new.active_nodes, *new.idle_nodes))})


def named(kinds: Iterable[str]) -> bool:
    """Return whether an autoscaler knows the nodes by their kinds, such as `ray.head.default`.

    Without one, every node is of a kind of its own, `node_` and its id.
    """
    return any(kind and not kind.startswith("node_") for kind in kinds)


def _quiet() -> None:
    for name in ("ray", "ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"ray(\.|$)")
