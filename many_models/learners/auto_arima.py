"""ARIMA whose order a library searches for: once, at the first fit of a series.

Both searches end in the model of `arima.py`: its parameters are estimated there, by exact
likelihood, and later fits with the order found repeat no search. Hyndman & Khandakar (2008),
Automatic time series forecasting: the forecast package for R.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from many_models.errors import LearnerError
from many_models.learners.arima import (
    ArimaModel,
    Order,
    Problem,
    arima_season,
    fit_order,
    load_arima,
    posed,
)
from many_models.learners.base import Candidate, FitContext, Parameters, State
from many_models.learners.covariates import arima_dates, column_count
from many_models.learners.guards import library, require_length, require_time
from many_models.learners.table import learner_info
from many_models.panel.series import Series

LONGEST_SEARCH = 400
"""An order is searched on no more than this many last values: a search is some fifty fits."""


class Searching(ABC):
    """A learner that searches the order; its subclasses say how."""

    name: str

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """The one without known covariates, and where there are some, the one with them before it."""
        count, dates = column_count(series.known), len(arima_dates(series, context.features).columns)
        bare = Candidate(self.name, self.name)
        if len(series) < learner_info(self.name).min_length + 3 * dates:
            return ()
        # A regression with p + q + P + Q <= 5 needs some values more than it has coefficients.
        if count and len(series) >= 20 + 3 * (count + dates):
            return Candidate(f"{self.name}_known", self.name, uses_known=True), bare
        return (bare,)

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> ArimaModel:
        """The model of the order in `parameters`, else of the order found by the search."""
        require_length(series, learner_info(self.name).min_length)
        require_time(context.deadline)
        if "order" in parameters:
            order = Order.of(parameters)
        else:
            season = arima_season(context.season)
            season = season if len(series) >= 2 * season + 5 else 1
            problem = posed(series, False, LONGEST_SEARCH, context.features)
            order = self.search(problem, season)
        return fit_order(series, order, context, self.name)

    def load(self, state: State) -> ArimaModel:
        """The stored model."""
        return load_arima(state, self.name)

    @abstractmethod
    def search(self, problem: Problem, season: int) -> Order:
        """The order that suits the problem best."""


class AutoArima(Searching):
    """statsforecast's stepwise search."""

    name = "auto_arima"
    info = learner_info("auto_arima")

    def search(self, problem: Problem, season: int) -> Order:
        """The order with the least AICc along statsforecast's steps."""
        from statsforecast.arima import auto_arima_f

        with library("the search for an ARIMA order failed"):
            found: dict[str, Any] = auto_arima_f(  # type: ignore[no-untyped-call]
                problem.values,
                xreg=problem.columns if len(problem.regressors) else None,
                period=season,
                approximation=False,
                method="CSS-ML",
            )
        if "arma" not in found:
            raise LearnerError("FIT_FAILED", "the search found no ARIMA order that could be fitted")
        p, q, P, Q, _, d, D = (int(v) for v in found["arma"])
        constant = any(name in found["coef"] for name in ("drift", "intercept"))
        return Order(p, d, q, P, D, Q, season, constant and d + D < 2)


class PmdArima(Searching):
    """pmdarima's stepwise search."""

    name = "arima_pmdarima"
    info = learner_info("arima_pmdarima")

    def search(self, problem: Problem, season: int) -> Order:
        """The order with the least AIC along pmdarima's steps."""
        with library("the search for an ARIMA order failed"):
            from pmdarima import auto_arima

            found = auto_arima(
                problem.values,
                X=problem.columns if len(problem.regressors) else None,
                m=season,
                seasonal=season > 1,
                suppress_warnings=True,
                error_action="ignore",
            )
            p, d, q = (int(v) for v in found.order)
            P, D, Q = (int(v) for v in found.seasonal_order[:3])
        return Order(p, d, q, P, D, Q, season, bool(found.with_intercept) and d + D < 2)
