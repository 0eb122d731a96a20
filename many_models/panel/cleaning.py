"""The rows of one series, sorted and told apart: one for each period of the grid, the others findings."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from many_models.panel.findings import Finding, finding
from many_models.panel.grid import Grid
from many_models.panel.layout import Layout
from many_models.panel.mutations import Journal
from many_models.panel.regular import Rows
from many_models.panel.zones import DAY_US, from_wall, to_wall, wall_trouble

Ints: TypeAlias = npt.NDArray[np.int64]
Categories: TypeAlias = dict[int, tuple[str, ...]]
"""The texts behind the codes of a category column, by its place among the covariates."""

HUGE = 1e150
"""Targets beyond this are read as missing: their squares are not finite."""

HOUR_US = 3_600_000_000

LONGEST = 5_000_000
"""The most periods that one series may span."""


def read_rows(frame: pd.DataFrame, layout: Layout) -> tuple[Rows, Categories]:
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


def cleaned(rows: Rows, layout: Layout, journal: Journal | None) -> tuple[Rows, list[Finding]]:
    """The rows without values that are not finite, the second pass of an hour told from its first."""
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
    zone = naive_zone(layout)
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


def naive_zone(layout: Layout) -> str | None:
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


def one_per_stamp(
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


def on_grid(
    rows: Rows, grid: Grid, journal: Journal | None, categories: Categories
) -> tuple[Rows, Ints, list[Finding]]:
    """The rows whose stamps are on the grid, and their ordinals; none where they span too many periods."""
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
