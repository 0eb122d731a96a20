"""Rolling means and deviations of the target up to the cutoff of each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from many_models.features.base import Wishes
from many_models.features.lags import known_position
from many_models.features.rows import Rows
from many_models.panel.series import Floats, Series

SEASONAL_CYCLES = 3
"""How many values of the same season a seasonal mean takes."""


@dataclass(frozen=True)
class Windows:
    """Means and standard deviations of the last values, and the mean of the same season's."""

    name: ClassVar[str] = "windows"

    widths: tuple[int, ...]
    season: int
    """Season of the seasonal mean; 1 = none."""

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The windows asked for that fit in a third of the training part."""
        room = max(1, (len(series) - wishes.lead) // 3)
        wanted = wishes.settings.windows
        if wanted is None:
            wanted = (4, wishes.season if wishes.season > 4 else 12)
        widths = tuple(sorted({width for width in wanted if 2 <= width <= room}))
        season = wishes.season if SEASONAL_CYCLES * wishes.season <= len(series) // 2 else 1
        if wishes.settings.windows == () or not (widths or season > 1):
            return None
        return cls(widths, season)

    @property
    def columns(self) -> tuple[str, ...]:
        """Mean and deviation per width, then the seasonal mean."""
        names = [f"{kind}{width}" for width in self.widths for kind in ("mean", "std")]
        return tuple(names + ([f"seasonal_mean{self.season}"] if self.season > 1 else []))

    @property
    def memory(self) -> int:
        """The longest window."""
        seasonal = SEASONAL_CYCLES * self.season if self.season > 1 else 0
        return max((*self.widths, seasonal), default=0)

    def build(self, rows: Rows) -> Floats:
        """Rolling values seen at the cutoff of each row, means relative to its level [n, c]."""
        y = rows.y
        parts: list[Floats] = []
        for width in self.widths:
            # The stored tail of a model is shorter than its training part: a window is summed
            # value by value, so that both give the same bits.
            block = y[np.maximum(rows.cutoff[:, None] - np.arange(width), 0)]
            parts += [block.mean(axis=1) - rows.level, block.std(axis=1)]
        if self.season > 1:
            newest = known_position(rows.target, rows.cutoff, self.season)
            block = y[np.maximum(newest[:, None] - self.season * np.arange(SEASONAL_CYCLES), 0)]
            parts.append(block.mean(axis=1) - rows.level)
        return np.column_stack(parts)

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {"widths": list(self.widths), "season": self.season}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        return cls(tuple(int(width) for width in data["widths"]), int(data["season"]))
