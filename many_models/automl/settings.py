"""What the configuration asks of one series: folds, bounds, metric, prior, and the settings of its fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from many_models.automl.candidates import SEARCHED_PIPELINES, SPARSE_CLASSES, learner_names
from many_models.automl.combination import Combine
from many_models.automl.prior import KindPrior
from many_models.automl.search import Exit
from many_models.automl.task import TrainTask
from many_models.automl.training import SHORTEST, Bounds
from many_models.errors import Problem
from many_models.features.holidays import place_of
from many_models.features.settings import CovariateSettings, FeatureSettings, StepsByColumn, WindowSettings
from many_models.learners.base import FitContext
from many_models.panel.findings import Finding, finding
from many_models.panel.folds import cutoffs, least_training
from many_models.panel.keys import SeriesKey
from many_models.panel.layout import Layout
from many_models.panel.preparation import Prepared, demand_class
from many_models.spec import CovariatesSpec, ForecastSpec, HolidaysSpec, ReductionSpec


@dataclass(frozen=True)
class SeriesPlan:
    """The settings of the run for one series: see `training.Plan`."""

    horizon: int
    gap: int
    levels: tuple[float, ...]
    learners: tuple[str, ...]
    learners_named: bool
    metric: str
    combine: Combine
    exit: Exit


def fold_cutoffs(prepared: Prepared, spec: ForecastSpec) -> tuple[int, ...]:
    """The training lengths of the folds; none where the history carries none."""
    return cutoffs(
        prepared.observed,
        spec.forecast.horizon,
        spec.forecast.gap,
        prepared.grid.frequency.season,
        spec.validation.folds,
        spec.validation.step,
        prepared.trainable,
    )


def is_short(prepared: Prepared, at: tuple[int, ...], spec: ForecastSpec) -> bool:
    """Whether the history carries no fold, or no candidates; none asked for is not short."""
    if prepared.padded:
        return not at
    return prepared.n_obs < SHORTEST or (not at and spec.validation.folds != 0)


def short_finding(prepared: Prepared, spec: ForecastSpec) -> Finding:
    """What a series lacks that is too short, and how many values it would need."""
    season, half = prepared.grid.frequency.season, -(-spec.forecast.horizon // 2)
    needed = least_training(season) + spec.forecast.gap + half
    text = (
        f"{prepared.n_obs} values; one fold needs {needed} "
        f"(max(7, 2 x season {season} + 1) + gap {spec.forecast.gap} + half the horizon {half})"
    )
    return finding("SHORT", prepared.n_obs, message=text)


def fit_context(prepared: Prepared, key: SeriesKey, task: TrainTask) -> FitContext:
    """Season, seed and feature settings of one series."""
    spec = task.spec
    frequency = prepared.grid.frequency
    season = frequency.season
    if (
        frequency.kind == "week"
        and 52 in frequency.seasons
        and prepared.length >= 104 + spec.forecast.horizon
    ):
        season = 52
    features = spec.features
    return FitContext(
        horizon=spec.forecast.horizon,
        gap=spec.forecast.gap,
        season=season,
        score_season=frequency.season,
        seed=key.seed(spec.seed),
        nonnegative=bool((prepared.y[prepared.observed] >= 0).all()),
        features=FeatureSettings(
            own=features.own,
            block=features.block,
            strategy=features.strategy,
            lags=_auto_or_off(features.lags, ()),
            windows=_windows(features.windows),
            calendar=_auto_or_off(features.calendar, ()),
            fourier=_auto_or_off(features.fourier, 0),
            stl=features.stl == "on",
            **_holidays(features.holidays, prepared, key),
            transform=features.transforms,
            difference=features.difference,
            **pipelines_of(spec),
            covariates=_covariates(features.covariates, spec.data.publication_lag),
            **_events(task, key),
            arima=features.arima,
            context=("relative",) if features.context == "auto" else cast("Any", features.context),
        ),
    )


def _covariates(wish: CovariatesSpec | None, delays: Mapping[str, int]) -> CovariateSettings | None:
    if wish is None:
        return None
    return CovariateSettings(
        lags=_by_column(wish.lags),
        leads=_by_column(wish.leads),
        differences=_by_column(wish.differences),
        relative=_by_column(wish.relative),
        interactions=_auto_or_off(wish.interactions, ()),
        log=_auto_or_off(wish.log, False),
        past_lags=_auto_or_off(wish.past_lags, ()),
        past_windows=_auto_or_off(wish.past_windows, ()),
        delays=tuple(delays.items()),
    )


def _windows(asked: Any) -> tuple[int, ...] | WindowSettings | None:
    if not isinstance(asked, Mapping):
        return cast("tuple[int, ...] | None", _auto_or_off(asked, ()))
    found: dict[str, Any] = {name: None if value == "auto" else value for name, value in asked.items()}
    return WindowSettings(**found)


def _events(task: TrainTask, key: SeriesKey) -> dict[str, Any]:
    """The events of a series, and how far around them is looked."""
    wish = task.spec.events
    if wish is None or task.events is None:
        return {}
    return {
        "events": task.events.of(key),
        "event_before": wish.before,
        "event_after": wish.after,
    }


def _by_column(steps: Any) -> StepsByColumn:
    """The steps of every column, or of all of them."""
    if isinstance(steps, Mapping):
        return tuple(steps.items())
    return ((None, steps),) if steps else ()


def _holidays(asked: HolidaysSpec | None, prepared: Prepared, key: SeriesKey) -> dict[str, Any]:
    """Whose holidays the series has, and how they become columns, as feature settings."""
    if asked is None:
        return {}
    own = _own_country(asked, prepared, key)
    return {
        "holidays": tuple(dict.fromkeys((*asked.calendars, *([] if own is None else [own])))),
        "holiday_categories": asked.categories,
        "holiday_names": asked.names,
        "holiday_before": _auto_or_off(asked.before, 0),
        "holiday_after": _auto_or_off(asked.after, 0),
    }


def _own_country(asked: HolidaysSpec, prepared: Prepared, key: SeriesKey) -> tuple[str, str | None] | None:
    """Country and subdivision in the series' own column; None where there is none that anybody knows."""
    text = _country_text(asked.column, prepared, key)
    return None if text is None else place_of(text)


def _country_text(column: str | None, prepared: Prepared, key: SeriesKey) -> str | None:
    """What the series' own column of countries holds; None where nothing."""
    if column in key.names:
        return str(key.values[key.names.index(column)])
    for covariate, value in zip(prepared.static, prepared.static_x, strict=True):
        if covariate.name == column and np.isfinite(value):
            return covariate.categories[int(value)] if covariate.categories else f"{value:g}"
    return None


def unknown_country(prepared: Prepared, key: SeriesKey, spec: ForecastSpec) -> list[Finding]:
    """The finding that the series' own country is not known, where that is so."""
    asked = spec.features.holidays
    if asked is None or asked.column is None or _own_country(asked, prepared, key) is not None:
        return []
    text = _country_text(asked.column, prepared, key)
    found = "no value" if text is None else repr(text)
    message = f"{asked.column} holds {found}: no country or subdivision whose holidays are known"
    return [finding("HOLIDAYS_UNKNOWN", 1, message=message)]


def pipelines_of(spec: ForecastSpec) -> dict[str, Any]:
    """The first scaling and reduction that are asked for, and the others to try."""
    scalings = _several(spec.features.scaling)
    ways = [
        (scaling, reduction) for reduction in _reductions(spec.features.reduction) for scaling in scalings
    ]
    if ways == [("auto", None)] and spec.learners.preset in SEARCHED_PIPELINES:
        ways += SEARCHED_PIPELINES[spec.learners.preset]
    (scaling, reduction), *others = ways
    return {"scaling": scaling, "reduction": reduction, "pipelines": tuple(others)}


def _reductions(wish: ReductionSpec | None) -> list[tuple[str, float] | None]:
    if wish is None:
        return [None]
    return [None if method == "none" else (method, wish.components) for method in _several(wish.method)]


def _several(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _auto_or_off(value: Any, off: Any) -> Any:
    if value == "auto":
        return None
    return off if value == "off" else value


def bounds_of(prepared: Prepared, spec: ForecastSpec) -> Bounds:
    """The range of its forecasts."""
    low, high = spec.forecast.min, spec.forecast.max
    if low == "auto":
        low = 0.0 if bool((prepared.y[prepared.observed] >= 0).all()) else None
    return Bounds(low, None if high == "auto" else high, spec.forecast.integer)


def is_sparse(prepared: Prepared) -> bool:
    """Whether its demand is intermittent or lumpy."""
    return demand_class(prepared.y[prepared.observed]) in SPARSE_CLASSES


def prior_of(prepared: Prepared, task: TrainTask) -> KindPrior:
    """What is known beforehand of series like it."""
    return task.prior.kind(prepared.grid.frequency.kind, is_sparse(prepared))


def plan_of(prepared: Prepared, spec: ForecastSpec) -> SeriesPlan:
    """Its learners, metric and levels."""
    metric = spec.validation.metric
    if metric == "auto":
        # An all-zero forecast wins absolute errors on spare parts; squared ones ask for the mean.
        metric = "rmsse" if is_sparse(prepared) else "mase"
    chosen = spec.learners
    return SeriesPlan(
        spec.forecast.horizon,
        spec.forecast.gap,
        tuple(spec.forecast.quantiles),
        learner_names(chosen.preset, chosen.allow, chosen.block),
        chosen.allow is not None,
        metric,
        "stack" if spec.ensemble.stack else spec.ensemble.combine,
        Exit(
            chosen.racing,
            chosen.trials,
            chosen.patience,
            chosen.target_score,
            spec.budget.seconds_per_trial,
        ),
    )


def weight_problems(spec: ForecastSpec, layout: Layout) -> list[Problem]:
    """What is wrong with the column of weights of this table."""
    kinds = {c.name: c.kind for c in layout.covariates}
    name = spec.validation.weights
    if name is None or kinds.get(name) in (None, "number"):
        return []
    found = f"a column that holds {'true and false' if kinds[name] == 'boolean' else 'text'}"
    return [Problem(name, found, "numbers, 0 or more", "name another column in validation.weights")]


def weight_missing(prepared: Prepared, spec: ForecastSpec) -> list[Finding]:
    """The finding that weights are asked for and the series has none."""
    if spec.validation.weights is None or np.isfinite(weight_of(prepared, spec)):
        return []
    return [finding("WEIGHT_MISSING", 1)]


def weight_of(prepared: Prepared, spec: ForecastSpec) -> float:
    """How much the series counts in weighted totals; NaN without a usable weight."""
    for covariate, value in zip(prepared.static, prepared.static_x, strict=True):
        if covariate.name == spec.validation.weights and value >= 0:
            return float(value)
    return float("nan")
