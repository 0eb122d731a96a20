"""One series made regular: rows in, arrays on a grid out, every change a finding.

`prepare` reads the rows of one series once, stays in NumPy, and gives a `Prepared`, from which
the training part before any cutoff, the horizon after it and the actuals are cut. A training part
depends on nothing that comes after it.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from many_models.panel.cleaning import Categories, cleaned, naive_zone, on_grid, one_per_stamp, read_rows
from many_models.panel.columns import (
    cardinality_notes,
    covariate_columns,
    covariate_notes,
    static_columns,
    with_flags,
)
from many_models.panel.demand import demand_class, outlier_bounds, shape_findings
from many_models.panel.findings import Finding, finding
from many_models.panel.folds import cutoffs, least_training
from many_models.panel.future_rows import FutureRows, future_rows
from many_models.panel.grid import Grid
from many_models.panel.imputation import AUTO, Fill
from many_models.panel.keys import SeriesKey
from many_models.panel.layout import Layout
from many_models.panel.mutations import Journal
from many_models.panel.prepare_settings import PrepareSettings
from many_models.panel.prepared import Prepared, open_bounds, write_down_fit
from many_models.panel.regular import (
    Rows,
    column_rules,
    resolve_grid,
    resolve_onto,
    roll_up,
    shares_as_numbers,
)
from many_models.panel.series import Bools, Covariate, Floats

__all__ = [
    "FutureRows",
    "PrepareSettings",
    "Prepared",
    "demand_class",
    "future_rows",
    "prepare",
]

Ints: TypeAlias = npt.NDArray[np.int64]

_MOSTLY_ABSENT = 0.2
_ENOUGH_TO_ASK = 10


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
    rows, categories = read_rows(frame, layout)
    rows, notes = cleaned(rows, layout, journal)
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
        zone = naive_zone(layout)
        rows, done = one_per_stamp(rows, len(stamps), zone, journal, categories, layout.forgotten)
    notes += done
    rows, ordinals, done = on_grid(rows, resolved.grid, journal, categories)
    notes += done
    prepared = _placed(rows, ordinals, categories, key, layout, settings, resolved.grid, notes, journal)
    if journal is not None:
        write_down_fit(journal, prepared)
    return prepared


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
    known_x, known, unseen = covariate_columns(x, layout, "known", categories, length, settings)
    past_x, past, _ = covariate_columns(x[:length], layout, "past", categories, length, settings)
    static_x, static, varying = static_columns(rows.x, layout, categories)
    notes += cardinality_notes((*known, *past), length)
    known_fills = tuple(settings.fill(column.name) for column in known)
    past_fills = tuple(settings.fill(column.name) for column in past)
    covariates = [
        (known_x[:length], known, known_fills),
        (past_x, past, past_fills),
        (static_x[np.newaxis], static, (AUTO,) * len(static)),
    ]
    notes += covariate_notes(covariates, len(np.unique(place[inside])))
    if settings.was_missing:
        known_x, known, known_fills = with_flags(known_x, known, known_fills)
        past_x, past, past_fills = with_flags(past_x, past, past_fills)
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
    low, high = open_bounds(outlier_bounds(y, observed, season))
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
