"""Leakage suspects: known covariates that cannot be known ahead, because they tell the target of their row.

Two kinds of evidence, voted over the series of a sample:

- **A column reproduces the target**, alone (in ranks) or with another (their product, ratio, sum or
  difference), far closer than any value of an earlier row does. `registered` + `casual` = `cnt`.
- **Its name says that it is an outcome** (profit, margin, revenue, turnover, sales …), and it moves
  with the target. A margin in percent reproduces nothing, and is known only after the sale all the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from many_models.panel.layout import Layout
from many_models.panel.series import Floats

NEAR = 0.02
"""A column whose rank correlation with the target falls short of 1 by less than this reproduces it."""

NEAR_TOGETHER = 0.0005
"""The same for what two columns give together, of values rather than ranks."""

CLOSER = 0.25
"""… and by less than this share of what the values of earlier rows fall short."""

MOVES = 0.2
"""A column moves with the target where the rank correlation of their changes is at least this."""

OUTCOMES = frozenset(
    {
        *("profit", "profits", "margin", "margins", "revenue", "revenues", "turnover", "gmv", "earnings"),
        *("sales", "sold", "proceeds", "takings"),
    }
)
"""Words in names of columns that are known only after the sale."""

_LEAST_ROWS = 20
_LEAST_SHARE = 0.5
_MOST_PAIRED = 24
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True)
class Suspect:
    """A known covariate that tells the target of its own row.

    Attributes
    ----------
    column
        Its name.
    reason
        What was seen, for a person.
    series, of
        In how many of how many series that could be judged.
    """

    column: str
    reason: str
    series: int
    of: int

    def __str__(self) -> str:
        return f"{self.column} {self.reason} in {self.series} of {self.of} series looked at"


def leakage_suspects(sample: pd.DataFrame, layout: Layout) -> tuple[Suspect, ...]:
    """The suspects among the known covariates of a canonical sample of whole series, in their order."""
    columns = [
        (name, covariate.name)
        for name, covariate in zip(layout.covariate_names, layout.covariates, strict=True)
        if covariate.role == "known" and covariate.kind != "category" and not covariate.derived
    ]
    if not columns:
        return ()
    votes: Counter[tuple[str, str]] = Counter()
    judged: Counter[str] = Counter()
    names = list(layout.key_names)
    parts = [part for _, part in sample.groupby(names, sort=True)] if names else [sample]
    for part in parts:
        part = part[np.isfinite(part["y"])].sort_values("t", kind="stable")
        if len(part) < _LEAST_ROWS or part["y"].nunique() < 3:
            continue
        values = {shown: part[name].to_numpy(dtype=np.float64) for name, shown in columns}
        values = {shown: v for shown, v in values.items() if np.isfinite(v).all() and np.ptp(v) > 0}
        judged.update(values.keys())
        votes.update(set(_seen(part["y"].to_numpy(dtype=np.float64), values)))
    found: dict[str, Suspect] = {}
    for (column, reason), count in votes.most_common():
        if count >= _LEAST_SHARE * judged[column] and column not in found:
            found[column] = Suspect(column, reason, count, judged[column])
    return tuple(found[shown] for _, shown in columns if shown in found)


def _seen(y: Floats, values: dict[str, Floats]) -> Iterator[tuple[str, str]]:
    """Column and reason for everything suspicious in one series."""
    ranks = _centred_ranks(y)
    alone: dict[str, float] = {}
    own_past = abs(_correlation(ranks[1:], ranks[:-1]))
    for column, x in values.items():
        other = _centred_ranks(x)
        alone[column] = abs(_correlation(other, ranks))
        past = max(own_past, abs(_correlation(other[:-1], ranks[1:])))
        if _closer(1 - alone[column], 1 - past, NEAR):
            yield column, "reproduces the target"
        elif _is_outcome(column):
            moves = abs(_correlation(_centred_ranks(np.diff(x)), _centred_ranks(np.diff(y))))
            if moves >= max(MOVES, 3 / np.sqrt(len(y))):
                yield column, "has the name of an outcome, and moves with the target"
    numbers = [c for c, x in values.items() if len(np.unique(x)) > 2 and 1 - alone[c] > NEAR][:_MOST_PAIRED]
    past = abs(_correlation(y[1:], y[:-1]))
    for first, second in combinations(numbers, 2):
        a, b = values[first], values[second]
        for sign, word in ((1, "in a sum with"), (-1, "in a difference with")):
            with np.errstate(over="ignore", invalid="ignore"):
                made = a + sign * b
            if _together(made, y, past):
                yield first, f"reproduces the target {word} {second}"
                yield second, f"reproduces the target {word} {first}"
        if (np.stack([a, b]) == 0).any():
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            products = ((a * b, "multiplied by"), (a / b, "in a ratio with"), (b / a, "in a ratio with"))
        for product, word in products:
            if _together(product, y, past):
                # the one that follows the target is made of it: revenue, not the price
                guilty, other_name = (first, second) if alone[first] >= alone[second] else (second, first)
                yield guilty, f"reproduces the target {word} {other_name}"


def _together(made: Floats, y: Floats, past: float) -> bool:
    if not np.isfinite(made).all() or np.ptp(made) == 0:
        return False
    return _closer(1 - abs(_correlation(made, y)), 1 - past, NEAR_TOGETHER)


def _closer(short: float, short_before: float, near: float) -> bool:
    """Whether a correlation is near 1, and far nearer than the values of earlier rows come."""
    return short <= near and short_before > 1e-9 and short <= CLOSER * short_before


def _is_outcome(column: str) -> bool:
    return any(word.lower() in OUTCOMES for word in _WORDS.findall(column))


def _centred_ranks(values: Floats) -> Floats:
    """Ranks of the values [n], those of equal values averaged."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2.0)[place] - (len(values) + 1) / 2.0


def _correlation(a: Floats, b: Floats) -> float:
    """The correlation of `a` and `b` [n]; 0 where one does not vary, or is too large to be squared."""
    with np.errstate(over="ignore", invalid="ignore"):
        a, b = a - a.mean(), b - b.mean()
        size = float(np.sqrt(a @ a)) * float(np.sqrt(b @ b))
        return float(a @ b) / size if size > 0 and np.isfinite(size) else 0.0


def without_columns(layout: Layout, columns: Sequence[str]) -> Layout:
    """The layout in which these known covariates, and what is made of them in siblings, have no role.

    The canonical frame still has them, so that their places stay; `trimmed` takes them out.
    """
    context = layout.context
    made = set(columns)
    if context is not None:
        derived = [c for c in layout.covariates if c.derived]
        each = len(derived) // max(1, len(context.sources))
        for k, source in enumerate(context.sources):
            if layout.covariates[source].name in columns:
                made |= {c.name for c in derived[k * each : (k + 1) * each]}
    covariates = tuple(replace(c, role="unused") if c.name in made else c for c in layout.covariates)
    note = f"left out as suspects of leakage: {', '.join(columns)} (see data.keep)"
    return replace(layout, covariates=covariates, notes=(*layout.notes, note))


def trimmed(layout: Layout) -> Layout:
    """The layout without the columns that have no role."""
    kept = [i for i, column in enumerate(layout.covariates) if column.role != "unused"]
    if len(kept) == len(layout.covariates):
        return layout
    context = layout.context
    if context is not None:
        sources = tuple(kept.index(i) for i in context.sources if i in kept)
        context = replace(context, sources=sources) if sources else None
    return replace(layout, covariates=tuple(layout.covariates[i] for i in kept), context=context)
