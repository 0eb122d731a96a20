"""The contract of learners.

A learner is one file and one line in `table.py`. It turns a `Series` into a `FittedModel`;
a fitted model is frozen, predicts with its own few lines of NumPy from its state, and its
state is plain data. The model that was just fitted and the model that was stored and loaded
are the same code on the same numbers, so they agree bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from many_models.features.settings import FeatureSettings
from many_models.panel.series import Forecast, Future, Series

Parameters: TypeAlias = Mapping[str, Any]
"""JSON values only: numbers, strings, booleans, None, lists and mappings of them."""

State: TypeAlias = dict[str, Any]
"""JSON values, nested mappings and lists of them, and NumPy arrays (float64, int64, int32, uint8, bool)."""

Cost: TypeAlias = Literal["trivial", "cheap", "moderate", "dear"]
"""Roughly < 1 ms, < 10 ms, < 100 ms, more, for one fit on a hundred values."""


@dataclass(frozen=True)
class Deadline:
    """A moment after which work must stop; handed in, so that nobody reads a global clock."""

    at: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """The deadline that many seconds from now; None is no deadline."""
        return cls(None if seconds is None else time.monotonic() + seconds)

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline (infinite without one); negative when it has passed."""
        return float("inf") if self.at is None else self.at - time.monotonic()

    @property
    def passed(self) -> bool:
        """Whether the deadline has passed."""
        return self.seconds_left <= 0


@dataclass(frozen=True)
class FitContext:
    """What a fit may use besides the series.

    Attributes
    ----------
    horizon
        Steps that will be asked for, gap not included.
    gap
        Steps between the cutoff and the first forecast stamp.
    season
        Season length m of the series for models (1 = none): yearly 1, quarterly 4, monthly 12, weekly 52
        where the series is long enough, daily 7, hourly 24.
    score_season
        The m of MASE: like `season`, but 1 for weekly data.
    seed
        For everything random; derived from the key.
    deadline
        A learner that iterates looks at it and raises `LearnerError("DEADLINE")`.
    nonnegative
        The whole history is >= 0, so that a log is allowed.
    features
        Settings of the feature plan.
    """

    horizon: int
    gap: int = 0
    season: int = 1
    score_season: int = 1
    seed: int = 0
    deadline: Deadline = field(default_factory=Deadline)
    nonnegative: bool = False
    features: FeatureSettings = field(default_factory=FeatureSettings)


@dataclass(frozen=True)
class LearnerInfo:
    """What a learner is, readable without importing what it needs.

    Attributes
    ----------
    name
        The name in configuration, leaderboard and results.
    title
        What it is, in a few words, for documents and reports.
    reference
        The paper or manual it follows.
    min_length
        Fewest values of `y` it can be fitted on; fewer: `LearnerError("TOO_SHORT")`.
    cost
        Class of the cost of one fit.
    uses_known
        Whether it can use known covariates.
    requires
        Import names it needs beyond the core dependencies (an extra).
    pooled
        Whether it also learns one model across the series of a group (`PooledLearner`).
    steady
        Whether on a long history its parameters hardly move from fold to fold, and searching for them is most
        of its price: an evaluation estimates them once and moves the state on.
    """

    name: str
    title: str
    reference: str
    min_length: int
    cost: Cost
    uses_known: bool = False
    requires: tuple[str, ...] = ()
    pooled: bool = False
    steady: bool = False


@dataclass(frozen=True)
class Candidate:
    """A learner with parameters: one row of the leaderboard.

    `usual` names the candidate that is the same but for its pipeline; empty: it is that one itself.
    """

    name: str
    learner: str
    parameters: Parameters = field(default_factory=dict)
    uses_known: bool = False
    usual: str = ""


@runtime_checkable
class FittedModel(Protocol):
    """A fitted model: frozen, made of plain data."""

    @property
    def parameters(self) -> Parameters:
        """The parameters as resolved in the fit (a searched order is fixed here): a fit with
        them on another part of the series repeats no search."""

    def predict(self, future: Future) -> Forecast:
        """The forecast for the stamps of `future` (mean and median [H]), finite or an error."""

    def update(self, series: Series) -> FittedModel:
        """The same parameters with the state moved to the end of `series`.

        `series` is the stored tail of the training data (see `tail`), followed by (and where
        stamps are equal, replaced by) newer values. `update` with just the stored tail gives
        the identical forecast.
        """

    @property
    def tail(self) -> int:
        """How many last values of the series `update` needs to start from (0 = none)."""

    def state(self) -> State:
        """Everything `Learner.load` needs, as plain data."""


class Learner(Protocol):
    """A way to make forecasting models from one series."""

    @property
    def info(self) -> LearnerInfo:
        """What it is."""

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """The candidates of this learner that this history can carry, best known first.

        Depends on length, season and covariates, never on single values beyond sign and zero.
        A learner that can use known covariates gives, where there are some, candidates with
        them and at least one without.
        """

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> FittedModel:
        """The model fitted on `series`; leaves its input alone.

        Where a candidate's `uses_known` is False the caller passes `series.without_known()`.

        Raises
        ------
        LearnerError
            With a stable code, when this series cannot be fitted.
        """

    def load(self, state: State) -> FittedModel:
        """The model that gave this `state()`; it predicts identically, bit for bit."""


def generator(seed: int) -> np.random.Generator:
    """A fresh random generator for a seed."""
    return np.random.default_rng(seed)
