"""Filling holes from one part of a series alone: what a fit may see, and nothing after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from many_models.errors import Problem
from many_models.panel.series import Bools, Covariate, Floats

Method: TypeAlias = Literal["auto", "linear", "forward", "seasonal", "median", "zero", "constant"]

NUMBERS_ONLY = ("linear", "zero")
"""Methods that have no meaning for text."""


@dataclass(frozen=True)
class Fill:
    """How the holes of one column are filled.

    Attributes
    ----------
    method
        auto: a straight line for the target, the value before for covariates.
    constant
        The value of the method `constant`; text for a column of text.
    """

    method: Method = "auto"
    constant: float | str | None = None

    @classmethod
    def of(cls, setting: str | Mapping[str, Any]) -> Fill:
        """The rule that a method's name or `{constant: value}` stands for."""
        if isinstance(setting, str):
            return cls(setting)  # type: ignore[arg-type]  # the configuration has checked it
        return cls("constant", setting["constant"])

    def __str__(self) -> str:
        return f"constant {self.constant}" if self.method == "constant" else self.method


AUTO = Fill()


def fill_problem(fill: Fill, column: str, kind: str) -> Problem | None:
    """Why a column of this kind (number, boolean or category) cannot be filled so; None where it can."""
    where = f"preparation.impute.{column}"
    text = isinstance(fill.constant, str)
    if kind == "category":
        if fill.method in NUMBERS_ONLY or (fill.method == "constant" and not text):
            allowed = "auto, forward, seasonal, median (the most frequent) or {constant: a text}"
            return Problem(where, f"{fill} for a column of text", allowed, "write one of them")
    elif text:
        return Problem(where, f"{fill} for a column of numbers", "{constant: a number}", "write a number")
    elif kind == "boolean" and fill.method == "linear":
        return Problem(where, "linear for a column of true and false", "any other method", "write forward")
    return None


def fill_target(y: Floats, observed: Bools, fill: Fill, season: int) -> Floats:
    """The target [T] with its holes filled from the observed values of these T positions.

    `auto` and `linear`: a straight line between the neighbours; `forward`: the last value;
    `seasonal`: the value one season before where there is one, else a straight line; `median`, `zero`
    and `constant`. After the last observed value that value is carried on (the last three excepted).
    """
    if observed.all():
        return y
    return _filled(y, observed, fill if fill.method != "auto" else Fill("linear"), season, "number")


def fill_columns(
    values: Floats, fills: Sequence[Fill] = (), columns: Sequence[Covariate] = (), season: int = 1
) -> Floats:
    """Covariates [T, K] with their holes filled from these T positions.

    `auto` and `forward`: the last value before the hole, and before the first value the first;
    `median` of flags and categories is the most frequent. Without a rule a column is `auto`, and a
    column without any value stays NaN, unless its rule is `zero` or `constant`.

    Parameters
    ----------
    fills : [K]
        One rule for each column; none for all is `auto`.
    columns : [K]
        What the columns are, where any rule is not `auto`.
    """
    holes = np.isnan(values)
    if not holes.any():
        return values
    rows = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(holes, -1, rows), axis=0)
    first = np.argmax(~holes, axis=0)
    source = np.where(last < 0, first, last)
    result: Floats = np.take_along_axis(values, source, axis=0)
    empty: Bools = np.all(holes, axis=0)
    for j, fill in enumerate(fills):
        known = not empty[j] or fill.method in ("zero", "constant")
        if fill.method not in ("auto", "forward") and holes[:, j].any() and known:
            result[:, j] = _filled(
                values[:, j], ~holes[:, j], _coded(fill, columns[j]), season, columns[j].kind
            )
    return result


def _coded(fill: Fill, column: Covariate) -> Fill:
    """The rule with a constant text as the code of its category."""
    if not isinstance(fill.constant, str):
        return fill
    return Fill("constant", float(column.categories.index(fill.constant)))


def _filled(values: Floats, observed: Bools, fill: Fill, season: int, kind: str) -> Floats:
    """Values [T] with what is not observed filled by a rule that is not `auto`."""
    seen, holes = np.flatnonzero(observed), np.flatnonzero(~observed)
    filled = values.copy()
    if fill.method == "constant":
        filled[holes] = fill.constant
    elif fill.method == "zero" or not len(seen):
        filled[holes] = 0.0
    elif fill.method == "median":
        filled[holes] = np.median(values[seen]) if kind == "number" else _most_frequent(values[seen])
    elif fill.method == "forward" or kind != "number":
        filled[holes] = values[seen[np.maximum(np.searchsorted(seen, holes) - 1, 0)]]
    else:
        filled[holes] = np.interp(holes, seen, values[seen])
    if fill.method == "seasonal" and season > 1 and len(seen):
        for place in holes[holes >= season]:
            filled[place] = filled[place - season]
    return filled


def _most_frequent(values: Floats) -> float:
    """The value that stands most often; of several the smallest, so that order decides nothing."""
    found, times = np.unique(values, return_counts=True)
    return float(found[np.argmax(times)])
