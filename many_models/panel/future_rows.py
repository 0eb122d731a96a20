"""Rows that are asked for: which of them can be forecast, and what is known of them ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from many_models.panel.grid import Grid
from many_models.panel.layout import Layout
from many_models.panel.series import UNSEEN, Covariate, Floats, Future

Ints: TypeAlias = npt.NDArray[np.int64]


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
