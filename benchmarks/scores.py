"""The benchmark sets and their scores; the scripts beside this file import it.

The data lie in the folder that MANY_MODELS_DATA names, else in `../shared/data` beside the repository.
Every error bar is a paired bootstrap over series: all forecasts are resampled with the same series, so
that the error of a difference is the error of the difference.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from many_models.metrics import mase, mase_scale, owa, smape

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class M4Set:
    """A frequency of the M4 competition: `frequency` is its pandas offset, `season` the m of its MASE."""

    name: str
    frequency: str
    season: int
    horizon: int


M4 = {
    "yearly": M4Set("yearly", "YS", 1, 6),
    "quarterly": M4Set("quarterly", "QS", 4, 8),
    "weekly": M4Set("weekly", "W", 1, 13),
    "hourly": M4Set("hourly", "h", 24, 48),
}


def data_folder() -> Path:
    """The folder of the benchmark sets.

    Raises
    ------
    FileNotFoundError
        When it is not there.
    """
    folder = Path(os.environ.get("MANY_MODELS_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        raise FileNotFoundError(f"no benchmark data in {folder}: set MANY_MODELS_DATA to the data folder")
    return folder


def m4(name: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The sample of one M4 frequency: training rows, test rows and the official Naive2.

    Returns
    -------
    train : unique_id, t (1 … n), y
    test : unique_id, step (1 … H), y
    naive2 : unique_id, step, q0.5
    """
    parts = {part: _read("m4", f"{M4[name].name}_{part}.parquet") for part in ("train", "test", "naive2")}
    train = parts["train"].astype({"t": "int64"})
    test = parts["test"].rename(columns={"t": "step"}).astype({"step": "int64"})
    naive2 = parts["naive2"].rename(columns={"h": "step", "yhat": "q0.5"}).astype({"step": "int64"})
    return train, test, naive2[["unique_id", "step", "q0.5"]]


def orange_juice() -> pd.DataFrame:
    """Weekly sales of orange juice per `Store` and `Brand`, with known prices and promotions."""
    return _read("oj", "oj_weekly.parquet")


def carparts() -> pd.DataFrame:
    """Monthly demand for spare parts, mostly zeros: unique_id, ds, y."""
    return _read("carparts", "carparts_monthly.parquet")


def hospital() -> pd.DataFrame:
    """Monthly patient counts, small integers: unique_id, ds, y."""
    return _read("hospital", "hospital_monthly.parquet")


def nyc_energy() -> pd.DataFrame:
    """One long hourly series with gaps and weather: timeStamp (timestamp), demand, precip, temp.

    The rows stand as in the file: the last hours are out of order and have no demand, and some of them
    (02:00 on the days when summer time begins) do not exist in New York.
    """
    frame = _read("notebooks", "nyc_energy.parquet")
    return frame.assign(timeStamp=pd.to_datetime(frame["timeStamp"]))


def cutoffs(times: pd.Series, horizon: int, origins: int = 5, step: int = 8) -> list[pd.Timestamp]:
    """The last stamps of training for several origins, oldest first; the newest leaves `horizon` stamps."""
    stamps = np.sort(times.unique())
    return [pd.Timestamp(stamps[len(stamps) - 1 - horizon - k * step]) for k in reversed(range(origins))]


def owa_scores(forecasts: pd.DataFrame, name: str) -> pd.DataFrame:
    """sMAPE and MASE per series of one M4 frequency, and Naive2's beside them.

    Parameters
    ----------
    forecasts
        `unique_id`, `step` (1 … H) and `q0.5`.
    name
        A key of `M4`.

    Returns
    -------
    pandas.DataFrame
        Index `unique_id`, every series of the sample; NaN where a step was not forecast.
    """
    train, test, naive2 = m4(name)
    actual = test.pivot(index="unique_id", columns="step", values="y")
    history = train.pivot(index="unique_id", columns="t", values="y").reindex(actual.index)
    scale = mase_scale(history.to_numpy(), M4[name].season)
    scores = {}
    for prefix, frame in (("", forecasts), ("naive2_", naive2)):
        wide = frame.pivot(index="unique_id", columns="step", values="q0.5")
        median = wide.reindex(index=actual.index, columns=actual.columns).to_numpy(np.float64)
        scores[f"{prefix}smape"] = smape(actual.to_numpy(), median)
        scores[f"{prefix}mase"] = mase(actual.to_numpy(), median, scale)
    return pd.DataFrame(scores, index=actual.index)


def owa_table(forecasts: Mapping[str, pd.DataFrame], name: str, anchor: str | None = None) -> pd.DataFrame:
    """The scores of several forecasts of one M4 frequency, on the series that all of them forecast.

    Parameters
    ----------
    forecasts
        By name; each `unique_id`, `step`, `q0.5`. The others are compared with the first.
    name
        A key of `M4`.
    anchor
        The forecast that all are told as a ratio to; None tells no ratio.

    Returns
    -------
    pandas.DataFrame
        One row per forecast: `smape`, `mase`, `owa`, `owa_se`, `difference` from the first, its
        `difference_se`, the ratio to the anchor, `series` compared and series it has not `forecast`.
    """
    row = None if anchor is None else list(forecasts).index(anchor)
    scores = {label: owa_scores(frame, name) for label, frame in forecasts.items()}
    shared = ~np.any([frame.isna().any(axis=1) for frame in scores.values()], axis=0)
    columns = ["smape", "mase", "naive2_smape", "naive2_mase"]
    kept = np.stack([frame.loc[shared, columns].to_numpy() for frame in scores.values()])
    return pd.DataFrame(
        {
            "smape": kept[:, :, 0].mean(axis=1),
            "mase": kept[:, :, 1].mean(axis=1),
            **bootstrap(kept, _owa_of_averages).columns("owa", row),
            "series": int(shared.sum()),
            "not_forecast": [int(frame.isna().any(axis=1).sum()) for frame in scores.values()],
        },
        index=pd.Index(scores, name="forecast"),
    )


def wape_table(
    forecasts: Mapping[str, pd.DataFrame], actual: pd.DataFrame, keys: list[str], time: str, target: str
) -> pd.DataFrame:
    """The sum of absolute errors of `q0.5` over the sum of actuals, on the rows that all forecasts hold.

    The errors are over series alone. In a chain that promotes everywhere at once they say little about
    other weeks: look at several origins too.

    Parameters
    ----------
    forecasts
        By name; each the key columns, `time`, `q0.5`, and `cutoff` where there are several origins. The
        others are compared with the first.
    actual
        The key columns, `time` and `target`; rows without a target are left out.
    keys, time, target
        Names of columns.

    Returns
    -------
    pandas.DataFrame
        One row per forecast: `wape`, `wape_se`, `difference` from the first, its `difference_se`, and the
        number of `rows` and `series` compared.
    """
    rows = [*keys, time]
    first = next(iter(forecasts.values()))
    on = [*rows, "cutoff"] if "cutoff" in first.columns else rows
    joined = actual[[*rows, target]].dropna().merge(first[on], on=rows)
    for label, frame in forecasts.items():
        median = frame[[*on, "q0.5"]].rename(columns={"q0.5": ("forecast", label)})
        joined = joined.merge(median, on=on, validate="one_to_one")
    joined = joined.dropna()
    sums = []
    for label in forecasts:
        error = (joined[("forecast", label)] - joined[target]).abs()
        pieces = joined[keys].assign(error=error, size=joined[target].abs())
        sums.append(pieces.groupby(keys)[["error", "size"]].sum().to_numpy(np.float64))
    kept = np.stack(sums)
    ratio = bootstrap(kept, lambda means: means[..., 0] / means[..., 1])
    return pd.DataFrame(
        {
            **ratio.columns("wape"),
            "rows": len(joined),
            "series": kept.shape[1],
        },
        index=pd.Index(forecasts, name="forecast"),
    )


def _read(*parts: str) -> pd.DataFrame:
    return pd.read_parquet(data_folder().joinpath(*parts))


def _owa_of_averages(means: Floats) -> Floats:
    """OWA [...] from the averages of sMAPE, MASE and Naive2's two [..., 4]."""
    flat = means.reshape(-1, 4)
    scores = [owa(row[:1], row[1:2], row[2:3], row[3:]) for row in flat]
    return np.array(scores).reshape(means.shape[:-1])


@dataclass(frozen=True)
class Bootstrapped:
    """Scores of K forecasts on the same series, and what they would have been on other draws of series.

    Attributes
    ----------
    value : [K]
    resampled : [B, K]
    """

    value: Floats
    resampled: Floats

    def columns(self, name: str, anchor: int | None = None) -> dict[str, Floats]:
        """Columns of a table: score, difference from the first row, ratio to the anchor's, and errors."""
        differences = self.resampled - self.resampled[:, :1]
        found = {
            name: self.value,
            f"{name}_se": self.resampled.std(axis=0, ddof=1),
            "difference": self.value - self.value[0],
            "difference_se": differences.std(axis=0, ddof=1),
        }
        if anchor is not None:
            ratios = self.resampled / self.resampled[:, [anchor]]
            found |= {"/ anchor": self.value / self.value[anchor], "/ anchor_se": ratios.std(axis=0, ddof=1)}
        return found


def bootstrap(
    scores: Floats, statistic: Callable[[Floats], Floats], draws: int = 500, seed: int = 0
) -> Bootstrapped:
    """The statistic of K forecasts, and of so many paired draws of the series.

    Parameters
    ----------
    scores : [K, N, C]
        C numbers per series and forecast, of which `statistic` takes the averages [..., C].
    """
    series = scores.shape[1]
    counts = np.random.default_rng(seed).multinomial(series, np.full(series, 1.0 / series), size=draws)
    resampled = statistic(np.einsum("bn,knc->bkc", counts / series, scores))
    return Bootstrapped(statistic(scores.mean(axis=1)), resampled)
