"""The covariates of one series as columns, and what is to be said of them."""

from __future__ import annotations

from typing import Literal

import numpy as np

from many_models.panel.cleaning import Categories
from many_models.panel.findings import Finding, finding
from many_models.panel.imputation import AUTO, Fill
from many_models.panel.layout import Layout
from many_models.panel.prepare_settings import PrepareSettings
from many_models.panel.series import MOST_CATEGORIES, UNSEEN, Covariate, Floats

_FEW_CATEGORIES = 5
_ROWS_EACH = 3
"""A category that came less often tells a model nothing; so few categories are never too many."""


def covariate_columns(
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


def with_flags(
    values: Floats, columns: tuple[Covariate, ...], fills: tuple[Fill, ...]
) -> tuple[Floats, tuple[Covariate, ...], tuple[Fill, ...]]:
    """The columns of a role with one more for each own column, whether it has holes or not: 1 where it has.

    All series of a run, and newer rows of one of them, have the same columns.
    """
    own = [j for j, column in enumerate(columns) if column.origin == "own"]
    flags = np.isnan(values[:, own]).astype(np.float64)
    more = tuple(Covariate.was_missing(columns[j].name) for j in own)
    return np.concatenate([values, flags], axis=1), (*columns, *more), (*fills, *(AUTO for _ in own))


def cardinality_notes(columns: tuple[Covariate, ...], length: int) -> list[Finding]:
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


def static_columns(
    x: Floats, layout: Layout, categories: Categories
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


def covariate_notes(
    parts: list[tuple[Floats, tuple[Covariate, ...], tuple[Fill, ...]]], rows: int
) -> list[Finding]:
    """What was filled in the covariate columns [T, K] of a history of so many rows, and which are empty."""
    words, total, empty = [], 0, []
    for values, columns, fills in parts:
        for j, (column, fill) in enumerate(zip(columns, fills, strict=True)):
            holes = int(np.isnan(values[:, j]).sum())
            if holes == len(values) and fill.method not in ("zero", "constant"):
                empty.append(column.name)  # nothing to fill from
            elif holes:
                total += holes
                rule = "forward" if fill.method == "auto" else str(fill)
                words.append(f"{column.name} {holes} ({rule})")
    found = []
    if empty:
        text = f"no value in the whole history, so that nothing is learned from them: {', '.join(empty)}"
        found.append(finding("COVARIATE_EMPTY", len(empty), message=text))
    if total:
        absent = len(parts[0][0]) - rows
        rest = f"; {absent} periods have no row" if absent else ""
        text = f"{total} missing covariate values in the history were filled: {', '.join(words)}{rest}"
        found.append(finding("COVARIATE_FILLED", total, message=text))
    return found
