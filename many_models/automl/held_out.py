"""The end of a series, hidden from everything that chooses, and forecast with what was chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from many_models.automl.evaluation import fit_fallback
from many_models.automl.model import SeriesForecast, SeriesModel
from many_models.automl.moving import moved
from many_models.automl.task import TrainTask
from many_models.learners.base import FitContext
from many_models.panel.keys import SeriesKey
from many_models.panel.preparation import Prepared, PrepareSettings, prepare
from many_models.panel.series import Bools, Floats, Future

Ints = npt.NDArray[np.int64]


def known_then(frame: pd.DataFrame, cutoff: int) -> pd.DataFrame:
    """The canonical rows as they were known at `cutoff`: later rows keep what is known ahead alone."""
    later = frame["t"].to_numpy() > cutoff
    if not later.any():
        return frame
    hidden = frame.copy()
    hidden.loc[later, "y"] = np.nan
    if "mask" in hidden:
        hidden.loc[later, "mask"] = np.nan
    return hidden


def actual_at(whole: Prepared, ordinals: Ints) -> Floats:
    """What was observed at these ordinals [H]; NaN where nothing was."""
    actual = np.full(len(ordinals), np.nan)
    place = ordinals - whole.start
    there = (place >= 0) & (place < whole.length)
    actual[there] = np.where(whole.observed, whole.y, np.nan)[place[there]]
    return actual


def before_test(frame: pd.DataFrame, key: SeriesKey, task: TrainTask, whole: Prepared) -> Prepared | None:
    """The series as it was before its last `validation.test` steps; None where nothing was there yet."""
    return _as_of(frame, key, task, whole, whole.end - task.spec.validation.test)


def test_cutoffs(
    frame: pd.DataFrame, key: SeriesKey, task: TrainTask, whole: Prepared, before: Prepared
) -> Iterator[tuple[int, Prepared]]:
    """The ordinals from which hidden steps are forecast, a horizon apart, and the series as known then."""
    first = whole.end - task.spec.validation.test
    for end in range(first, whole.end - task.spec.forecast.gap, task.spec.forecast.horizon):
        known = before if end == first else _as_of(frame, key, task, whole, end)
        if known is None:
            return
        yield end, known


def hidden_future(task: TrainTask, whole: Prepared, end: int, known: Prepared) -> tuple[Future, Bools]:
    """The stamps of a horizon after `end`, as far as they are hidden, and which of them are closed."""
    horizon, gap = task.spec.forecast.horizon, task.spec.forecast.gap
    places, steps = end - known.start + 1, min(horizon, whole.end - gap - end)
    return known.future(places, steps, gap), known.closed_ahead(places, steps, gap)


def _as_of(
    frame: pd.DataFrame, key: SeriesKey, task: TrainTask, whole: Prepared, end: int
) -> Prepared | None:
    """The series as it was known at an ordinal, on the grid of all of it."""
    cutoff = int(whole.grid.stamps(end))
    origin = cutoff if task.panel_end is not None else None
    settings = PrepareSettings.of(task.spec, whole.grid.frequency.alias, origin, whole.grid)
    before = prepare(known_then(frame, cutoff), key, task.layout, settings)
    return before if before.n_obs else None


@dataclass(frozen=True)
class Tested:
    """One forecast of hidden values.

    Attributes
    ----------
    cutoff
        Ordinal of the last value that was known.
    ordinals, actual, naive : [H]
        What was forecast, what came (NaN where nothing), and what seasonal naive said.
    """

    cutoff: int
    ordinals: Ints
    actual: Floats
    naive: Floats
    answer: SeriesForecast


def tested(
    frame: pd.DataFrame,
    key: SeriesKey,
    task: TrainTask,
    whole: Prepared,
    before: Prepared,
    model: SeriesModel,
    context: FitContext,
) -> Iterator[Tested]:
    """Forecasts of the hidden steps, one horizon after the other; the state moves, parameters stay."""
    for end, known in test_cutoffs(frame, key, task, whole, before):
        if known is not before:
            model = moved(model, known)[0]
        future, closed = hidden_future(task, whole, end, known)
        naive = fit_fallback(known.train(known.length), context).predict(future.without_known())
        answer = model.forecast(future, closed)
        yield Tested(end, future.ordinals, actual_at(whole, future.ordinals), naive.median, answer)
