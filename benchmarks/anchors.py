"""What our forecasts are compared with: statsforecast's four leading single models, and their median.

Each series is fitted alone, in two processes, one thread each. A fit that takes longer than it may is
given up and told: AutoARIMA takes minutes on a strongly seasonal series.
"""

from __future__ import annotations

import harness  # noqa: F401  isort: skip  (one thread for BLAS, before NumPy is loaded)

import signal
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FOUR = ("AutoARIMA", "AutoETS", "AutoCES", "AutoTheta")
SPARSE = ("ADIDA", "IMAPA", "TSB")


@dataclass(frozen=True)
class Anchored:
    """Forecasts of other people's models.

    Attributes
    ----------
    forecasts
        Per model [N, H]; NaN where a fit failed or took too long.
    seconds
        Core-seconds per model, all series together.
    late
        Per model, how many fits were given up.
    """

    forecasts: Mapping[str, Floats]
    seconds: Mapping[str, float]
    late: Mapping[str, int]

    def median(self, models: Sequence[str] = FOUR) -> Floats:
        """The median of the models that answered [N, H]."""
        together = np.stack([self.forecasts[name] for name in models])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            middle: Floats = np.nanmedian(together, axis=0)
        return middle

    @property
    def remark(self) -> str:
        """Core-seconds per series, and what was given up."""
        count = len(next(iter(self.forecasts.values())))
        each = ", ".join(f"{name} {spent / count:.3g}" for name, spent in self.seconds.items())
        late = ", ".join(f"{name} {number}" for name, number in self.late.items() if number)
        total = sum(self.seconds.values()) / count
        return (
            f"core-seconds per series of the models compared with: {total:.3g} ({each}); "
            f"given up of {count} fits: {late or 'none'}"
        )


def anchored(
    histories: Sequence[Floats], season: int, horizon: int, models: Sequence[str] = FOUR, limit: float = 60.0
) -> Anchored:
    """The forecasts of the models for every history.

    Parameters
    ----------
    histories
        One per series [T], without gaps at either end.
    season, horizon
        m and H.
    models
        Names in `statsforecast.models`.
    limit
        Seconds that one fit may take.
    """
    work = [(history, season, horizon, tuple(models), limit) for history in histories]
    with ProcessPoolExecutor(2) as pool:
        answers = list(pool.map(_one, work, chunksize=1))
    forecasts = {name: np.array([answer[name][0] for answer in answers]) for name in models}
    seconds = {name: sum(answer[name][1] for answer in answers) for name in models}
    late = {name: sum(answer[name][2] for answer in answers) for name in models}
    return Anchored(forecasts, seconds, late)


def priced(
    histories: Sequence[Floats], season: int, horizon: int, models: Sequence[str] = FOUR, limit: float = 60.0
) -> tuple[float, int]:
    """Core-seconds per series of all models together in this process, and how many fits were given up.

    The first history is fitted once before, so that no model's compilation is counted.
    """
    for name in models:
        _one((histories[0][-4 * max(season, 4) :], season, horizon, (name,), limit))
    answers = [_one((history, season, horizon, tuple(models), limit)) for history in histories]
    spent = sum(seconds for answer in answers for _, seconds, _ in answer.values())
    return spent / len(histories), sum(late for answer in answers for _, _, late in answer.values())


def _one(work: tuple[Floats, int, int, tuple[str, ...], float]) -> dict[str, tuple[Floats, float, bool]]:
    """Forecast, core-seconds and whether it was given up, per model."""
    history, season, horizon, models, limit = work
    answers = {}
    signal.signal(signal.SIGALRM, _too_late)
    for name in models:
        started, late = time.process_time(), False
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            forecast = _forecast(name, history, season, horizon)
        except TimeoutError:
            forecast, late = np.full(horizon, np.nan), True
        except Exception:  # whatever their fit says, it is a series without their forecast
            forecast = np.full(horizon, np.nan)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        answers[name] = (forecast, time.process_time() - started, late)
    return answers


def _too_late(signum: int, frame: FrameType | None) -> None:
    raise TimeoutError


def _forecast(name: str, history: Floats, season: int, horizon: int) -> Floats:
    from statsforecast import models as theirs

    arguments: dict[str, Any] = {"season_length": season} if name in FOUR else {}
    if name == "TSB":
        arguments = {"alpha_d": 0.1, "alpha_p": 0.1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        forecast: Floats = getattr(theirs, name)(**arguments).forecast(y=history, h=horizon)["mean"]
    return np.asarray(forecast, dtype=np.float64)
