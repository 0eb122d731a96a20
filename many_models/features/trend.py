"""Linear time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from many_models.features.base import Wishes
from many_models.features.rows import Rows
from many_models.panel.series import Floats, Series


@dataclass(frozen=True)
class Trend:
    """Time since the start of the training part, in units of its length, held after `hold` steps.

    A trend learned on T values is not believed much further than it was asked for: it stays
    constant beyond the trained horizon.
    """

    name: ClassVar[str] = "trend"

    start: int
    length: int
    hold: int

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """Time, where there are at least three values."""
        if len(series) < 3:
            return None
        return cls(series.start, len(series), wishes.reach)

    @property
    def columns(self) -> tuple[str, ...]:
        """One column."""
        return ("trend",)

    @property
    def memory(self) -> int:
        """None of the target is read."""
        return 0

    def build(self, rows: Rows) -> Floats:
        """Time of the rows [n, 1]: 0 at the first training value, 1 after the last."""
        elapsed = (rows.ordinals - self.start).clip(max=self.length - 1 + self.hold)
        return (elapsed / self.length)[:, None]

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        return cls(int(data["start"]), int(data["length"]), int(data["hold"]))
