"""The last values before the cutoff, as a window that slides, and how far ahead the row lies."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from many_models.features.base import Wishes
from many_models.features.rows import Rows
from many_models.panel.series import Floats, Series

FEWEST, MOST = 6, 24
"""Values of a window: a season and one more, within these bounds."""


@dataclass(frozen=True)
class Recent:
    """The last values up to the cutoff, newest first, and the step of the row.

    Unlike lags they stand at the same distance from the cutoff at every step: many series show what
    follows such a window, one series rarely does, so that models of a group read it.

    Attributes
    ----------
    width
        How many values.
    by_step
        Whether each value is also there times the step, for linear models: what a value says fades, or
        grows, along the horizon.
    reach
        The last step, where steps become 1.
    """

    name: ClassVar[str] = "recent"

    width: int
    by_step: bool
    reach: int

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The window for the season; None where lags are off, or there is no history."""
        if len(series) < 2 or wishes.settings.lags == ():
            return None
        width = min(max(wishes.season + 1, FEWEST), MOST)
        return cls(width, wishes.style == "linear", wishes.reach)

    @property
    def columns(self) -> tuple[str, ...]:
        """The values, newest first, and the step."""
        names = [f"last{place}" for place in range(self.width)]
        return (*names, "step", *(f"{name}*step" for name in names if self.by_step))

    @property
    def memory(self) -> int:
        """The width of the window."""
        return self.width

    def build(self, rows: Rows) -> Floats:
        """Values relative to the level of the row, the step, and their products [n, c].

        Before the start of a history stands its first value.
        """
        places = np.maximum(rows.cutoff[:, None] - np.arange(self.width), 0)
        values = rows.y[places] - rows.level[:, None]
        # A step further than was learned is answered as the last one.
        step = np.minimum(rows.target - rows.cutoff, self.reach)[:, None] / self.reach
        return np.hstack([values, step, values * step] if self.by_step else [values, step])

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        return cls(int(data["width"]), bool(data["by_step"]), int(data["reach"]))
