"""The candidates of a run over all its series."""

from __future__ import annotations

import numpy as np
import pandas as pd


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
