"""Forecasting with stored models: many keys at once, one answer per row that was asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from many_models.automl.model import SeriesForecast, SeriesModel
from many_models.automl.moving import moved
from many_models.automl.rows import quantile_column, schemas
from many_models.errors import DataError, LookupFailed, Problem
from many_models.panel.canonical import canonical_frame, time_array
from many_models.panel.context import with_context
from many_models.panel.keys import SeriesKey
from many_models.panel.layout import Layout
from many_models.panel.preparation import PrepareSettings, future_rows, prepare
from many_models.panel.series import Bools, Floats, Future
from many_models.runs.newcomers import MissingModel, Newcomers
from many_models.runs.tables import Rows, rows_of

if TYPE_CHECKING:
    from many_models.runs.models import ModelSet

Ints = npt.NDArray[np.int64]

LOG = logging.getLogger("many_models.forecast")


@dataclass(frozen=True)
class Asked:
    """The future rows of one key: their places in the answer, canonical times and covariates."""

    places: Ints
    frame: pd.DataFrame


@dataclass
class Answers:
    """The rows of the answer, collected part by part and put in order at the end."""

    layout: Layout
    levels: tuple[float, ...]
    run_id: str | None
    parts: list[tuple[SeriesKey, dict[str, Any]]] = field(default_factory=list)
    trained_by: dict[SeriesKey, str] = field(default_factory=dict)
    """The run that trained the model of a series, where it is another than `run_id`."""

    def add(
        self,
        key: SeriesKey,
        places: Ints,
        t: Ints | None,
        learner: Sequence[str | None],
        status: Sequence[str | None],
        reason: Sequence[str | None],
        cutoff: int | None = None,
        steps: Ints | None = None,
        forecast: SeriesForecast | None = None,
        paths: Floats | None = None,
    ) -> None:
        """Adds rows of one key; without a forecast they are empty and say why. `paths` are [N, H]."""
        rows = len(places)
        empty = np.full(rows, np.nan)
        quantiles = np.full((rows, len(self.levels)), np.nan)
        if forecast is not None:
            quantiles = forecast.forecast.quantiles
        part = {
            "place": places,
            "t": t,
            "cutoff": cutoff,
            "step": steps,
            "mean": empty if forecast is None else forecast.forecast.mean,
            "quantiles": quantiles,
            "learner": list(learner),
            "status": list(status),
            "reason": list(reason),
            "paths": paths,
        }
        self.parts.append((key, part))

    def table(self) -> pa.Table:
        """All rows in the order of their places, in the schema of `forecasts/`."""
        schema = schemas(self.layout, self.levels)["forecasts"]
        if not self.parts:
            return schema.empty_table()
        keys, parts = [key for key, _ in self.parts], [part for _, part in self.parts]
        sizes = [len(part["place"]) for part in parts]
        part_of = pa.array(np.repeat(np.arange(len(parts)), sizes))
        names = schema.names
        columns = {
            name: pa.array([key.values[i] for key in keys], schema.field(name).type).take(part_of)
            for i, name in enumerate(keys[0].names)
        }
        cutoffs = [part["cutoff"] for part in parts]
        columns["cutoff"] = self._stamps(
            np.array([0 if c is None else c for c in cutoffs], dtype=np.int64),
            [c is not None for c in cutoffs],
        ).take(part_of)
        for name, column in ((self.layout.time.name, "t"), ("step", "step")):
            known = np.repeat([part[column] is not None for part in parts], sizes)
            found = [
                np.zeros(n, np.int64) if p[column] is None else p[column]
                for p, n in zip(parts, sizes, strict=True)
            ]
            values = np.concatenate(found)
            columns[name] = self._stamps(values, known) if column == "t" else pa.array(values, mask=~known)
        columns["mean"] = _numbers(np.concatenate([part["mean"] for part in parts]))
        quantiles = np.concatenate([part["quantiles"] for part in parts])
        columns |= {quantile_column(q): _numbers(quantiles[:, i]) for i, q in enumerate(self.levels)}
        for name in ("learner", "status", "reason"):
            columns[name] = pa.array([text for part in parts for text in part[name]], pa.string())
        runs = [self.trained_by.get(key, self.run_id) for key in keys]
        columns["run_id"] = pa.array(runs, pa.string()).take(part_of)
        table = pa.table([columns[name] for name in names], schema=schema)
        places = np.concatenate([part["place"] for part in parts])
        return table.take(pa.array(np.argsort(places, kind="stable")))

    def _stamps(self, values: Ints, known: Any) -> pa.Array:
        """Stamps as the user writes them, empty where they are not known."""
        stamps = time_array(values, self.layout)
        return pc.if_else(pa.array(known, pa.bool_()), stamps, pa.scalar(None, stamps.type))

    def path_table(self, paths: int) -> pa.Table:
        """A row per path of each row: key, cutoff, time, step, number of the path, value, and who made it."""
        table = self.table()
        told = [self._values(part, paths) for _, part in self.parts]
        places = [part["place"] for _, part in self.parts]
        values = np.concatenate(told) if told else np.empty((0, paths))
        if places:
            values = values[np.argsort(np.concatenate(places), kind="stable")]
        rows = table.num_rows
        kept = [*(k.name for k in self.layout.keys), "cutoff", self.layout.time.name, "step"]
        every = table.take(pa.array(np.tile(np.arange(rows), paths)))
        number = pa.array(np.repeat(np.arange(1, paths + 1), rows), pa.int64())
        value = pa.array(values.T.ravel(), pa.float64(), from_pandas=True)
        return (
            every.select(kept)
            .append_column("path", number)
            .append_column("value", value)
            .append_column("learner", every["learner"])
            .append_column("status", every["status"])
            .append_column("reason", every["reason"])
        )

    @staticmethod
    def _values(part: Mapping[str, Any], paths: int) -> Floats:
        """The paths of a part's rows [H, N]; NaN where it has none."""
        found = part["paths"]
        return np.full((len(part["place"]), paths), np.nan) if found is None else np.asarray(found.T)


def _numbers(values: Floats) -> pa.Array:
    return pa.array(values, pa.float64(), from_pandas=True)


class Scorer:
    """Forecasts with a set of models: history moves states, future rows are answered one by one."""

    def __init__(
        self,
        models: ModelSet,
        paths: int = 0,
        seed: int | None = None,
        missing_model: MissingModel | None = None,
        newcomers: Newcomers | None = None,
    ) -> None:
        self._models = models
        self._missing: MissingModel = missing_model or models.spec.forecast.missing_model
        self._newcomers = newcomers or Newcomers(models)
        self._paths, self._seed = paths, seed
        self._layout = models.layout
        self._names = tuple(k.name for k in models.layout.keys)
        self._revised = self._filled = 0

    def forecast(
        self, history: Any, future: Any, horizon: int | None, where: Mapping[str, Any] | None
    ) -> pd.DataFrame:
        """See `ModelSet.forecast`."""
        frame: pd.DataFrame = self.table(history, future, horizon, where).to_pandas()
        return frame

    def table(
        self, history: Any, future: Any, horizon: int | None, where: Mapping[str, Any] | None
    ) -> pa.Table:
        """See `ModelSet.forecast`; as an Arrow table."""
        return self._answers(history, future, horizon, where).table()

    def paths(
        self, history: Any, future: Any, horizon: int | None, where: Mapping[str, Any] | None
    ) -> pd.DataFrame:
        """See `ModelSet.simulate`."""
        if self._paths < 1:
            raise DataError(Problem("paths", str(self._paths), "1 or more", "say how many paths are wanted"))
        if len(self._models.spec.forecast.quantiles) < 2:
            found = "the median alone: nothing is known of how values are spread"
            raise DataError(Problem("forecast.quantiles", found, "two or more", "train with more quantiles"))
        answers = self._answers(history, future, horizon, where)
        frame: pd.DataFrame = answers.path_table(self._paths).to_pandas()
        return frame

    def _answers(
        self, history: Any, future: Any, horizon: int | None, where: Mapping[str, Any] | None
    ) -> Answers:
        where = self.checked(horizon, where)
        newer = {} if history is None else self._by_key(self._canonical(rows_of(history), True), where)
        asked = None if future is None else self._by_key(self._canonical(rows_of(future), False), where)
        levels = tuple(self._models.spec.forecast.quantiles)
        answers = Answers(self._layout, levels, self._models.lineage.get("run_id"))
        self._revised = self._filled = 0
        for key, row, places, part in self._wanted(newer, asked, where):
            self._answer(answers, key, row, newer.get(key), places, part, horizon)
        if where and not answers.parts:
            raise LookupFailed(self._nothing_matches(where, future is not None))
        if self._revised:
            LOG.warning(
                "HISTORY_REVISED: %d values of the history replace values the models were trained on; "
                "states moved, parameters stayed",
                self._revised,
            )
        if self._filled:
            LOG.warning(
                "GAPS_FILLED: %d periods of the newer history have no value that counts; they are filled as "
                "in training (preparation.impute)",
                self._filled,
            )
        return answers

    def _simulated(
        self, model: SeriesModel, key: SeriesKey, future: Future, closed: Bools | None
    ) -> Floats | None:
        if not self._paths:
            return None
        seed = self._models.spec.seed if self._seed is None else self._seed
        return model.simulate(future, self._paths, key.seed(seed), closed)

    def _nothing_matches(self, where: Mapping[str, Any], asked: bool) -> Problem:
        shown = ", ".join(f"{name}={value}" for name, value in where.items())
        rows = "future rows" if asked else "models"
        return Problem("key", shown, f"key values that some of the {rows} have", "correct the key")

    def checked(self, horizon: int | None, where: Mapping[str, Any] | None) -> dict[str, Any]:
        """The typed key values of `where`.

        Raises
        ------
        InputError
            When the horizon or a key value cannot be.
        """
        if horizon is not None and horizon < 1:
            raise DataError(
                Problem("horizon", str(horizon), "1 or more", "leave it out for the trained horizon")
            )
        where = where or {}
        kinds = [k for k in self._layout.keys if k.name in where]
        typed = (
            SeriesKey.of(where, kinds) if len(kinds) == len(where) else SeriesKey.of(where, self._layout.keys)
        )
        return dict(typed.as_dict())

    def _canonical(self, rows: Rows, with_target: bool) -> pd.DataFrame:
        if not len(rows.frame):
            what = "history" if with_target else "future rows"
            raise DataError(
                Problem(what, "no rows", "one row per key and stamp", "hand over at least one row")
            )
        layout = replace(self._layout, text_table=rows.text)
        # Before any row is chosen by its key: what a series sees of its siblings stands in their rows.
        return with_context(canonical_frame(rows.frame, layout, with_target=with_target), layout)

    def _by_key(self, frame: pd.DataFrame, where: Mapping[str, Any]) -> dict[SeriesKey, Asked]:
        columns = list(self._layout.key_names)
        frame = frame.reset_index(drop=True)
        if not columns:
            groups: Iterator[tuple[Any, Any]] = iter([((), np.arange(len(frame)))])
        else:
            found = frame.groupby(columns, sort=False, observed=True, dropna=False).indices
            groups = iter(found.items())
        parts: dict[SeriesKey, Asked] = {}
        for values, places in groups:
            key = SeriesKey(self._names, values if isinstance(values, tuple) else (values,))
            if _matches(key, where):
                parts[key] = Asked(np.asarray(places, dtype=np.int64), _taken(frame, places))
        return parts

    def _wanted(
        self,
        newer: Mapping[SeriesKey, Asked],
        asked: Mapping[SeriesKey, Asked] | None,
        where: Mapping[str, Any],
    ) -> Iterator[tuple[SeriesKey, dict[str, Any] | None, int, Asked | None]]:
        """Keys with their index row, the place of their first row, and the rows asked for."""
        if asked is not None:
            known = self._index(list(asked))
            for key, part in asked.items():
                yield key, known.get(key), 0, part
            return
        # One full key is one look-up; anything else reads the index.
        one = [SeriesKey.of(where, self._layout.keys)] if where and len(where) == len(self._names) else None
        known = self._index(one)
        chosen = [key for key in known if _matches(key, where)]
        strangers = [key for key in newer if key not in known]
        place = 0
        for key in [*sorted(chosen, key=lambda k: k.values), *strangers]:
            yield key, known.get(key), place, None
            place += 1_000_000

    def _index(self, keys: list[SeriesKey] | None) -> dict[SeriesKey, dict[str, Any]]:
        columns = [*self._names, "content_id", "status", "reason", "run_id"]
        if keys is None:
            table = self._models.index(columns)
        else:
            table = self._models.rows([k.digest for k in keys]).select(columns)
        return {SeriesKey(self._names, tuple(row[n] for n in self._names)): row for row in table.to_pylist()}

    def _answer(
        self,
        answers: Answers,
        key: SeriesKey,
        row: Mapping[str, Any] | None,
        newer: Asked | None,
        place: int,
        asked: Asked | None,
        horizon: int | None,
    ) -> None:
        if row is None and self._missing == "error":
            raise LookupFailed(
                Problem(
                    "key",
                    key.canonical,
                    "a series that was trained (forecast.missing_model: error)",
                    "train it, or set missing_model: pooled, naive or empty",
                )
            )
        model = self._model(key, row, newer)
        if model is None:
            places = np.array([place]) if asked is None else asked.places
            t = None if asked is None else asked.frame["t"].to_numpy()
            rows = len(places)
            status = None if row is None else row["status"]
            reason = "UNKNOWN_KEY" if row is None else row["reason"]
            answers.add(key, places, t, [None] * rows, [status] * rows, [reason] * rows)
            return
        if row is not None and row["run_id"]:
            answers.trained_by[key] = row["run_id"]
        if asked is None:
            self._next_steps(answers, key, model, place, horizon or model.horizon)
        else:
            self._asked_rows(answers, key, model, asked)

    def _model(
        self, key: SeriesKey, row: Mapping[str, Any] | None, newer: Asked | None
    ) -> SeriesModel | None:
        """The model of a key at the end of its newer history; None where there is none."""
        if row is not None and row["content_id"] is not None:
            model = self._models.load(row["content_id"])
            return model if newer is None else self._moved(model, key, newer.frame)
        if newer is None or self._missing not in ("pooled", "naive"):
            return None
        return self._newcomers.model(key, newer.frame, self._missing)

    def _moved(self, model: SeriesModel, key: SeriesKey, frame: pd.DataFrame) -> SeriesModel:
        """The model with its state at the end of the newer history."""
        grid = model.history.grid
        settings = PrepareSettings.of(self._models.spec, grid.frequency.alias, None, grid)
        before = model.history.end
        model, revised = moved(model, prepare(frame, key, self._layout, settings))
        self._revised += revised
        self._filled += int((~model.history.observed[model.history.ordinals > before]).sum())
        return model

    def _next_steps(
        self,
        answers: Answers,
        key: SeriesKey,
        model: SeriesModel,
        place: int,
        horizon: int,
    ) -> None:
        grid = model.history.grid
        ordinals = model.history.end + model.gap + np.arange(1, horizon + 1, dtype=np.int64)
        empty = np.full((horizon, model.history.known_x.shape[1]), np.nan)
        future = Future(grid, ordinals, empty)
        answer = model.forecast(future)
        answers.add(
            key,
            place + np.arange(horizon),
            grid.stamps(ordinals),
            answer.learner,
            answer.status,
            answer.reason,
            int(grid.stamps(model.history.end)),
            model.steps(ordinals),
            answer,
            self._simulated(model, key, future, None),
        )

    def _asked_rows(self, answers: Answers, key: SeriesKey, model: SeriesModel, asked: Asked) -> None:
        grid = model.history.grid
        t = asked.frame["t"].to_numpy()
        rows = future_rows(asked.frame, model.history.end, grid, model.history.known, self._layout)
        future, good = rows.future(grid)
        bad = np.flatnonzero([r is not None for r in rows.reason])
        cutoff = int(grid.stamps(model.history.end))
        if bad.size:
            none = [None] * bad.size
            answers.add(key, asked.places[bad], t[bad], none, none, [rows.reason[i] for i in bad], cutoff)
        if not good.size:
            return
        closed = _flags(asked.frame, "closed")
        closed = None if closed is None else closed[good]
        answer = model.forecast(future, closed)
        answers.add(
            key,
            asked.places[good],
            t[good],
            answer.learner,
            answer.status,
            answer.reason,
            cutoff,
            model.steps(future.ordinals),
            answer,
            self._simulated(model, key, future, closed),
        )


def _taken(frame: pd.DataFrame, places: Ints) -> pd.DataFrame:
    """The rows at ascending places; those that lie one after the other are cut out, which costs far less."""
    if places[-1] - places[0] == len(places) - 1:
        return frame.iloc[places[0] : places[-1] + 1]
    return frame.take(places)


def _flags(rows: pd.DataFrame, column: str) -> Bools | None:
    if column not in rows:
        return None
    flags: Bools = rows[column].to_numpy(dtype=np.float64) > 0
    return flags


def _matches(key: SeriesKey, where: Mapping[str, Any]) -> bool:
    values = key.as_dict()
    return all(values[name] == value for name, value in where.items())
