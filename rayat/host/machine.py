"""What this machine, or the control group around this process, has."""

from __future__ import annotations

import contextlib
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")
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
