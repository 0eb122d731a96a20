"""What a model of a group reads besides the series of a row: which series it is, and how the group went.

Both are computed from the training parts alone and kept with the model: which series it is as a few
numbers of each series (`Rows.member`), how the group went as its mean per period.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from many_models.features.base import Wishes
from many_models.features.rows import Positions, Rows
from many_models.panel.series import Floats, Series

SPANS = (1, 4)
"""The group's change since so many periods before the cutoff."""


@dataclass(frozen=True)
class Group:
    """Columns of a series as a member of its group, and of the group up to the cutoff.

    Attributes
    ----------
    member
        Names of the numbers in `Rows.member`.
    start
        Period number of the first of `means`.
    means : [T]
        The mean over the series of the group of what each learned, per period; none = not read.
    """

    name: ClassVar[str] = "group"

    member: tuple[str, ...]
    start: int = 0
    means: tuple[float, ...] = ()

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """How a group of this series alone went; of more series a pooled learner makes this family."""
        return cls((), series.start, tuple(float(value) for value in series.y)) if len(series) else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The numbers of the member, then how the group changed."""
        changes = (f"group_change{span}" for span in SPANS if self.means)
        return (*self.member, *changes)

    @property
    def memory(self) -> int:
        """None of the target is read: what the group did is kept here."""
        return 0

    def build(self, rows: Rows) -> Floats:
        """The columns of the rows [n, c]."""
        found = np.empty((len(rows), len(self.columns)))
        count = len(self.member)
        found[:, :count] = rows.member[:count]
        if self.means:
            cutoff = rows.ordinals - (rows.target - rows.cutoff)
            now = self._at(cutoff)
            for place, span in enumerate(SPANS):
                found[:, count + place] = now - self._at(cutoff - span)
        return found

    def _at(self, ordinals: Positions) -> Floats:
        """The mean of the group at period numbers [n]; before the first and after the last stand those."""
        means = np.array(self.means)
        return means[np.clip(ordinals - self.start, 0, len(means) - 1)]

    def since(self, ordinal: int) -> Group:
        """The same, of cutoffs from `ordinal` on alone: what a stored model needs."""
        first = min(max(0, ordinal - max(SPANS) - self.start), max(0, len(self.means) - 1))
        return Group(self.member, self.start + first, self.means[first:])

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {"member": list(self.member), "start": self.start, "means": list(self.means)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        means = tuple(float(mean) for mean in data["means"])
        return cls(tuple(str(name) for name in data["member"]), int(data["start"]), means)
