"""The contract of feature families.

A family is one file and one line in `plan.py`. It is decided once, from the training part of
one series, and is a frozen value with JSON parameters from then on: the same columns in the
same order for past and for future rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, Self, TypeAlias, runtime_checkable

from many_models.features.rows import Rows
from many_models.features.settings import FeatureSettings
from many_models.panel.series import Floats, Series

Style: TypeAlias = Literal["linear", "tree"]
"""Who reads the columns: a linear model (indicators, logs, products) or a tree (plain numbers)."""


@dataclass(frozen=True)
class Wishes:
    """What a plan is decided for, besides the series.

    Attributes
    ----------
    style
        Who reads the columns.
    season
        Season length m (1 = none).
    reach
        Steps from the cutoff to the last forecast stamp: gap + horizon.
    settings
        What the configuration says.
    recursive
        Whether forecasts are fed back, so that every row reads the value right before it.
    """

    style: Style
    season: int = 1
    reach: int = 1
    settings: FeatureSettings = field(default_factory=FeatureSettings)
    recursive: bool = False

    @property
    def lead(self) -> int:
        """Steps from the last value that a row reads to the row, at most."""
        return 1 if self.recursive else self.reach


@runtime_checkable
class Family(Protocol):
    """A frozen group of feature columns."""

    name: ClassVar[str]

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The columns that this training part can carry, or None where there are none."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order [c]."""

    @property
    def memory(self) -> int:
        """How many last values of the target the rows of a forecast read."""

    def build(self, rows: Rows) -> Floats:
        """The columns for `rows` [n, c]."""

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
