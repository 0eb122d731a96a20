"""Newer history: the state of a fitted model moves, its parameters stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from many_models.automl.model import SeriesModel
from many_models.panel.extension import Fills, extended
from many_models.panel.preparation import Prepared
from many_models.panel.series import UNSEEN, Covariate, Floats, Series


def moved(model: SeriesModel, newer: Prepared) -> tuple[SeriesModel, int]:
    """The model with its state at the end of newer history, and how many values that it knew were revised.

    `newer` stands on the grid of the model; its holes are filled as it says, as in a training.
    """
    stored = model.history
    history, revised = moved_history(stored, newer)
    return (model if history is stored else model.updated(history)), revised


def moved_history(stored: Series, newer: Prepared) -> tuple[Series, int]:
    """The history that a model stores with newer values put in, and how many that it knew were revised."""
    if newer.n_obs == 0:
        return stored, 0
    length = newer.length
    known = recoded(newer.known_x[:length], newer.known, stored.known)
    past = recoded(newer.past_x, newer.past, stored.past)
    # as a fit would see it: outliers are capped where that is configured
    y = np.where(newer.observed, newer.fitted(length), np.nan)
    fills = Fills(newer.fill, newer.known_fills, newer.past_fills)
    return extended(stored, newer.start, y, known, past, fills)


def recoded(values: Floats, there: Sequence[Covariate], wanted: Sequence[Covariate]) -> Floats:
    """Category codes [T, K] of one coding in the terms of another.

    A context column of rows that came without any sibling is missing, where the model knows siblings.
    """
    result = values.copy()
    for j, (have, want) in enumerate(zip(there, wanted, strict=True)):
        if have.origin == "alone" and want.origin == "siblings":
            result[:, j] = np.nan
        if want.kind != "category" or have.categories == want.categories:
            continue
        place = {text: float(i) for i, text in enumerate(want.categories)}
        table = np.array([place.get(text, UNSEEN) for text in have.categories] or [UNSEEN])
        seen = values[:, j] >= 0
        result[seen, j] = table[values[seen, j].astype(np.int64)]
    return result
