"""Stacking: an elastic net on the candidates' out-of-fold forecasts (Wolpert 1992; Breiman 1996)."""

from __future__ import annotations

import numpy as np

from many_models.panel.series import Floats

L1_SHARE = 0.5
PATH_LENGTH = 10
PATH_END = 0.001
"""The smallest penalty of the path, as a share of the one that leaves every candidate out."""


def stacked_weights(forecasts: Floats, actual: Floats, scale: Floats) -> Floats | None:
    """Weights [K] that are not negative and sum to one, or None where the folds teach none.

    The penalty is the one that forecasts the fold that was left out best. The coefficients are
    brought to a sum of one: a penalty pulls them to zero, and a forecast with them.

    Parameters
    ----------
    forecasts : [K, F, H]
        Out-of-fold forecasts; no fold has seen its own actuals.
    actual : [F, H]
        NaN where not observed.
    scale : [F]
        The size of errors known at each cutoff: folds count alike.
    """
    unit = np.where(scale > 0, scale, 1.0)[:, None]
    seen = np.isfinite(actual)
    if int(seen.sum()) <= 2:
        return None
    fold = np.broadcast_to(np.arange(len(actual))[:, None], actual.shape)[seen]
    x, y = (forecasts / unit)[:, seen].T, (actual / unit)[seen]
    errors = np.zeros(PATH_LENGTH)
    for left_out in np.unique(fold):
        here = fold == left_out
        if here.all():
            return None
        path = _path(x[~here], y[~here], x, y)
        errors += np.abs(y[here, None] - x[here] @ path).sum(axis=0)
    chosen = _path(x, y, x, y)[:, int(np.argmin(errors))]
    total = float(chosen.sum())
    return None if not total > 0 else np.asarray(chosen / total, dtype=np.float64)


def _path(x: Floats, y: Floats, all_x: Floats, all_y: Floats) -> Floats:
    """Coefficients [K, PATH_LENGTH] of `y` on `x`, along the penalties of all rows together."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import enet_path

    strongest = float(np.abs(all_x.T @ all_y).max()) / len(all_y) / L1_SHARE
    alphas = max(strongest, 1e-12) * np.geomspace(1.0, PATH_END, PATH_LENGTH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, path, _ = enet_path(
            np.asfortranarray(x), y, l1_ratio=L1_SHARE, alphas=alphas, positive=True, max_iter=2000
        )
    return np.asarray(path, dtype=np.float64)
