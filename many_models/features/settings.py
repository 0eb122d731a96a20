"""What the configuration says about features."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FeatureSettings:
    """The part of the configuration that the regression learners and ARX read.

    `None` means `auto`; an empty tuple or zero means off.
    """

    lags: tuple[int, ...] | None = None
    windows: tuple[int, ...] | None = None
    calendar: bool | None = None
    fourier: int | None = None
    holidays: tuple[tuple[str, str | None], ...] = ()
    """(country, subdivision) pairs."""
    log: bool | None = None
    transform: str = "auto"
    """none, log, log1p or box_cox of the target."""
    difference: str = "auto"
    """off, first, seasonal or both: what the target is told relative to."""
    scaling: str = "auto"
    """none, standard, minmax, maxabs, robust or normalizer: of the columns."""
    reduction: tuple[str, float] | None = None
    """(pca or svd, components or the share they explain)."""
