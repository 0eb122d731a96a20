"""Fold errors of candidates: what the choice is made of, and what is reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from many_models.automl.evaluation import Folds, Trial
from many_models.learners.base import FitContext
from many_models.metrics import METRICS
from many_models.panel.series import Floats

RANKS_ALIKE = {
    "mase": "mae",
    "wape": "mae",
    "nmae": "mae",
    "rmsse": "rmse",
    "nrmse": "rmse",
}
"""Within a fold a scale is the same for all candidates: they are ranked unscaled, so that a scale of
zero does not stop the choice."""


SQUARED = ("rmse", "rmsse", "nrmse")
"""Metrics whose root is taken after averaging, over folds too."""

QUIET = 0.5
"""Squared errors are compared as if each held this share of the target's usual change besides.

Spare parts have folds where nothing was sold. There a forecast of zero is perfect, and by itself such a
fold would hand the series to it; but the next horizon is as likely to hold sales as any before.
"""


@dataclass(frozen=True)
class Scores:
    """Fold errors of candidates [K, F] by the metric of the choice, and as they are reported.

    Attributes
    ----------
    ranking : [K, F]
        Unscaled, finite and positive or zero: what weights are made of (see `ranking_errors`).
    reported : [K, F]
        By the metric itself; NaN where its scale is zero.
    """

    metric: str
    ranking: Floats
    reported: Floats

    @property
    def judges(self) -> str:
        """What the metric judges: mean, median or quantiles."""
        return METRICS[self.metric].judges

    @property
    def squared(self) -> bool:
        """Whether squares are averaged over folds before the root is taken."""
        return self.metric in SQUARED


def score_trials(trials: Sequence[Trial], folds: Folds, context: FitContext, metric: str) -> Scores:
    """Fold errors of the trials by a metric of the table."""
    shape = (len(trials), *folds.actual.shape)
    mean = np.array([t.mean for t in trials]).reshape(shape)
    median = np.array([t.median for t in trials]).reshape(shape)
    ranking = ranking_errors(metric, folds, mean, median, context)
    return Scores(metric, _ranked(ranking), fold_errors(metric, folds, mean, median, context))


def ranking_errors(metric: str, folds: Folds, mean: Floats, median: Floats, context: FitContext) -> Floats:
    """Fold errors [..., F] as candidates are compared by: unscaled, and squared ones with `QUIET` added."""
    errors = fold_errors(RANKS_ALIKE.get(metric, metric), folds, mean, median, context)
    if metric not in SQUARED:
        return errors
    raised: Floats = np.hypot(errors, QUIET * folds.change(context.score_season))
    return raised


def _ranked(errors: Floats) -> Floats:
    """Errors [K, F] made finite: one that is missing is as bad as the worst of its fold."""
    known = np.isfinite(errors)
    worst = np.where(known, errors, 0.0).max(axis=0, initial=0.0)
    ranked: Floats = np.where(known, errors, worst)
    return ranked


def fold_errors(metric: str, folds: Folds, mean: Floats, median: Floats, context: FitContext) -> Floats:
    """Errors [..., F] of forecasts `mean` and `median` [..., F, H] on the folds, lower is better."""
    chosen = METRICS[metric]
    scale = None
    if chosen.needs_scale == "mase":
        scale = folds.mase_scale(context.score_season)
    elif chosen.needs_scale == "rmsse":
        scale = folds.rmsse_scale
    if chosen.judges == "quantiles":
        # A candidate gives its median alone; as the only quantile it is judged at level 0.5.
        values = chosen(folds.actual, median[..., None], levels=np.array([0.5]))
    else:
        values = chosen(folds.actual, mean if chosen.judges == "mean" else median, scale=scale)
    return np.asarray(chosen.loss(values), dtype=np.float64)


def score(errors: Floats, metric: str) -> float:
    """One number for fold errors [F] by a metric: see `scores_of`."""
    return float(scores_of(errors[None, :], metric)[0])


def scores_of(errors: Floats, metric: str) -> Floats:
    """One number for each row of fold errors [K, F] -> [K], NaN left out; NaN where there is nothing else.

    The root of the mean square for squared metrics; else the geometric mean, in which zeros count
    as a thousandth of the largest.
    """
    known = np.isfinite(errors)
    kept = np.where(known, errors, 0.0)
    count = known.sum(axis=1)
    number = np.maximum(count, 1)
    if metric in SQUARED:
        found: Floats = np.sqrt((kept**2).sum(axis=1) / number)
    else:
        top = kept.max(axis=1, initial=0.0)
        floor = np.where(top > 0, 1e-3 * top, 1.0)
        logs = np.where(known, np.log(np.maximum(kept, floor[:, None])), 0.0)
        found = np.where(top > 0, np.exp(logs.sum(axis=1) / number), 0.0)
    found[count == 0] = np.nan
    return found


def naive_errors(folds: Folds, context: FitContext, metric: str) -> Floats:
    """Fold errors [F] of the fallback (seasonal naive, else naive)."""
    if not folds.cutoffs:
        return np.array([])
    return fold_errors(metric, folds, folds.fallback_mean, folds.fallback_median, context)
