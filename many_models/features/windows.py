"""Rolling statistics of the target up to the cutoff of each row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, ClassVar, Self

import numpy as np

from many_models.features.base import Wishes
from many_models.features.lags import known_position
from many_models.features.rows import Positions, Rows
from many_models.features.settings import WindowSettings
from many_models.panel.series import Bools, Floats, Series

SEASONAL_CYCLES = 3
"""How many values of the same season a seasonal mean takes, unless it is said."""
HALF_LIVES = 6
"""So many half-lives an exponentially weighted mean reads; older values would weigh 1.6 %."""
NEARLY_ZERO = 1e-9
"""A value counts as zero this near to it on the learned scale; logs are exact to rounding only."""
BLOCK = 2**21
"""Most values that are gathered at once."""

RELATIVE: dict[str, Callable[[Floats], Floats]] = {
    "mean": lambda block: np.asarray(block.mean(axis=1)),
    "min": lambda block: np.asarray(block.min(axis=1)),
    "max": lambda block: np.asarray(block.max(axis=1)),
    "median": lambda block: np.asarray(np.median(block, axis=1)),
}
"""Statistics of the values of a window [n, width] that are told relative to the level of the row."""


@dataclass(frozen=True)
class Windows:
    """Statistics of the last values, of their weighted mean, and of the same season's.

    Attributes
    ----------
    widths
        How many last values each window takes.
    season
        Season of the seasonal mean; 1 = none.
    statistics
        Of each window.
    cycles
        How many values of the same season the seasonal mean takes.
    half_lives
        Of exponentially weighted means.
    """

    name: ClassVar[str] = "windows"

    widths: tuple[int, ...]
    season: int = 1
    statistics: tuple[str, ...] = ("mean", "std")
    cycles: int = SEASONAL_CYCLES
    half_lives: tuple[float, ...] = ()

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The windows asked for that fit in a third of the training part."""
        wanted = wishes.settings.windows
        if wanted == ():
            return None
        if not isinstance(wanted, WindowSettings):
            wanted = WindowSettings(sizes=wanted)
        room = max(1, (len(series) - wishes.lead) // 3)
        sizes = wanted.sizes
        if sizes is None:
            sizes = (4, wishes.season if wishes.season > 4 else 12)
        widths = tuple(sorted({width for width in sizes if 2 <= width <= room}))
        cycles = SEASONAL_CYCLES if wanted.seasonal is None else wanted.seasonal
        seasonal = 0 < cycles * wishes.season <= len(series) // 2
        half_lives = tuple(sorted(h for h in wanted.ewm if ceil(HALF_LIVES * h) <= room))
        found = cls(widths, wishes.season if seasonal else 1, wanted.statistics, max(cycles, 1), half_lives)
        return found if found.columns else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The statistics of each width, the age of the last sale, weighted means, the seasonal mean."""
        names = [f"{kind}{width}" for width in self.widths for kind in self._of_each]
        if self._ages:
            names.append(f"since_nonzero{self.widths[-1]}")
        names += [f"ewm{half_life:g}" for half_life in self.half_lives]
        return tuple(names + ([f"seasonal_mean{self.season}"] if self.season > 1 else []))

    @property
    def _of_each(self) -> tuple[str, ...]:
        return tuple(kind for kind in self.statistics if kind != "since_nonzero")

    @property
    def _ages(self) -> bool:
        return "since_nonzero" in self.statistics and bool(self.widths)

    def thinned(self) -> Windows:
        """Every second width and half-life."""
        return replace(self, widths=self.widths[::2], half_lives=self.half_lives[::2])

    @property
    def memory(self) -> int:
        """The longest window."""
        seasonal = self.cycles * self.season if self.season > 1 else 0
        return max((*self.widths, *map(_reach, self.half_lives), seasonal), default=0)

    def build(self, rows: Rows) -> Floats:
        """Rolling values seen at the cutoff of each row [n, c].

        All but spreads, counts and ages are relative to its level. Before the start of a history
        stands its first value.
        """
        found = np.empty((len(rows), len(self.columns)))
        each = max(1, BLOCK // max(self.memory, 1))
        for begin in range(0, len(rows), each):
            part = slice(begin, begin + each)
            for column, values in enumerate(self._columns(rows, part)):
                found[part, column] = values
        return found

    def _columns(self, rows: Rows, part: slice) -> Iterator[Floats]:
        # The stored tail of a model is shorter than its training part: a window is summed
        # value by value, so that both give the same bits.
        cutoff, level = rows.cutoff[part], rows.level[part]
        zero = rows.zero[part] if len(rows.zero) else np.zeros(len(cutoff))
        for width in self.widths:
            block = _last(rows.y, cutoff, width)
            for kind in self._of_each:
                yield _statistic(kind, block, level, zero)
        if self._ages:
            yield _age(_nonzero(_last(rows.y, cutoff, self.widths[-1]), zero))
        for half_life in self.half_lives:
            weights = 0.5 ** (np.arange(_reach(half_life)) / half_life)
            block = _last(rows.y, cutoff, len(weights))
            yield (block * (weights / weights.sum())).sum(axis=1) - level
        if self.season > 1:
            newest = known_position(rows.target[part], cutoff, self.season)
            yield _last(rows.y, newest, self.cycles, self.season).mean(axis=1) - level

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {
            "widths": list(self.widths),
            "season": self.season,
            "statistics": list(self.statistics),
            "cycles": self.cycles,
            "half_lives": list(self.half_lives),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        return cls(
            tuple(int(width) for width in data["widths"]),
            int(data["season"]),
            tuple(str(kind) for kind in data["statistics"]),
            int(data["cycles"]),
            tuple(float(half_life) for half_life in data["half_lives"]),
        )


def _reach(half_life: float) -> int:
    """How many values a weighted mean reads."""
    return ceil(HALF_LIVES * half_life)


def _last(y: Floats, newest: Positions, count: int, apart: int = 1) -> Floats:
    """The value at each of `newest` [n] and those before it, newest first [n, count]."""
    return np.asarray(y[np.maximum(newest[:, None] - apart * np.arange(count), 0)])


def _nonzero(block: Floats, zero: Floats) -> Bools:
    return np.asarray(np.abs(block - zero[:, None]) > NEARLY_ZERO)


def _statistic(kind: str, block: Floats, level: Floats, zero: Floats) -> Floats:
    if kind == "std":
        return np.asarray(block.std(axis=1))
    if kind == "sum":
        return np.asarray(block.sum(axis=1) - block.shape[1] * level)
    if kind == "nonzeros":
        return np.asarray(_nonzero(block, zero).sum(axis=1, dtype=np.float64))
    return np.asarray(RELATIVE[kind](block) - level)


def _age(nonzero: Bools) -> Floats:
    """How many values ago the last one was not zero [n]: 0 = the newest; the width where all are."""
    age = np.where(nonzero.any(axis=1), nonzero.argmax(axis=1), nonzero.shape[1])
    return np.asarray(age, dtype=np.float64)
