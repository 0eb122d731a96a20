"""Known columns of the sibling series: a price relative to the siblings' mean, and their own values.

What the siblings' rows say comes in as known covariates (`panel.context`); here they become columns.
The default is one column for each: the own value relative to the siblings' mean, or of a flag the
siblings' share. More columns cost more than they tell on a hundred weeks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np

from many_models.features.base import Style, Wishes
from many_models.features.rows import Rows
from many_models.features.settings import ContextKind
from many_models.panel.context import lowest_name, mean_name
from many_models.panel.series import Floats, Series

Relation: TypeAlias = Literal["number", "log", "difference", "ratio", "log_ratio"]

WIDE = 0.5
"""Values are held within the trained range, widened by this share of it on both sides."""
LEAST = 1e-300
"""Logs and ratios are taken of nothing lower."""


@dataclass(frozen=True)
class ContextColumn:
    """One feature from a context column.

    Attributes
    ----------
    name
        Name of the feature.
    own
        Position of the series' own covariate; the same as `other` where it is not read.
    other
        Position of the siblings' covariate.
    relation
        `number` and `log` read the siblings alone; the others the own value relative to them.
    low, high
        What values are held within.
    """

    name: str
    own: int
    other: int
    relation: Relation
    low: float = -np.inf
    high: float = np.inf

    def build(self, known_x: Floats) -> Floats:
        """The feature for covariates [n, K] -> [n]."""
        own, other = known_x[:, self.own], known_x[:, self.other]
        if self.relation == "number":
            value = other
        elif self.relation == "difference":
            value = own - other
        elif self.relation == "log":
            value = np.log(np.maximum(other, LEAST))
        else:
            value = np.maximum(own, LEAST) / np.maximum(other, LEAST)
            value = np.log(value) if self.relation == "log_ratio" else value
        return np.clip(value, self.low, self.high)


@dataclass(frozen=True)
class Context:
    """Features of the known columns of the siblings."""

    name: ClassVar[str] = "context"

    singles: tuple[ContextColumn, ...]

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The columns asked for that vary in the training part."""
        if wishes.settings.covariates is None:
            return None
        found: list[ContextColumn] = []
        for column in _columns(series, wishes.settings.context, wishes.style):
            value = column.build(series.known_x)
            low, high = float(np.min(value)), float(np.max(value))
            if low < high:
                margin = WIDE * (high - low)
                ends = low - margin, high + margin
                found.append(ContextColumn(column.name, column.own, column.other, column.relation, *ends))
        return cls(tuple(found)) if found else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.singles)

    @property
    def memory(self) -> int:
        """None of the target is read."""
        return 0

    def build(self, rows: Rows) -> Floats:
        """The features of the rows [n, c]."""
        return np.column_stack([column.build(rows.known_x) for column in self.singles])

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {"singles": [[c.name, c.own, c.other, c.relation, c.low, c.high] for c in self.singles]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        return cls(
            tuple(
                ContextColumn(str(name), int(own), int(other), relation, float(low), float(high))
                for name, own, other, relation, low, high in data["singles"]
            )
        )


def _columns(series: Series, kinds: tuple[ContextKind, ...], style: Style) -> Iterator[ContextColumn]:
    """Every column asked for, its range still open."""
    places = {c.name: i for i, c in enumerate(series.known) if c.origin == "siblings"}
    for own, covariate in enumerate(series.known):
        lowest, mean = places.get(lowest_name(covariate.name)), places.get(mean_name(covariate.name))
        if covariate.origin != "own" or lowest is None or mean is None:
            continue
        prefix = f"context({covariate.name})["
        each = [place for name, place in places.items() if name.startswith(prefix)]
        flag = covariate.kind == "boolean"
        for kind in kinds:
            if kind == "relative" and not flag:
                yield _compared(series, own, mean, style, f"{covariate.name}_to_siblings_mean")
            elif kind == "above_min":
                yield ContextColumn(f"{covariate.name}_above_siblings_min", own, lowest, "difference")
            else:
                others = {"min": [lowest], "siblings": each}.get(kind, [mean])
                yield from (_alone(series, other, style) for other in others)


def _alone(series: Series, other: int, style: Style) -> ContextColumn:
    """A column of the siblings as it is, or its log for a linear model where it is positive."""
    name = series.known[other].name
    if style == "linear" and _positive(series.known_x[:, other]):
        return ContextColumn(f"log_{name}", other, other, "log")
    return ContextColumn(name, other, other, "number")


def _compared(series: Series, own: int, other: int, style: Style, name: str) -> ContextColumn:
    """The own value relative to the siblings': a ratio where both are positive, else a difference."""
    if not (_positive(series.known_x[:, own]) and _positive(series.known_x[:, other])):
        return ContextColumn(name, own, other, "difference")
    if style == "linear":
        return ContextColumn(f"log_{name}", own, other, "log_ratio")
    return ContextColumn(name, own, other, "ratio")


def _positive(values: Floats) -> bool:
    return bool(np.min(values) > 0.0)
