"""What the machine offers this process: cores and memory, container limits counted."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
LEAST_CHILD_BYTES = 4 * 2**30
"""No child gets less address space than this: native libraries reserve far more than they use."""


def usable_cores() -> int:
    """The cores this process may use: its CPU affinity, cut by the container's quota."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        cores = os.cpu_count() or 1
    quota = _read("cpu.max").split()
    if len(quota) == 2 and quota[0] != "max":
        cores = min(cores, max(1, math.ceil(int(quota[0]) / int(quota[1]))))
    return max(1, cores)


def usable_memory_bytes() -> int:
    """The memory this process may use: the machine's, cut by the container's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read("memory.max")
    return min(total, int(limit)) if limit.isdigit() else total


def child_memory_bytes(workers: int) -> int | None:
    """The address space each of `workers` children may have; None where it cannot be limited."""
    if not sys.platform.startswith("linux"):  # macOS accepts RLIMIT_AS and ignores it
        return None
    return max(LEAST_CHILD_BYTES, usable_memory_bytes() // max(1, workers))


def _read(name: str) -> str:
    try:
        return (_CGROUP / name).read_text().strip()
    except OSError:
        return ""
