"""One series made regular: rows in, arrays on a grid out, every change a finding.

`prepare` reads the rows of one series once, stays in NumPy, and gives a `Prepared`, from which
the training part before any cutoff, the horizon after it and the actuals are cut. A training part
depends on nothing that comes after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from many_models.panel.demand import demand_class, shape_findings
from many_models.panel.findings import Finding, finding
from many_models.panel.grid import Grid
from many_models.panel.imputation import Impute, fill_columns, fill_target
from many_models.panel.keys import SeriesKey
from many_models.panel.layout import Layout
from many_models.panel.regular import Rows, Rule, resolve_grid, resolve_onto, roll_up
from many_models.panel.series import Bools, Covariate, Floats, Future, Series
from many_models.panel.zones import DAY_US, from_wall, to_wall, wall_trouble

__all__ = ["FutureRows", "PrepareSettings", "Prepared", "demand_class", "future_rows", "prepare"]

Ints = npt.NDArray[np.int64]

HUGE = 1e150
"""Targets beyond this are read as missing: their squares are not finite."""

HOUR_US = 3_600_000_000

LONGEST = 5_000_000
"""The most periods that one series may span."""

_MOSTLY_ABSENT = 0.2
_ENOUGH_TO_ASK = 10


@dataclass(frozen=True)
class PrepareSettings:
    """What preparation reads of the configuration, and of the panel.

    Attributes
    ----------
    frequency, label, absent
        As in `data`.
    impute, aggregate, outliers
        As in `preparation`; `aggregate` is the rule of the target.
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
    impute: Impute = "auto"
    aggregate: Rule = "sum"
    outliers: bool = True
    panel_frequency: str | None = None
    panel_end: int | None = None
    grid: Grid | None = None

    @classmethod
    def of(
        cls,
        spec: Any,
        panel_frequency: str | None = None,
        panel_end: int | None = None,
        grid: Grid | None = None,
    ) -> PrepareSettings:
        """The settings of a `ForecastSpec`; `panel_end` counts only where the origin is the panel's."""
        data, preparation = spec.data, spec.preparation
        return cls(
            data.frequency,
            data.label,
            data.absent,
            preparation.impute,
            preparation.aggregate.target,
            preparation.outliers == "report",
            panel_frequency,
            panel_end if spec.forecast.origin == "panel" else None,
            grid,
        )


@dataclass(frozen=True)
class Prepared:
    """One series on its grid, with what is known ahead.

    Position i belongs to ordinal `start + i`; the history is the first T positions, from the first
    observed value to the last row with a target (or the panel's end); F positions follow.

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
    impute
        How holes are filled in training parts.
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
    impute: Impute = field(default="auto")

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

    def train(self, n: int) -> Series:
        """The first `n` positions, 1 <= n <= T; holes are filled from these positions alone."""
        known, known_codes = _coded_until(self.known, self._known_first, n)
        past, past_codes = _coded_until(self.past, self._past_first, n)
        season = self.grid.frequency.season
        return Series(
            self.grid,
            self.start,
            fill_target(self.y[:n], self.observed[:n], self.impute, season),
            self.observed[:n],
            fill_columns(_recoded(self.known_x[:n], known_codes)),
            fill_columns(_recoded(self.past_x[:n], past_codes)),
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
        positions = np.arange(n + gap, n + gap + horizon, dtype=np.int64)
        values = np.full((horizon, self.known_x.shape[1]), np.nan)
        there = positions < len(self.known_x)
        values[there] = self._known_filled[positions[there]]
        _, codes = _coded_until(self.known, self._known_first, n)
        return Future(self.grid, self.start + positions, _recoded(values, codes))

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

    @cached_property
    def _known_filled(self) -> Floats:
        filled = self.known_x.copy()
        filled[: self.length] = fill_columns(self.known_x[: self.length])
        return filled

    @cached_property
    def _known_first(self) -> tuple[Ints | None, ...]:
        return _first_places(self.known, self.known_x[: self.length])

    @cached_property
    def _past_first(self) -> tuple[Ints | None, ...]:
        return _first_places(self.past, self.past_x)


def _first_places(columns: tuple[Covariate, ...], values: Floats) -> tuple[Ints | None, ...]:
    """Per column, the first position of each category; None for numbers."""
    result: list[Ints | None] = []
    for j, column in enumerate(columns):
        if column.kind != "category":
            result.append(None)
            continue
        first = np.full(len(column.categories), len(values), dtype=np.int64)
        rows = np.flatnonzero(np.isfinite(values[:, j]))[::-1]
        first[values[rows, j].astype(np.int64)] = rows
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
        changes[j] = np.where(kept, np.cumsum(kept) - 1.0, np.nan)
    return tuple(coded), tuple(changes)


def _recoded(values: Floats, changes: tuple[Floats | None, ...]) -> Floats:
    if all(change is None for change in changes):
        return values
    result = values.copy()
    for j, change in enumerate(changes):
        if change is not None:
            rows = np.flatnonzero(np.isfinite(values[:, j]))
            result[rows, j] = change[values[rows, j].astype(np.int64)] if len(change) else np.nan
    return result


# -- from rows to arrays ---------------------------------------------------------


def prepare(frame: pd.DataFrame, key: SeriesKey, layout: Layout, settings: PrepareSettings) -> Prepared:
    """The rows of one series (canonical, in any order) on a regular grid.

    A series without any usable observation comes back with `n_obs` 0 and says why in `findings`.
    """
    rows, categories = _read(frame, layout)
    rows, notes = _cleaned(rows, layout)
    stamps = rows.t[np.concatenate([[True], rows.t[1:] != rows.t[:-1]])] if len(rows) else rows.t
    if settings.grid is not None:
        resolved = resolve_onto(stamps, layout, settings.grid, settings.frequency)
    else:
        resolved = resolve_grid(stamps, layout, settings.frequency, settings.panel_frequency, settings.label)
    notes += resolved.findings
    if resolved.aggregate and len(rows):
        rows, done = roll_up(rows, resolved, settings.aggregate, [c.kind for c in layout.covariates])
        notes += done
    else:
        rows, done = _one_per_stamp(rows, len(stamps), _naive_zone(layout))
        notes += done
    rows, ordinals, done = _on_grid(rows, resolved.grid)
    notes += done
    return _placed(rows, ordinals, categories, key, layout, settings, resolved.grid, notes)


def _read(frame: pd.DataFrame, layout: Layout) -> tuple[Rows, dict[int, tuple[str, ...]]]:
    """The rows sorted by time, then by everything else; categories as codes, and their texts."""
    x = np.empty((len(frame), len(layout.covariates)))
    categories: dict[int, tuple[str, ...]] = {}
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


def _cleaned(rows: Rows, layout: Layout) -> tuple[Rows, list[Finding]]:
    notes: list[Finding] = []
    t, y, x = rows.t, rows.y, rows.x
    with np.errstate(invalid="ignore"):
        wild = np.abs(y) > HUGE
    if wild.any():
        y = np.where(wild, np.nan, y)
        notes.append(finding("NOT_FINITE_TARGET", int(wild.sum())))
    if x.size:
        infinite = np.isinf(x)
        if infinite.any():
            x = np.where(infinite, np.nan, x)
            notes.append(finding("COVARIATE_NOT_FINITE", int(infinite.sum())))
    zone = _naive_zone(layout)
    if zone is not None:
        t, passes = _second_passes(t, zone)
        if passes:
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


def _one_per_stamp(rows: Rows, stamps: int, zone: str | None) -> tuple[Rows, list[Finding]]:
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
        notes.append(finding("DUPLICATES_CONFLICTING", len(lost) - skipped))
    return rest.take(last), notes


def _on_grid(rows: Rows, grid: Grid) -> tuple[Rows, Ints, list[Finding]]:
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
        rows, ordinals = rows.take(fits), ordinals[fits]
    if len(ordinals) and int(ordinals[-1] - ordinals[0]) >= LONGEST:
        text = f"the rows span more than {LONGEST} periods of the frequency {grid.frequency}; none is used"
        notes.append(finding("OFF_GRID_ROWS", len(rows), message=text, severity="error"))
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
    categories: dict[int, tuple[str, ...]],
    key: SeriesKey,
    layout: Layout,
    settings: PrepareSettings,
    grid: Grid,
    notes: list[Finding],
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
    observed = np.isfinite(y)
    notes += _history_notes(observed, hidden, closed[:length])
    season = grid.frequency.season
    notes += shape_findings(y, observed, season, settings.outliers)
    x = np.full((total, rows.x.shape[1]), np.nan)
    x[place] = rows.x
    known_x, known, unseen = _columns(x, layout, "known", categories, length)
    past_x, past, _ = _columns(x[:length], layout, "past", categories, length)
    static_x, static, varying = _statics(rows.x, layout, categories)
    recorded = np.zeros(length, dtype=bool)
    recorded[place[inside]] = True
    empty = int(np.isnan(known_x[:length][recorded]).sum() + np.isnan(past_x[recorded]).sum())
    if empty:
        notes.append(finding("COVARIATE_FILLED", empty))
    if unseen:
        notes.append(finding("CATEGORY_UNSEEN", unseen))
    if varying:
        notes.append(finding("STATIC_VARIES", varying))
    return Prepared(
        key,
        tuple(notes),
        grid,
        start,
        y,
        observed,
        known_x,
        past_x,
        static_x,
        closed,
        known,
        past,
        static,
        settings.impute,
    )


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


def _history_notes(observed: Bools, hidden: Bools, closed: Bools) -> list[Finding]:
    notes = []
    gaps = int((~observed & ~hidden & ~closed).sum())
    for code, count in (("GAPS_FILLED", gaps), ("MASKED", int(hidden.sum())), ("CLOSED", int(closed.sum()))):
        if count:
            notes.append(finding(code, count))
    return notes


def _columns(
    x: Floats,
    layout: Layout,
    role: Literal["known", "past"],
    categories: dict[int, tuple[str, ...]],
    length: int,
) -> tuple[Floats, tuple[Covariate, ...], int]:
    """The columns of a role, what they are, and how many values ahead are categories never seen before."""
    places = layout.role(role)
    values = x[:, list(places)]
    columns, unseen = [], 0
    for j, place in enumerate(places):
        name, kind = layout.covariates[place].name, layout.covariates[place].kind
        if kind != "category":
            columns.append(Covariate(name, kind))
            continue
        codes = values[:, j]
        present = np.unique(codes[:length][np.isfinite(codes[:length])]).astype(np.int64)
        change = np.full(len(categories[place]), np.nan)
        change[present] = np.arange(len(present))
        rows = np.flatnonzero(np.isfinite(codes))
        values[rows, j] = change[codes[rows].astype(np.int64)] if len(change) else np.nan
        unseen += int(np.isnan(values[rows, j]).sum())
        columns.append(Covariate(name, "category", tuple(categories[place][i] for i in present)))
    return values, tuple(columns), unseen


def _statics(
    x: Floats, layout: Layout, categories: dict[int, tuple[str, ...]]
) -> tuple[Floats, tuple[Covariate, ...], int]:
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
        Known covariates; NaN where missing or a category that was never seen.
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
    for j, (place, covariate) in enumerate(zip(layout.role("known"), known, strict=True)):
        column = frame[layout.covariate_names[place]]
        if covariate.kind == "category":
            codes = {text: float(code) for code, text in enumerate(covariate.categories)}
            values[:, j] = [codes.get(text, np.nan) for text in column.to_numpy(dtype=object)]
        else:
            values[:, j] = column.to_numpy(dtype=np.float64)
    return FutureRows(ordinals, reason, values)
