"""The table of learners: one line each. Reading it imports no learner and nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module

from many_models.errors import LookupFailed, Problem, nearest
from many_models.learners.base import Cost, Learner, LearnerInfo


@dataclass(frozen=True)
class Entry:
    """Where a learner's class stands, and what the learner is."""

    module: str
    attribute: str
    info: LearnerInfo


def _entry(name: str, place: str, min_length: int, cost: Cost, title: str, known: bool = False) -> Entry:
    module, _, attribute = place.partition(":")
    information = LearnerInfo(name, title, _REFERENCES[name], min_length, cost, known)
    return Entry(f"many_models.learners.{module}", attribute, information)


_SIMPLE = "Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., section 5.2"
_ARIMA = "Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., chapter 9"
_REFERENCES = {
    "naive": _SIMPLE,
    "seasonal_naive": _SIMPLE,
    "drift": _SIMPLE,
    "average": _SIMPLE,
    "seasonal_average": _SIMPLE,
    "ets": "Hyndman, Koehler, Snyder & Grose (2002), A state space framework; statsforecast's AutoETS",
    "theta": "Fiorucci et al. (2016), Models for optimising the theta method; statsforecast's AutoTheta",
    "ces": "Svetunkov, Kourentzes & Ord (2022), Complex exponential smoothing; statsforecast's AutoCES",
    "arima": f"{_ARIMA}; statsforecast's arima",
    "arx": "Hoerl & Kennard (1970), Ridge regression, on lags and Fourier terms",
    "auto_arima": "Hyndman & Khandakar (2008), Automatic time series forecasting; statsforecast's AutoARIMA",
    "arima_pmdarima": "Hyndman & Khandakar (2008), Automatic time series forecasting; pmdarima's auto_arima",
    "prophet": "Taylor & Letham (2018), Forecasting at scale; prophet",
    "elastic_net": "Zou & Hastie (2005), Regularization and variable selection; scikit-learn",
    "lightgbm": "Ke et al. (2017), LightGBM; lightgbm",
}

# fmt: off
_ROWS = (
    #      name                module:class           least  cost     title, known covariates?
    _entry("naive",            "naive:Naive",            1, "trivial",  "the last value"),
    _entry("seasonal_naive",   "naive:SeasonalNaive",    1, "trivial",  "the value one season ago"),
    _entry("drift",            "naive:Drift",            3, "trivial",  "the last value and the mean change"),
    _entry("average",          "naive:Average",          1, "trivial",  "the mean of twelve or of all values"),
    _entry("seasonal_average", "naive:SeasonalAverage",  1, "trivial",  "the mean of the last three seasons"),
    _entry("ets",              "smoothing:Ets",          8, "moderate", "exponential smoothing, form by AICc"),
    _entry("theta",            "smoothing:Theta",        6, "cheap",    "the optimised theta method"),
    _entry("ces",              "smoothing:Ces",          6, "cheap",    "complex exponential smoothing"),
    _entry("arima",            "arima:Arima",           10, "moderate", "ARIMA of a few fixed orders", True),
    _entry("arx",              "arx:Arx",                8, "trivial",  "ridge on lags and Fourier terms", True),
    _entry("auto_arima",       "auto_arima:AutoArima",  10, "dear",     "ARIMA, order by stepwise search", True),
    _entry("arima_pmdarima",   "auto_arima:PmdArima",   10, "dear",     "ARIMA, order by pmdarima", True),
    _entry("prophet",          "prophet:Prophet",       10, "moderate", "trend, seasons, holidays, regressors", True),
    _entry("elastic_net",      "regression:ElasticNet", 12, "cheap",    "elastic net on lags and covariates", True),
    _entry("lightgbm",         "regression:LightGBM",   24, "moderate", "trees on lags and covariates", True),
)
# fmt: on

LEARNERS: dict[str, Entry] = {entry.info.name: entry for entry in _ROWS}


def learner_names() -> tuple[str, ...]:
    """The names of all learners, simplest first."""
    return tuple(LEARNERS)


def learner_info(name: str) -> LearnerInfo:
    """What a learner is; imports nothing."""
    return _entry_of(name).info


@cache
def learner(name: str) -> Learner:
    """The learner of that name; its module is imported now, what it stands on when it fits.

    Raises
    ------
    LookupFailed
        Where there is no such learner; the message names the nearest.
    """
    entry = _entry_of(name)
    made: Learner = getattr(import_module(entry.module), entry.attribute)()
    return made


def _entry_of(name: str) -> Entry:
    if name not in LEARNERS:
        close = nearest(name, learner_names())
        raise LookupFailed(
            Problem(
                "learners",
                repr(name),
                ", ".join(learner_names()),
                f"write {close!r}" if close else "choose one of these",
            )
        )
    return LEARNERS[name]
