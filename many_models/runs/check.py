"""`check`: the configuration and the data, looked at without touching a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from many_models.automl.group import check_group, fall_back_group, give_up_group
from many_models.automl.prior import shipped_prior
from many_models.automl.rows import read_rows
from many_models.engines.base import GroupJob
from many_models.engines.table import engine_for
from many_models.panel.findings import CODES
from many_models.panel.guardrails import GUARDRAIL_OF, GUARDRAILS
from many_models.runs.progress import Progress, silent
from many_models.runs.train import LEAST_DEADLINE, open_source, train_task
from many_models.spec import ForecastSpec


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes
    ----------
    series, groups, rows_read, frequency
        What the table holds.
    guardrails
        One per guardrail that looked: guardrail, passed, done and alerted (in how many series it came
        to that, the gravest counting), share (of series that are not passed), looks_at.
    rows
        One per finding code: code, severity, state, series (how many have it), share, count, action.
    notes
        What was decided about the columns that a person may want to know.
    """

    series: int
    groups: int
    rows_read: int
    frequency: str | None
    rows: tuple[dict[str, Any], ...]
    guardrails: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()

    @property
    def trainable(self) -> bool:
        """Whether any series has a usable observation."""
        empty = sum(int(row["series"]) for row in self.rows if row["code"] == "NO_OBSERVATIONS")
        return self.series > empty

    @property
    def records(self) -> Iterator[dict[str, Any]]:
        """The whole report as records: `TABLE`, a `NOTE` each, a `GUARDRAIL` each, then the findings."""
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
        for row in self.guardrails:
            state = next(state for state in ("alerted", "done", "passed") if row[state] or state == "passed")
            yield {"code": "GUARDRAIL", "severity": "info", "state": state, **row}
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
                task = replace(
                    train_task(opened, spec, shipped_prior(), None), run_id="check", seconds=LEAST_DEADLINE
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
                    _by_code(tables, opened.series),
                    _by_guardrail(tables, [key.name for key in opened.layout.keys]),
                    opened.layout.notes,
                )
            finally:
                opened.panel.close()
    finally:
        engine.close()


def _by_code(tables: list[pa.Table], series: int) -> tuple[dict[str, Any], ...]:
    if not tables:
        return ()
    rows = pa.concat_tables(tables).select(["code", "severity", "state", "count", "action"])
    rows = rows.filter(pc.not_equal(rows["state"], "passed"))
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
            "share": row["count_count"] / series,
            "count": row["count_sum"],
            "action": row["action"],
        }
        for row in grouped.to_pylist()
    ]
    severity = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(found, key=lambda r: (severity[r["severity"]], order.get(r["code"], 0))))


def _by_guardrail(tables: list[pa.Table], keys: list[str]) -> tuple[dict[str, Any], ...]:
    """Per guardrail, in how many series it came to which state."""
    if not tables:
        return ()
    frame = pa.concat_tables(tables).select([*keys, "code", "state"]).to_pandas()
    frame["code"] = frame["code"].map({code: rail.name for code, rail in GUARDRAIL_OF.items()})
    frame["state"] = frame["state"].map({state: place for place, state in enumerate(_STATES)})
    # a guardrail that did several things to a series came to the gravest of them
    worst = frame.dropna(subset=["code"]).groupby([*keys, "code"], sort=False)["state"].max()
    counts = worst.groupby([worst.index.get_level_values("code"), worst]).size()
    found = []
    for rail in GUARDRAILS:
        of = [int(counts.get((rail.name, place), 0)) for place in range(len(_STATES))]
        if any(of):
            share = 1 - of[0] / sum(of)
            found.append(
                {
                    "guardrail": rail.name,
                    **dict(zip(_STATES, of, strict=True)),
                    "share": share,
                    "looks_at": rail.looks_at,
                }
            )
    return tuple(found)


_STATES = ("passed", "done", "alerted")
