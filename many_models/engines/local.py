"""The local engine: one machine, guarded child processes, no JVM."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from many_models.engines.base import GroupAnswer, GroupJob, Tell, nobody
from many_models.engines.forgotten import with_forgotten
from many_models.engines.groups import Grouped, costliest_first, evenly, last_observed
from many_models.engines.guarded import Children
from many_models.engines.kept import Kind, give_back, take
from many_models.engines.machine import child_memory_bytes, usable_cores
from many_models.engines.reading import canonical_table, read_table
from many_models.engines.versions import versions_of
from many_models.errors import DataError, Problem
from many_models.panel.forgotten import shares_stamps
from many_models.panel.layout import Layout

BATCH_SECONDS = 2.0
"""Answers are handed over this often: so much is lost at most when the process is killed."""


class LocalEngine:
    """Reads tables with pandas and Arrow, and maps groups over guarded children on this machine.

    Parameters
    ----------
    workers
        How many children; None for as many as the process may use cores.
    """

    name = "local"

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or usable_cores()
        self._kind = Kind.of(self.workers, child_memory_bytes(self.workers))
        self._children = take(self._kind)

    def open(self, source: Any, data: Any, staging: Path, cutoff: int | str | None = None) -> LocalPanel:
        """The canonical panel of a pandas DataFrame or a path; nothing is staged.

        Raises
        ------
        DataError
            With every problem of the table at once.
        StorageError
            When a file system does not answer.
        """
        if source is None and data.table is not None:
            raise DataError(
                Problem(
                    "data.table",
                    repr(data.table),
                    "data.path, or a frame, on the local engine",
                    "use --engine spark, or export the table to parquet",
                )
            )
        table = read_table(data.path if source is None else source, data)
        frame, layout = canonical_table(table, data, cutoff)
        if shares_stamps(frame, layout):
            layout = with_forgotten(layout, source, data)
        return LocalPanel(Grouped.of(frame, layout), layout, self._children)

    def describe(self) -> dict[str, str]:
        """Name, workers and versions, for the run's summary."""
        return {"name": self.name, "workers": str(self.workers), **versions_of("numpy", "pandas", "pyarrow")}

    def close(self) -> None:
        """Ends the children, unless `kept_children` hands them on."""
        give_back(self._children, self._kind)


class LocalPanel:
    """A canonical panel in this process's memory."""

    def __init__(self, grouped: Grouped, layout: Layout, children: Children) -> None:
        self._grouped = grouped
        self._children = children
        self.layout = layout
        self.groups = grouped.table
        self.rows = len(grouped.frame)

    def sample(self, groups: int) -> pd.DataFrame:
        """The canonical rows of some groups, evenly spaced in key order."""
        chosen = [self._grouped.rows_of(group) for group in evenly(len(self.groups), groups)]
        return pd.concat(chosen, ignore_index=True) if chosen else self._grouped.frame.iloc[:0]

    def last_observed(self) -> int | None:
        """The greatest canonical time at which any target is observed; None when there is none."""
        return last_observed(self._grouped.frame)

    def map(
        self,
        job: GroupJob,
        groups: list[int],
        attachments: Mapping[int, bytes] | None = None,
        tell: Tell = nobody,
    ) -> Generator[list[GroupAnswer]]:
        """The answers for these groups, each once, a batch every few seconds; closing it cancels.

        The groups with most rows go first. There is nothing to `tell` but that it begins.
        """
        tell("children at work", {"groups": len(groups), "workers": self._children.workers})
        order = costliest_first(self.groups, groups)
        tasks = (
            (group, self._grouped.rows_of(group), *(() if attachments is None else (attachments[group],)))
            for group in order
        )
        return self._children.map(job, tasks, BATCH_SECONDS)

    def regrouped(self, group: tuple[int, ...]) -> LocalPanel:
        """The same rows, grouped by the key columns at these positions."""
        layout = replace(self.layout, group=group)
        return LocalPanel(self._grouped.by(layout), layout, self._children)

    def clustered(self, numbers: Sequence[int]) -> LocalPanel:
        """The same rows in one group for each of these numbers, one per group of this panel."""
        layout = replace(self.layout, group=())
        return LocalPanel(self._grouped.clustered(numbers), layout, self._children)

    def close(self) -> None:
        """Nothing was staged, and the children belong to the engine."""
