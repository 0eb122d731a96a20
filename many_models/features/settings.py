"""What the configuration says about features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FeatureSettings:
    """The part of the configuration that the regression learners and ARX read.

    `None` means `auto`; an empty tuple or zero means off.
    """

    lags: tuple[int, ...] | None = None
    windows: tuple[int, ...] | None = None
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
    log: bool | None = None
    transform: str = "auto"
    """none, log, log1p or box_cox of the target."""
    difference: str = "auto"
    """off, first, seasonal or both: what the target is told relative to."""
    scaling: str = "auto"
    """none, standard, minmax, maxabs, robust or normalizer: of the columns."""
    reduction: tuple[str, float] | None = None
    """(pca or svd, components or the share they explain)."""
