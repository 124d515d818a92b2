"""Hosts that are only network namespaces, joined by a bridge over links of a given rate.

A namespace lives as long as a process in it: whatever happens to the measuring process, nothing
stays behind. Nothing of this machine's own network is touched, and nothing leaves the namespaces.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TOOLS = ("ip", "tc", "unshare", "nsenter")
INSIDE = ("unshare", "--net")
"""Starts a command in a namespace of its own."""
DEVICE = "eth0"
BURST_SECONDS, LEAST_BURST = 2.5e-4, 16_000
"""What a link lets through at once after a pause, in seconds of its rate, and at least in bytes:
little beside a gradient, and enough for the kernel's timers to keep up."""
QUEUE_BYTES = 4_000_000


class NoNetwork(Exception):
    """This machine cannot make such hosts; the text says why."""


def refusal() -> str:
    """Return why no hosts can be made here, empty if nothing is known against it."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces and shaped links"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"needs the commands {', '.join(missing)} (packages iproute2 and util-linux)"
    return ""


def address(rank: int) -> str:
    """Return the address of a host."""
    return f"10.77.0.{rank + 1}"


@dataclass(frozen=True)
class Network:
    """Hosts 0, 1, ... at one switch.

    Attributes:
        switch: process whose namespace holds the bridge. hosts: processes in their namespaces.
    """

    switch: int
    hosts: tuple[int, ...]

    def shape(self, rate: float) -> None:
        """Limit every host's link to `rate` bytes a second, each way.

        Raises:
            NoNetwork: the kernel has no token bucket filter.
        """
        for rank, host in enumerate(self.hosts):
            _limit(host, DEVICE, rate)
            _limit(self.switch, _port(rank), rate)


@contextlib.contextmanager
def network(hosts: Sequence[int]) -> Iterator[Network]:
    """Join processes that live in network namespaces of their own, at one switch.

    Raises:
        NoNetwork: the machine refuses.
    """
    with subprocess.Popen([*INSIDE, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as hub:
        assert hub.stdin is not None
        assert hub.stdout is not None
        try:
            hub.stdin.write(b"\n")
            hub.stdin.flush()
            if not hub.stdout.readline():  # it answers from inside
                raise NoNetwork("unshare --net is not permitted")
            switch = hub.pid
            _ip(switch, "link", "add", "switch", "type", "bridge")
            _ip(switch, "link", "set", "switch", "up")
            for rank, host in enumerate(hosts):
                port = _port(rank)
                peer = ("peer", "name", DEVICE, "netns", str(host))
                _ip(switch, "link", "add", port, "type", "veth", *peer)
                _ip(switch, "link", "set", port, "master", "switch", "up")
                _ip(host, "address", "add", f"{address(rank)}/24", "dev", DEVICE)
                for device in ("lo", DEVICE):  # no IPv6: its own chatter would be counted
                    _ip(host, "link", "set", device, "addrgenmode", "none", "up")
            yield Network(switch, tuple(hosts))
        finally:
            hub.stdin.close()


def counters() -> tuple[int, int]:
    """Return the bytes that this process' link has sent and received."""
    with open("/proc/self/net/dev", encoding="ascii") as lines:
        for line in lines:
            name, _, values = line.partition(":")
            if name.strip() == DEVICE:
                fields = values.split()
                return int(fields[8]), int(fields[0])
    raise NoNetwork(f"this process has no link {DEVICE}")


def _port(rank: int) -> str:
    return f"port{rank}"


def _limit(process: int, device: str, rate: float) -> None:
    shape = ("rate", f"{round(8 * rate)}bit", "burst", str(burst(rate)), "limit", str(QUEUE_BYTES))
    _run(process, "tc", "qdisc", "replace", "dev", device, "root", "tbf", *shape)


def burst(rate: float) -> int:
    """Return the bytes that a link of `rate` bytes a second lets through at once."""
    return max(LEAST_BURST, round(rate * BURST_SECONDS))


def _ip(process: int, *arguments: str) -> None:
    _run(process, "ip", *arguments)


def _run(process: int, *command: str) -> None:
    """Run a command in the namespace of a process."""
    inside = ["nsenter", "--target", str(process), "--net", *command]
    done = subprocess.run(inside, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise NoNetwork(f"{' '.join(command)}: {said}")
