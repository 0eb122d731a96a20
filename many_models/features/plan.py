"""The feature plan: which columns a model reads, decided once and kept with the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from many_models.features.base import Family, Wishes
from many_models.features.calendar import Calendar
from many_models.features.context import Context
from many_models.features.covariates import Covariates
from many_models.features.events import Events
from many_models.features.fourier import Fourier
from many_models.features.group import Group
from many_models.features.holidays import Holidays
from many_models.features.lags import Lags
from many_models.features.own import own_family
from many_models.features.past import Past
from many_models.features.recent import Recent
from many_models.features.rows import Rows
from many_models.features.stl import Stl
from many_models.features.windows import Windows
from many_models.panel.series import Floats, Series

FAMILIES: dict[str, type[Family]] = {
    "lags": Lags,
    "windows": Windows,
    "fourier": Fourier,
    "stl": Stl,
    "calendar": Calendar,
    "holidays": Holidays,
    "events": Events,
    "covariates": Covariates,
    "context": Context,
    "past": Past,
    "recent": Recent,
    "group": Group,
}
"""Every family by name; a new one is one file and one line here."""

MOST_BYTES = 2**28
"""Of the training matrix of one series; above it lags and windows become fewer."""


def family_of(name: str) -> type[Family]:
    """The family of that name: one of ours, or one of the user's own."""
    return FAMILIES.get(name) or own_family(name)


@dataclass(frozen=True)
class FeaturePlan:
    """Families in the order of their columns.

    Attributes
    ----------
    dropped
        Names of the columns that were left out because the matrix would have been too large.
    """

    families: tuple[Family, ...]
    dropped: tuple[str, ...] = ()

    @classmethod
    def decide(cls, series: Series, wishes: Wishes, names: tuple[str, ...]) -> Self:
        """The plan for a training part: the named families that have something to say there."""
        asked = [name for name in FAMILIES if name in names and name not in wishes.settings.block]
        asked += [name for name in names if name not in FAMILIES]
        found = (family_of(name).decide(series, wishes) for name in asked)
        return cls(tuple(family for family in found if family is not None))

    def bytes(self, rows: int) -> int:
        """How large the matrix of so many rows is, before it is built."""
        return 8 * rows * len(self.columns)

    def within(self, rows: int, most: int = MOST_BYTES) -> FeaturePlan:
        """This plan, or one with fewer lags and windows whose matrix of `rows` takes at most `most` bytes.

        Every second window goes, again and again until it fits or one is left; then lags do.
        """
        if self.bytes(rows) <= most:
            return self
        plan, names = self, ("windows", "lags")
        while plan.bytes(rows) > most:
            families = plan.families
            for name in names:
                families = tuple(
                    f.thinned() if f.name == name and isinstance(f, Lags | Windows) else f for f in families
                )
                if families != plan.families:
                    break
            if families == plan.families:
                break
            plan = FeaturePlan(families)
        kept = set(plan.columns)
        left_out = tuple(column for column in self.columns if column not in kept)
        return FeaturePlan(plan.families, self.dropped + left_out)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns, in order [c]."""
        return tuple(column for family in self.families for column in family.columns)

    @property
    def memory(self) -> int:
        """How many last values of the target the rows of a forecast read."""
        return max((family.memory for family in self.families), default=0)

    @property
    def known_memory(self) -> int:
        """How many last rows of the known covariates the rows of a forecast read."""
        return max((f.known_memory for f in self.families if isinstance(f, Covariates)), default=0)

    @property
    def past_memory(self) -> int:
        """How many last rows of the past-only covariates the rows of a forecast read."""
        return max((f.past_memory for f in self.families if isinstance(f, Past)), default=0)

    @property
    def uses_known(self) -> bool:
        """Whether rows need known covariates."""
        return any(isinstance(family, Covariates | Context) for family in self.families)

    def build(self, rows: Rows) -> Floats:
        """The matrix of features for `rows` [n, c]."""
        if not self.families:
            return np.empty((len(rows), 0))
        return np.concatenate([family.build(rows) for family in self.families], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """The decisions as JSON values, families in order."""
        data: dict[str, Any] = {family.name: family.to_dict() for family in self.families}
        return {**data, "dropped": list(self.dropped)} if self.dropped else data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The plan that gave this `to_dict()`: the order of columns is that of `FAMILIES`, own ones last."""
        names = [name for name in FAMILIES if name in data]
        names += sorted(name for name in data if name not in FAMILIES and name != "dropped")
        families = tuple(family_of(name).from_dict(data[name]) for name in names)
        return cls(families, tuple(str(column) for column in data.get("dropped", ())))
