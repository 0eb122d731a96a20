"""The candidates of a run over all its series."""

from __future__ import annotations

import numpy as np
import pandas as pd

from many_models.errors import InputError, Problem
from many_models.metrics import METRICS


def overall(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """One row per candidate: series, share with weight, mean weight, relative score, seconds, failures.

    `relative_score` is the geometric mean over series of candidate score / ensemble score, on the
    series where both are positive: below 1 the candidate alone is better than the combination.
    """
    if frame.empty:
        columns = [
            "candidate",
            "learner",
            "series",
            "used",
            "mean_weight",
            "relative_score",
            "fit_seconds",
            "failed",
        ]
        return pd.DataFrame(columns=columns)
    ensemble = frame.loc[frame["candidate"] == "ensemble", [*keys, "score"]]
    if keys:
        joined = frame.merge(ensemble, on=keys, suffixes=("", "_ensemble"), how="left")
    else:  # a single series: its ensemble stands beside every candidate
        joined = frame.merge(ensemble, suffixes=("", "_ensemble"), how="cross")
    ratio = joined["score"] / joined["score_ensemble"]
    joined["log_ratio"] = np.log(ratio.where((ratio > 0) & np.isfinite(ratio)))
    joined["has_weight"] = joined["weight"].fillna(0) > 0
    joined["has_failed"] = joined["status"] != "OK"
    grouped = joined.groupby(["candidate", "learner"], sort=False)
    table = pd.DataFrame(
        {
            "series": grouped.size(),
            "used": grouped["has_weight"].mean(),
            "mean_weight": grouped["weight"].mean(),
            "relative_score": np.exp(grouped["log_ratio"].mean()),
            "fit_seconds": grouped["fit_seconds"].mean(),
            "failed": grouped["has_failed"].sum(),
        }
    ).reset_index()
    table.loc[table["candidate"] == "ensemble", ["used", "mean_weight"]] = np.nan
    return table.sort_values("relative_score", ignore_index=True)


def by_metric(leaderboard: pd.DataFrame, rows: pd.DataFrame, keys: list[str], name: str) -> pd.DataFrame:
    """The leaderboard with the scores of another metric, from the out-of-fold forecasts.

    Parameters
    ----------
    leaderboard
        One row per series and candidate.
    rows
        One row per series, fold, step and candidate.
    keys
        Names of the key columns.
    name
        A metric of the table, or one that an installed package offers.

    Raises
    ------
    LookupFailed
        For a metric that nobody knows.
    InputError
        For one that a candidate's forecasts cannot be ranked by.
    """
    metric = METRICS[name]
    if metric.goal == "nominal" or name == "winkler":
        raise InputError(
            Problem(
                "metric",
                repr(name),
                ", ".join(known for known in METRICS if known not in ("coverage", "winkler")),
                "choose one that ranks forecasts; run.results() has coverage and winkler of the combination",
            )
        )
    column = "mean" if metric.judges == "mean" else "q0.5"
    values = rows[[*keys, "candidate", "fold", "actual", column]]
    scale = None if metric.needs_scale is None else rows[f"{metric.needs_scale}_scale"]
    found = []
    for place, part in values.groupby([*keys, "candidate"], sort=False, dropna=False):
        actual, told = (part[c].to_numpy(dtype=np.float64)[None] for c in ("actual", column))
        if scale is not None:
            units = scale.loc[part.index].to_numpy(dtype=np.float64)
            units = np.where(units > 0, units, np.nan)
            actual, told = actual / units, told / units
        if metric.judges == "quantiles":
            score = metric(actual, told[..., None], levels=np.array([0.5]))
        else:
            score = metric(actual, told, scale=1.0)
        found.append((*place, float(score[0])))
    scores = pd.DataFrame(found, columns=[*keys, "candidate", "score"])
    return (
        leaderboard.drop(columns=["score", "score_std"])
        .merge(scores, on=[*keys, "candidate"], how="left")
        .assign(loss=lambda frame: metric.loss(frame["score"].to_numpy(dtype=np.float64)))
    )


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """The leaderboard with scores whose ratios tell which is better: below 1 is, also where most is best."""
    high = (frame["loss"] == -frame["score"]) & (frame["score"] != 0)
    return frame.assign(score=frame["loss"].where(~high, 1.0 / frame["score"].where(frame["score"] > 0)))


def best(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """One row per series: its best candidate alone, the score, and that of the combination beside it.

    `frame` holds a row per series and candidate with `score` and `loss`, of which less is better.
    """
    usable = frame[(frame["status"] == "OK") & frame["loss"].notna()]
    alone = usable[usable["candidate"] != "ensemble"].sort_values("loss", kind="stable")
    first = alone.drop_duplicates(keys) if keys else alone.head(1)
    first = first[[*keys, "candidate", "learner", "score"]]
    both = frame.loc[frame["candidate"] == "ensemble", [*keys, "score"]].rename(
        columns={"score": "score_ensemble"}
    )
    if not keys:
        return first.merge(both, how="cross")
    return first.merge(both, on=keys, how="left").sort_values(keys, kind="stable", ignore_index=True)
