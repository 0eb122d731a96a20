"""Partial autocorrelation, and the lags at which it is more than chance."""

from __future__ import annotations

import numpy as np

from many_models.panel.series import Floats

MOST_LAGS = 6
"""The strongest lags that are kept; at a 5 % level some of many are there by chance."""
FARTHEST = 400
"""No lag beyond it is looked at."""
CERTAIN = 1.96
"""Standard errors of white noise beyond which a partial autocorrelation is significant."""


def partial_autocorrelation(z: Floats, most: int) -> Floats:
    """Partial autocorrelations of `z` [n] at lags 0 to `most` [most + 1], without its mean.

    Yule-Walker by the recursion of Levinson and Durbin, from autocovariances divided by n
    (Brockwell and Davis 1991, section 5.2): never beyond -1 and 1.
    """
    centred = z - z.mean()
    covariance = np.array([centred[lag:] @ centred[: len(z) - lag] for lag in range(most + 1)])
    found = np.zeros(most + 1)
    found[0] = 1.0
    if not covariance[0] > 0.0:
        return found
    weights, left = np.empty(0), float(covariance[0])
    for lag in range(1, most + 1):
        partial = float(covariance[lag] - weights @ covariance[lag - 1 : 0 : -1]) / left
        weights = np.append(weights - partial * weights[::-1], partial)
        left *= 1.0 - partial * partial
        found[lag] = partial
        if not left > 1e-12 * covariance[0]:
            break
    return found


def significant_lags(y: Floats, season: int = 1) -> tuple[int, ...]:
    """The few lags of `y` [n] with the strongest significant partial autocorrelation, increasing.

    Looked for up to a third of the history and a little beyond two seasons. Logs are taken of values
    that are all above zero, and a straight line is taken off first.
    """
    most = min(len(y) // 3, max(20, 2 * season + 1), FARTHEST)
    if most < 1:
        return ()
    z = np.log(y) if float(y.min()) > 0.0 else y
    t = np.arange(len(z)) - (len(z) - 1) / 2
    z = z - z.mean()
    z = z - (t @ z) / (t @ t) * t
    strength = np.abs(partial_autocorrelation(z, most)[1:])
    strongest = np.argsort(-strength, kind="stable")[:MOST_LAGS]
    kept = strongest[strength[strongest] > CERTAIN / np.sqrt(len(z))]
    return tuple(sorted(int(lag) + 1 for lag in kept))
