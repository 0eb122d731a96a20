"""The mutation report: every value that preparation changed, before and after, series by series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa

from many_models.automl.mutations import MutationTask, mutate_group, no_mutations, read_mutations
from many_models.engines.base import GroupJob
from many_models.engines.table import engine_for
from many_models.errors import EngineError, LookupFailed, Problem
from many_models.panel.keys import SeriesKey, parse_key
from many_models.panel.layout import Layout
from many_models.panel.mutations import report_schema
from many_models.panel.preparation import PrepareSettings
from many_models.runs.progress import Progress, silent
from many_models.runs.train import LEAST_DEADLINE, Opened, open_source
from many_models.spec import ForecastSpec


def mutations(data: Any, spec: ForecastSpec, /, **key: Any) -> pd.DataFrame:
    """One row per value that preparation changes: keys, time, column, change, before, after, rule.

    The table is read and prepared as a training would, by the same code; no model is touched.

    Parameters
    ----------
    data
        A pandas DataFrame, a Spark DataFrame, a path, or None to read what `spec.data` names.
    spec
        The configuration.
    key
        Values of key columns; series with other values are left out. Without any: every series.

    Raises
    ------
    InputError
        When the configuration or the table is wrong, or no series has this key.
    OutsideError
        When the cluster or the disk fails.
    """
    frame: pd.DataFrame = mutation_table(data, spec, key).to_pandas()
    return frame


def mutation_table(
    data: Any,
    spec: ForecastSpec,
    key: Mapping[str, Any] | Sequence[str],
    *,
    cutoff: str | int | None = None,
    progress: Progress | None = None,
) -> pa.Table:
    """The same as an Arrow table; `key` may also be texts such as `Store=2`."""
    engine = engine_for(spec.engine, data)
    try:
        with TemporaryDirectory(prefix="many-models-") as folder:
            opened = open_source(engine, data, spec, Path(folder), None, cutoff)
            try:
                return _table(opened, spec, key, progress or silent())
            finally:
                opened.panel.close()
    finally:
        engine.close()


def _table(
    opened: Opened, spec: ForecastSpec, key: Mapping[str, Any] | Sequence[str], progress: Progress
) -> pa.Table:
    panel = opened.panel
    schema, where = report_schema(panel.layout), _where(key, panel.layout)
    groups = _groups(opened, where)
    end = panel.last_observed() if spec.forecast.origin == "panel" else None
    settings = PrepareSettings.of(spec, opened.frequency, end)
    task = MutationTask(panel.layout, settings, where)
    job = GroupJob(mutate_group, no_mutations, no_mutations, task, LEAST_DEADLINE)
    found: dict[int, pa.Table] = {}
    troubles: list[str] = []
    series = 0
    with progress.bar("preparing", len(groups)) as step:
        for batch in panel.map(job, groups):
            for answer in batch:
                found[answer.group], seen, trouble = read_mutations(answer.payload)
                series += seen
                troubles += [] if trouble is None else [trouble]
            step(len(found))
    if troubles:
        raise EngineError(f"{len(troubles)} of {len(groups)} groups could not be prepared: {troubles[0]}")
    if not series:
        raise _unknown(opened, where)
    return pa.concat_tables([schema.empty_table(), *(found[group] for group in sorted(found))])


def _where(key: Mapping[str, Any] | Sequence[str], layout: Layout) -> dict[str, Any]:
    """The typed key values that are asked for.

    Raises
    ------
    LookupFailed
        For a column that is no key, or a value of another type.
    """
    if not isinstance(key, Mapping):
        return dict(parse_key(key, layout.keys))
    columns = [column for column in layout.keys if column.name in key]
    return SeriesKey.of(key, columns if len(columns) == len(key) else layout.keys).as_dict()


def _groups(opened: Opened, where: Mapping[str, Any]) -> list[int]:
    """The groups that may hold such series."""
    layout, table = opened.panel.layout, opened.panel.groups
    fits = pd.Series(True, index=table.index)
    for place in layout.group:
        name = layout.keys[place].name
        if name in where:
            fits &= table[f"k{place}"] == where[name]
    return [group for group in opened.groups if bool(fits.iloc[group])]


def _unknown(opened: Opened, where: Mapping[str, Any]) -> LookupFailed:
    shown = ", ".join(f"{name}={value}" for name, value in where.items())
    return LookupFailed(Problem("key", shown, f"a key of the {opened.series} series", "correct the key"))
