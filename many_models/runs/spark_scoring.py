"""`ModelSet.forecast` for Spark data frames: the models travel to the keys as a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from many_models.automl.rows import schemas
from many_models.engines.together import Asked, as_instants, map_with_models, shown_like, time_kind
from many_models.errors import DataError, Problem
from many_models.panel.layout import Layout
from many_models.runs.newcomers import MissingModel, Newcomers
from many_models.runs.scoring import Scorer
from many_models.runs.tables import Rows
from many_models.spec import ForecastSpec

if TYPE_CHECKING:
    from many_models.runs.models import ModelSet

INDEX = ("content_id", "status", "reason", "run_id")


class SentModels:
    """The models that came to a Spark task with their keys, as a store."""

    def __init__(self, rows: pa.Table, shared: Mapping[str, bytes]) -> None:
        self._rows = rows
        self._shared = shared
        self._places = {digest: row for row, digest in enumerate(rows["digest"].to_pylist())}
        self._by_content = {name: row for row, name in enumerate(rows["content_id"].to_pylist())}

    def find(self, digest: bytes) -> dict[str, Any] | None:
        """The index row of a key digest."""
        row = self._places.get(digest)
        return None if row is None else self._rows.slice(row, 1).to_pylist()[0]

    def rows(self, digests: Iterable[bytes]) -> pa.Table:
        """The index rows of many key digests, those that exist."""
        return self._rows.take(pa.array([self._places[d] for d in digests if d in self._places], pa.int64()))

    def index(self, columns: list[str] | None = None) -> pa.Table:
        """The whole index, one row per series."""
        return self._rows if columns is None else self._rows.select(columns)

    def model(self, content_id: str) -> bytes:
        """The stored state of a model."""
        state: bytes = self._rows["state"][self._by_content[content_id]].as_py()
        return state

    def models(self, content_ids: Iterable[str]) -> Iterable[tuple[str, bytes]]:
        """The stored states of many models with their names, each once."""
        for content_id in dict.fromkeys(content_ids):
            yield content_id, self.model(content_id)

    def shared(self, content_id: str) -> bytes:
        """The stored state of a pooled model that others refer to."""
        return self._shared[content_id]


class CanonicalScorer(Scorer):
    """Forecasts from rows that are canonical already, of which there may be none."""

    def _canonical(self, rows: Rows, with_target: bool) -> pd.DataFrame:
        return rows.frame


@dataclass(frozen=True)
class ForecastKeys:
    """Forecasts the rows of some whole keys with their models, inside a Spark task.

    The pooled models that series share travel in here: once a task, not once a key. So do the series that
    models of new ones are made from, where those are asked for.
    """

    layout: Layout
    spec: ForecastSpec
    lineage: Mapping[str, Any]
    horizon: int | None
    shared: Mapping[str, bytes]
    missing_model: MissingModel
    siblings: pa.Table

    def __call__(self, frames: dict[str, pd.DataFrame], models: pa.Table) -> pa.Table:
        """The forecast rows of these keys."""
        from many_models.runs.models import ModelSet

        keys = {key: k.name for key, k in zip(self.layout.key_names, self.layout.keys, strict=True)}
        rows = models.select(["digest", *keys, *INDEX, "state"])
        rows = rows.rename_columns([keys.get(name, name) for name in rows.column_names])

        def opened(rows: pa.Table) -> ModelSet:
            return ModelSet(SentModels(rows, self.shared), self.layout, self.spec, self.lineage)

        newcomers = Newcomers(opened(self.siblings))
        scorer = CanonicalScorer(opened(rows), missing_model=self.missing_model, newcomers=newcomers)
        return scorer.table(frames.get("history"), frames.get("future"), self.horizon, None)


def forecast_on_spark(
    models: ModelSet,
    history: Any,
    future: Any,
    horizon: int | None,
    where: Mapping[str, Any] | None,
    missing_model: MissingModel | None = None,
) -> Any:
    """The forecasts of the rows asked for as a Spark data frame; see `ModelSet.forecast`.

    Nothing runs until the answer is read, except that the models are read here; the frames never
    pass through the driver. The time column has the type of the frame's own.

    Raises
    ------
    DataError
        When a table is no Spark data frame, or a series without a model shall be an error: nothing is
        known of the keys before the answer is read.
    """
    policy = missing_model or models.spec.forecast.missing_model
    if policy == "error":
        raise DataError(
            Problem(
                "missing_model",
                "error for Spark data frames, whose keys are not read before the answer is",
                "empty, pooled or naive",
                "say missing_model='empty', and look for the reason UNKNOWN_KEY in the answer",
            )
        )
    given = {name: frame for name, frame in (("history", history), ("future", future)) if frame is not None}
    for name, frame in given.items():
        if not hasattr(frame, "sparkSession"):
            raise DataError(
                Problem(
                    name,
                    f"a {type(frame).__module__}.{type(frame).__qualname__}",
                    "a Spark data frame, as the other table is one",
                    "hand over both tables as Spark data frames, or both as pandas data frames",
                )
            )
    typed = Scorer(models).checked(horizon, where)
    kind = time_kind(given.get("future", history), models.layout)
    layout = shown_like(models.layout, kind)
    sent = _sent(models, typed)
    siblings = _siblings(models, policy)
    states = (state.as_py() for rows in (sent, siblings) for state in rows["state"].drop_null())
    shared = models.shared_states(states)
    work = ForecastKeys(layout, models.spec, models.lineage, horizon, shared, policy, siblings)
    schema = schemas(layout, models.spec.forecast.quantiles)["forecasts"]
    frames = {name: Asked(frame, with_target=name == "history") for name, frame in given.items()}
    answer = map_with_models(frames, sent, layout, typed, work, schema)
    if kind == "timestamp" and layout.time.kind == "timestamp" and layout.time.zone is None:
        answer = as_instants(answer, ("cutoff", layout.time.name))
    return answer


def _sent(models: ModelSet, where: Mapping[str, Any]) -> pa.Table:
    """One row per key: digest, canonical key columns, what the index says, and the stored state."""
    import pyarrow.compute as pc

    names = [k.name for k in models.layout.keys]
    index = models.index(["digest", *names, *INDEX])
    for name, value in where.items():
        index = index.filter(pc.equal(index[name], pa.scalar(value, index.schema.field(name).type)))
    rows = _with_states(models, index)
    return rows.rename_columns(["digest", *models.layout.key_names, *INDEX, "state"])


def _siblings(models: ModelSet, policy: MissingModel) -> pa.Table:
    """What models of new series are made from: the index rows and stored states of some of each group."""
    wanted = Newcomers(models).references() if policy in ("pooled", "naive") else []
    return _with_states(models, models.rows(wanted))


def _with_states(models: ModelSet, index: pa.Table) -> pa.Table:
    """Index rows (digest, keys, `INDEX`) and the stored state of each, null where there is none."""
    index = index.select(["digest", *(k.name for k in models.layout.keys), *INDEX])
    content_ids = index["content_id"].to_pylist()
    states = models.states(c for c in content_ids if c is not None)
    column = pa.array([None if c is None else states[c] for c in content_ids], pa.binary())
    return index.append_column("state", column)
