"""k nearest neighbours on the common frame: the mean of the rows that looked most like this one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from many_models.errors import DamagedError
from many_models.features.rows import Positions
from many_models.learners.base import FitContext, State
from many_models.learners.regression import Lesson, Regression
from many_models.learners.table import learner_info
from many_models.panel.series import Floats

COUNTS = (3, 5, 8, 13, 21)
"""Numbers of neighbours that compete."""
MOST_ROWS_KEPT = 250
"""A model holds its training rows: the newest so many, in single precision."""


@dataclass(frozen=True)
class Neighbours:
    """Training rows and their answers.

    Attributes
    ----------
    x : [n, c]
        Rows, in single precision.
    z : [n]
        Their targets.
    count
        How many nearest rows are averaged.
    """

    kind: ClassVar[str] = "regression_neighbours"

    x: Floats
    z: Floats
    count: int

    @property
    def reads(self) -> Positions:
        """The positions of the columns: distances read all."""
        return np.arange(self.x.shape[1], dtype=np.int64)

    def predict(self, x: Floats) -> Floats:
        """The mean answer of the nearest rows, for rows [n, c] -> [n]; of rows as near the earlier."""
        answer = np.empty(len(x))
        for i, row in enumerate(_single(x)):
            distance = ((self.x - row) ** 2).sum(axis=1)
            nearest = np.argsort(distance, kind="stable")[: self.count]
            answer[i] = self.z[nearest].mean()
        return answer

    def state(self) -> State:
        """The rows as plain data."""
        return {"x": self.x.astype(np.float32), "z": self.z.astype(np.float32), "count": self.count}

    @classmethod
    def load(cls, state: State) -> Self:
        """The rows that gave this state.

        Raises
        ------
        DamagedError
            Where rows and answers do not fit together.
        """
        x, z = np.asarray(state["x"]).astype(np.float64), np.asarray(state["z"]).astype(np.float64)
        count = int(state["count"])
        if x.ndim != 2 or z.shape != (len(x),) or not 1 <= count <= len(x):
            raise DamagedError("the rows of a neighbours model do not fit together")
        return cls(x, z, count)


def _single(x: Floats) -> Floats:
    return x.astype(np.float32).astype(np.float64)


def neighbours(x: Floats, z: Floats, target: Positions) -> Neighbours:
    """Rows [n, c] with answers [n], and the number of neighbours with the least left-out error.

    A row is left out with every other view of the same `target` [n], or it would know the answer.
    """
    newest = np.sort(np.argsort(target, kind="stable")[-MOST_ROWS_KEPT:])
    x, z, target = _single(x[newest]), _single(z[newest]), target[newest]
    counts = [count for count in COUNTS if count <= max(COUNTS[0], len(np.unique(target)) // 4)]
    errors = np.zeros(len(counts))
    for i, row in enumerate(x):
        distance = np.where(target == target[i], np.inf, ((x - row) ** 2).sum(axis=1))
        nearest = np.argsort(distance, kind="stable")[: counts[-1]]
        means = np.cumsum(z[nearest]) / np.arange(1, len(nearest) + 1)
        errors += [abs(means[min(count, len(means)) - 1] - z[i]) for count in counts]
    return Neighbours(x, z, min(counts[int(np.argmin(errors))], len(x)))


class Knn(Regression):
    """The mean of the k nearest training rows, k by leaving one out."""

    info = learner_info("knn")
    style = "linear"
    kind = Neighbours.kind
    by_distance = True

    def learn(self, lesson: Lesson, context: FitContext) -> Neighbours:
        """The training rows themselves."""
        return neighbours(lesson.x, lesson.z, lesson.target)

    def load_core(self, state: State) -> Neighbours:
        """The rows that gave this state."""
        return Neighbours.load(state)
