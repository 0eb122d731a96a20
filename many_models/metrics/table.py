"""The table of metrics: what each judges, which way is better, and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from typing import Literal

import numpy as np
import numpy.typing as npt

from many_models.errors import LookupFailed, Problem, nearest
from many_models.metrics import interval, point
from many_models.metrics.arrays import Floats, pair


@dataclass(frozen=True)
class Metric:
    """One way to score forecasts, callable the same way as every other.

    Attributes
    ----------
    name
        The name in configuration and tables.
    judges
        The part of a forecast that it scores: `median` is `q0.5`, `mean` the expected value,
        `quantiles` all levels together.
    goal
        Where the best score lies: `low`, `high`, at `zero`, or at the `nominal` share.
    needs_scale
        The in-sample scale it divides by, if any.
    function
        `(actual, forecast)`, `(actual, forecast, scale)` or `(actual, quantiles, levels)`.
    title
        What it is, in a few words.
    """

    name: str
    judges: Literal["median", "mean", "quantiles"]
    goal: Literal["low", "high", "zero", "nominal"]
    needs_scale: Literal["mase", "rmsse"] | None
    function: Callable[..., Floats]
    title: str

    @property
    def lower_is_better(self) -> bool:
        """Whether the smaller of two scores is always the better one."""
        return self.goal == "low"

    def __call__(
        self,
        actual: npt.ArrayLike,
        forecast: npt.ArrayLike,
        *,
        scale: npt.ArrayLike | None = None,
        levels: npt.ArrayLike | None = None,
    ) -> Floats:
        """The scores [...] of the part of the forecast that this metric judges.

        Parameters
        ----------
        actual : [..., H]
            NaN is missing and left out.
        forecast : [..., H] or [..., H, Q]
            The median, the mean, or the quantiles: see `judges`.
        scale : [...]
            The in-sample scale that `needs_scale` names; ignored by metrics that need none.
        levels : [Q]
            The levels of the quantiles; ignored by metrics that do not judge them.

        Raises
        ------
        ValueError
            When the scale or the levels that this metric needs are not given.
        """
        if self.judges == "quantiles":
            if levels is None:
                raise ValueError(f"{self.name}: found no levels; give the levels of the quantiles")
            return self.function(actual, forecast, levels)
        if self.needs_scale is None:
            return self.function(actual, forecast)
        if scale is None:
            raise ValueError(
                f"{self.name}: found no scale; give {self.needs_scale}_scale of the training data"
            )
        return self.function(actual, forecast, scale)

    def loss(self, score: npt.ArrayLike) -> Floats:
        """The score turned so that lower is better: itself, its negative, or its distance from zero.

        Raises
        ------
        ValueError
            For a metric whose goal is the nominal share, which the score alone does not tell.
        """
        values = np.asarray(score, dtype=np.float64)
        if self.goal == "nominal":
            raise ValueError(f"{self.name}: its best value is the nominal share; it cannot rank forecasts")
        if self.goal == "high":
            return -values
        return np.abs(values) if self.goal == "zero" else values


_ROWS = (
    Metric("mae", "median", "low", None, point.mae, "mean absolute error"),
    Metric("mase", "median", "low", "mase", point.mase, "mean absolute scaled error"),
    Metric("wape", "median", "low", None, point.wape, "sum of absolute errors over sum of actuals"),
    Metric("smape", "median", "low", None, point.smape, "symmetric mean absolute percentage error, 0 to 200"),
    Metric("mape", "median", "low", None, point.mape, "mean absolute percentage error, in percent"),
    Metric("nmae", "median", "low", None, point.nmae, "mean absolute error over the range of the actuals"),
    Metric("rmse", "mean", "low", None, point.rmse, "root mean squared error"),
    Metric("rmsse", "mean", "low", "rmsse", point.rmsse, "root mean squared scaled error"),
    Metric(
        "nrmse", "mean", "low", None, point.nrmse, "root mean squared error over the range of the actuals"
    ),
    Metric("r2", "mean", "high", None, point.r2, "coefficient of determination"),
    Metric("spearman", "mean", "high", None, point.spearman, "Spearman's rank correlation"),
    Metric("bias", "mean", "zero", None, point.bias, "sum of forecasts over sum of actuals, minus 1"),
    Metric("total_error", "mean", "low", None, point.total_error, "absolute relative error of the total"),
    Metric("pinball", "quantiles", "low", None, interval.pinball, "mean quantile loss"),
    Metric("crps", "quantiles", "low", None, interval.crps, "continuous ranked probability score"),
    Metric(
        "coverage", "quantiles", "nominal", None, interval.outer_coverage, "share inside the widest interval"
    ),
    Metric(
        "winkler", "quantiles", "low", None, interval.outer_winkler, "interval score of the widest interval"
    ),
)


class _Table(dict[str, Metric]):
    """The metrics of this package; another name is looked up among those of installed packages."""

    def __missing__(self, name: str) -> Metric:
        return own_metric(name)


METRICS: dict[str, Metric] = _Table({metric.name: metric for metric in _ROWS})

GROUP = "many_models.metrics"
"""The group of entry points by which an installed package offers metrics of its own."""


def offered() -> tuple[str, ...]:
    """The names of all metrics that installed packages offer."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


@cache
def own_metric(name: str) -> Metric:
    """The metric of that name that an installed package offers, as an entry point.

    What is offered is a function of actuals [n] and forecasts [n], both without missing values, that
    gives one number, zero at best; it judges the median. Or a `Metric`, which says what it judges.

    Raises
    ------
    LookupFailed
        Where no installed package offers it, or what it offers is no such metric.
    """
    for entry in entry_points(group=GROUP, name=name):
        offer = entry.load()
        if isinstance(offer, Metric) and offer.goal == "low":
            return replace(offer, name=name)
        if callable(offer) and not isinstance(offer, Metric):
            return Metric(name, "median", "low", None, _of_rows(offer), entry.value)
        found = f"{entry.value}, which is neither a function nor a Metric of which less is better"
        raise LookupFailed(Problem("validation.metric", found, "one of these", ""))
    near = nearest(name, (*METRICS, *offered()))
    raise LookupFailed(
        Problem(
            "validation.metric",
            repr(name),
            ", ".join((*METRICS, *offered())),
            f"did you mean {near}?" if near else "install the package that offers it, on the workers too",
        )
    )


def _of_rows(function: Callable[[Floats, Floats], float]) -> Callable[..., Floats]:
    """The function of two arrays [n], for arrays [..., H] with missing actuals."""

    def scores(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
        y, f, seen = pair(actual, forecast)
        found = np.full(y.shape[:-1], np.nan)
        for place in np.ndindex(found.shape):
            if seen[place].any():
                found[place] = float(function(y[place][seen[place]], f[place][seen[place]]))
        return found

    return scores
