"""What the configuration says about features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from many_models.panel.events import EventDates

ContextKind: TypeAlias = Literal["relative", "mean", "min", "above_min", "siblings"]
Steps: TypeAlias = tuple[int, ...]
StepsByColumn: TypeAlias = tuple[tuple[str | None, Steps], ...]
"""(column, steps) pairs; a column None stands for all."""


@dataclass(frozen=True)
class CovariateSettings:
    """What is derived from covariates. `None` means `auto`.

    Attributes
    ----------
    lags, leads, differences, relative
        Of known covariates.
    interactions
        Pairs of known covariates.
    log
        False keeps linear models from logs.
    past_lags, past_windows
        Of past-only covariates.
    delays
        (past-only covariate, steps after which its values are published).
    """

    lags: StepsByColumn = ()
    leads: StepsByColumn = ()
    differences: StepsByColumn = ()
    relative: StepsByColumn = ()
    interactions: tuple[tuple[str, str], ...] | None = None
    log: bool | None = None
    past_lags: Steps | None = None
    past_windows: Steps | None = None
    delays: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class WindowSettings:
    """Rolling windows of the target. `None` means `auto`.

    Attributes
    ----------
    sizes
        How many last values each window takes.
    statistics
        mean, std, min, max, sum, median, nonzeros and since_nonzero of each window.
    seasonal
        How many values of the same season a mean takes; 0 = none.
    ewm
        Half-lives of exponentially weighted means.
    """

    sizes: Steps | None = None
    statistics: tuple[str, ...] = ("mean", "std")
    seasonal: int | None = None
    ewm: tuple[float, ...] = ()


@dataclass(frozen=True)
class FeatureSettings:
    """The part of the configuration that the regression learners and ARX read.

    `None` means `auto`; an empty tuple or zero means off.
    """

    own: tuple[str, ...] = ()
    """Families of the user's own, by name."""
    block: tuple[str, ...] = ()
    """Families that no model reads."""
    strategy: str = "auto"
    """direct, recursive or per_step."""
    lags: tuple[int, ...] | Literal["pacf"] | None = None
    """Steps back; pacf = those with a significant partial autocorrelation, and the seasons."""
    windows: tuple[int, ...] | WindowSettings | None = None
    calendar: tuple[str, ...] | None = None
    """Fields by name."""
    fourier: int | tuple[tuple[float, int], ...] | Literal["validate"] | None = None
    """Waves per season, (period, waves) pairs, or as many as the training part tells."""
    stl: bool = False
    """Season and trend of a decomposition."""
    holidays: tuple[tuple[str, str | None], ...] = ()
    """(country, subdivision) pairs."""
    holiday_categories: tuple[str, ...] = ()
    """Of the package; none = public."""
    holiday_names: bool = False
    """A column for each holiday."""
    holiday_before: int | None = None
    """Days or periods before a holiday with a column of their own; `holiday_after` likewise."""
    holiday_after: int | None = None
    transform: str = "auto"
    """none, log, log1p or box_cox of the target."""
    difference: str = "auto"
    """off, first, seasonal or both: what the target is told relative to."""
    scaling: str = "auto"
    """none, standard, minmax, maxabs, robust or normalizer: of the columns."""
    reduction: tuple[str, float] | None = None
    """(pca or svd, components or the share they explain)."""
    pipelines: tuple[tuple[str, tuple[str, float] | None], ...] = ()
    """(scaling, reduction) pairs that regressions try beside those two."""
    covariates: CovariateSettings | None = CovariateSettings()
    """None: no covariates are read."""
    events: EventDates = ()
    """The events of this series."""
    event_before: int = 0
    """Periods before an event with a column of their own; `event_after` likewise."""
    event_after: int = 0
    arima: tuple[str, ...] = ()
    """Families that ARIMA reads as regressors: holidays, events."""
    context: tuple[ContextKind, ...] = ("relative",)
    """What is read of the siblings' rows."""
