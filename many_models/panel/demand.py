"""The shape of a target: the class of its demand, and values far from their neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from many_models.panel.findings import Finding, finding
from many_models.panel.series import Bools, Floats

DemandClass: TypeAlias = Literal["smooth", "erratic", "intermittent", "lumpy"]

Ints: TypeAlias = npt.NDArray[np.int64]

ADI_LIMIT = 1.32
CV2_LIMIT = 0.49
OUTLIER_Z = 10.0
_WINDOW = 7


def demand_class(y: Floats) -> DemandClass:
    """The class of a history [T] of observed values.

    Average interval between non-zero values against 1.32, squared coefficient of variation of
    their sizes against 0.49: Syntetos, Boylan & Croston (2005), "On the categorization of demand
    patterns", Journal of the Operational Research Society 56(5). A history of zeros is intermittent.
    """
    seen = y[np.isfinite(y)]
    sizes = np.abs(seen[seen != 0])
    if not len(sizes):
        return "intermittent" if len(seen) else "smooth"
    interval = len(seen) / len(sizes)
    # scaled first, so that sizes near the largest float do not overflow
    sizes = sizes / sizes.max()
    variation = float(sizes.var() / sizes.mean() ** 2)
    if interval > ADI_LIMIT:
        return "lumpy" if variation > CV2_LIMIT else "intermittent"
    return "erratic" if variation > CV2_LIMIT else "smooth"


def outlier_bounds(y: Floats, observed: Bools, season: int) -> tuple[Floats, Floats]:
    """The lowest and the highest value [T] that neighbours and season allow; NaN where none is judged.

    Around a running median over seven observed values, plus the median of their place in the
    season, ten robust standard deviations of what is left. A history without negative values
    is judged on log(1 + y) as well, and has the wider of both bounds: promotions and peaks
    multiply. The spread of whole numbers is at least that of a Poisson count of their level.
    """
    low, high = np.full(len(y), np.nan), np.full(len(y), np.nan)
    places = np.flatnonzero(observed)
    values = y[places]
    if len(values) < 2 * _WINDOW:
        return low, high
    counts = bool(values.min() >= 0 and (values == np.rint(values)).all())
    low[places], high[places] = _bounds(values, places, season, np.sqrt if counts else None)
    if values.min() >= 0:
        below, above = _bounds(np.log1p(values), places, season, _poisson_of_logs if counts else None)
        with np.errstate(over="ignore"):
            low[places] = np.maximum(np.minimum(low[places], np.expm1(below)), 0.0)
            high[places] = np.maximum(high[places], np.expm1(above))
    return low, high


def _bounds(
    values: Floats, places: Ints, season: int, least: Callable[[Floats], Floats] | None
) -> tuple[Floats, Floats]:
    """The bounds of the observed values [n] on one scale; NaN where nothing is left to judge by.

    `least` gives the least standard deviation of values at these levels.
    """
    half = _WINDOW // 2
    # point reflection at the ends goes on with a trend
    before, after = 2 * values[0] - values[half:0:-1], 2 * values[-1] - values[-2 : -half - 2 : -1]
    padded = np.concatenate([before, values, after])
    expected = np.sort(np.lib.stride_tricks.sliding_window_view(padded, _WINDOW), axis=1)[:, half]
    residual = values - expected
    spent = 1.0
    if season > 1 and len(values) >= 4 * season:
        residual = residual - _profile(residual, places % season)
        # the median of a few values lies near each of them
        each = len(values) / season
        spent = each / (each - 1.5)
    residual = residual - median(residual)
    spread = 1.4826 * spent * median(np.abs(residual))
    if spread <= 0:
        nothing = np.full(len(values), np.nan)
        return nothing, nothing
    # from the residual, so that a value is out of its bounds exactly where its residual is too large
    middle = values - residual
    reach = OUTLIER_Z * (np.maximum(spread, least(np.maximum(expected, 0.0))) if least else spread)
    return middle - reach, middle + reach


def _profile(residual: Floats, phase: Ints) -> Floats:
    """The median [n] of the values of the same phase."""
    order = np.lexsort((residual, phase))
    ordered = phase[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    sizes = np.diff(begins, append=len(order))
    middles = (residual[order[begins + (sizes - 1) // 2]] + residual[order[begins + sizes // 2]]) / 2
    result = np.empty(len(residual))
    result[order] = np.repeat(middles, sizes)
    return result


def median(values: Floats) -> float:
    """The median of values [n], n >= 1; many times faster than NumPy's on short histories."""
    ordered = np.sort(values)
    n = len(ordered)
    return float((ordered[(n - 1) // 2] + ordered[n // 2]) / 2)


def _poisson_of_logs(logs: Floats) -> Floats:
    """The standard deviation of log(1 + count) at these levels of it."""
    return 1.0 / np.sqrt(np.maximum(np.expm1(np.minimum(logs, 700.0)), 1.0))


def outliers(y: Floats, observed: Bools, season: int) -> Bools:
    """Which values [T] lie far outside what their neighbours and season suggest: see `outlier_bounds`."""
    low, high = outlier_bounds(y, observed, season)
    return (y < low) | (y > high)


def shape_findings(y: Floats, observed: Bools, season: int, report_outliers: bool) -> list[Finding]:
    """Findings on the values of a history [T]: constant, zero, intermittent, dead, outlying."""
    values = y[observed]
    if not len(values):
        return []
    zeros = int((values == 0).sum())
    if zeros == len(values):
        return [finding("ALL_ZERO", zeros)]
    if (values == values[0]).all():
        return [finding("CONSTANT", len(values))] if len(values) > 1 else []
    found = []
    if zeros:
        kind = demand_class(values)
        if kind in ("intermittent", "lumpy"):
            found.append(finding(kind.upper(), zeros))
    still = len(values) - 1 - int(np.flatnonzero(values)[-1])
    if still >= max(12, 2 * season):
        found.append(finding("DEAD", still))
    if report_outliers:
        count = int(outliers(y, observed, season).sum())
        if count:
            found.append(finding("OUTLIERS", count))
    return found
