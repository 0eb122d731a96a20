"""The two stages of a run whose groups hold several series.

::

    pool    one task per group, or where workers would be idle one for each share of its candidates:
            its shared models ─► models/, what they did for each series ─► journal/
    train   one task per series: its own learners beside what the group did for it ─► all other rows

Where the group is the series there is one stage. The stage `pool` is journaled like any batch: a run
that is resumed pools no finished group again, and gives every series the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from many_models.automl.pooled import Pooled
from many_models.automl.pooling import read_pool
from many_models.automl.task import TrainTask
from many_models.engines.base import GroupAnswer, GroupJob, Panel, Tell
from many_models.panel.findings import finding
from many_models.panel.fingerprint import MARK_BYTES
from many_models.panel.keys import SeriesKey
from many_models.runs.directory import RunDirectory
from many_models.runs.journal import POOL, Done
from many_models.runs.pool_shares import pooled_by
from many_models.runs.progress import Progress

if TYPE_CHECKING:
    from many_models.panel.layout import Layout


@dataclass(frozen=True)
class Pools:
    """The groups whose series share models, as a panel grouped by them, and those that take part.

    `numbers` are the groups of the series of the panel by series, where no column tells them.
    """

    panel: Panel
    groups: list[int]
    layout: Layout
    numbers: Mapping[int, int] | None = None


def members_of(panel: Panel, groups: list[int]) -> tuple[Panel, list[int]]:
    """The same panel by series, and the numbers of the series in these groups."""
    each = panel.regrouped(tuple(range(len(panel.layout.keys))))
    names = panel.layout.group_names
    wanted = set(_keys(panel.groups.iloc[groups], names))
    return each, [number for number, key in enumerate(_keys(each.groups, names)) if key in wanted]


def _keys(table: pd.DataFrame, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """The values of these columns, row by row."""
    columns = [table[name].tolist() for name in names]
    return list(zip(*columns, strict=True)) if names else [()] * len(table)


def pools_of(pools: Pools, panel: Panel, series: Iterable[int]) -> Pools:
    """Those of the groups that hold one of these series of the panel by series."""
    if pools.numbers is not None:
        own = {pools.numbers[number] for number in series}
        return replace(pools, groups=[group for group in pools.groups if group in own])
    names = pools.panel.layout.group_names
    wanted = set(_keys(panel.groups.iloc[sorted(series)], names))
    keys = _keys(pools.panel.groups, names)
    return replace(pools, groups=[group for group in pools.groups if keys[group] in wanted])


def run_pools(
    pools: Pools,
    jobs: Sequence[GroupJob],
    directory: RunDirectory,
    done: Done,
    progress: Progress,
    elapsed: Callable[[], float],
    tell: Tell,
) -> int:
    """The number of the last batch, once every group is pooled that was not before.

    Stops early where the budget of the run is spent; `tell` hears what the engine does.

    Raises
    ------
    Cancelled
        When the file `cancel` was put into the run directory.
    """
    waiting = [group for group in pools.groups if group not in done.pools]
    task = jobs[0].argument.train
    number, total = done.batch, task.spec.budget.seconds_total
    if not waiting:
        return number
    answers = pooled_by(pools.panel, jobs, waiting, tell)
    try:
        with progress.bar("pooling", len(pools.groups)) as step:
            count = len(pools.groups) - len(waiting)
            step(count)
            for batch in answers:
                if batch:
                    number, count = number + 1, count + len(batch)
                    _write_pools(number, batch, task, directory, elapsed())
                    step(count)
                directory.stop_if_cancelled()
                if total is not None and elapsed() > total:
                    break
    finally:
        answers.close()
    return number


def _write_pools(
    number: int, batch: Sequence[GroupAnswer], task: TrainTask, directory: RunDirectory, seconds: float
) -> None:
    """Writes what the groups of a batch said of their series, and then that they are done."""
    marks = {answer.group: answer.payload[:MARK_BYTES] for answer in batch}
    tables = [read_pool(answer.payload[MARK_BYTES:]) for answer in batch]
    outcomes, models = (list(parts) for parts in zip(*tables, strict=True))
    directory.journal.note_pools(number, pa.concat_tables(outcomes))
    written = {"models": models, "results": [task.schemas["results"].empty_table()]}
    directory.append(number, written, marks, seconds, POOL)


class Attached(Mapping[int, bytes]):
    """What the stage `pool` said of each series of a panel, looked up in the journal when it is needed."""

    def __init__(self, panel: Panel, layout: Layout, outcomes: Mapping[bytes, pa.Scalar]) -> None:
        self._groups = panel.groups
        self._columns = [panel.groups[name].to_numpy() for name in panel.layout.group_names]
        self._names = tuple(key.name for key in layout.keys)
        self._outcomes = outcomes
        why = finding("POOL_FAILED", message="its group was not pooled: the budget of the run was spent")
        self._none = Pooled(findings=(why,)).to_bytes()

    def __getitem__(self, number: int) -> bytes:
        key = SeriesKey(self._names, tuple(column[number] for column in self._columns))
        found: Any = self._outcomes.get(key.digest)
        return self._none if found is None else found.as_py()

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._groups)))

    def __len__(self) -> int:
        return len(self._groups)
