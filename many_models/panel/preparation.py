"""One series made regular: rows in, arrays on a grid out, every change a finding.

`prepare` reads the rows of one series once, stays in NumPy, and gives a `Prepared`, from which
the training part before any cutoff, the horizon after it and the actuals are cut. A training part
depends on nothing that comes after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from many_models.errors import Problem
from many_models.panel.demand import demand_class, outlier_bounds, shape_findings
from many_models.panel.findings import Finding, finding
from many_models.panel.folds import cutoffs, least_training
from many_models.panel.grid import Grid
from many_models.panel.imputation import AUTO, Fill, fill_columns, fill_problem, fill_target
from many_models.panel.keys import SeriesKey
from many_models.panel.layout import Layout
from many_models.panel.mutations import Journal, compared
from many_models.panel.regular import (
    Rows,
    Rule,
    column_rules,
    resolve_grid,
    resolve_onto,
    roll_up,
    rule_problem,
    shares_as_numbers,
)
from many_models.panel.series import MOST_CATEGORIES, UNSEEN, Bools, Covariate, Floats, Future, Series
from many_models.panel.zones import DAY_US, from_wall, to_wall, wall_trouble

__all__ = [
    "FutureRows",
    "PrepareSettings",
    "Prepared",
    "demand_class",
    "future_rows",
    "prepare",
    "write_down_fit",
]

Ints = npt.NDArray[np.int64]
Categories = dict[int, tuple[str, ...]]

HUGE = 1e150
"""Targets beyond this are read as missing: their squares are not finite."""

HOUR_US = 3_600_000_000

LONGEST = 5_000_000
"""The most periods that one series may span."""

_MOSTLY_ABSENT = 0.2
_ENOUGH_TO_ASK = 10
_FEW_CATEGORIES = 5
_ROWS_EACH = 3
"""A category that came less often tells a model nothing; so few categories are never too many."""


@dataclass(frozen=True)
class PrepareSettings:
    """What preparation reads of the configuration, and of the panel.

    Attributes
    ----------
    frequency, label, absent
        As in `data`.
    impute
        As in `preparation`.
    aggregate, aggregate_columns
        The rule of the target, and those of covariates by column.
    outliers
        Whether they are reported.
    cap
        Whether they are capped in training parts.
    pad
        Horizon and gap of the fold that a short history is padded for; None: it is left as it is.
    was_missing
        Whether covariates get a flag that says where they were missing.
    panel_frequency
        Alias of the panel's usual frequency; None is not known.
    panel_end
        Canonical time of the panel's last observation, where the horizon starts there for all.
    grid
        The grid to put the rows on, whatever they look like (that of a fitted model).
    """

    frequency: str = "auto"
    label: Literal["start", "end"] = "start"
    absent: Literal["auto", "unknown", "zero"] = "auto"
    impute: str | Mapping[str, Any] = "auto"
    aggregate: Rule = "sum"
    outliers: bool = True
    panel_frequency: str | None = None
    panel_end: int | None = None
    grid: Grid | None = None
    aggregate_columns: Mapping[str, str] = field(default_factory=dict)
    cap: bool = False
    pad: tuple[int, int] | None = None
    was_missing: bool = False

    @classmethod
    def of(
        cls,
        spec: Any,
        panel_frequency: str | None = None,
        panel_end: int | None = None,
        grid: Grid | None = None,
    ) -> PrepareSettings:
        """The settings of a `ForecastSpec`; `panel_end` counts only where the origin is the panel's.

        Rows for the grid of a fitted model are never padded: its history stands before them.
        """
        data, preparation, forecast = spec.data, spec.preparation, spec.forecast
        rules = preparation.aggregate.columns
        pads = preparation.short == "pad" and spec.validation.folds != 0 and grid is None
        return cls(
            data.frequency,
            data.label,
            data.absent,
            preparation.impute,
            preparation.aggregate.target,
            preparation.outliers != "off",
            panel_frequency,
            panel_end if forecast.origin == "panel" else None,
            grid,
            {} if rules == "auto" else rules,
            preparation.outliers == "cap",
            (forecast.horizon, forecast.gap) if pads else None,
            spec.features.was_missing,
        )

    def fill(self, column: str, target: bool = False) -> Fill:
        """How holes of a column are filled; a single method is the target's."""
        if isinstance(self.impute, str):
            return Fill.of(self.impute) if target else AUTO
        return Fill.of(self.impute.get(column, "auto"))

    def problems(self, layout: Layout) -> list[Problem]:
        """What these settings ask of columns that are not of the kind for it."""
        target = fill_problem(self.fill(layout.target, target=True), layout.target, "number")
        found = [target]
        for column in layout.covariates:
            found.append(fill_problem(self.fill(column.name), column.name, column.kind))
            if column.name in self.aggregate_columns:
                found.append(rule_problem(column, self.aggregate_columns[column.name]))
        return [problem for problem in found if problem is not None]


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
            y = np.clip(y, *_judged(outlier_bounds(y, observed, season)))
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


def _judged(bounds: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
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


# -- from rows to arrays ---------------------------------------------------------


def prepare(
    frame: pd.DataFrame,
    key: SeriesKey,
    layout: Layout,
    settings: PrepareSettings,
    journal: Journal | None = None,
) -> Prepared:
    """The rows of one series (canonical, in any order) on a regular grid.

    A series without any usable observation comes back with `n_obs` 0 and says why in `findings`.
    A `journal` is told of every value that is changed on the way.
    """
    rows, categories = _read(frame, layout)
    rows, notes = _cleaned(rows, layout, journal)
    stamps = rows.t[np.concatenate([[True], rows.t[1:] != rows.t[:-1]])] if len(rows) else rows.t
    if settings.grid is not None:
        resolved = resolve_onto(stamps, layout, settings.grid, settings.frequency)
    else:
        resolved = resolve_grid(stamps, layout, settings.frequency, settings.panel_frequency, settings.label)
    notes += resolved.findings
    if resolved.aggregate and len(rows):
        rules = column_rules(layout, settings.aggregate_columns)
        zero = settings.absent == "zero"
        rows, done = roll_up(rows, resolved, settings.aggregate, rules, zero, journal, categories)
        layout = shares_as_numbers(layout, rules)
    else:
        zone = _naive_zone(layout)
        rows, done = _one_per_stamp(rows, len(stamps), zone, journal, categories, layout.forgotten)
    notes += done
    rows, ordinals, done = _on_grid(rows, resolved.grid, journal, categories)
    notes += done
    prepared = _placed(rows, ordinals, categories, key, layout, settings, resolved.grid, notes, journal)
    if journal is not None:
        write_down_fit(journal, prepared)
    return prepared


def _read(frame: pd.DataFrame, layout: Layout) -> tuple[Rows, Categories]:
    """The rows sorted by time, then by everything else; categories as codes, and their texts."""
    x = np.empty((len(frame), len(layout.covariates)))
    categories: Categories = {}
    for j, (name, covariate) in enumerate(zip(layout.covariate_names, layout.covariates, strict=True)):
        values = frame[name].to_numpy()
        if covariate.kind == "category":
            codes, texts = pd.factorize(values, sort=True)
            x[:, j] = np.where(codes < 0, np.nan, codes)
            categories[j] = tuple(str(text) for text in texts)
        else:
            x[:, j] = values
    mask = None if layout.mask is None else frame["mask"].to_numpy(dtype=np.float64)
    closed = None if layout.closed is None else frame["closed"].to_numpy(dtype=np.float64)
    rows = Rows(frame["t"].to_numpy(dtype=np.int64), frame["y"].to_numpy(dtype=np.float64), x, mask, closed)
    if len(rows) < 2 or (rows.t[1:] > rows.t[:-1]).all():
        return rows, categories
    flags = [flag for flag in (closed, mask) if flag is not None]
    return rows.take(np.lexsort([*flags, *x.T[::-1], rows.y, rows.t])), categories


def _cleaned(rows: Rows, layout: Layout, journal: Journal | None) -> tuple[Rows, list[Finding]]:
    notes: list[Finding] = []
    t, y, x = rows.t, rows.y, rows.x
    with np.errstate(invalid="ignore"):
        wild = np.abs(y) > HUGE
    if wild.any():
        if journal is not None:
            journal.add("missing", "NOT_FINITE_TARGET", layout.target, t[wild], y[wild])
        y = np.where(wild, np.nan, y)
        notes.append(finding("NOT_FINITE_TARGET", int(wild.sum())))
    if x.size:
        infinite = np.isinf(x)
        if infinite.any():
            for j in np.flatnonzero(infinite.any(axis=0)) if journal is not None else ():
                lost, name = infinite[:, j], layout.covariates[j].name
                journal.add("missing", "COVARIATE_NOT_FINITE", name, t[lost], x[lost, j])  # type: ignore[union-attr]
            x = np.where(infinite, np.nan, x)
            notes.append(finding("COVARIATE_NOT_FINITE", int(infinite.sum())))
    zone = _naive_zone(layout)
    if zone is not None:
        before = t
        t, passes = _second_passes(t, zone)
        if passes:
            if journal is not None:
                moved = np.flatnonzero(t != before)
                journal.add("moved", "DST_DUPLICATE", layout.time.name, t[moved])
            notes.append(finding("DST_DUPLICATE", passes))
            rows = Rows(t, y, x, rows.mask, rows.closed)
            return rows.take(np.argsort(t, kind="stable")), notes
    return Rows(t, y, x, rows.mask, rows.closed), notes


def _naive_zone(layout: Layout) -> str | None:
    """The zone in which wall-clock stamps without a zone were read; None where they have a zone."""
    time = layout.time
    return time.zone if time.kind == "timestamp" and time.shown_in is None else None


def _second_passes(t: Ints, zone: str) -> tuple[Ints, int]:
    """Wall-clock stamps that stand twice in the hour that comes twice: the second gets the second pass."""
    if len(t) < 3:
        return t, 0
    repeats = np.concatenate([[False], t[1:] == t[:-1]])
    if not repeats.any() or float(np.median(np.diff(t))) >= DAY_US / 2:
        return t, 0
    # only the second row of a stamp, not a third one
    second = repeats & ~np.concatenate([[False], repeats[:-1]])
    wall = to_wall(t, zone)
    _, twice = wall_trouble(wall, zone)
    moved = second & twice
    if not moved.any():
        return t, 0
    return from_wall(wall, zone, moved), int(moved.sum())


def _one_per_stamp(
    rows: Rows,
    stamps: int,
    zone: str | None,
    journal: Journal | None,
    categories: Categories,
    forgotten: tuple[str, ...],
) -> tuple[Rows, list[Finding]]:
    """The last row of each stamp in sorted order, one with a target where there is one."""
    if len(rows) == stamps:
        return rows, []
    block = np.column_stack([rows.y, rows.x, *(f for f in (rows.mask, rows.closed) if f is not None)])
    same_stamp = np.concatenate([[False], rows.t[1:] == rows.t[:-1]])
    with np.errstate(invalid="ignore"):
        alike = (block[1:] == block[:-1]) | (np.isnan(block[1:]) & np.isnan(block[:-1]))
    equal = same_stamp & np.concatenate([[False], alike.all(axis=1)])
    rest = rows.take(~equal)
    notes = [finding("DUPLICATES_DROPPED", int(equal.sum()))] if equal.any() else []
    # sorted order puts a missing target last: it must not push out a value
    order = np.lexsort([np.arange(len(rest)), np.isfinite(rest.y), rest.t])
    rest = rest.take(order)
    last = np.concatenate([rest.t[1:] != rest.t[:-1], [True]])
    lost = rest.t[~last]
    # an hour that does not exist was read as the next one: these are no ordinary duplicates
    skipped = int(wall_trouble(to_wall(lost, zone) - HOUR_US, zone)[0].sum())
    if skipped:
        notes.append(finding("DST_SKIPPED_HOUR", skipped))
    if len(lost) > skipped:
        advice = f"add {' and '.join(map(repr, forgotten))} to data.series" if forgotten else None
        notes.append(finding("DUPLICATES_CONFLICTING", len(lost) - skipped, action=advice))
    if journal is not None:
        for rule, left in (
            ("DUPLICATES_DROPPED", rows.take(equal)),
            ("DUPLICATES_CONFLICTING", rest.take(~last)),
        ):
            journal.drop(rule, left.t, left.y, left.x, categories)
    return rest.take(last), notes


def _on_grid(
    rows: Rows, grid: Grid, journal: Journal | None, categories: Categories
) -> tuple[Rows, Ints, list[Finding]]:
    if not len(rows):
        return rows, rows.t, []
    ordinals = grid.ordinals(rows.t)
    fits = grid.stamps(ordinals) == rows.t
    if fits.all():
        notes: list[Finding] = []
    else:
        misses = int((~fits).sum())
        text = f"{misses} rows whose stamps do not fit the frequency {grid.frequency} were left out"
        notes = [finding("OFF_GRID_ROWS", misses, message=text)]
        if journal is not None:
            left = rows.take(~fits)
            journal.drop("OFF_GRID_ROWS", left.t, left.y, left.x, categories)
        rows, ordinals = rows.take(fits), ordinals[fits]
    if len(ordinals) and int(ordinals[-1] - ordinals[0]) >= LONGEST:
        text = f"the rows span more than {LONGEST} periods of the frequency {grid.frequency}; none is used"
        notes.append(finding("OFF_GRID_ROWS", len(rows), message=text, severity="error"))
        if journal is not None:
            journal.drop("OFF_GRID_ROWS", rows.t, rows.y, rows.x, categories)
        return rows.take(np.zeros(len(rows), dtype=bool)), ordinals[:0], notes
    return rows, ordinals, notes


def _flagged(values: Floats | None, rows: int) -> Bools:
    if values is None:
        return np.zeros(rows, dtype=bool)
    with np.errstate(invalid="ignore"):
        return np.asarray(values > 0.5)


def _placed(
    rows: Rows,
    ordinals: Ints,
    categories: Categories,
    key: SeriesKey,
    layout: Layout,
    settings: PrepareSettings,
    grid: Grid,
    notes: list[Finding],
    journal: Journal | None,
) -> Prepared:
    masked, shut = _flagged(rows.mask, len(rows)), _flagged(rows.closed, len(rows))
    has_target = np.isfinite(rows.y)
    usable = np.flatnonzero(has_target & ~masked & ~shut)
    if not len(usable):
        notes.append(finding("NO_OBSERVATIONS", len(rows)))
        first = int(ordinals[0]) if len(ordinals) else 0
        return _nothing(key, notes, grid, first, layout)
    if usable[0]:
        notes.append(finding("LEADING_MISSING_TRIMMED", int(usable[0])))
        if journal is not None:
            left = rows.take(np.arange(usable[0]))
            journal.drop("LEADING_MISSING_TRIMMED", left.t, left.y, left.x, categories)
        kept = np.arange(usable[0], len(rows))
        rows, ordinals = rows.take(kept), ordinals[kept]
        masked, shut, has_target = masked[kept], shut[kept], has_target[kept]
    start = int(ordinals[0])
    end = int(ordinals[np.flatnonzero(has_target)[-1]])
    if settings.panel_end is not None:
        end = max(end, int(grid.ordinals([settings.panel_end])[0]))
    ahead = int((ordinals > end).sum())
    if ahead:
        notes.append(finding("TRAILING_MISSING", ahead))
    length, total = end - start + 1, max(end, int(ordinals[-1])) - start + 1
    place = ordinals - start
    y = np.full(length, np.nan)
    inside = place < length
    y[place[inside]] = np.where(masked | shut, np.nan, rows.y)[inside]
    closed = np.zeros(total, dtype=bool)
    closed[place] = shut
    hidden = np.zeros(length, dtype=bool)
    hidden[place[inside]] = masked[inside]
    notes += _absent(y, place[inside], settings.absent)
    if journal is not None:
        _write_down_hidden(journal, rows, masked, shut, place, y, settings, grid, start)
    observed = np.isfinite(y)
    fill = settings.fill(layout.target, target=True)
    notes += _history_notes(observed, hidden, closed[:length], fill)
    season = grid.frequency.season
    notes += shape_findings(y, observed, season, settings.outliers and not settings.cap)
    if settings.cap:
        notes += _capped(y, observed, season)
    padded, done = _padding(observed, season, settings.pad)
    notes += done
    x = np.full((total, rows.x.shape[1]), np.nan)
    x[place] = rows.x
    known_x, known, unseen = _columns(x, layout, "known", categories, length, settings)
    past_x, past, _ = _columns(x[:length], layout, "past", categories, length, settings)
    static_x, static, varying = _statics(rows.x, layout, categories)
    notes += _cardinality_notes((*known, *past), length)
    known_fills = tuple(settings.fill(column.name) for column in known)
    past_fills = tuple(settings.fill(column.name) for column in past)
    notes += _covariate_notes(
        [(known_x[:length], known, known_fills), (past_x, past, past_fills)], len(np.unique(place[inside]))
    )
    if settings.was_missing:
        known_x, known, known_fills = _with_flags(known_x, known, known_fills)
        past_x, past, past_fills = _with_flags(past_x, past, past_fills)
    if unseen:
        notes.append(finding("CATEGORY_UNSEEN", unseen))
    if varying:
        notes.append(finding("STATIC_VARIES", varying))
    if varying and journal is not None:
        for j in layout.role("static"):
            seen = np.flatnonzero(np.isfinite(rows.x[:, j]))
            value = rows.x[seen, j]
            other, name = seen[value != value[:1]], layout.covariates[j].name
            texts = categories.get(j, ())
            journal.add(
                "dropped", "STATIC_VARIES", name, rows.t[other], rows.x[other, j], value[:1].sum(), texts
            )
    front = np.zeros(padded, dtype=bool)
    return Prepared(
        key,
        tuple(notes),
        grid,
        start - padded,
        np.concatenate([np.full(padded, np.nan), y]),
        np.concatenate([front, observed]),
        np.concatenate([np.full((padded, known_x.shape[1]), np.nan), known_x]),
        np.concatenate([np.full((padded, past_x.shape[1]), np.nan), past_x]),
        static_x,
        np.concatenate([front, closed]),
        known,
        past,
        static,
        fill,
        known_fills,
        past_fills,
        settings.cap,
        padded,
    )


def _capped(y: Floats, observed: Bools, season: int) -> list[Finding]:
    """What capping will do to the whole history; the values themselves are left as they are."""
    low, high = _judged(outlier_bounds(y, observed, season))
    count = int(((y < low) | (y > high)).sum())
    return [finding("OUTLIERS_CAPPED", count)] if count else []


def _padding(observed: Bools, season: int, pad: tuple[int, int] | None) -> tuple[int, list[Finding]]:
    """How many positions to put in front of a history [T] so that one fold exists, and what that means."""
    if pad is None:
        return 0, []
    horizon, gap = pad
    least, half = least_training(season), -(-horizon // 2)
    before = len(observed) - gap - half
    if cutoffs(observed, horizon, gap, season) or before < 1:
        return 0, []
    padded = least - int(observed[:before].sum())
    there = np.concatenate([np.zeros(padded, dtype=bool), observed])
    if not cutoffs(there, horizon, gap, season, trainable=np.arange(len(there)) < padded + before):
        return 0, []  # nothing to score, or to learn from
    text = (
        f"{int(observed.sum())} values; one fold needs {least + gap + half} (max(7, 2 x season {season} + 1) "
        f"+ gap {gap} + half the horizon {half}): {padded} periods with the median were put in front, never "
        "scored"
    )
    return padded, [finding("PADDED", padded, message=text)]


def _covariate_notes(
    parts: list[tuple[Floats, tuple[Covariate, ...], tuple[Fill, ...]]], rows: int
) -> list[Finding]:
    """What was filled in which covariate column [T, K] of a history that has so many rows."""
    words, total = [], 0
    for values, columns, fills in parts:
        for j, (column, fill) in enumerate(zip(columns, fills, strict=True)):
            holes = int(np.isnan(values[:, j]).sum())
            if holes == len(values) and fill.method not in ("zero", "constant"):
                continue  # nothing to fill from
            if holes:
                total += holes
                rule = "forward" if fill.method == "auto" else str(fill)
                words.append(f"{column.name} {holes} ({rule})")
    if not total:
        return []
    absent = len(parts[0][0]) - rows
    rest = f"; {absent} periods have no row" if absent else ""
    text = f"{total} missing covariate values in the history were filled: {', '.join(words)}{rest}"
    return [finding("COVARIATE_FILLED", total, message=text)]


def _write_down_hidden(
    journal: Journal,
    rows: Rows,
    masked: Bools,
    shut: Bools,
    place: Ints,
    y: Floats,
    settings: PrepareSettings,
    grid: Grid,
    start: int,
) -> None:
    """Writes down values that count as not observed, and rows that count as zero."""
    for change, flags in (("closed", shut), ("masked", masked & ~shut)):
        at = np.flatnonzero(flags & (place < len(y)))
        journal.hide(change, rows.t[at], rows.y[at])  # type: ignore[arg-type]
    if settings.absent == "zero":
        missing = np.setdiff1d(np.arange(len(y)), place)
        stamps = grid.stamps(start + missing)
        journal.add("imputed", "data.absent: zero", journal.layout.target, stamps, np.nan, 0.0)


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


def _nothing(key: SeriesKey, notes: list[Finding], grid: Grid, start: int, layout: Layout) -> Prepared:
    def of(role: Literal["known", "past", "static"]) -> tuple[Covariate, ...]:
        columns = [layout.covariates[i] for i in layout.role(role)]
        return tuple(Covariate(column.name, column.kind) for column in columns)

    known, past, static = of("known"), of("past"), of("static")
    return Prepared(
        key,
        tuple(notes),
        grid,
        start,
        np.empty(0),
        np.empty(0, dtype=bool),
        np.empty((0, len(known))),
        np.empty((0, len(past))),
        np.full(len(static), np.nan),
        np.empty(0, dtype=bool),
        known,
        past,
        static,
    )


def _absent(y: Floats, place: Ints, absent: str) -> list[Finding]:
    """Reads missing rows as zero where that is configured (in place), or asks what they mean."""
    count = len(y) - len(place)
    if not count:
        return []
    if absent == "zero":
        missing = np.ones(len(y), dtype=bool)
        missing[place] = False
        y[missing] = 0.0
        return [finding("ABSENT_ZERO", count)]
    with np.errstate(invalid="ignore"):
        never_zero = not (y == 0).any()
    if absent == "auto" and never_zero and len(y) >= _ENOUGH_TO_ASK and count > _MOSTLY_ABSENT * len(y):
        return [finding("ABSENT_MEANING_UNCLEAR", count)]
    return []


def _history_notes(observed: Bools, hidden: Bools, closed: Bools, fill: Fill) -> list[Finding]:
    notes = []
    gaps = int((~observed & ~hidden & ~closed).sum())
    if gaps:
        rule = "linear" if fill.method == "auto" else str(fill)
        text = f"{gaps} periods inside the history have no row or value; filled for the fit ({rule}), "
        text += "never scored"
        notes.append(finding("GAPS_FILLED", gaps, message=text))
    for code, count in (("MASKED", int(hidden.sum())), ("CLOSED", int(closed.sum()))):
        if count:
            notes.append(finding(code, count))
    return notes


def _columns(
    x: Floats,
    layout: Layout,
    role: Literal["known", "past"],
    categories: Categories,
    length: int,
    settings: PrepareSettings,
) -> tuple[Floats, tuple[Covariate, ...], int]:
    """The columns of a role, what they are, and how many values ahead are categories never seen before."""
    places = layout.role(role)
    values = x[:, list(places)]
    columns, unseen = [], 0
    for j, place in enumerate(places):
        name, kind = layout.covariates[place].name, layout.covariates[place].kind
        if layout.covariates[place].derived:
            columns.append(_of_siblings(name, values[:, j], length))
            continue
        if kind != "category":
            columns.append(Covariate(name, kind))
            continue
        codes = values[:, j]
        present = np.unique(codes[:length][np.isfinite(codes[:length])]).astype(np.int64)
        texts = {categories[place][i] for i in present}
        constant = settings.fill(name).constant
        names = tuple(sorted(texts | ({constant} if isinstance(constant, str) else set())))
        change = np.full(len(categories[place]), UNSEEN)
        change[present] = [names.index(categories[place][i]) for i in present]
        rows = np.flatnonzero(np.isfinite(codes))
        values[rows, j] = change[codes[rows].astype(np.int64)]
        unseen += int((values[rows, j] == UNSEEN).sum())
        columns.append(Covariate(name, "category", names))
    return values, tuple(columns), unseen


def _with_flags(
    values: Floats, columns: tuple[Covariate, ...], fills: tuple[Fill, ...]
) -> tuple[Floats, tuple[Covariate, ...], tuple[Fill, ...]]:
    """The columns of a role with one more for each own column, whether it has holes or not: 1 where it has.

    All series of a run, and newer rows of one of them, have the same columns.
    """
    own = [j for j, column in enumerate(columns) if column.origin == "own"]
    flags = np.isnan(values[:, own]).astype(np.float64)
    more = tuple(Covariate.was_missing(columns[j].name) for j in own)
    return np.concatenate([values, flags], axis=1), (*columns, *more), (*fills, *(AUTO for _ in own))


def _cardinality_notes(columns: tuple[Covariate, ...], length: int) -> list[Finding]:
    """Category columns with more values than a history of that length can tell apart."""
    many = [
        f"{column.name} {len(column.categories)}"
        for column in columns
        if len(column.categories) > MOST_CATEGORIES
        or (len(column.categories) > _FEW_CATEGORIES and _ROWS_EACH * len(column.categories) > length)
    ]
    if not many:
        return []
    text = (
        f"{len(many)} category columns have very many values in {length} periods ({', '.join(many)}); the "
        f"{MOST_CATEGORIES} most frequent that came twice have a column each, the others share one meaning"
    )
    return [finding("HIGH_CARDINALITY", len(many), message=text)]


def _of_siblings(name: str, values: Floats, length: int) -> Covariate:
    """What a context column is; without a sibling anywhere in the history it becomes 0 (in place)."""
    if np.isfinite(values[:length]).any():
        return Covariate(name, origin="siblings")
    values[:] = 0.0
    return Covariate(name, origin="alone")


def _statics(x: Floats, layout: Layout, categories: Categories) -> tuple[Floats, tuple[Covariate, ...], int]:
    """The first value of each static column [S], what they are, and how many columns vary."""
    places = layout.role("static")
    values = np.full(len(places), np.nan)
    columns, varying = [], 0
    for j, place in enumerate(places):
        name, kind = layout.covariates[place].name, layout.covariates[place].kind
        seen = x[np.isfinite(x[:, place]), place]
        if len(seen):
            values[j] = seen[0]
            varying += bool((seen != seen[0]).any())
        texts: tuple[str, ...] = ()
        if kind == "category" and len(seen):
            texts, values[j] = (categories[place][int(seen[0])],), 0.0
        columns.append(Covariate(name, kind, texts))
    return values, tuple(columns), varying


# -- rows that are asked for -----------------------------------------------------


@dataclass(frozen=True)
class FutureRows:
    """Future rows of one key, aligned with a grid.

    Attributes
    ----------
    ordinals : [n]
        Of each row, in the order they came; at or before its moment where it is off the grid.
    reason : [n]
        Why a row cannot be forecast (`NOT_AFTER_HISTORY`, `OFF_GRID`, `REPEATED`), or None.
    known_x : [n, K]
        Known covariates; NaN where missing.
    """

    ordinals: Ints
    reason: tuple[str | None, ...]
    known_x: Floats

    def future(self, grid: Grid) -> tuple[Future, Ints]:
        """The rows that can be forecast, by increasing ordinal, and their places among all rows."""
        good = np.flatnonzero([reason is None for reason in self.reason])
        places = good[np.argsort(self.ordinals[good], kind="stable")]
        return Future(grid, self.ordinals[places], self.known_x[places]), places


def future_rows(
    frame: pd.DataFrame, end: int, grid: Grid, known: tuple[Covariate, ...], layout: Layout
) -> FutureRows:
    """The canonical future rows of one key, aligned with the grid of its series, in their order.

    Parameters
    ----------
    end
        Ordinal of the last position of the history.
    known
        The known covariates as the model knows them.
    """
    t = frame["t"].to_numpy(dtype=np.int64)
    ordinals, fits = grid.ordinals(t), grid.on_grid(t)
    repeated = np.ones(len(t), dtype=bool)
    repeated[np.unique(t, return_index=True)[1]] = False
    reason = tuple(
        "OFF_GRID" if not on else "NOT_AFTER_HISTORY" if ordinal <= end else "REPEATED" if again else None
        for on, ordinal, again in zip(fits, ordinals, repeated, strict=True)
    )
    values = np.empty((len(t), len(known)))
    places = {layout.covariates[place].name: place for place in layout.role("known")}
    for j, covariate in enumerate(known):
        place = places[covariate.source]
        column = frame[layout.covariate_names[place]]
        if covariate.origin == "alone":
            values[:, j] = 0.0
        elif covariate.origin == "missing":
            values[:, j] = column.isna()
        elif covariate.kind == "category":
            codes = {text: float(code) for code, text in enumerate(covariate.categories)}
            told = column.notna().to_numpy()
            texts = column.to_numpy(dtype=object)[told]
            values[:, j] = np.nan
            values[told, j] = [codes.get(text, UNSEEN) for text in texts]
        else:
            values[:, j] = column.to_numpy(dtype=np.float64)
    return FutureRows(ordinals, reason, values)
