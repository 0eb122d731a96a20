"""Known covariates: numbers, logs of positive numbers, flags, indicators, and their products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np

from many_models.features.base import Wishes
from many_models.features.rows import Rows
from many_models.panel.series import Floats, Series

Transform: TypeAlias = Literal["number", "log", "flag", "category"]

WIDE = 0.5
"""Numbers are held within the trained range, widened by this share of it on both sides."""
MOST_CATEGORIES = 20
MOST_PRODUCTS = 8


@dataclass(frozen=True)
class Column:
    """One feature from one covariate.

    Attributes
    ----------
    name
        Name of the feature.
    source
        Position of the covariate.
    transform
        `log` and `number` are held within [low, high]; `category` is 1 where the position
        of the category is `low`.
    """

    name: str
    source: int
    transform: Transform
    low: float
    high: float

    def build(self, known_x: Floats) -> Floats:
        """The feature for covariates [n, K] -> [n]."""
        value = known_x[:, self.source]
        if self.transform == "category":
            return np.asarray(value == self.low, dtype=np.float64)
        held = np.clip(value, self.low, self.high)
        return np.log(held) if self.transform == "log" else held


@dataclass(frozen=True)
class Covariates:
    """Features of the known covariates, and products of numbers with flags for linear models."""

    name: ClassVar[str] = "covariates"

    singles: tuple[Column, ...]
    products: tuple[tuple[int, int], ...]
    """Positions in `singles`."""

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The columns that vary in the training part; products where a linear model reads them."""
        singles: list[Column] = []
        flags: list[int] = []
        numbers: list[int] = []
        for source, covariate in enumerate(series.known):
            value = series.known_x[:, source]
            low, high = float(np.min(value)), float(np.max(value))
            if not low < high:
                continue
            if covariate.kind == "category":
                seen = np.bincount(value.astype(np.int64), minlength=1)
                often = np.argsort(-seen, kind="stable")[:MOST_CATEGORIES]
                singles += [
                    Column(f"{covariate.name}={covariate.categories[i]}", source, "category", float(i), 0.0)
                    for i in sorted(int(i) for i in often if seen[i] > 1)
                ]
            elif _is_flag(value, low, high):
                flags.append(len(singles))
                singles.append(Column(covariate.name, source, "flag", low, high))
            else:
                numbers.append(len(singles))
                singles.append(_number(covariate.name, source, low, high, wishes))
        if not singles:
            return None
        products: list[tuple[int, int]] = []
        if wishes.style == "linear":
            products = [(a, b) for b in flags for a in numbers]
            products += [(a, b) for i, a in enumerate(flags) for b in flags[i + 1 :]]
        return cls(tuple(singles), tuple(products[:MOST_PRODUCTS]))

    @property
    def columns(self) -> tuple[str, ...]:
        """Single features, then products."""
        names = [column.name for column in self.singles]
        return tuple(names + [f"{names[a]}*{names[b]}" for a, b in self.products])

    @property
    def memory(self) -> int:
        """None of the target is read."""
        return 0

    @property
    def known_memory(self) -> int:
        """How many last rows of the known covariates the rows of a forecast read."""
        return 0

    def build(self, rows: Rows) -> Floats:
        """The features of the rows [n, c]."""
        known_x = rows.known_x
        parts = [column.build(known_x) for column in self.singles]
        parts += [self._centred(parts, a) * parts[b] for a, b in self.products]
        return np.column_stack(parts)

    def _centred(self, parts: list[Floats], position: int) -> Floats:
        """A number relative to the middle of its range, so that a product is not the flag again."""
        column = self.singles[position]
        if column.transform == "flag":
            return parts[position]
        ends = np.array([column.low, column.high])
        return parts[position] - float((np.log(ends) if column.transform == "log" else ends).mean())

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {
            "singles": [[c.name, c.source, c.transform, c.low, c.high] for c in self.singles],
            "products": [list(pair) for pair in self.products],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        singles = tuple(
            Column(str(name), int(source), transform, float(low), float(high))
            for name, source, transform, low, high in data["singles"]
        )
        return cls(singles, tuple((int(a), int(b)) for a, b in data["products"]))


def _is_flag(value: Floats, low: float, high: float) -> bool:
    """Whether a column says yes or no, or how much of a yes (a share between 0 and 1)."""
    return low >= 0.0 and high <= 1.0 and bool(np.any(value == 0.0))


def _number(name: str, source: int, low: float, high: float, wishes: Wishes) -> Column:
    """A number as it is, or its log for a linear model where it is positive."""
    if wishes.style == "linear" and low > 0.0:
        factor = (high / low) ** WIDE
        return Column(f"log_{name}", source, "log", low / factor, high * factor)
    margin = WIDE * (high - low)
    return Column(name, source, "number", low - margin, high + margin)
