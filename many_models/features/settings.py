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
