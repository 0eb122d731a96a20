"""Scores of point forecasts: pure functions of arrays over the last axis.

Every function takes `actual` and `forecast` of shapes that broadcast to [..., H] (so the forecasts
[candidate, fold, step] are scored against the actuals [fold, step] in one call) and returns [...].
A missing actual (NaN) is left out; where all are missing the score is NaN. A NaN forecast of an
observed actual gives NaN. A score that would divide by 0 is NaN: the caller leaves it out and counts it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from many_models.metrics.arrays import Bools, Floats, average_ranks, mean, pair, ratio, root_mean_square


def mae(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
    """The mean absolute error [...]; the median minimises it."""
    y, f, seen = pair(actual, forecast)
    return mean(_error(y, f), seen)


def rmse(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
    """The root mean squared error [...]; the expected value minimises it."""
    y, f, seen = pair(actual, forecast)
    return root_mean_square(_error(y, f), seen)


def mase(actual: npt.ArrayLike, forecast: npt.ArrayLike, scale: npt.ArrayLike) -> Floats:
    """The mean absolute error in units of `scale` [...]; below 1 beats the in-sample seasonal naive.

    Parameters
    ----------
    actual, forecast : [..., H]
        As in this module's introduction.
    scale : [...]
        `mase_scale` of the data before the cutoff; 0 or NaN gives NaN.

    References
    ----------
    Hyndman, R. J. and Koehler, A. B. (2006), "Another look at measures of forecast accuracy",
    International Journal of Forecasting 22(4), 679-688.
    """
    return ratio(mae(actual, forecast), scale)


def rmsse(actual: npt.ArrayLike, forecast: npt.ArrayLike, scale: npt.ArrayLike) -> Floats:
    """The root mean squared error in units of `scale` [...]; the root is taken after averaging.

    Parameters
    ----------
    actual, forecast : [..., H]
        As in this module's introduction.
    scale : [...]
        `rmsse_scale` of the data before the cutoff; 0 or NaN gives NaN.

    References
    ----------
    Makridakis, S., Spiliotis, E. and Assimakopoulos, V. (2022), "M5 accuracy competition: results,
    findings, and conclusions", International Journal of Forecasting 38(4), 1346-1364.
    """
    return ratio(rmse(actual, forecast), scale)


def mape(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
    """The mean absolute percentage error [...], in percent; steps whose actual is 0 are left out."""
    y, f, seen = pair(actual, forecast)
    return 100.0 * mean(ratio(_error(y, f), np.abs(y)), seen & (y != 0.0))


def smape(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
    """The symmetric mean absolute percentage error [...], from 0 to 200.

    The mean of 200·|y − f| / (|y| + |f|); a step where both are 0 counts 0.

    References
    ----------
    Makridakis, S., Spiliotis, E. and Assimakopoulos, V. (2020), "The M4 Competition: 100,000 time
    series and 61 forecasting methods", International Journal of Forecasting 36(1), 54-74.
    """
    y, f, seen = pair(actual, forecast)
    # Halves, so that the sum of two huge values stays finite.
    with np.errstate(all="ignore"):
        size = np.abs(y) / 2.0 + np.abs(f) / 2.0
        share = np.where(size == 0.0, 0.0, np.abs(y / 2.0 - f / 2.0) / np.where(size == 0.0, 1.0, size))
    return 200.0 * mean(share, seen)


def wape(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
    """The sum of absolute errors over the sum of absolute actuals [...]; NaN where all actuals are 0.

    References
    ----------
    Kolassa, S. and Schütz, W. (2007), "Advantages of the MAD/Mean ratio over the MAPE",
    Foresight 6, 40-43.
    """
    y, f, seen = pair(actual, forecast)
    return ratio(mean(_error(y, f), seen), mean(np.abs(y), seen))


def nrmse(actual: npt.ArrayLike, forecast: npt.ArrayLike, span: npt.ArrayLike | None = None) -> Floats:
    """The root mean squared error over the range of the actuals [...]; NaN where they never change.

    Parameters
    ----------
    actual, forecast : [..., H]
        As in this module's introduction.
    span : [...]
        Range (largest minus smallest value) to divide by; None takes it from `actual`.

    References
    ----------
    Azure Machine Learning, "Evaluate automated machine learning experiment results".
    """
    return ratio(rmse(actual, forecast), _range(actual, forecast) if span is None else span)


def nmae(actual: npt.ArrayLike, forecast: npt.ArrayLike, span: npt.ArrayLike | None = None) -> Floats:
    """The mean absolute error over the range of the actuals [...]; NaN where they never change.

    Parameters
    ----------
    actual, forecast : [..., H]
        As in this module's introduction.
    span : [...]
        Range (largest minus smallest value) to divide by; None takes it from `actual`.

    References
    ----------
    Azure Machine Learning, "Evaluate automated machine learning experiment results".
    """
    return ratio(mae(actual, forecast), _range(actual, forecast) if span is None else span)


def r2(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
    """The coefficient of determination [...]: 1 is perfect, 0 is as good as the mean of the actuals.

    NaN where the actuals never change, also for a perfect forecast: there is nothing to explain.
    """
    y, f, seen = pair(actual, forecast)
    with np.errstate(all="ignore"):
        spread = np.where(_constant(y, seen), np.nan, root_mean_square(_centred(y, seen), seen))
        return np.asarray(1.0 - ratio(root_mean_square(_error(y, f), seen), spread) ** 2)


def spearman(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
    """Spearman's rank correlation [...], from −1 to 1; ties share their average rank.

    NaN where the actuals or the forecasts never change, or fewer than two actuals are observed.

    References
    ----------
    Spearman, C. (1904), "The proof and measurement of association between two things",
    American Journal of Psychology 15(1), 72-101.
    """
    y, f, seen = pair(actual, forecast)
    broken = np.any(seen & np.isnan(f), axis=-1)
    rank_y = _centred(average_ranks(np.where(seen, y, np.nan)), seen)
    rank_f = _centred(average_ranks(np.where(seen, f, np.nan)), seen)
    joint = (rank_y * rank_f).sum(axis=-1)
    size = np.sqrt((rank_y * rank_y).sum(axis=-1) * (rank_f * rank_f).sum(axis=-1))
    return np.where(broken, np.nan, np.clip(ratio(joint, size), -1.0, 1.0))


def bias(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
    """Sum of forecasts over sum of actuals, minus 1 [...]: 0.1 is ten percent too high. NaN at a sum of 0."""
    y, f, seen = pair(actual, forecast)
    total = mean(y, seen)
    with np.errstate(all="ignore"):
        return ratio(mean(f, seen) - total, total)


def total_error(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
    """The absolute relative error of the total over the observed steps of the horizon [...]."""
    return np.abs(bias(actual, forecast))


def owa(
    smapes: npt.ArrayLike,
    mases: npt.ArrayLike,
    naive_smapes: npt.ArrayLike,
    naive_mases: npt.ArrayLike,
) -> float:
    """The overall weighted average of the M4 competition; 1 is as good as Naive2.

    Each score is averaged over series first, then divided by Naive2's. A series for which one of the
    four scores is missing is left out of all of them.

    Parameters
    ----------
    smapes, mases : [N]
        Scores of the forecasts, one per series.
    naive_smapes, naive_mases : [N]
        Scores of Naive2 for the same series in the same order.

    References
    ----------
    Makridakis, S., Spiliotis, E. and Assimakopoulos, V. (2020), "The M4 Competition: 100,000 time
    series and 61 forecasting methods", International Journal of Forecasting 36(1), 54-74.
    """
    scores = np.stack([np.asarray(s, dtype=np.float64) for s in (smapes, mases, naive_smapes, naive_mases)])
    averages = mean(scores, np.broadcast_to(~np.isnan(scores).any(axis=0), scores.shape))
    return float(ratio(averages[:2], averages[2:]).mean())


def _error(y: Floats, f: Floats) -> Floats:
    """|y − f|, without a warning where values are infinite."""
    with np.errstate(all="ignore"):
        return np.asarray(np.abs(y - f))


def _range(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
    """Largest minus smallest observed actual [...]; NaN where none is observed."""
    y, _, seen = pair(actual, forecast)
    with np.errstate(all="ignore"):
        high = np.max(np.where(seen, y, -np.inf), axis=-1, initial=-np.inf)
        low = np.min(np.where(seen, y, np.inf), axis=-1, initial=np.inf)
        return np.where(seen.any(axis=-1), high - low, np.nan)


def _constant(y: Floats, seen: Bools) -> Bools:
    """Whether all observed values are the same [...] (rounding of a mean cannot tell)."""
    high = np.max(np.where(seen, y, -np.inf), axis=-1, initial=-np.inf)
    low = np.min(np.where(seen, y, np.inf), axis=-1, initial=np.inf)
    return np.asarray(high <= low)


def _centred(values: Floats, seen: Bools) -> Floats:
    """Values minus their mean over the observed steps; 0 elsewhere."""
    with np.errstate(all="ignore"):
        return np.where(seen, values - mean(values, seen)[..., None], 0.0)
