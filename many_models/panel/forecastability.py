"""How much of a history can be foretold: strength of trend and season, spectral entropy, white noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from many_models.panel.series import Floats

LEAST_VALUES, LEAST_SEASONS = 80, 8
"""Fewer values than these cannot show that there is nothing but noise."""

_LAGS = 10
_QUIET = 0.674
"""Normal quantile of 0.75: a white noise is called one in three of four cases."""


@dataclass(frozen=True)
class Forecastability:
    """What repeats in a history.

    Attributes
    ----------
    trend, season
        1 − Var(remainder) / Var(detrended or deseasonalised), 0 … 1: Wang, Smith & Hyndman (2006),
        "Characteristic-based clustering for time series data", Data Mining and Knowledge Discovery 13.
    entropy
        Of the spectrum, 0 (one wave) … 1 (all waves alike): Goerg (2013), "Forecastable component
        analysis", ICML.
    noise
        Nothing else is there: the autocorrelations together are those of white noise (Ljung & Box).
    """

    trend: float
    season: float
    entropy: float
    noise: bool


def forecastability(values: Floats, season: int) -> Forecastability | None:
    """What repeats in the observed values [n]; None where they are too few to say, or constant."""
    n = len(values)
    if n < max(LEAST_VALUES, LEAST_SEASONS * season):
        return None
    size = float(np.abs(values).max())
    centred = values / size if size > 0 else values
    centred = centred - centred.mean()
    if float(centred.var()) < 1e-20:
        return None
    trend, seasonal = strengths(centred, season)
    return Forecastability(trend, seasonal, _entropy(centred), _is_noise(values, season))


def strengths(values: Floats, season: int) -> tuple[float, float]:
    """The strengths of trend and season of values [n] around zero, 10 or more, 3 seasons or more."""
    width = season if season > 1 else 5
    weights = np.full(width + 1 - width % 2, 1.0)
    if width % 2 == 0:
        weights[[0, -1]] = 0.5
    level = np.convolve(values, weights / weights.sum(), mode="valid")
    half = len(weights) // 2
    detrended = values[half : len(values) - half] - level
    seasonal = np.zeros(len(detrended))
    if season > 1:
        phase = np.arange(len(detrended)) % season
        profile = np.bincount(phase, detrended, season) / np.bincount(phase, minlength=season)
        seasonal = (profile - profile.mean())[phase]
    rest = detrended - seasonal
    return _strength(rest, level), _strength(rest, seasonal)


def _strength(rest: Floats, part: Floats) -> float:
    whole = float((part + rest).var())
    return max(0.0, 1.0 - float(rest.var()) / whole) if whole > 0 else 0.0


def _entropy(values: Floats) -> float:
    power = np.abs(np.fft.rfft(values))[1:] ** 2
    # neighbours averaged, because the raw spectrum of any noise is ragged
    width = max(1, int(np.sqrt(len(power)) / 2))
    smooth = np.convolve(power, np.full(width, 1.0 / width), mode="valid")
    share = smooth / smooth.sum()
    share = share[share > 0]
    return float(-(share * np.log(share)).sum() / np.log(len(smooth))) if len(smooth) > 1 else 0.0


def _is_noise(values: Floats, season: int) -> bool:
    n = len(values)
    # of the ranks, so that single peaks do not hide what the others have in common
    ranks = np.empty(n)
    ranks[np.argsort(values, kind="stable")] = np.arange(n) - (n - 1) / 2
    correlation = np.fft.irfft(np.abs(np.fft.rfft(ranks, 2 * n)) ** 2)[: n // 2]
    correlation = correlation / correlation[0]
    seasonal = {season, 2 * season} if season > 1 else set()
    lags = np.array(sorted({*range(1, _LAGS + 1), *seasonal}))
    lags = lags[lags < len(correlation)]
    total = float(n * (n + 2) * (correlation[lags] ** 2 / (n - lags)).sum())
    # Wilson & Hilferty: the cube root of a chi-squared value over its degrees is nearly normal
    part = 2.0 / (9.0 * len(lags))
    return bool(((total / len(lags)) ** (1 / 3) - (1.0 - part)) / np.sqrt(part) < _QUIET)
