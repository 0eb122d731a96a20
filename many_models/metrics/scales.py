"""The in-sample scales of MASE and RMSSE: what an error is measured against."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from many_models.metrics.arrays import Floats, mean, root_mean_square


def mase_scale(y: npt.ArrayLike, m: int = 1) -> Floats:
    """The mean absolute seasonal difference of the training data [...], the scale of MASE.

    Parameters
    ----------
    y : [..., T]
        The data before the cutoff; NaN is missing.
    m
        Season length: y[t] is compared with y[t - m], where both are observed.

    Returns
    -------
    [...]
        0 for data that repeat exactly; NaN where no pair is observed.

    References
    ----------
    Hyndman, R. J. and Koehler, A. B. (2006), "Another look at measures of forecast accuracy",
    International Journal of Forecasting 22(4), 679-688.
    """
    values = np.asarray(y, dtype=np.float64)
    if m < 1:
        raise ValueError(f"m: found {m}; allowed: a season length of 1 or more")
    with np.errstate(all="ignore"):
        difference = np.abs(values[..., m:] - values[..., :-m])
    return mean(difference, ~_missing_pairs(values, m))


def rmsse_scale(y: npt.ArrayLike) -> Floats:
    """The root mean square of the one-step differences from the first non-zero value on [...].

    The zeros before the first sale say that the product was not there yet, not that it is steady.

    Parameters
    ----------
    y : [..., T]
        The data before the cutoff; NaN is missing.

    Returns
    -------
    [...]
        0 for data that never change, zeros included; NaN where no pair is observed.

    References
    ----------
    Makridakis, S., Spiliotis, E. and Assimakopoulos, V. (2022), "M5 accuracy competition: results,
    findings, and conclusions", International Journal of Forecasting 38(4), 1346-1364.
    """
    values = np.asarray(y, dtype=np.float64)
    sold = np.logical_or.accumulate(~np.isnan(values) & (values != 0.0), axis=-1)
    # A series of zeros has no first sale: all of it counts, and its scale is 0.
    started = sold | ~np.any(sold, axis=-1, keepdims=True)
    with np.errstate(all="ignore"):
        difference = values[..., 1:] - values[..., :-1]
    return root_mean_square(difference, started[..., :-1] & ~_missing_pairs(values, 1))


def _missing_pairs(values: Floats, m: int) -> npt.NDArray[np.bool_]:
    """Where y[t] or y[t - m] is missing, for t = m … [..., T - m]."""
    missing = np.isnan(values)
    return np.asarray(missing[..., m:] | missing[..., :-m])
