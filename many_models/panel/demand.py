"""The shape of a target: the class of its demand, and values far from their neighbours."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from many_models.panel.findings import Finding, finding
from many_models.panel.series import Bools, Floats

DemandClass: TypeAlias = Literal["smooth", "erratic", "intermittent", "lumpy"]

ADI_LIMIT = 1.32
CV2_LIMIT = 0.49
OUTLIER_Z = 8.0
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
    season, eight robust standard deviations of what is left. A history without negative values
    is judged on log(1 + y): promotions and peaks multiply.
    """
    low, high = np.full(len(y), np.nan), np.full(len(y), np.nan)
    places = np.flatnonzero(observed)
    values = y[places]
    if len(values) < 2 * _WINDOW:
        return low, high
    multiplies = values.min() >= 0
    if multiplies:
        values = np.log1p(values)
    half = _WINDOW // 2
    padded = np.pad(values, half, mode="edge")
    expected = np.median(np.lib.stride_tricks.sliding_window_view(padded, _WINDOW), axis=1)
    residual = values - expected
    if season > 1 and len(values) >= 4 * season:
        phase = places % season
        order = np.argsort(phase, kind="stable")
        begins = np.flatnonzero(np.diff(phase[order], prepend=-1))
        groups = np.split(residual[order], begins[1:])
        profile = np.zeros(season)
        profile[phase[order][begins]] = [np.median(group) for group in groups]
        residual = residual - profile[phase]
    centre = float(np.median(residual))
    residual = residual - centre
    spread = 1.4826 * float(np.median(np.abs(residual)))
    if spread > 0:
        # from the residual, so that a value is out of its bounds exactly where its residual is too large
        middle, reach = values - residual, OUTLIER_Z * spread
        low[places], high[places] = middle - reach, middle + reach
        if multiplies:
            with np.errstate(over="ignore"):
                low, high = np.maximum(np.expm1(low), 0.0), np.expm1(high)
    return low, high


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
    if zeros and demand_class(values) in ("intermittent", "lumpy"):
        found.append(finding("INTERMITTENT", zeros))
    still = len(values) - 1 - int(np.flatnonzero(values)[-1])
    if still >= max(12, 2 * season):
        found.append(finding("DEAD", still))
    if report_outliers:
        count = int(outliers(y, observed, season).sum())
        if count:
            found.append(finding("OUTLIERS", count))
    return found
