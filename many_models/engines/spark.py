"""The Spark engine: the DataFrame API alone, so that classic sessions, Connect and serverless all work.

::

    path, table, frame ─► wire (columns by position, stamps as int64) ─► facts ─► layout
          └─► canonical rows, staged once ─► groups ─► waves of tasks ─► guarded children ─► bytes
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
import uuid
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from many_models.engines.base import GroupAnswer, GroupJob, Tell, nobody
from many_models.engines.forgotten import with_forgotten
from many_models.engines.groups import Grouped, costliest_first, evenly
from many_models.engines.reading import Table, canonical_table, last_stamp, layout_of, read_files, time_only
from many_models.engines.session import Session, spark_errors
from many_models.engines.sources import Files
from many_models.engines.versions import versions_of
from many_models.engines.waves import (
    TASKS_PER_CORE,
    Pace,
    cost_of,
    cut_tasks,
    oversize,
    partition_numbers,
    portions,
)
from many_models.errors import DataError, EngineError, Problem
from many_models.panel.context import MOST_SIBLINGS, block_names, context_layout, sibling_names
from many_models.panel.layout import Facts, Layout, data_columns, decide_layout

if TYPE_CHECKING:
    import pyarrow as pa

    from many_models.engines.worker import Wire

_IN_FLIGHT = 2
_LOOK_SECONDS = 2.0
_MESSAGE_BYTES = 32 * 2**20
_SPARK_TEXT = (".csv", ".csv.gz", ".csv.bz2")
NTZ_MICROSECONDS = (
    "unix_date(CAST({0} AS DATE)) * 86400000000L + hour({0}) * 3600000000L + minute({0}) * 60000000L"
    " + CAST(extract(SECOND FROM {0}) * 1000000 AS BIGINT)"
)
_ALLOWED = "a Spark or pandas DataFrame, the path of parquet or csv files, or data.table"


class SparkEngine:
    """Maps groups over a Spark cluster.

    Parameters
    ----------
    master
        `spark` (the active session, else a local one), `spark://HOST:PORT` or `sc://HOST`.
    workers
        How many groups run at once; None asks Spark.
    """

    name = "spark"

    def __init__(self, master: str = "spark", workers: int | None = None) -> None:
        self.master = master
        self._workers = workers
        self._session: Session | None = None

    @property
    def workers(self) -> int:
        """How many groups run at once: the setting, else the cores that Spark has."""
        if self._workers is None:
            self._workers = cores_of(self._session_for(None).spark)
        return self._workers

    def open(self, source: Any, data: Any, staging: Path, cutoff: int | str | None = None) -> SparkPanel:
        """The canonical panel of a Spark or pandas DataFrame, a path or a table; staged as parquet.

        A Spark DataFrame is evaluated once. `staging` has to be a folder that the workers see.

        Raises
        ------
        DataError
            With every problem of the table at once.
        EngineError
            When pyspark or Java is missing, or the cluster fails.
        StorageError
            When a file system does not answer.
        """
        session = self._session_for(source)
        staged = Staging(session.spark, Path(staging) / f".many-models-{uuid.uuid4().hex}")
        try:
            with spark_errors("Spark cannot read the table"):
                rows, layout = _canonical(session, source, data, staged, cutoff)
                layout = with_forgotten(layout, source, data)
                return SparkPanel(session.spark, rows, layout, staged, self.workers)
        except BaseException:
            staged.close()
            raise

    def describe(self) -> dict[str, str]:
        """Name, workers and versions, for the run's summary."""
        session = self._session_for(None)
        kind = "connect" if ".connect." in type(session.spark).__module__ else "classic"
        return {
            "name": self.name,
            "workers": str(self.workers),
            "master": session.master,
            "session": kind,
            "spark": str(session.spark.version),
            **versions_of("numpy", "pandas", "pyarrow"),
        }

    def close(self) -> None:
        """Stops the session when this engine started it."""
        if self._session is not None:
            self._session.close()
        self._session = None

    def _session_for(self, source: Any) -> Session:
        if self._session is None:
            if _is_spark_frame(source):
                self._session = Session.of_frame(source)
            else:
                self._session = Session.get(self.master, self._workers)
        return self._session


class Staging:
    """A folder of parquet that Spark writes once and reads often; `close` removes it."""

    def __init__(self, spark: Any, folder: Path) -> None:
        self._spark = spark
        self._folder = folder
        self._made_parent = not folder.parent.exists()

    def put(self, name: str, rows: Any) -> Any:
        """These rows, written once."""
        place = spark_address(str((self._folder / name).absolute()))
        rows.write.parquet(place)
        return self._spark.read.schema(rows.schema).parquet(place)

    def drop(self, name: str) -> None:
        """Removes what is not needed any more."""
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def close(self) -> None:
        """Removes everything, the folder around it too where it was not there before."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._made_parent:
            with contextlib.suppress(OSError):  # another's staging is in it by now
                self._folder.parent.rmdir()


@dataclass(frozen=True)
class _Landed:
    """A wave that is back: its answers, how many of its groups were in tasks tried again, seconds."""

    answers: list[GroupAnswer]
    again: int
    seconds: float


class SparkPanel:
    """A canonical panel in a staging folder of a cluster."""

    def __init__(
        self,
        spark: Any,
        rows: Any,
        layout: Layout,
        staging: Staging,
        workers: int,
        series: pd.DataFrame | None = None,
        clusters: Sequence[int] | None = None,
    ) -> None:
        self._spark = spark
        self._rows = rows
        self._staging = staging
        self._workers = workers
        self.layout = layout
        self._series = series = _series_table(rows, layout) if series is None else series
        self._last = None if series["last"].isna().all() else int(series["last"].max())
        self._clusters = None if clusters is None else np.asarray(clusters, dtype=np.int64)
        self.groups = _group_table(series, layout) if clusters is None else _cluster_table(series, clusters)
        self.rows = int(series["rows"].sum())

    def sample(self, groups: int) -> pd.DataFrame:
        """The canonical rows of some groups, evenly spaced in key order."""
        from many_models.engines.worker import canonical_of

        chosen = evenly(len(self.groups), groups)
        with spark_errors("Spark cannot read the staged table"):
            table = arrow_of(self._numbered(chosen, [0] * len(chosen)))
        return Grouped.of(canonical_of(table, self.layout), self.layout).frame

    def last_observed(self) -> int | None:
        """The greatest canonical time at which any target is observed; None when there is none."""
        return self._last

    def regrouped(self, group: tuple[int, ...]) -> SparkPanel:
        """The same staged rows, grouped by the key columns at these positions."""
        layout = replace(self.layout, group=group)
        return SparkPanel(self._spark, self._rows, layout, self._staging, self._workers, self._series)

    def clustered(self, numbers: Sequence[int]) -> SparkPanel:
        """The same staged rows in one group for each of these numbers, one per group of this panel."""
        series = self.groups[list(self.layout.group_names)].assign(cluster=list(numbers))
        # the table of series has an order of its own
        found = self._series.merge(series, how="left", on=list(self.layout.group_names))["cluster"]
        layout, workers = replace(self.layout, group=()), self._workers
        return SparkPanel(
            self._spark, self._rows, layout, self._staging, workers, self._series, found.tolist()
        )

    def map(
        self,
        job: GroupJob,
        groups: list[int],
        attachments: Mapping[int, bytes] | None = None,
        tell: Tell = nobody,
    ) -> Generator[list[GroupAnswer]]:
        """The answers for these groups, each once, wave by wave as they come back; closing it cancels.

        Two waves are in flight, so that the cluster has work while the driver writes. Groups that would
        hold one up fly by themselves from the start, on all cores but one, and what is short goes on beside.

        Raises
        ------
        EngineError
            When the cluster fails, or does not account for every group.
        """
        from many_models.engines.guarded import PackedJob

        packed = PackedJob.of(job)
        costs = cost_of(self.groups["rows"].to_numpy()).tolist()
        alone, waiting = oversize(costliest_first(self.groups, groups), costs, self._workers)
        most_alone = max(1, self._workers - 1)
        pace = Pace(self._workers)
        tag = f"many-models-{uuid.uuid4().hex}"
        waves: dict[Future[_Landed], list[int]] = {}
        singles: dict[Future[_Landed], list[int]] = {}
        threads = ThreadPoolExecutor(_IN_FLIGHT + most_alone, thread_name_prefix="many-models-wave")
        landed = time.monotonic()
        try:
            while alone or waiting or waves or singles:
                while alone and len(singles) < most_alone:
                    single = [alone.pop(0)]
                    singles[threads.submit(self._wave, single, packed, tag, attachments)] = single
                    tell("wave started", {"groups": 1, "alone": True})
                while waiting and len(waves) < _IN_FLIGHT:
                    count = pace.take([costs[group] for group in waiting])
                    wave, waiting = waiting[:count], waiting[count:]
                    waves[threads.submit(self._wave, wave, packed, tag, attachments)] = wave
                    tell("wave started", {"groups": count, "alone": False})
                back, _ = wait([*waves, *singles], _LOOK_SECONDS, FIRST_COMPLETED)
                if not back:
                    yield []
                for flight in back:
                    landing = flight.result()
                    answers = landing.answers
                    size = sum(len(answer.payload) for answer in answers)
                    if landing.again:
                        tell("tasks tried again", {"groups": landing.again})
                    seconds = round(landing.seconds, 3)
                    tell("wave done", {"groups": len(answers), "seconds": seconds, "bytes": size})
                    if flight in waves:
                        wave = waves.pop(flight)
                        pace.done(sum(costs[group] for group in wave), time.monotonic() - landed, size)
                        landed = time.monotonic()
                    else:
                        wave = singles.pop(flight)
                    _check_accounts(wave, answers)
                    yield from portions(answers)
        finally:
            flights = [*waves, *singles]
            for flight in flights:
                flight.cancel()
            _interrupt(self._spark, tag, flights)
            threads.shutdown()

    def close(self) -> None:
        """Removes what was staged."""
        self._staging.close()

    def _wave(
        self, groups: list[int], packed: Any, tag: str, attachments: Mapping[int, bytes] | None
    ) -> _Landed:
        """The answers of one wave: one Spark job, whose tasks are cut here."""
        from many_models.engines.worker import ANSWERS, answers_of, attached_answers_of

        began = time.monotonic()
        costs = cost_of(self.groups["rows"].to_numpy()[groups]).tolist()
        tasks = min(len(groups), self._workers * TASKS_PER_CORE)
        numbers = partition_numbers(tasks)
        task_of = [numbers[task] for task in cut_tasks(costs, tasks)]
        # As many partitions as tasks, and each task's number hashes to a partition of its own.
        rows = self._numbered(groups, task_of).repartition(tasks, "task").groupBy("task")
        with spark_errors("the Spark job failed"), _tagged(self._spark, tag):
            if attachments is None:
                run = answers_of(packed.packed, packed.deadline_seconds, self.layout)
                asked = rows.applyInPandas(run, _ddl(ANSWERS))
            else:
                attached = self._attached(groups, task_of, attachments).repartition(tasks, "task")
                with_attached = attached_answers_of(packed.packed, packed.deadline_seconds, self.layout)
                asked = rows.cogroup(attached.groupBy("task")).applyInPandas(with_attached, _ddl(ANSWERS))
            table = arrow_of(asked)
        answers = [
            GroupAnswer(group, payload)
            for group, payload in zip(
                table.column("group").to_pylist(), table.column("payload").to_pylist(), strict=True
            )
        ]
        again = sum(attempt > 0 for attempt in table.column("attempt").to_pylist())
        return _Landed(answers, again, time.monotonic() - began)

    def _attached(self, groups: list[int], tasks: list[int], attachments: Mapping[int, bytes]) -> Any:
        """What is attached to these groups, a row each, sent in messages of bounded size."""
        import pyarrow as pa

        from many_models.engines.worker import ATTACHED

        columns = (groups, tasks, [attachments[group] for group in groups])
        arrays = [pa.array(column, field.type) for column, field in zip(columns, ATTACHED, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=ATTACHED)
        each = max(1, table.num_rows * _MESSAGE_BYTES // max(table.nbytes, 1))
        parts = [table.slice(start, each) for start in range(0, table.num_rows, each)]
        frame = frame_of(self._spark, parts[0])
        for further in parts[1:]:
            frame = frame.unionByName(frame_of(self._spark, further))
        return frame

    def _numbered(self, groups: list[int], tasks: list[int]) -> Any:
        """The staged rows of these groups, with the columns `group` and `task`."""
        import pyarrow as pa
        from pyspark.sql import functions

        from many_models.engines.worker import canonical_schema

        if self._clusters is not None:
            # every series of a cluster is named with the cluster's number
            task_of = dict(zip(groups, tasks, strict=True))
            there = np.isin(self._clusters, groups)
            groups = self._clusters[there].tolist()
            tasks = [task_of[group] for group in groups]
            names, keys = list(self.layout.key_names), self._series[there]
        else:
            names, keys = list(self.layout.group_names), self.groups.iloc[groups]
        schema = canonical_schema(self.layout)
        columns = {name: pa.array(keys[name].tolist(), type=schema.field(name).type) for name in names}
        columns["group"] = pa.array(groups, type=pa.int32())
        columns["task"] = pa.array(tasks, type=pa.int32())
        numbers = functions.broadcast(frame_of(self._spark, pa.table(columns)))
        if not names:
            return self._rows.crossJoin(numbers)
        return self._rows.join(numbers, on=names, how="inner")


# -- from a source to canonical rows ----------------------------------------------


def _canonical(
    session: Session, source: Any, data: Any, staging: Staging, cutoff: int | str | None
) -> tuple[Any, Layout]:
    """The staged canonical rows and their layout."""
    from many_models.engines.worker import Wire, canonical_rows, canonical_schema, facts_of

    read = _read(session, source, data)
    if isinstance(read, Table):
        return _stage_table(session, read, data, staging, cutoff)
    rows, wire, is_lazy = read
    if is_lazy:  # evaluated here, and never again
        rows = staging.put("source", rows)

    def facts(by_time: Layout | None, last: int | None) -> Facts:
        parts = arrow_of(rows.mapInArrow(facts_of(wire, data, by_time, last), "facts string"))
        return _merged(parts.column("facts").to_pylist(), wire)

    last, by_time = None, None
    if cutoff is not None:
        by_time = decide_layout(time_only(facts(None, None), data), wire.columns, data)
        last = last_stamp(cutoff, by_time)
    assert isinstance(wire, Wire)
    layout = layout_of(facts(by_time, last), wire.columns, data, by_time)
    schema = _ddl(canonical_schema(layout))
    staged = staging.put("canonical", rows.mapInArrow(canonical_rows(wire, layout, last), schema))
    staging.drop("source")
    if data.context is None:
        return staged, layout
    layout = context_layout(layout, data, _siblings(staged, sibling_names(layout, data)))
    staged = staging.put("context", with_context(staged, layout, canonical_schema(layout)))
    staging.drop("canonical")
    return staged, layout


def with_context(rows: Any, layout: Layout, schema: pa.Schema) -> Any:
    """Canonical rows with their context columns, in this schema; all as they are without a context.

    The rows that siblings share a stamp in come together in one partition, and there the same
    Python as on one machine computes what they see of each other.
    """
    from many_models.engines.worker import context_rows

    if layout.context is None:
        return rows
    names = block_names(layout)
    together = rows.repartition(*names).sortWithinPartitions(*names)
    return together.mapInArrow(context_rows(layout, schema), _ddl(schema))


def _siblings(rows: Any, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """The different values of these key columns; where they are many, only so many that this is seen."""
    table = arrow_of(rows.select(*names).distinct().limit(MOST_SIBLINGS + 1))
    return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def _stage_table(
    session: Session, table: Table, data: Any, staging: Staging, cutoff: int | str | None
) -> tuple[Any, Layout]:
    """What the driver holds already is made canonical there, and staged."""
    import pyarrow as pa

    from many_models.engines.worker import canonical_schema

    frame, layout = canonical_table(table, data, cutoff)
    arrow = pa.Table.from_pandas(frame, schema=canonical_schema(layout), preserve_index=False)
    return staging.put("canonical", frame_of(session.spark, arrow)), layout


def _merged(parts: list[str], wire: Wire) -> Facts:
    import json

    facts = Facts(0, {}, wire.is_text)
    for part in sorted(parts):  # the parts come in any order, the answer must not
        facts = facts.merge(Facts.from_dict(json.loads(part)))
    return facts


def _read(session: Session, source: Any, data: Any) -> Table | tuple[Any, Wire, bool]:
    """A table on the driver, or rows on Spark with their wire and whether reading them twice is unsafe."""
    if source is None and data.table is not None:
        return _wired(session, _named_table(session.spark, data.table), data)
    source = data.path if source is None else source
    if isinstance(source, pd.DataFrame):
        from many_models.engines.reading import read_table

        return read_table(source, data)
    if _is_spark_frame(source):
        return _wired(session, source, data)
    if source is None or (not isinstance(source, str) and not hasattr(source, "__fspath__")):
        found = "no table" if source is None else f"a {type(source).__module__}.{type(source).__qualname__}"
        raise DataError(Problem("data", found, _ALLOWED, "set data.path or data.table"))
    return _read_path(session, str(source), data)


def _named_table(spark: Any, name: str) -> Any:
    from pyspark.errors import AnalysisException

    try:
        table = spark.table(name)
        assert table.schema is not None  # Connect resolves the name only now
    except AnalysisException as error:
        said = str(error).splitlines()[0]
        raise DataError(
            Problem("data.table", repr(name), "a table that this session sees", f"correct the name ({said})")
        ) from error
    return table


def _wired(session: Session, frame: Any, data: Any) -> tuple[Any, Wire, bool]:
    """A Spark DataFrame: its stamps are seen in the session's zone."""
    rows, wire = _wire_of(frame, list(frame.columns), data, session.time_zone)
    return rows, wire, True


def _read_path(session: Session, path: str, data: Any) -> Table | tuple[Any, Wire, bool]:
    files = Files.find(path)
    columns = files.columns()
    if not _spark_reads(files, columns, data):
        return read_files(files, data)
    reader = session.spark.read
    address = spark_address(path if "://" in path else files.root)
    if files.format == "csv":
        reader = reader.option("header", True).option("inferSchema", False).option("multiLine", True)
        reader = reader.option("escape", '"').option("mode", "FAILFAST").option("maxCharsPerColumn", -1)
        rows, wire = _wire_of(reader.csv(address), columns, data, is_text=True)
        return rows.na.fill(""), wire, False
    frame = reader.parquet(address)
    zones = {field.name: getattr(field.type, "tz", None) for field in files.schema()}
    if [*frame.columns] != columns or _misread(frame, zones, data):
        return read_files(files, data)
    rows, wire = _wire_of(frame, columns, data, zones.get(data.time))
    return rows, wire, False


def _misread(frame: Any, zones: dict[str, str | None], data: Any) -> bool:
    """Whether Spark takes wall-clock stamps for instants or the other way round (settings can do that)."""
    kinds = {field.name: field.dataType.typeName() for field in frame.schema.fields}
    kind = kinds.get(data.time)
    zone = zones.get(data.time)
    return (kind == "timestamp" and zone is None) or (kind == "timestamp_ntz" and zone is not None)


def _spark_reads(files: Files, columns: list[str], data: Any) -> bool:
    """Whether Spark reads these files as Arrow does; else the driver reads them.

    Spark refuses nanosecond stamps, columns that differ only in case, and takes some characters
    of a path for a pattern.
    """
    from pyarrow import types

    if re.search(r"[\[\]{}*?\\]", files.root):
        return False
    if len({name.lower() for name in columns}) < len(columns):
        return False
    if files.format == "csv":
        return all(name.lower().endswith(_SPARK_TEXT) for name in files.names)

    def plain(kind: pa.DataType) -> bool:
        if types.is_dictionary(kind):
            return plain(kind.value_type)
        if types.is_timestamp(kind):
            return kind.unit in ("ms", "us")
        return any(
            test(kind)
            for test in (
                types.is_boolean,
                types.is_signed_integer,
                types.is_float32,
                types.is_float64,
                types.is_string,
                types.is_large_string,
                types.is_date32,
                types.is_decimal128,
            )
        )

    schema = files.schema()
    return all(plain(schema.field(name).type) for name in data_columns(data) if columns.count(name) == 1)


def _wire_of(
    frame: Any, columns: list[str], data: Any, time_zone: str | None = None, is_text: bool = False
) -> tuple[Any, Wire]:
    """The needed columns of a Spark DataFrame, by position, and what they are."""
    from pyspark.sql import functions

    from many_models.engines.reading import once
    from many_models.engines.worker import Wire

    names = once(columns, data)
    positions = [columns.index(name) for name in names]
    kinds = [field.dataType.typeName() for field in frame.schema.fields]
    by_position = frame.toDF(*[f"c{i}" for i in range(len(columns))])
    tag = None
    expressions = []
    for name, position in zip(names, positions, strict=True):
        expression, kind = f"c{position}", kinds[position]
        if name == data.time and kind in ("timestamp", "timestamp_ntz", "date"):
            tag = kind
            expression = microseconds(expression, kind)
        elif kind == "decimal":
            expression = f"CAST({expression} AS DOUBLE)"
        expressions.append(functions.expr(expression).alias(f"c{position}"))
    wire = Wire(tuple(names), tuple(columns), is_text, tag, time_zone)
    return by_position.select(*expressions), wire


def microseconds(column: str, kind: str) -> str:
    """SQL for a stamp as int64 microseconds; no session time zone takes part."""
    if kind == "timestamp":
        return f"unix_micros({column})"
    if kind == "date":
        return f"unix_date({column}) * 86400000000L"
    return NTZ_MICROSECONDS.format(column)


# -- small things of Spark ---------------------------------------------------------


def cores_of(spark: Any) -> int:
    """How many tasks this session runs at once: Connect does not tell, but a range is cut so."""
    from pyspark.sql import functions

    with spark_errors("Spark does not answer"):
        rows = spark.range(0, 1 << 14).select(functions.spark_partition_id().alias("p"))
        return max(1, int(rows.distinct().count()))


def spark_address(path: str) -> str:
    """A path as Spark takes it: local ones as file addresses, but not those that a cluster mounts."""
    if "://" in path or re.match(r"[a-z0-9]+:/", path):
        return path
    if path.startswith("/Volumes/"):
        return path
    if path.startswith("/dbfs/"):
        return "dbfs:" + path.removeprefix("/dbfs")
    return f"file://{path}"


def frame_of(spark: Any, table: pa.Table) -> Any:
    """An Arrow table as a Spark DataFrame."""
    if int(str(spark.version).split(".")[0]) >= 4:
        return spark.createDataFrame(table)
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return spark.createDataFrame(rows, _ddl(table.schema))


def arrow_of(rows: Any) -> pa.Table:
    """The rows of a Spark DataFrame as an Arrow table on the driver."""
    if hasattr(rows, "toArrow"):
        return rows.toArrow()
    import pyarrow as pa

    return pa.Table.from_pandas(rows.toPandas(), preserve_index=False)


def _ddl(schema: pa.Schema) -> str:
    """An Arrow schema as Spark writes it."""
    names = {"int64": "bigint", "int32": "int", "bool": "boolean"}
    return ", ".join(f"{field.name} {names.get(str(field.type), str(field.type))}" for field in schema)


def _is_spark_frame(source: Any) -> bool:
    return type(source).__module__.startswith("pyspark.sql.")


def _series_table(rows: Any, layout: Layout) -> pd.DataFrame:
    """One row per series: its keys, `rows`, and `last`, the greatest `t` with a finite target."""
    from pyspark.sql import functions

    # in SQL NaN is greater than infinity, so one comparison leaves both out, and null as well
    observed = functions.expr("CASE WHEN abs(y) < double('Infinity') THEN t END")
    table = arrow_of(
        rows.groupBy(*layout.key_names).agg(
            functions.count(functions.lit(1)).alias("rows"), functions.max(observed).alias("last")
        )
    )
    frame: pd.DataFrame = table.select([*layout.key_names, "rows"]).to_pandas()
    for name, key in zip(layout.key_names, layout.keys, strict=True):
        if key.kind == "text":
            frame[name] = frame[name].astype(object)
    frame["last"] = pd.array(table.column("last").to_pylist(), dtype="Int64")
    return frame


def _group_table(series: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """One row per group in key order: its keys, `rows`, `series`."""
    names = list(layout.group_names)
    if not names:
        return pd.DataFrame({"rows": [int(series["rows"].sum())], "series": [len(series)]})
    counted = series.groupby(names, sort=True)["rows"].agg(["sum", "size"]).reset_index()
    counted = counted.rename(columns={"sum": "rows", "size": "series"})
    return counted.astype({"rows": np.int64, "series": np.int64})


def _cluster_table(series: pd.DataFrame, clusters: Sequence[int]) -> pd.DataFrame:
    """One row per cluster in the order of their numbers: `rows`, `series`."""
    counted = series.groupby(np.asarray(clusters), sort=True)["rows"].agg(["sum", "size"])
    counted = counted.rename(columns={"sum": "rows", "size": "series"})
    # a number that no series has is a group without rows
    counted = counted.reindex(range(max(clusters, default=-1) + 1), fill_value=0)
    return counted.astype({"rows": np.int64, "series": np.int64})


def _check_accounts(wave: list[int], answers: list[GroupAnswer]) -> None:
    """Raises EngineError unless every group of the wave answered exactly once."""
    if sorted(answer.group for answer in answers) != sorted(wave):
        raise EngineError(
            f"Spark gave {len(answers)} answers for {len(wave)} groups: nothing of this wave is kept; "
            "run it again"
        )


@contextlib.contextmanager
def _tagged(spark: Any, tag: str) -> Iterator[None]:
    """Marks the jobs of this thread, so that they can be interrupted together."""
    if not hasattr(spark, "addTag"):
        yield
        return
    spark.addTag(tag)
    try:
        yield
    finally:
        spark.removeTag(tag)


def _interrupt(spark: Any, tag: str, flights: Iterable[Future[Any]]) -> None:
    """Cancels these jobs, and waits until they are gone."""
    pending = set(flights)
    while pending:
        if hasattr(spark, "interruptTag"):
            with contextlib.suppress(Exception):  # a cluster that is gone needs no cancelling
                spark.interruptTag(tag)
        # again and again: a job may just have been starting
        _, pending = wait(pending, timeout=0.5)
