"""One series on its grid: what training parts, horizons and actual values are cut from.

A training part depends on nothing that comes after it: holes are filled, outliers capped and
categories coded from its own values alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from many_models.panel.demand import outlier_bounds
from many_models.panel.findings import Finding
from many_models.panel.grid import Grid
from many_models.panel.imputation import AUTO, Fill, fill_columns, fill_target
from many_models.panel.keys import SeriesKey
from many_models.panel.mutations import Journal, compared
from many_models.panel.series import UNSEEN, Bools, Covariate, Floats, Future, Series

Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Prepared:
    """One series on its grid, with what is known ahead.

    Position i belongs to ordinal `start + i`; the history is the first T positions, from the first
    observed value to the last row with a target (or the panel's end); F positions follow. A short
    history may have positions in front that no row stands for (`padded`).

    Attributes
    ----------
    key, findings, grid, start
        What it is, and what was found and done.
    y : [T]
        Target, NaN where not observed (missing, masked or closed).
    observed : [T]
        Where it is.
    known_x : [T + F, K], past_x : [T, P], static_x : [S]
        Covariates as they are, NaN where missing; categories as positions in `categories`.
    closed : [T + F]
        Where the series is closed.
    known, past, static
        What the covariate columns are; categories are those of the history.
    fill, known_fills, past_fills
        How holes are filled in training parts: of the target, and of each covariate column.
    cap
        Whether outliers are capped in training parts.
    padded
        How many positions in front hold the median of what was observed; they are never scored.
    """

    key: SeriesKey
    findings: tuple[Finding, ...]
    grid: Grid
    start: int
    y: Floats
    observed: Bools
    known_x: Floats
    past_x: Floats
    static_x: Floats
    closed: Bools
    known: tuple[Covariate, ...] = ()
    past: tuple[Covariate, ...] = ()
    static: tuple[Covariate, ...] = ()
    fill: Fill = AUTO
    known_fills: tuple[Fill, ...] = ()
    past_fills: tuple[Fill, ...] = ()
    cap: bool = False
    padded: int = 0

    @property
    def length(self) -> int:
        """T: positions of the history."""
        return len(self.y)

    @cached_property
    def n_obs(self) -> int:
        """Observed values."""
        return int(self.observed.sum())

    @property
    def end(self) -> int:
        """The ordinal of the last position of the history."""
        return self.start + len(self.y) - 1

    @cached_property
    def trainable(self) -> Bools:
        """Positions [T] that count when a training part has to be long enough: observed or padded."""
        return self.observed | (np.arange(self.length) < self.padded)

    def train(self, n: int) -> Series:
        """The first `n` positions, 1 <= n <= T; holes are filled, and outliers capped, from these alone."""
        known, known_codes = _coded_until(self.known, self._known_first, n)
        past, past_codes = _coded_until(self.past, self._past_first, n)
        season = self.grid.frequency.season
        return Series(
            self.grid,
            self.start,
            self.fitted(n),
            self.observed[:n],
            fill_columns(_recoded(self.known_x[:n], known_codes), self.known_fills, known, season),
            fill_columns(_recoded(self.past_x[:n], past_codes), self.past_fills, past, season),
            self.static_x,
            known,
            past,
            self.static,
        )

    def future(self, n: int, horizon: int, gap: int = 0) -> Future:
        """The horizon after the first `n` positions, with the known covariates that are there.

        Inside the history a hole in a covariate holds the value before it, so that a row that was
        never recorded spoils no fold; beyond the history a missing value is NaN, never carried on.
        """
        ahead = self.ahead(n, horizon, gap)
        _, codes = _coded_until(self.known, self._known_first, n)
        return replace(ahead, known_x=_recoded(ahead.known_x, codes))

    def ahead(self, n: int, horizon: int, gap: int = 0) -> Future:
        """That horizon, its categories those of the whole history (`known`); `n` may be 0 or less."""
        positions = np.arange(n + gap, n + gap + horizon, dtype=np.int64)
        values = np.full((horizon, self.known_x.shape[1]), np.nan)
        there = (positions >= 0) & (positions < len(self.known_x))
        values[there] = self._known_until(n + gap + horizon)[positions[there]]
        return Future(self.grid, self.start + positions, values)

    def actual(self, n: int, horizon: int, gap: int = 0) -> Floats:
        """The target of that horizon [H]; NaN where it was not observed, or is closed or masked."""
        result = np.full(horizon, np.nan)
        part = self.y[n + gap : n + gap + horizon]
        result[: len(part)] = part
        return result

    def closed_ahead(self, n: int, horizon: int, gap: int = 0) -> Bools:
        """Where that horizon [H] is known to be closed."""
        result = np.zeros(horizon, dtype=bool)
        part = self.closed[n + gap : n + gap + horizon]
        result[: len(part)] = part
        return result

    def fitted(self, n: int) -> Floats:
        """The target of the first `n` positions as models are to see it, finite everywhere."""
        front = min(self.padded, n)
        y, observed = self.y[front:n], self.observed[front:n]
        season = self.grid.frequency.season
        if self.cap:
            y = np.clip(y, *open_bounds(outlier_bounds(y, observed, season)))
        filled = fill_target(y, observed, self.fill, season)
        if not front:
            return filled
        # a flat line says nothing: no trend, no season, and no level but the series' own
        level = float(np.median(y[observed])) if observed.any() else 0.0
        return np.concatenate([np.full(front, level), filled])

    def _known_until(self, end: int) -> Floats:
        """The known covariates with the holes of the history filled from the first `end` positions."""
        if all(fill.method in ("auto", "forward") for fill in self.known_fills):
            # what stands before a hole is the same whatever the end
            return self._known_filled
        return self._filled_until(min(end, self.length))

    @cached_property
    def _known_filled(self) -> Floats:
        return self._filled_until(self.length)

    def _filled_until(self, end: int) -> Floats:
        filled = self.known_x.copy()
        season = self.grid.frequency.season
        filled[:end] = fill_columns(self.known_x[:end], self.known_fills, self.known, season)
        return filled

    @cached_property
    def _known_first(self) -> tuple[Ints | None, ...]:
        return _first_places(self.known, self.known_x[: self.length], self.known_fills)

    @cached_property
    def _past_first(self) -> tuple[Ints | None, ...]:
        return _first_places(self.past, self.past_x, self.past_fills)


def open_bounds(bounds: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Bounds [T] that leave alone what was not judged."""
    low, high = bounds
    return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)


def _first_places(
    columns: tuple[Covariate, ...], values: Floats, fills: tuple[Fill, ...]
) -> tuple[Ints | None, ...]:
    """Per column, the first position of each category; None for numbers."""
    result: list[Ints | None] = []
    for j, column in enumerate(columns):
        if column.kind != "category":
            result.append(None)
            continue
        first = np.full(len(column.categories), len(values), dtype=np.int64)
        rows = np.flatnonzero(np.isfinite(values[:, j]))[::-1]
        first[values[rows, j].astype(np.int64)] = rows
        if fills and fills[j].method == "constant":
            # what fills holes is configured, and known from the start
            first[column.categories.index(str(fills[j].constant))] = 0
        result.append(first)
    return tuple(result)


def _coded_until(
    columns: tuple[Covariate, ...], first: tuple[Ints | None, ...], n: int
) -> tuple[tuple[Covariate, ...], tuple[Floats | None, ...]]:
    """The columns with the categories of the first `n` positions, and old code -> new code where they differ.

    Codes must not tell which categories come later.
    """
    coded, maps = list(columns), [None] * len(columns)
    changes: list[Floats | None] = list(maps)
    for j, places in enumerate(first):
        if places is None or (places < n).all():
            continue
        kept = places < n
        names = tuple(name for name, keep in zip(columns[j].categories, kept, strict=True) if keep)
        coded[j] = Covariate(columns[j].name, "category", names)
        changes[j] = np.where(kept, np.cumsum(kept) - 1.0, UNSEEN)
    return tuple(coded), tuple(changes)


def _recoded(values: Floats, changes: tuple[Floats | None, ...]) -> Floats:
    if all(change is None for change in changes):
        return values
    result = values.copy()
    for j, change in enumerate(changes):
        if change is not None:
            rows = np.flatnonzero(values[:, j] >= 0)  # neither missing nor unseen
            result[rows, j] = change[values[rows, j].astype(np.int64)]
    return result


def write_down_fit(journal: Journal, prepared: Prepared) -> None:
    """Writes down what the whole history became for the fit: filled, capped, padded."""
    if not prepared.n_obs:
        return
    series, grid = prepared.train(prepared.length), prepared.grid
    t = grid.stamps(series.ordinals)
    fitted = dict(zip(t.tolist(), series.y.tolist(), strict=True))
    raw = prepared.y.copy()
    rule = "linear" if prepared.fill.method == "auto" else str(prepared.fill)
    for change, stamps, values in journal.unfitted:
        after = np.array([fitted[stamp] for stamp in stamps.tolist()])
        journal.add(change, rule, journal.layout.target, stamps, values, after)
        raw[np.isin(t, stamps)] = np.inf  # told already
    told = np.isinf(raw)
    compared(
        journal,
        journal.layout.target,
        t[~told],
        raw[~told],
        series.y[~told],
        (rule, "median"),
        prepared.padded,
    )
    for given, after, columns, fills in (
        (prepared.known_x[: len(t)], series.known_x, prepared.known, prepared.known_fills),
        (prepared.past_x, series.past_x, prepared.past, prepared.past_fills),
    ):
        for j, (column, fill) in enumerate(zip(columns, fills, strict=True)):
            rule = "forward" if fill.method == "auto" else str(fill)
            texts = column.categories
            compared(journal, column.name, t, given[:, j], after[:, j], (rule, rule), prepared.padded, texts)
