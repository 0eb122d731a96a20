"""Columns that the configuration forgot: rows of one stamp that differ, and what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from many_models.panel.layout import Layout

Codes: TypeAlias = npt.NDArray[np.int64]

OFTEN = 0.2
"""Share of rows that have to share their stamp with others before a column is looked for."""

LEFT = 0.01
"""Share of rows that may still share a stamp when a column explains the others."""

HISTORY = 3
"""Rows that a series must have on average, so that a row number does not count as a key."""

MOST_PAIRED = 12


def shares_stamps(frame: pd.DataFrame, layout: Layout) -> bool:
    """Whether many rows of a sorted canonical frame stand at the stamp of the row before them."""
    if len(frame) < 2:
        return False
    same = np.ones(len(frame) - 1, dtype=bool)
    for name in ("t", *layout.key_names):
        values = frame[name].to_numpy()
        same &= np.asarray(values[1:] == values[:-1], dtype=bool)
    # of two rows that share a stamp, one has the other before it
    return bool(same.mean() >= OFTEN / 2)


def forgotten_columns(
    frame: pd.DataFrame, series: Sequence[str], time: str, named: Sequence[str]
) -> tuple[str, ...]:
    """The columns that together with `series` would give each row a stamp of its own; none is needed: empty.

    Parameters
    ----------
    frame
        Some rows of the user's table, with all its columns.
    series, time
        The columns that identify a series, and a row in it.
    named
        Every column that the configuration has a role for.

    Returns
    -------
    tuple of str
        One column, or two; of several answers the one that makes the fewest series. Empty where rows
        rarely share a stamp, or nothing explains it.
    """
    stamp = _codes(frame, [*series, time])
    if not len(stamp) or _sharing(stamp) < OFTEN:
        return ()
    owner = _codes(frame, list(series))
    candidates = {}
    for name in frame.columns:
        if isinstance(name, str) and name not in named and list(frame.columns).count(name) == 1:
            codes = _key_codes(frame[name])
            if codes is not None:
                candidates[name] = codes
    for size in (1, 2):
        # the coarse ones first: of many columns not all pairs are looked at
        names = sorted(candidates, key=lambda name: (candidates[name].max(initial=0), name))
        found = []
        for group in combinations(names if size == 1 else names[:MOST_PAIRED], size):
            apart = [candidates[name] for name in group]
            keys = _joint([owner, *apart])
            if len(frame) >= HISTORY * (keys.max() + 1) and _sharing(_joint([stamp, *apart])) <= LEFT:
                found.append((int(keys.max()), group))
        if found:
            return tuple(name for name in candidates if name in min(found)[1])
    return ()


def _sharing(codes: Codes) -> float:
    """The share of rows [n] whose code another row has too."""
    return float((np.bincount(codes)[codes] > 1).mean())


def _joint(parts: Sequence[Codes]) -> Codes:
    """One code [n] for each combination of codes."""
    codes = parts[0]
    for part in parts[1:]:
        codes = pd.factorize(codes * (int(part.max(initial=0)) + 1) + part)[0]
    return codes


def _codes(frame: pd.DataFrame, names: Sequence[str]) -> Codes:
    parts = [pd.factorize(frame[name], use_na_sentinel=False)[0].astype(np.int64) for name in names]
    return _joint([np.zeros(len(frame), dtype=np.int64), *parts])


def _key_codes(column: pd.Series[Any]) -> Codes | None:
    """Codes [n] of a column that could be a key: text, whole numbers, true and false; else None."""
    kind = column.dtype
    if pd.api.types.is_float_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind):
        return None
    try:
        return pd.factorize(column, use_na_sentinel=False)[0].astype(np.int64)
    except TypeError:  # lists and mappings are no keys
        return None
