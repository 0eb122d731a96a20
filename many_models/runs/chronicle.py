"""The events of a run: a line of JSON each in `events.jsonl`, as they happen, and to Python's logging too.

Events tell of a run and decide nothing in it: what is finished stands in `results/`. So a disk that refuses
them is a warning, and a line that a kill tore is left out by whoever reads.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from many_models.errors import Cancelled

EVENTS = "events.jsonl"

LOG = logging.getLogger("many_models.run")

LEVELS = {
    "group done": "debug",
    "group failed": "warning",
    "straggler": "warning",
    "tasks tried again": "warning",
    "budget spent": "warning",
    "run cancelled": "warning",
    "run failed": "error",
    "registration failed": "error",
}
"""How much an event matters; others are `info`."""

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_LONGEST = 2**20
"""More bytes than a line of events has; what is longer is read in pieces, and they are none."""


class Chronicle:
    """Adds the events of one run to its file; neither keys nor values of the data go into it.

    Parameters
    ----------
    run_dir
        The run directory.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / EVENTS
        self._warned = False

    def note(self, event: str, **facts: Any) -> None:
        """Adds one event."""
        self.notes([(event, facts)])

    def tell(self, event: str, facts: Mapping[str, Any]) -> None:
        """Adds one event, as engines tell of it."""
        self.notes([(event, facts)])

    def notes(self, events: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Adds events that happened together, in one piece."""
        if not events:
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        lines = [
            json.dumps({"at": at, "level": LEVELS.get(event, "info"), "event": event, **facts})
            for event, facts in events
        ]
        try:
            self._append("".join(f"{line}\n" for line in lines).encode())
        except OSError as trouble:
            if not self._warned:
                LOG.warning("%s: cannot be written: %s", self.path, trouble.strerror or trouble)
            self._warned = True
        for event, facts in events:
            # What is wrong is raised, or told in the summary: here no event is more than information.
            level = logging.DEBUG if event.startswith("group ") else logging.INFO
            if LOG.isEnabledFor(level):
                LOG.log(level, "%s", " ".join([event, *(f"{name}={_said(v)}" for name, v in facts.items())]))

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """The run meanwhile: when it ends before its time, the last event says so."""
        try:
            yield
        except (Cancelled, KeyboardInterrupt):
            self.note("run cancelled")
            raise
        except BaseException as error:
            # The class alone: what an error says may name addresses and keys.
            self.note("run failed", error=type(error).__name__, exit_code=getattr(error, "exit_code", 1))
            raise

    def _append(self, text: bytes) -> None:
        """Adds whole lines behind the last one, which a kill may have torn."""
        file = os.open(self.path, _FLAGS, 0o666)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise OSError("not a plain file")
            torn = status.st_size > 0 and os.pread(file, 1, status.st_size - 1) != b"\n"
            left = memoryview(b"\n" + text if torn else text)
            while left:
                left = left[os.write(file, left) :]
        finally:
            os.close(file)


def read_events(run_dir: Path) -> Iterator[dict[str, Any]]:
    """The events of a run in their order, without torn lines; none where there is no such file."""
    path = run_dir / EVENTS
    if path.is_symlink() or not path.is_file():
        return
    with path.open("rb") as file:
        while line := file.readline(_LONGEST):
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                yield event


def group_event(group: int, batch: int, results: pa.Table) -> tuple[str, dict[str, Any]]:
    """The event of a group that is finished, by the result rows of its series."""
    outcomes = Counter(results["status"].to_pylist())
    reasons = sorted({reason for reason in results["reason"].to_pylist() if reason})
    facts: dict[str, Any] = {"group": group, "batch": batch, "series": results.num_rows}
    facts["seconds"] = round(float(np.nansum(results["seconds"].to_numpy())), 3)
    facts["outcomes"] = dict(sorted(outcomes.items()))
    if reasons:
        facts["reasons"] = reasons
    return "group failed" if outcomes.keys() & {"FAILED", "TIMED_OUT"} else "group done", facts


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{inner}" for name, inner in value.items())
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
