"""Known covariates: numbers, logs of positive numbers, flags, indicators, their history, and their products.

A covariate that varies in the training part becomes one column, or one for each category. From
these columns others are derived on request: earlier and later values, differences, and a price
relative to its own recent level. They read the rows before and after their row: the history that
is kept with the model, and the future rows that were given. A row that is not there is not made
up: a derived value that would need it is the mean that it had in training, and says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np

from many_models.features.base import Style, Wishes
from many_models.features.rows import Positions, Rows
from many_models.features.settings import CovariateSettings, Steps, StepsByColumn
from many_models.panel.series import MOST_CATEGORIES, Covariate, Floats, Series

Transform: TypeAlias = Literal["number", "log", "flag", "category"]
Relation: TypeAlias = Literal["lag", "lead", "difference", "mean", "max"]

WIDE = 0.5
"""Numbers are held within the trained range, widened by this share of it on both sides."""
MOST_PRODUCTS = 8
"""Products that `auto` makes."""


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

    def build(self, value: Floats) -> Floats:
        """The feature for values of the covariate; a category that was never seen is none of them."""
        if self.transform == "category":
            return np.where(np.isnan(value), value, value == self.low)
        held = np.clip(value, self.low, self.high)
        return np.log(held) if self.transform == "log" else held

    @property
    def least(self) -> float:
        """What a positive number is never read below as a part of a ratio; 0 or less for other columns."""
        if self.transform == "log":
            return self.low
        if self.transform == "number":
            # The trained range is the middle half of the range that values are held within.
            return (0.75 * self.low + 0.25 * self.high) / 2.0
        return 0.0

    @property
    def center(self) -> float:
        """The middle of the range of a number, so that a product with it is not the flag again."""
        if self.transform in ("flag", "category"):
            return 0.0
        ends = np.array([self.low, self.high])
        return float((np.log(ends) if self.transform == "log" else ends).mean())


@dataclass(frozen=True)
class Derived:
    """One feature from the other rows of a column.

    Attributes
    ----------
    base
        Position of the column in `singles`.
    relation
        `lag` and `lead` are the column `steps` rows before and after; `difference` is the column
        less its lag; `mean` and `max` are the covariate divided by the mean or the largest of the
        `steps` rows before (the log of that where the column is a log).
    neutral
        The mean of the feature in training, for rows that cannot be read.
    """

    name: str
    base: int
    relation: Relation
    steps: int
    neutral: float

    @property
    def memory(self) -> int:
        """How many rows before the first row of a forecast are read."""
        return 0 if self.relation == "lead" else self.steps

    def build(self, column: Column, rows: Rows) -> Floats:
        """The feature of the rows [n]."""
        value = self.read(column, rows)
        return np.where(np.isfinite(value), value, self.neutral)

    def read(self, column: Column, rows: Rows) -> Floats:
        """The feature of the rows [n]; NaN where a row that it needs is not there."""
        now = rows.known_x[:, column.source]
        if self.relation in ("mean", "max"):
            before = _given(column, rows, -np.arange(1, self.steps + 1)).clip(column.least, column.high)
            there = np.isfinite(before)
            if self.relation == "mean":
                level = np.where(there, before, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
            else:
                level = np.where(there, before, 0.0).max(axis=1)
            ratio = now.clip(column.least, column.high) / np.where(there.any(axis=1), level, np.nan)
            return np.log(ratio) if column.transform == "log" else ratio
        offset = self.steps if self.relation == "lead" else -self.steps
        other = column.build(_given(column, rows, np.array([offset]))[:, 0])
        return column.build(now) - other if self.relation == "difference" else other


def _given(column: Column, rows: Rows, offsets: Positions) -> Floats:
    """The covariate of a column `offsets` [m] steps from each row [n, m]; NaN where no such row was given."""
    if not len(rows.known_ordinals):
        return np.full((len(rows), len(offsets)), np.nan)
    wanted = rows.ordinals[:, None] + offsets
    place = np.searchsorted(rows.known_ordinals, wanted).clip(max=len(rows.known_ordinals) - 1)
    there = rows.known_ordinals[place] == wanted
    return np.where(there, rows.known_table[place, column.source], np.nan)


@dataclass(frozen=True)
class Covariates:
    """Features of the known covariates, what is derived from them, and products."""

    name: ClassVar[str] = "covariates"

    singles: tuple[Column, ...]
    products: tuple[tuple[int, int], ...]
    """Positions in `singles`."""
    derived: tuple[Derived, ...] = ()

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The columns that vary in the training part, what is asked of them, and products."""
        settings = wishes.settings.covariates
        if settings is None:
            return None
        singles = tuple(
            column
            for source, covariate in enumerate(series.known)
            if covariate.origin in ("own", "missing")  # the family `context` reads the siblings'
            for column in columns_of(
                covariate, source, series.known_x[:, source], wishes.style, settings.log is not False
            )
        )
        if not singles:
            return None
        # Flags of missing values come last; nothing is made of them.
        own = [column for column in singles if series.known[column.source].origin == "own"]
        names = [series.known[column.source].name for column in own]
        if settings.interactions is not None:
            products = _products_of(names, settings.interactions)
        else:
            products = _usual_products(own) if wishes.style == "linear" else ()
        rows = Rows.past(series)
        wanted = _wanted(own, names, settings)
        derived = (_fitted(each, singles[each.base], rows) for each in wanted)
        return cls(singles, products, tuple(each for each in derived if each is not None))

    @property
    def columns(self) -> tuple[str, ...]:
        """Single features, then products, then derived ones."""
        names = [column.name for column in self.singles]
        names += [f"{names[a]}*{names[b]}" for a, b in self.products]
        return (*names, *(each.name for each in self.derived))

    @property
    def memory(self) -> int:
        """None of the target is read."""
        return 0

    @property
    def known_memory(self) -> int:
        """How many last rows of the known covariates the rows of a forecast read."""
        return max((each.memory for each in self.derived), default=0)

    def build(self, rows: Rows) -> Floats:
        """The features of the rows [n, c]."""
        parts = [column.build(rows.known_x[:, column.source]) for column in self.singles]
        centers = [column.center for column in self.singles]
        parts += [(parts[a] - centers[a]) * (parts[b] - centers[b]) for a, b in self.products]
        parts += [each.build(self.singles[each.base], rows) for each in self.derived]
        return np.column_stack(parts)

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {
            "singles": [[c.name, c.source, c.transform, c.low, c.high] for c in self.singles],
            "products": [list(pair) for pair in self.products],
            "derived": [[d.name, d.base, d.relation, d.steps, d.neutral] for d in self.derived],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        singles = tuple(
            Column(str(name), int(source), transform, float(low), float(high))
            for name, source, transform, low, high in data["singles"]
        )
        derived = tuple(
            Derived(str(name), int(base), relation, int(steps), float(neutral))
            for name, base, relation, steps, neutral in data.get("derived", ())
        )
        return cls(singles, tuple((int(a), int(b)) for a, b in data["products"]), derived)


def columns_of(
    covariate: Covariate, source: int, value: Floats, style: Style, logs: bool = True
) -> list[Column]:
    """The columns of a covariate at position `source`, with the values [T] that may be looked at.

    A number, its log, a flag, or an indicator for each frequent category; none where it does not
    vary. The log is for linear models, of a number that is positive throughout: a price cut of a
    tenth then does the same at every level. To a tree a log is the number again.
    """
    low, high = float(np.min(value)), float(np.max(value))
    if not low < high:
        return []
    if covariate.kind == "category":
        # In a group a series may lack the covariate: its values are `UNSEEN`.
        seen = np.bincount(value[value >= 0.0].astype(np.int64), minlength=1)
        often = np.argsort(-seen, kind="stable")[:MOST_CATEGORIES]
        return [
            Column(f"{covariate.name}={covariate.categories[i]}", source, "category", float(i), 0.0)
            for i in sorted(int(i) for i in often if seen[i] > 1)
        ]
    if _is_flag(value, low, high):
        return [Column(covariate.name, source, "flag", low, high)]
    return [_number(covariate.name, source, low, high, logs and style == "linear")]


def _is_flag(value: Floats, low: float, high: float) -> bool:
    """Whether a column says yes or no, or how much of a yes (a share between 0 and 1)."""
    return low >= 0.0 and high <= 1.0 and bool(np.any(value == 0.0))


def _number(name: str, source: int, low: float, high: float, log: bool) -> Column:
    """A number as it is, or its log where it is positive."""
    if log and low > 0.0:
        factor = (high / low) ** WIDE
        return Column(f"log_{name}", source, "log", low / factor, high * factor)
    margin = WIDE * (high - low)
    return Column(name, source, "number", low - margin, high + margin)


def _usual_products(singles: list[Column]) -> tuple[tuple[int, int], ...]:
    """Numbers with flags, then flags with flags: what a promotion does to a price's effect."""
    flags = [i for i, column in enumerate(singles) if column.transform == "flag"]
    numbers = [i for i, column in enumerate(singles) if column.transform in ("number", "log")]
    products = [(a, b) for b in flags for a in numbers]
    products += [(a, b) for i, a in enumerate(flags) for b in flags[i + 1 :]]
    return tuple(products[:MOST_PRODUCTS])


def _products_of(names: list[str], pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[int, int], ...]:
    """Every column of the one covariate with every column of the other."""
    found = [
        (min(a, b), max(a, b))
        for one, other in pairs
        for a, first in enumerate(names)
        for b, second in enumerate(names)
        if (first, second) == (one, other)
    ]
    return tuple(dict.fromkeys(found))


def _steps_for(wish: StepsByColumn, name: str) -> Steps:
    return next((steps for column, steps in wish if column in (None, name)), ())


def _wanted(singles: list[Column], names: list[str], settings: CovariateSettings) -> Iterator[Derived]:
    """What the configuration asks of each column, as far as the column allows it."""
    for base, (column, name) in enumerate(zip(singles, names, strict=True)):
        for steps in _steps_for(settings.lags, name):
            yield Derived(f"{column.name}-{steps}", base, "lag", steps, 0.0)
        for steps in _steps_for(settings.leads, name):
            yield Derived(f"{column.name}+{steps}", base, "lead", steps, 0.0)
        if column.transform == "category":
            continue
        for steps in _steps_for(settings.differences, name):
            yield Derived(f"{column.name}~{steps}", base, "difference", steps, 0.0)
        # A ratio is of numbers that are positive throughout.
        for steps in _steps_for(settings.relative, name) if column.least > 0.0 else ():
            yield Derived(f"{column.name}/mean{steps}", base, "mean", steps, 0.0)
            yield Derived(f"{column.name}/max{steps}", base, "max", steps, 0.0)


def _fitted(wanted: Derived, column: Column, rows: Rows) -> Derived | None:
    """The feature with its neutral value, or None where it does not vary or is rarely there."""
    value = wanted.read(column, rows)
    value = value[np.isfinite(value)]
    if wanted.steps > len(rows) / 2 or not len(value) or not float(value.min()) < float(value.max()):
        return None
    return replace(wanted, neutral=float(value.mean()))
