"""What several learners check in the same way: lengths, stamps, finiteness, silence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from many_models.errors import DamagedError, LearnerError
from many_models.learners.base import Deadline, State
from many_models.panel.series import Floats, Forecast, Future, Series

ABSURD_FACTOR = 1e3
"""A forecast this many times larger than anything in the history is no forecast."""


@contextmanager
def quiet() -> Iterator[None]:
    """A block in which neither the warnings of libraries nor those of NumPy get out."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def require_length(series: Series, least: int) -> None:
    """Raises LearnerError TOO_SHORT where `series` has fewer than `least` values."""
    if len(series) < least:
        raise LearnerError("TOO_SHORT", f"found {len(series)} values; at least {least} are needed")


def require_time(deadline: Deadline) -> None:
    """Raises LearnerError DEADLINE where the deadline has passed."""
    if deadline.passed:
        raise LearnerError("DEADLINE", "the time for this fit is over")


def steps_after(future: Future, end: int) -> npt.NDArray[np.int64]:
    """How many steps after the ordinal `end` each stamp of `future` lies [H], each at least 1."""
    steps = np.asarray(future.ordinals, dtype=np.int64) - end
    if len(steps) and steps[0] < 1:
        raise LearnerError("NOT_AFTER_HISTORY", f"stamp {future.ordinals[0]} is not after {end}")
    return steps


def newest(series: Series, start: int) -> Series:
    """The part of `series` from the ordinal `start` on, where a model's stored tail begins."""
    if series.start > start:
        raise LearnerError("TAIL_MISSING", f"the history starts at {series.start}, needed from {start} on")
    return series if series.start == start else series.tail(series.end - start + 1)


def finite(mean: Floats, median: Floats | None = None) -> Forecast:
    """The forecast, or LearnerError NOT_FINITE where a value is not."""
    if not np.isfinite(mean).all() or (median is not None and not np.isfinite(median).all()):
        raise LearnerError("NOT_FINITE", "the forecast has values that are not finite")
    return Forecast.point(mean, median)


def believable(mean: Floats, y: Floats) -> None:
    """Raises LearnerError NOT_FINITE or ABSURD where a forecast has left all proportion to `y` [T]."""
    if not np.isfinite(mean).all():
        raise LearnerError("NOT_FINITE", "the fitted model diverges")
    largest = float(np.abs(y).max(initial=0.0))
    if len(mean) and float(np.abs(mean).max()) > ABSURD_FACTOR * max(largest, np.finfo(float).tiny):
        raise LearnerError("ABSURD", f"forecasts {np.abs(mean).max():.3g} after at most {largest:.3g}")


def binary_scale(y: Floats) -> float:
    """A power of two near the mean size of `y`: exact to divide by, and libraries' tolerances then fit."""
    size = float(np.abs(y).mean()) if len(y) else 0.0
    if not np.isfinite(size):
        raise LearnerError("NOT_FINITE", "the history has values that are not finite")
    return 1.0 if size < 1e-290 else float(2.0 ** np.round(np.log2(size)))


def opened(state: State, kind: str, version: int) -> State:
    """The same state, or DamagedError where it is of another kind or of a version not known here."""
    if state.get("kind") != kind or state.get("version") != version:
        raise DamagedError(
            f"a stored model of kind {state.get('kind')!r}, version {state.get('version')!r}; "
            f"this release reads {kind!r} of version {version}"
        )
    return state


@contextmanager
def library(message: str = "the library could not fit this series") -> Iterator[None]:
    """A block that calls a library: silent, and what it raises becomes LearnerError FIT_FAILED."""
    with quiet():
        try:
            yield
        except LearnerError:
            raise
        except Exception as trouble:  # Libraries raise bare exceptions; the caller needs one stable code.
            raise LearnerError("FIT_FAILED", f"{message}: {type(trouble).__name__}: {trouble}") from trouble
