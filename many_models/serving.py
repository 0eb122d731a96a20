"""What MLflow loads a registered version with: `loader_module` and `data_path`, nothing executable.

`mlflow.pyfunc.load_model("models:/orange_juice@champion").predict(rows)` gives one answer per row, in
order; `spark_udf` and `mlflow models serve` call the same. The rows of a series must come in one call.
What is missing in an answer is null in every column, so that a server writes JSON that all can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from many_models.bundle.store import Bundle
from many_models.errors import DataError, Problem
from many_models.runs.models import ModelSet, models_of_bundle


class Served:
    """A registered version as MLflow's pyfunc sees it."""

    def __init__(self, models: ModelSet) -> None:
        self.models = models

    def predict(self, rows: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """The forecasts of future rows (keys, times, known covariates), one per row, in order.

        Raises
        ------
        DataError
            When a key or the time column is missing, naming it.
        """
        if not isinstance(rows, pd.DataFrame):
            raise DataError(
                Problem(
                    "rows", type(rows).__name__, "a pandas data frame", "hand over keys, times and covariates"
                )
            )
        return _with_nulls(self.models.forecast(future=rows))


def _with_nulls(answer: pd.DataFrame) -> pd.DataFrame:
    """The answer with every missing value as null: MLflow would write NaN and NaT, which are no JSON."""
    columns: dict[str, pd.Series[Any]] = {}
    for name, column in answer.items():
        if not column.isna().any():
            continue
        if name == "step":
            columns[str(name)] = column.astype("Int64")
        elif pd.api.types.is_float_dtype(column.dtype):
            columns[str(name)] = column.astype("Float64")
        else:
            columns[str(name)] = column.astype(object).where(column.notna(), None)
    # A column of the user's may bear any name, `self` included: no keyword arguments here.
    return pd.DataFrame({name: columns.get(str(name), answer[name]) for name in answer.columns})


def _load_pyfunc(path: str) -> Served:
    """The models in the bundle at `path`; the name is MLflow's."""
    return Served(models_of_bundle(Bundle.open(Path(path)), {"bundle": path}))
