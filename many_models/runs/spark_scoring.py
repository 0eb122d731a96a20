"""`ModelSet.forecast` for Spark data frames: the models travel to the keys as a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from many_models.automl.rows import schemas
from many_models.engines.together import map_with_models
from many_models.panel.keys import SeriesKey
from many_models.panel.layout import Layout
from many_models.spec import ForecastSpec

if TYPE_CHECKING:
    from many_models.runs.models import ModelSet


class OneModel:
    """The store of a single key's model, inside a Spark task."""

    def __init__(self, row: pa.Table, digest: bytes) -> None:
        self._row = row
        self._digest = digest

    def find(self, digest: bytes) -> dict[str, Any] | None:
        """The index row, for this key's digest."""
        return self._row.to_pylist()[0] if digest == self._digest and self._row.num_rows else None

    def rows(self, digests: Iterable[bytes]) -> pa.Table:
        """The index row, where this key's digest is asked for."""
        return self._row if self._digest in set(digests) else self._row.slice(0, 0)

    def index(self, columns: list[str] | None = None) -> pa.Table:
        """The index of one row."""
        return self._row if columns is None else self._row.select(columns)

    def model(self, content_id: str) -> bytes:
        """The stored state."""
        state: bytes = self._row["state"][0].as_py()
        return state


@dataclass(frozen=True)
class ForecastOne:
    """Forecasts the rows of one key with its model, inside a Spark task."""

    layout: Layout
    spec: ForecastSpec
    lineage: Mapping[str, Any]
    horizon: int | None
    index_schema: pa.Schema
    asked: tuple[str, ...]

    def __call__(self, parts: dict[str, pd.DataFrame], model: pd.DataFrame) -> pa.Table:
        """The forecast rows of one key."""
        from many_models.runs.models import ModelSet
        from many_models.runs.scoring import Scorer

        names = tuple(k.name for k in self.layout.keys)
        row = pa.Table.from_pandas(model, schema=self.index_schema, preserve_index=False)
        digest = b""
        if row.num_rows:
            digest = SeriesKey(names, tuple(row[n][0].as_py() for n in names)).digest
        if "future" in self.asked and "future" not in parts:
            return schemas(self.layout, self.spec.forecast.quantiles)["forecasts"].empty_table()
        models = ModelSet(OneModel(row, digest), self.layout, self.spec, self.lineage)
        return Scorer(models).table(parts.get("history"), parts.get("future"), self.horizon, None)


def forecast_on_spark(
    models: ModelSet, history: Any, future: Any, horizon: int | None, where: Mapping[str, Any] | None
) -> Any:
    """The forecasts of the rows asked for as a Spark data frame; see `ModelSet.forecast`."""
    keys = [k.name for k in models.layout.keys]
    frames = {name: frame for name, frame in (("history", history), ("future", future)) if frame is not None}
    for name, value in (where or {}).items():
        frames = {part: frame.where(frame[f"`{name}`"] == value) for part, frame in frames.items()}
    index = models.index([*keys, "content_id", "status", "reason"])
    states = [None if c is None else models.state(c) for c in index["content_id"].to_pylist()]
    index = index.append_column("state", pa.array(states, pa.binary()))
    work = ForecastOne(models.layout, models.spec, models.lineage, horizon, index.schema, tuple(frames))
    schema = schemas(models.layout, models.spec.forecast.quantiles)["forecasts"]
    return map_with_models(frames, index, keys, work, schema)
