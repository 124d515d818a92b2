"""What this machine, or the control group around this process, has."""

from __future__ import annotations

import contextlib
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")
CPUINFO = Path("/proc/cpuinfo")
BF16_UNITS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Processor features that multiply bf16 natively (Linux names; `bf16` is Arm's)."""
ONE_THREAD = "on a CPU two trials of one thread do more than one trial of two (row B12 of bench)"


def memory_bytes(meminfo: Path = MEMINFO, group: Path = GROUP) -> tuple[int, int]:
    """Return the total and the free memory, those of the control group where it is smaller.

    Files that the kernel keeps in memory and would give back count as free in both.
    """
    facts = {}
    for line in meminfo.read_text().splitlines():
        key, _, value = line.partition(":")
        facts[key] = int(value.split()[0]) * 1024
    total, free = facts["MemTotal"], facts["MemAvailable"]
    with contextlib.suppress(OSError, ValueError):
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        cached = 0
        with contextlib.suppress(OSError):
            for line in (group / "memory.stat").read_text().splitlines():
                if line.startswith("inactive_file "):
                    cached = int(line.split()[1])
        total, free = min(total, limit), min(free, limit - used + cached)
    return total, max(0, free)


def cpu_flags(cpuinfo: Path = CPUINFO) -> set[str]:
    """Return the processor's features by their Linux names; empty where they are not told."""
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("flags", "Features"):
                return set(value.split())
    return set()


def native_bf16(cpuinfo: Path = CPUINFO) -> bool | None:
    """Return whether the processor multiplies bf16 natively; None where nothing is told of it.

    Without such a unit torch emulates it, several times slower than fp32.
    """
    flags = cpu_flags(cpuinfo)
    return bool(BF16_UNITS & flags) if flags else None
