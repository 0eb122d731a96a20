"""The table of learners: one line each. Reading it imports no learner and nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from many_models.errors import LookupFailed, Problem, nearest
from many_models.learners.base import Cost, Learner, LearnerInfo

if TYPE_CHECKING:
    from many_models.learners.pooled import PooledLearner


@dataclass(frozen=True)
class Entry:
    """Where a learner's class stands, and what the learner is.

    `pooled` is where the class stands that learns across the series of a group (module:class).
    """

    module: str
    attribute: str
    info: LearnerInfo
    pooled: str = ""


_SIMPLE = "Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., section 5.2"
_ARIMA = "Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., chapters 9 and 10"
_SEARCH = "Hyndman & Khandakar (2008), Journal of Statistical Software 27(3)"
_SKLEARN = "Pedregosa et al. (2011), JMLR 12"
_ABOUT = {
    "naive": ("The last value", _SIMPLE),
    "seasonal_naive": ("The value one season ago", _SIMPLE),
    "drift": ("The last value, continued at the mean change", _SIMPLE),
    "average": ("The mean of the last twelve values, or of all", _SIMPLE),
    "seasonal_average": ("The mean of the last three seasons", _SIMPLE),
    "croston": ("Croston's rate of intermittent demand", "Croston (1972), ORQ 23(3)"),
    "sba": ("Croston's rate without its bias", "Syntetos & Boylan (2005), IJF 21(2)"),
    "tsb": ("Intermittent demand that may fade out", "Teunter, Syntetos & Babai (2011), EJOR 214(3)"),
    "adida": ("Smoothed sums over the interval between demands", "Nikolopoulos et al. (2011), JORS 62(3)"),
    "imapa": ("Smoothed sums over several bucket widths", "Petropoulos & Kourentzes (2015), JORS 66(6)"),
    "ets": ("Exponential smoothing, its form chosen by AICc", "Hyndman et al. (2002), IJF 18(3)"),
    "theta": ("The dynamic optimised theta method", "Fiorucci et al. (2016), IJF 32(4)"),
    "ces": ("Complex exponential smoothing", "Svetunkov, Kourentzes & Ord (2022), NRL 69(8)"),
    "arima": ("ARIMA of a few fixed orders", _ARIMA),
    "arx": (
        "Ridge regression on lags, waves and covariates, in closed form",
        "Hoerl and Kennard (1970), Technometrics 12(1); Young, Pedregal and Tych (1999)",
    ),
    "mstl": (
        "Several seasons by repeated loess, on exponential smoothing",
        "Bandara, Hyndman & Bergmeir (2021), arXiv:2107.13462",
    ),
    "mfles": (
        "Medians, waves, lines and smoothing, boosted",
        "Blume (2024), MFLES, github.com/tblume1992/MFLES",
    ),
    "auto_arima": ("ARIMA, its order searched by statsforecast", _SEARCH),
    "arima_pmdarima": ("ARIMA, its order searched by pmdarima", _SEARCH),
    "prophet": (
        "Prophet: trend, seasons, holidays, regressors",
        "Taylor & Letham (2018), The American Statistician 72(1)",
    ),
    "elastic_net": (
        "Elastic net on lags, windows, calendar and covariates",
        "Zou and Hastie (2005), J. R. Statist. Soc. B 67(2)",
    ),
    "lightgbm": ("LightGBM on lags, windows, calendar and covariates", "Ke et al. (2017), NeurIPS 30"),
    "lasso_lars": (
        "The lasso on the same columns, by least angle regression",
        "Efron et al. (2004), Ann. Statist. 32(2)",
    ),
    "sgd": ("Linear regression on the same columns, by gradient descent", _SKLEARN),
    "knn": ("The mean of the nearest rows of the same columns", _SKLEARN),
    "decision_tree": ("One regression tree on the same columns", "Breiman et al. (1984), CART"),
    "random_forest": ("A random forest on the same columns", "Breiman (2001), Machine Learning 45"),
    "extra_trees": (
        "Extremely randomised trees on the same columns",
        "Geurts, Ernst & Wehenkel (2006), Machine Learning 63",
    ),
    "gradient_boosting": (
        "Boosted trees of scikit-learn on the same columns",
        "Friedman (2002), Comput. Statist. Data Anal. 38(4)",
    ),
    "tcn": (
        "A temporal convolutional network that tells quantiles, of a group or of one long series",
        "Bai, Kolter & Koltun (2018), arXiv:1803.01271",
    ),
    "xgboost": ("XGBoost on the same columns", "Chen & Guestrin (2016), KDD"),
}
"""Title and reference."""


_POOLED = {
    "elastic_net": "pooled_regression:PooledElasticNet",
    "lightgbm": "pooled_regression:PooledLightGBM",
    "lasso_lars": "pooled_regression:PooledLassoLars",
    "sgd": "pooled_regression:PooledSgd",
    "knn": "pooled_regression:PooledKnn",
    "decision_tree": "pooled_regression:PooledDecisionTree",
    "random_forest": "pooled_regression:PooledRandomForest",
    "extra_trees": "pooled_regression:PooledExtraTrees",
    "gradient_boosting": "pooled_regression:PooledGradientBoosting",
    "tcn": "tcn:PooledTcn",
}
"""The learners that also learn one model across the series of a group, and the class that does it."""


_STEADY = ("theta", "ces")
"""The learners whose parameters an evaluation estimates once on a long history."""


def _row(name: str, place: str, min_length: int, cost: Cost, known: bool = False, *needs: str) -> Entry:
    module, _, attribute = place.partition(":")
    pooled = _POOLED.get(name, "")
    info = LearnerInfo(name, *_ABOUT[name], min_length, cost, known, needs, bool(pooled), name in _STEADY)
    return Entry(f"many_models.learners.{module}", attribute, info, pooled)


# fmt: off
_ROWS = (
    #    name                module:class          least  cost      uses known covariates?
    _row("naive",            "naive:Naive",            1, "trivial"),
    _row("seasonal_naive",   "naive:SeasonalNaive",    1, "trivial"),
    _row("drift",            "naive:Drift",            3, "trivial"),
    _row("average",          "naive:Average",          1, "trivial"),
    _row("seasonal_average", "naive:SeasonalAverage",  1, "trivial"),
    _row("croston",          "intermittent:Croston",   4, "trivial"),
    _row("sba",              "intermittent:Sba",       4, "trivial"),
    _row("tsb",              "intermittent:Tsb",       4, "trivial"),
    _row("adida",            "intermittent:Adida",     4, "trivial"),
    _row("imapa",            "intermittent:Imapa",     4, "cheap"),
    _row("ets",              "smoothing:Ets",          8, "moderate"),
    _row("theta",            "smoothing:Theta",        6, "cheap"),
    _row("ces",              "smoothing:Ces",          6, "cheap"),
    _row("mstl",             "decomposition:Mstl",    12, "moderate"),
    _row("mfles",            "decomposition:Mfles",   12, "moderate"),
    _row("arima",            "arima:Arima",           10, "moderate", True),
    _row("arx",              "arx:Arx",                8, "cheap",    True),
    _row("auto_arima",       "auto_arima:AutoArima",  10, "dear",     True),
    _row("arima_pmdarima",   "auto_arima:PmdArima",   10, "dear",     True),
    _row("prophet",          "prophet:Prophet",       10, "moderate", True),
    _row("elastic_net",      "regression:ElasticNet", 12, "cheap",    True),
    _row("lightgbm",         "regression:LightGBM",   12, "moderate", True),
    _row("lasso_lars",       "sparse:LassoLars",      12, "cheap",    True),
    _row("sgd",              "sparse:Sgd",            12, "cheap",    True),
    _row("knn",              "neighbours:Knn",        12, "cheap",    True),
    _row("decision_tree",    "forests:DecisionTree",  12, "cheap",    True),
    _row("random_forest",    "forests:RandomForest",  12, "moderate", True),
    _row("extra_trees",      "forests:ExtraTrees",    12, "moderate", True),
    _row("gradient_boosting", "forests:GradientBoosting", 12, "moderate", True),
    _row("xgboost",          "boosting:XGBoost",      12, "moderate", True, "xgboost"),
    _row("tcn",              "tcn:Tcn",               40, "dear",     True, "torch", "pytorch_lightning"),
)
# fmt: on

LEARNERS: dict[str, Entry] = {entry.info.name: entry for entry in _ROWS}

EXTRAS = {"torch": "tcn", "pytorch_lightning": "tcn", "xgboost": "xgboost"}
"""The extra that installs what a learner requires beyond the core."""


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


def installation(name: str) -> str | None:
    """The command that installs what this learner lacks here; None where all is there. Imports nothing."""
    lacking = [module for module in learner_info(name).requires if find_spec(module) is None]
    return f'pip install "many-models[{EXTRAS[lacking[0]]}]"' if lacking else None


def pooled_names() -> tuple[str, ...]:
    """The names of the learners that learn one model across the series of a group, simplest first."""
    return tuple(name for name, entry in LEARNERS.items() if entry.info.pooled)


@cache
def pooled_learner(name: str) -> PooledLearner:
    """The learner of that name as one that learns across the series of a group.

    Raises
    ------
    LookupFailed
        Where there is no such learner, or it learns from single series alone.
    """
    place = _entry_of(name).pooled
    if not place:
        raise LookupFailed(
            Problem(
                "learners",
                f"{name!r}, which learns from single series",
                ", ".join(pooled_names()),
                "choose one of these to learn across a group",
            )
        )
    module, _, attribute = place.partition(":")
    made: PooledLearner = getattr(import_module(f"many_models.learners.{module}"), attribute)()
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
