"""Spark rows brought together with the models of their keys: one cogroup, no download on executors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

PART = "__part"
"""The column that says which frame a row came from."""


def map_with_models(
    frames: dict[str, Any],
    models: pa.Table,
    keys: Sequence[str],
    function: Callable[[dict[str, pd.DataFrame], pd.DataFrame], pa.Table],
    schema: pa.Schema,
) -> Any:
    """The Spark data frame of `function`'s rows, called once per key with its rows and its model.

    Parameters
    ----------
    frames
        Spark data frames by name; each has the key columns.
    models
        One row per key with the key columns and what else `function` needs.
    keys
        Names of the key columns.
    function
        `(rows by frame name, model rows) -> rows`; importable, or a picklable callable.
    schema
        What `function` gives.
    """
    from pyspark.sql import functions as sf
    from pyspark.sql.pandas.types import from_arrow_schema

    first = next(iter(frames.values()))
    session = first.sparkSession
    tagged = [frame.withColumn(PART, sf.lit(name)) for name, frame in frames.items()]
    left = tagged[0]
    for further in tagged[1:]:
        left = left.unionByName(further, allowMissingColumns=True)
    right = session.createDataFrame(models.to_pandas(), from_arrow_schema(models.schema))

    def together(rows: pd.DataFrame, state: pd.DataFrame) -> pd.DataFrame:
        parts = {name: rows[rows[PART] == name].drop(columns=PART) for name in names}
        answer: pd.DataFrame = function(
            {name: part for name, part in parts.items() if len(part)}, state
        ).to_pandas()
        return answer

    names = tuple(frames)
    # A key column may hold a dot or a space: quoted, it is a name and not a path.
    columns = [sf.col("`" + key.replace("`", "``") + "`") for key in keys]
    return (
        left.groupBy(*columns)
        .cogroup(right.groupBy(*columns))
        .applyInPandas(together, from_arrow_schema(schema))
    )
