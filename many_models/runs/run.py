"""A finished run: its tables as data frames, its plots, its registration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from many_models.errors import DamagedError, LookupFailed, Problem
from many_models.panel.keys import SeriesKey
from many_models.panel.layout import Layout
from many_models.runs.chronicle import read_events
from many_models.runs.directory import RunDirectory
from many_models.spec import ForecastSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from many_models.registry.records import Version
    from many_models.runs.models import ModelSet


class Run:
    """A run directory, open for reading."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory

    @property
    def directory(self) -> Path:
        """Where the run lies."""
        return self._directory.path

    @property
    def summary(self) -> dict[str, Any]:
        """Counts by outcome, skill against seasonal naive, bias, coverage, seconds, versions."""
        return self._directory.summary()

    @property
    def spec(self) -> ForecastSpec:
        """The resolved configuration."""
        return self._directory.spec()

    @property
    def layout(self) -> Layout:
        """What the columns of the input were."""
        return self._directory.layout()

    @property
    def key_columns(self) -> list[str]:
        """Names of the key columns."""
        return [k.name for k in self.layout.keys]

    @property
    def time_column(self) -> str:
        """Name of the time column."""
        return self.layout.time.name

    def events(self) -> pd.DataFrame:
        """One row per event of the run in their order: at, level, event, and what each says of itself."""
        frame = pd.DataFrame(read_events(self.directory))
        if frame.empty:
            return pd.DataFrame({name: pd.Series(dtype="str") for name in ("at", "level", "event")})
        return frame.assign(at=pd.to_datetime(frame["at"], format="ISO8601", utc=True))

    def results(self) -> pd.DataFrame:
        """One row per series: status, reason, learner, score, skill, bias, …"""
        return self._frame("results")

    def leaderboard(self, metric: str | None = None, **key: Any) -> pd.DataFrame:
        """One row per candidate, over all series or for one key.

        Without a key: in how many series a candidate has weight, its mean weight, and the geometric
        mean of its score relative to the ensemble's (below 1 is better). With a key: that series' candidates.

        Parameters
        ----------
        metric
            The metric of the scores; default the one that the candidates were judged by. Another is
            computed from the out-of-fold forecasts, all folds together.

        Raises
        ------
        LookupFailed
            For a metric or a key that does not exist.
        """
        from many_models.runs.leaderboard import comparable, overall

        frame = self._scored(metric, key)
        if key:
            return frame.sort_values("loss", ignore_index=True, na_position="last").drop(columns="loss")
        return overall(comparable(frame), self.key_columns)

    def best(self, metric: str | None = None, **key: Any) -> pd.DataFrame:
        """One row per series: the candidate that alone is best by a metric, beside the combination's score.

        Parameters
        ----------
        metric
            As for `leaderboard`.
        """
        from many_models.runs.leaderboard import best

        return best(self._scored(metric, key), self.key_columns)

    def _scored(self, metric: str | None, key: dict[str, Any]) -> pd.DataFrame:
        """The leaderboard with the scores of a metric, and the loss: the score where less is better."""
        frame = self._frame("leaderboard", key)
        if metric is None:
            return frame.assign(loss=frame["score"])
        from many_models.runs.leaderboard import by_metric

        return by_metric(frame, self._frame("backtest", key), self.key_columns, metric)

    def forecasts(self, **key: Any) -> pd.DataFrame:
        """One row per series and step: mean, quantiles, learner, status, reason."""
        return self._frame("forecasts", key)

    def totals(self, **key: Any) -> pd.DataFrame:
        """One row per series and number of steps: the distribution of the sum."""
        return self._frame("totals", key)

    def backtest(self, **key: Any) -> pd.DataFrame:
        """Out-of-fold forecasts: one row per series, fold, step and candidate, with the actual."""
        return self._frame("backtest", key)

    def test(self, **key: Any) -> pd.DataFrame:
        """The held-out test: one row per series and hidden step, with what was forecast and what came."""
        return self._frame("test", key)

    def findings(self, **key: Any) -> pd.DataFrame:
        """One row per series and finding: code, severity, state, count, message, action."""
        return self._frame("findings", key)

    def lineage(self, **key: Any) -> pd.DataFrame:
        """One row per series: the run and code that trained it, its data, and whence it was taken over."""
        return self._frame("lineage", key)

    def mutations(self, data: Any = None, **key: Any) -> pd.DataFrame:
        """One row per value of `data` that preparation changed for this run: see `many_models.mutations`.

        A run keeps no input: hand over the table it was trained on, or None to read it again from where
        the configuration says. What came after the run's cutoff is left out, as it was then.
        """
        from many_models.runs.mutations import mutation_table

        cutoff = self.summary.get("cutoff")
        frame: pd.DataFrame = mutation_table(data, self.spec, key, cutoff=cutoff).to_pandas()
        return frame

    def features(self, **key: Any) -> pd.DataFrame:
        """One row per engineered feature: candidate, family, source columns, parameters, whether it was kept.

        Without a key: over all series, with how many have it and in which share of them it has a say.
        """
        from many_models.runs.features import features_of

        return features_of(self.models(), key)

    def columns(self) -> pd.DataFrame:
        """One row per input column: purpose, kind, imputation, what was derived of it, or why nothing was."""
        from many_models.runs.features import columns_of, features_of

        models = self.models()
        return columns_of(models, features_of(models))

    def models(self) -> ModelSet:
        """The run's models, to find and forecast with."""
        from many_models.runs.models import open_models

        return open_models(self.directory)

    def plot(self, **key: Any) -> Figure:
        """A picture of one series: folds against actuals, and the forecast with its interval.

        Raises
        ------
        LookupFailed
            When no series has this key.
        """
        from many_models.report.plots import plot_series

        forecasts, backtest = self.forecasts(**key), self.backtest(**key)
        title = ", ".join(f"{name} {value}" for name, value in key.items())
        return plot_series(None, backtest, forecasts, title, time=self.time_column)

    def register(
        self,
        name: str | None = None,
        alias: str | None = None,
        *,
        tracking_uri: str | None = None,
    ) -> Version:
        """The registered version of this run's models; the alias (default champion) moves to it.

        Parameters
        ----------
        name
            Registered model; default `registry.name` of the configuration.
        alias
            Default `registry.alias`.
        tracking_uri
            Default: the configuration's, else MLFLOW_TRACKING_URI, else a local SQLite file.

        Raises
        ------
        RegistryError
            When the registry is down or refuses.
        """
        from many_models.runs.registration import register_run

        return register_run(self, name, alias, tracking_uri)

    def report(self, out: str | Path | None = None) -> Path:
        """The path of the HTML report that was written, default `report.html` in the run directory."""
        from many_models.runs.reporting import write_report

        return write_report(self, out)

    def _frame(self, folder: str, key: dict[str, Any] | None = None) -> pd.DataFrame:
        table = self._directory.read(folder)
        if key:
            table = _of_key(table, self.layout, key, known=self._directory.read("results"))
        frame: pd.DataFrame = table.to_pandas()
        missing = [name for name in self.key_columns if name not in frame.columns]
        if missing:
            raise DamagedError(f"{self.directory}: {folder}/ lacks {missing[0]!r}, a key by layout.json")
        return _in_key_order(frame, self.key_columns) if self.key_columns else frame

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r})"


def _in_key_order(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Rows in key order, those of one key as they were written: batches come in any order."""
    return frame.sort_values(keys, kind="stable", ignore_index=True)


def _of_key(table: pa.Table, layout: Layout, key: dict[str, Any], known: pa.Table) -> pa.Table:
    typed = SeriesKey.of(key, layout.keys)

    def matching(rows: pa.Table) -> pa.Table:
        for name, value in zip(typed.names, typed.values, strict=True):
            rows = rows.filter(pc.equal(rows[name], pa.scalar(value, rows.schema.field(name).type)))
        return rows

    if matching(known).num_rows == 0:
        raise LookupFailed(
            Problem(
                "key",
                typed.canonical,
                f"one of the {known.num_rows} keys of this run",
                "run.results() lists them",
            )
        )
    return matching(table)


def open_run(path: str | Path) -> Run:
    """The run in a run directory.

    Raises
    ------
    LookupFailed
        When there is no run.
    """
    return Run(RunDirectory.open(path))
