"""Resource arithmetic without Ray: what nodes have, what a trial needs, how many fit at once."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rayat.config import TrialConfig
from rayat.errors import PlacementError


@dataclass(frozen=True)
class Node:
    """What one node has: amounts by Ray's names, such as `CPU`, `GPU`, `memory`."""

    has: Mapping[str, float]
    name: str = ""


@dataclass(frozen=True)
class Capacity:
    """What the cluster has: its nodes, and those that its autoscaler may start.

    Attributes:
        each: the nodes that live now.
        growth: (what a node of this kind has, how many of them may be started), one per kind.
        grows: whether an autoscaler may start nodes, also where it does not say of which kinds.
    """

    each: tuple[Node, ...]
    growth: tuple[tuple[Node, int], ...] = ()
    grows: bool = False

    @property
    def cpus(self) -> float:
        """Return the CPUs of all nodes."""
        return sum(node.has.get("CPU", 0) for node in self.each)

    @property
    def gpus(self) -> float:
        """Return the GPUs of all nodes."""
        return sum(node.has.get("GPU", 0) for node in self.each)

    @property
    def nodes(self) -> int:
        """Return how many nodes there are."""
        return len(self.each)

    def record(self) -> dict[str, Any]:
        """Return what `run.json` keeps."""
        each = [{name: node.has.get(name, 0) for name in ("CPU", "GPU")} for node in self.each]
        return {"cpus": self.cpus, "gpus": self.gpus, "nodes": self.nodes, "each": each}


@dataclass(frozen=True)
class Need:
    """What one trial holds while it runs."""

    workers: int
    cpus_per_worker: float
    gpus_per_worker: float

    @classmethod
    def of(cls, config: TrialConfig) -> Need:
        """Return what `config` asks for."""
        return cls(config.workers, config.cpus_per_worker, config.gpus_per_worker)

    @property
    def bundle(self) -> dict[str, float]:
        """Return what one worker holds, by Ray's names."""
        both = {"CPU": self.cpus_per_worker, "GPU": self.gpus_per_worker}
        return {name: value for name, value in both.items() if value > 0}

    @property
    def cpus(self) -> float:
        """Return the CPUs of all workers."""
        return self.workers * self.cpus_per_worker

    @property
    def gpus(self) -> float:
        """Return the GPUs of all workers."""
        return self.workers * self.gpus_per_worker


def fitting(bundle: Mapping[str, float], has: Mapping[str, float]) -> int:
    """Return how many workers, each holding `bundle`, an empty node holds.

    Shares of a GPU are cut from one GPU: of two GPUs, three workers of 0.6 do not get theirs.
    """
    counts = []
    for name, each in bundle.items():
        have = has.get(name, 0.0)
        if name == "GPU" and each < 1:
            counts.append(math.floor(have + 1e-9) * math.floor(1 / each + 1e-9))
        else:
            counts.append(math.floor(have / each + 1e-9))
    return min(counts, default=0)


def concurrency(need: Need, capacity: Capacity) -> int:
    """Return how many such trials the nodes hold at once, at least 1.

    The workers of a trial are alike and may stand on any nodes, so nodes are packed exactly: each
    counts with as many whole workers as it holds. Nodes that an autoscaler may start count too.

    Raises:
        PlacementError: not even one fits; the text says what is short and lists the nodes.
    """
    bundle = need.bundle
    kinds = [(node.has, 1) for node in capacity.each]
    kinds += [(node.has, more) for node, more in capacity.growth]
    places = sum(fitting(bundle, has) * count for has, count in kinds)
    if places >= need.workers:
        # No more than can be counted where an autoscaler has no limit.
        return max(1, min(places, 10_000) // need.workers)
    if capacity.grows and not capacity.growth:
        return 1  # what it may start is not told: the trial waits, and says so
    there = listed(capacity)
    if places == 0:
        keys = " and ".join(f"{name.lower()}s_per_worker" for name in bundle)
        raise PlacementError(
            f"a worker needs {amounts(bundle)} and no node has that ({there}): lower {keys}, or "
            "join a larger cluster with --address"
        )
    raise PlacementError(
        f"a trial needs {need.workers} workers of {amounts(bundle)} each at the same time, and "
        f"there is place for {places} ({there}): lower workers, or join a larger cluster with "
        "--address"
    )


def amounts(resources: Mapping[str, float]) -> str:
    """Return resources as text, such as `1.5 CPUs and 1 GPU`."""
    texts = []
    for name, value in resources.items():
        if name in ("memory", "object_store_memory"):
            texts.append(f"{value / 2**30:.3g} GiB of {name.replace('_', ' ')}")
        else:
            texts.append(f"{value:g} {name}{'' if value == 1 else 's'}")
    return " and ".join(texts) or "nothing"


def listed(capacity: Capacity, names: tuple[str, ...] = ("CPU", "GPU")) -> str:
    """Return what the nodes have, equal ones together: `2 nodes have 4 CPUs, 1 node has 8 CPUs`."""

    def shown(node: Node) -> str:
        held = {name: node.has[name] for name in names if node.has.get(name)}
        return amounts(held) if held else f"no {' or '.join(names)}"

    groups = Counter(shown(node) for node in capacity.each)
    texts = [f"{n} node{'s have' if n > 1 else ' has'} {has}" for has, n in groups.items()]
    for node, more in capacity.growth:
        count = "any number of" if more > 10**6 else f"up to {more}"
        texts.append(f"an autoscaler may start {count} of {shown(node)}")
    if capacity.grows and not capacity.growth:
        texts.append("an autoscaler may start more")
    return ", ".join(texts) or "there is no node"


def waits(need: Need, capacity: Capacity) -> str:
    """Return why a trial has no place yet although it is not refused; empty if it has one."""
    if sum(fitting(need.bundle, node.has) for node in capacity.each) >= need.workers:
        return ""
    each = f"{need.workers} x {amounts(need.bundle)}"
    return f"no place for a trial of {each} yet: {listed(capacity)}"


def local_capacity(cpus: int | None = None, gpus: int | None = None) -> Capacity:
    """Return what a local Ray would have, without starting it."""
    cores = float(cpus or len(os.sched_getaffinity(0)))
    found = float(gpus if gpus is not None else _visible_gpus())
    return Capacity((Node({"CPU": cores, "GPU": found}, "this machine"),))


def _visible_gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
