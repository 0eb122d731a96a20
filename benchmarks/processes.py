"""What Linux tells of the processes that a process has started: state, processor time, memory."""

from __future__ import annotations

import os
from pathlib import Path

CHILD = "many_models.engines.child"
"""In the command line of a guarded child."""

TICKS = os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """The processes that any thread of a process has started, and that live."""
    found: list[int] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    except OSError:  # it is gone, or one of its threads
        pass
    return found


def descendants(pid: int) -> list[int]:
    """All that lives below a process."""
    found, waiting = [], [pid]
    while waiting:
        below = children(waiting.pop())
        found += below
        waiting += below
    return found


def command(pid: int) -> str:
    """The command line of a process; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def status(pid: int) -> list[str]:
    """The fields of `/proc/PID/stat` from the state on; nothing of a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def parent(pid: int) -> int:
    """The process that started a process; 0 where it is gone."""
    return int((*status(pid)[1:2], "0")[0])


def is_running(pid: int) -> bool:
    """Whether a process has or wants a core."""
    return status(pid)[:1] == ["R"]


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, all that lives below it, and what of that has ended."""
    fields = [status(one)[11:15] for one in (pid, *descendants(pid))]
    return sum(int(field) for some in fields for field in some) / TICKS


def peak_megabytes(pid: int | str = "self") -> float:
    """The most memory that a process has held, without that of what it started; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)
