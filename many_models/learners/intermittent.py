"""Intermittent demand: the rate of a series that is mostly zero.

Croston (1972), Operational Research Quarterly 23(3); Syntetos & Boylan (2005), IJF 21(2) (SBA);
Teunter, Syntetos & Babai (2011), EJOR 214(3) (TSB); Nikolopoulos et al. (2011), JORS 62(3) (ADIDA);
Petropoulos & Kourentzes (2015), JORS 66(6) (IMAPA). All forecast one rate for every step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from many_models.learners.base import Candidate, FitContext, Parameters, State
from many_models.learners.guards import finite, newest, opened, require_length, steps_after
from many_models.learners.table import learner_info
from many_models.panel.series import Floats, Forecast, Future, Series

STATE_VERSION = 1
WINDOW = 200
"""The rate is that of so many last values; what lies before has no weight left in it."""

SMOOTHING = 0.1
"""Croston's and Syntetos and Boylan's usual constant."""

BIAS = 0.95
"""Syntetos and Boylan: 1 - SMOOTHING / 2."""

ALPHAS = np.linspace(0.1, 0.3, 21)
"""Among these the smoothing of aggregated values is chosen by its squared errors one bucket ahead."""


def smoothed(x: Floats, alpha: float) -> float:
    """The last level of simple exponential smoothing of `x` [n], which starts at `x[0]`."""
    level = float(x[0])
    for value in x[1:].tolist():
        level += alpha * (value - level)
    return level


def best_smoothed(x: Floats) -> float:
    """The last level of simple exponential smoothing of `x` [n] at the best of `ALPHAS`."""
    level = np.full(len(ALPHAS), x[0])
    error = np.zeros(len(ALPHAS))
    for value in x[1:].tolist():
        off = value - level
        error += off * off
        level = level + ALPHAS * off
    return float(level[int(np.argmin(error))])


def croston(y: Floats) -> float:
    """Croston's rate: the smoothed size of a demand over the smoothed interval between demands."""
    at = np.flatnonzero(y)
    if not len(at):
        return 0.0
    return smoothed(y[at], SMOOTHING) / smoothed(np.diff(at, prepend=-1).astype(np.float64), SMOOTHING)


def sba(y: Floats) -> float:
    """Croston's rate without its bias upwards."""
    return BIAS * croston(y)


def tsb(y: Floats) -> float:
    """The smoothed size of a demand times the smoothed probability of one: it fades where demand stops."""
    at = np.flatnonzero(y)
    if not len(at):
        return 0.0
    return smoothed(y[at], SMOOTHING) * smoothed((y != 0).astype(np.float64), SMOOTHING)


def _buckets(y: Floats, width: int) -> Floats:
    """Sums over `width` values each, the last bucket whole; what does not fill the first is left out."""
    kept = len(y) // width * width
    sums: Floats = y[len(y) - kept :].reshape(-1, width).sum(axis=1)
    return sums


def _interval(y: Floats) -> int:
    """The mean interval between demands, rounded; at most the length of `y`."""
    at = np.flatnonzero(y)
    if not len(at):
        return 1
    return int(np.clip(np.rint(np.diff(at, prepend=-1).mean()), 1, len(y)))


def adida(y: Floats) -> float:
    """The smoothed sum over buckets as long as the mean interval, per step."""
    width = _interval(y)
    return best_smoothed(_buckets(y, width)) / width


def imapa(y: Floats) -> float:
    """The mean of ADIDA's rates over all bucket widths up to the mean interval."""
    widths = range(1, _interval(y) + 1)
    return float(np.mean([best_smoothed(_buckets(y, width)) / width for width in widths]))


RATES: dict[str, Callable[[Floats], float]] = {
    "croston": croston,
    "sba": sba,
    "tsb": tsb,
    "adida": adida,
    "imapa": imapa,
}


@dataclass(frozen=True, eq=False)
class Rate:
    """One rate for every step.

    Attributes
    ----------
    kind
        The method.
    recent : [n]
        The last values that the rate is made of.
    rate
        The mean of the forecast.
    """

    kind: str
    recent: Floats
    end: int
    rate: float

    @classmethod
    def of(cls, kind: str, series: Series) -> Rate:
        """The rate at the end of `series`."""
        recent = series.y[-WINDOW:].copy()
        return cls(kind, recent, series.end, RATES[kind](recent))

    @property
    def parameters(self) -> Parameters:
        """None: the constants are those of the papers."""
        return {}

    @property
    def tail(self) -> int:
        """The recent values."""
        return len(self.recent)

    def predict(self, future: Future) -> Forecast:
        """The rate at every stamp, and a median as far below it as that of the recent values is.

        Where most periods are zero, so is the median.
        """
        steps = len(steps_after(future, self.end))
        mean = float(self.recent.mean())
        median = self.rate * float(np.median(self.recent)) / mean if mean > 0 else 0.0
        return finite(np.full(steps, self.rate), np.full(steps, median))

    def update(self, series: Series) -> Rate:
        """The rate with the new values in it."""
        return Rate.of(self.kind, newest(series, self.end - self.tail + 1))

    def state(self) -> State:
        """The recent values and the cutoff."""
        return {"kind": self.kind, "version": STATE_VERSION, "recent": self.recent, "end": self.end}


class Intermittent:
    """One of the methods for demand that is mostly zero."""

    name: str

    def __init__(self) -> None:
        self.info = learner_info(self.name)

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """The one, where nothing is negative."""
        if len(series) < self.info.min_length or series.y.min() < 0:
            return ()
        return (Candidate(self.name, self.name),)

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> Rate:
        """The rate at the end of `series`."""
        require_length(series, self.info.min_length)
        return Rate.of(self.name, series)

    def load(self, state: State) -> Rate:
        """The stored model."""
        s = opened(state, self.name, STATE_VERSION)
        recent = np.asarray(s["recent"], dtype=np.float64)
        return Rate(self.name, recent, int(s["end"]), RATES[self.name](recent))


class Croston(Intermittent):
    """Croston's method."""

    name = "croston"


class Sba(Intermittent):
    """Croston's method with Syntetos and Boylan's correction."""

    name = "sba"


class Tsb(Intermittent):
    """The method of Teunter, Syntetos and Babai."""

    name = "tsb"


class Adida(Intermittent):
    """Smoothing of sums over the mean interval between demands."""

    name = "adida"


class Imapa(Intermittent):
    """The mean of smoothings over several bucket widths."""

    name = "imapa"
