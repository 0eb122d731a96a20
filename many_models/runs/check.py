"""`check`: the configuration and the data, looked at without touching a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from many_models.automl.group import TrainTask, check_group, fall_back_group, give_up_group
from many_models.automl.prior import shipped_prior
from many_models.automl.rows import read_rows
from many_models.engines.base import GroupJob
from many_models.engines.table import engine_for
from many_models.panel.findings import CODES
from many_models.runs.progress import Progress, silent
from many_models.runs.train import LEAST_DEADLINE, open_source
from many_models.spec import ForecastSpec


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes
    ----------
    series, groups, rows_read, frequency
        What the table holds.
    rows
        One per finding code: code, severity, state, series (how many have it), count, action.
    notes
        What was decided about the columns that a person may want to know.
    """

    series: int
    groups: int
    rows_read: int
    frequency: str | None
    rows: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()

    @property
    def trainable(self) -> bool:
        """Whether any series has a usable observation."""
        empty = sum(int(row["series"]) for row in self.rows if row["code"] == "NO_OBSERVATIONS")
        return self.series > empty

    @property
    def records(self) -> Iterator[dict[str, Any]]:
        """The whole report as records: `TABLE`, a `NOTE` each, then the findings."""
        yield {
            "code": "TABLE",
            "severity": "info",
            "state": "passed",
            "series": self.series,
            "groups": self.groups,
            "rows": self.rows_read,
            "frequency": self.frequency,
        }
        for note in self.notes:
            yield {"code": "NOTE", "severity": "info", "state": "alerted", "message": note}
        yield from self.rows


def check_source(
    data: Any, spec: ForecastSpec, *, limit: int | None = None, progress: Progress | None = None
) -> CheckReport:
    """What is right and wrong with a table, without training anything.

    Raises
    ------
    InputError
        With every problem that would stop a training.
    """
    engine = engine_for(spec.engine, data)
    try:
        with TemporaryDirectory(prefix="many-models-") as folder:
            opened = open_source(engine, data, spec, Path(folder), limit, None)
            try:
                task = TrainTask(
                    spec,
                    opened.panel.layout,
                    shipped_prior(),
                    opened.frequency,
                    None,
                    "check",
                    LEAST_DEADLINE,
                    opened.events,
                )
                job = GroupJob(check_group, fall_back_group, give_up_group, task, LEAST_DEADLINE)
                tables: list[pa.Table] = []
                done = 0
                with (progress or silent()).bar("checking", len(opened.groups)) as step:
                    for batch in opened.panel.map(job, opened.groups):
                        done += len(batch)
                        step(done)
                        for answer in batch:
                            found = read_rows(answer.payload).get("findings")
                            if found is not None:
                                tables.append(found)
                return CheckReport(
                    opened.series,
                    len(opened.groups),
                    opened.panel.rows,
                    opened.frequency,
                    _by_code(tables),
                    opened.panel.layout.notes,
                )
            finally:
                opened.panel.close()
    finally:
        engine.close()


def _by_code(tables: list[pa.Table]) -> tuple[dict[str, Any], ...]:
    if not tables:
        return ()
    rows = pa.concat_tables(tables).select(["code", "severity", "state", "count", "action"])
    grouped = rows.group_by(["code", "severity", "state", "action"]).aggregate(
        [("count", "sum"), ("count", "count")]
    )
    order = {code: place for place, code in enumerate(CODES)}
    found = [
        {
            "code": row["code"],
            "severity": row["severity"],
            "state": row["state"],
            "series": row["count_count"],
            "count": row["count_sum"],
            "action": row["action"],
        }
        for row in grouped.to_pylist()
    ]
    severity = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(found, key=lambda r: (severity[r["severity"]], order.get(r["code"], 0))))
