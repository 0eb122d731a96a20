"""Regressions over the panel of a group: the cores of single series, learned across all series at once.

The rows of all series stand below each other, each series on a scale of its own; every regression of
`regression.py` and its neighbours can be the core. Boosted trees compete with the absolute and with
the squared error as loss, linear regression as ridge and as elastic net.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from many_models.errors import LearnerError
from many_models.features.group import Group
from many_models.features.past import reads_past
from many_models.features.rows import Positions
from many_models.learners import forests, neighbours, regression, sparse
from many_models.learners.base import Candidate, Deadline, FitContext, LearnerInfo, Parameters, State
from many_models.learners.guards import finite, opened, require_time
from many_models.learners.linear import LinearCore, check_future, ridge
from many_models.learners.pipeline import Pipeline, stated_pipeline, with_pipelines, with_stated
from many_models.learners.pooled import Asked, GroupSeries, value_weights
from many_models.learners.pooled_frame import FEWEST_EACH, FEWEST_ROWS, LARGEST, PooledFrame, frame_of
from many_models.learners.regression import Core, Lesson, Piped, Regression, mean_over_median
from many_models.learners.target import TargetScale, transform_for
from many_models.learners.trees import Trees
from many_models.panel.series import Floats, Forecast, Series

VERSION = 1
MOST_ROWS = 120_000
"""More training rows than this are not drawn from one group; each series keeps its newest."""
MOST_JUDGED = 2000
"""Rows that the factor between mean and median is taken from, evenly spaced."""
LONG = 200
"""From so many values on, models with covariates read lags and windows too."""


@dataclass(frozen=True)
class PooledRegressionModel:
    """A regression fitted on a group.

    Attributes
    ----------
    factor
        Mean over median.
    """

    settings: Parameters
    frame: PooledFrame
    core: Core
    factor: float

    @property
    def parameters(self) -> Parameters:
        """The parameters of the fit."""
        return self.settings

    @property
    def tail(self) -> int:
        """How many last values of a series a forecast reads."""
        return self.frame.tail

    @property
    def reads(self) -> Positions:
        """The positions of the columns that have a say, increasing."""
        return self.core.reads

    def own(self, name: str, series: Series) -> State:
        """The series' scale, means and numbers."""
        return self.frame.own(name, series)

    def predict(self, asked: Sequence[Asked]) -> list[Forecast]:
        """The forecasts of all series, their rows answered in one go."""
        parts, levels = [], []
        for one in asked:
            known = len(one.history.known) if self.frame.known.covariates else 0
            check_future(one.future, one.history.end, known)
            if not len(one.history):
                raise LearnerError("TOO_SHORT", "a series without a value")
            x, level = self.frame.columns(self.frame.future_rows(one), one.own)
            parts.append(x)
            levels.append(level)
        if not parts:
            return []
        z = self.core.predict(np.concatenate(parts)) + np.concatenate(levels)
        ends = np.cumsum([len(level) for level in levels])[:-1]
        return [self._forecast(part, one.own) for part, one in zip(np.split(z, ends), asked, strict=True)]

    def _forecast(self, z: Floats, own: State) -> Forecast:
        median = self.frame.backward(z, own)
        return finite(median * self.factor, median)

    def state(self) -> State:
        """The model as plain data."""
        return {
            "kind": f"pooled_{self.core.kind}",
            "version": VERSION,
            "settings": dict(self.settings),
            "frame": self.frame.state(),
            "core": self.core.state(),
            "factor": self.factor,
        }


class PooledRegression:
    """A pooled learner that is one kind of core on the rows of a group."""

    alone: ClassVar[Regression]
    """The same regression of single series."""
    most_rows: ClassVar[int] = 30_000

    @property
    def info(self) -> LearnerInfo:
        """What it is."""
        return self.alone.info

    def variants(self) -> tuple[tuple[str, Parameters], ...]:
        """Name and parameters of the candidates, best known first."""
        return ((f"pooled_{self.info.name}", {}),)

    def learn(self, lesson: Lesson, parameters: Parameters, context: FitContext) -> Core:
        """The core fitted to the rows of a group."""
        return self.alone.learn(lesson, context)

    def pooled_candidates(self, group: Sequence[GroupSeries]) -> tuple[Candidate, ...]:
        """Each variant with known covariates where there are some, one without, one with past-only ones."""
        usable = [one for one in group if _learnable(one.series)]
        if not usable or max(len(one.series) for one in usable) < FEWEST_ROWS:
            return ()
        first = min(usable, key=lambda one: one.name)
        context, name = first.context, self.info.name
        plain = {"history": True, "known": False, "transform": _transform(usable)}
        found = []
        if any(one.series.known for one in usable) and context.features.covariates is not None:
            length = float(np.median([len(one.series) for one in usable]))
            history = length >= max(LONG, 10 * (context.gap + context.horizon))
            known = {"history": history, "known": True, **({} if history else {"spread": False})}
            found += [
                Candidate(f"{n}_known", name, {**plain, **p, **known}, True) for n, p in self.variants()
            ]
            found += [Candidate(n, name, {**plain, **p}) for n, p in self.variants()[:1]]
        else:
            found += [Candidate(n, name, {**plain, **p}) for n, p in self.variants()]
        if any(reads_past(one.series, context.features.covariates) for one in usable):
            variant, stated = self.variants()[0]
            found.append(Candidate(f"{variant}_past", name, {**plain, **stated, "past": True}))
        asked = context.features
        return with_pipelines(found, asked, self.alone.by_distance, self.alone.style == "tree")

    def fit_pooled(
        self, group: Sequence[GroupSeries], parameters: Parameters, seed: int, deadline: Deadline
    ) -> PooledRegressionModel:
        """The model fitted on all series of `group`."""
        usable = sorted((one for one in group if _learnable(one.series)), key=lambda one: one.name)
        if not usable:
            raise LearnerError("TOO_SHORT", "no series of the group can be learned from")
        require_time(deadline)
        frame = frame_of(usable, parameters, self.alone.style)
        context = replace(usable[0].context, seed=seed, deadline=deadline)
        context = replace(context, features=with_stated(context.features, parameters))
        owns = [frame.own(one.name, one.series) for one in usable]
        lesson, owner = self._lesson(usable, owns, frame, context)
        require_time(deadline)
        scaling, reduction = stated_pipeline(context.features, self.alone.by_distance)
        pipeline = Pipeline.fit(lesson.x, scaling, reduction)
        core = self.learn(replace(lesson, x=pipeline.transform(lesson.x)), parameters, context)
        if (scaling, reduction) != ("none", None):
            core = Piped(pipeline, core)
        factor = _factor(frame, owns, lesson, owner, core)
        return PooledRegressionModel(dict(parameters), _stored(frame, usable), core, factor)

    def _lesson(
        self, group: Sequence[GroupSeries], owns: Sequence[State], frame: PooledFrame, context: FitContext
    ) -> tuple[Lesson, Positions]:
        """The rows of all series, and the place in the group of the series of each [n]."""
        budget = max(FEWEST_EACH, self.most_rows // len(group))
        xs: list[Floats] = []
        levels: list[Floats] = []
        zs: list[Floats] = []
        ys: list[Floats] = []
        targets: list[Positions] = []
        owners: list[Positions] = []
        for place, (one, own) in enumerate(zip(group, owns, strict=True)):
            series = frame.aligned(one.series)
            rows = frame.training_rows(series, own, budget, context.gap, context.horizon)
            if rows is None:
                continue
            x, level = frame.columns(rows, own)
            xs.append(x)
            levels.append(level)
            zs.append(rows.y[rows.target] - level)
            at = (rows.ordinals - series.start).astype(np.int64)
            ys.append(series.y[at])
            # One number for each value, larger for newer ones.
            targets.append((at - len(series)) * len(group) + place)
            owners.append(np.full(len(rows), place, dtype=np.int64))
        if sum(map(len, zs)) < FEWEST_ROWS:
            raise LearnerError("TOO_SHORT", "too few observed values in the group")
        x, z, level, y = (np.concatenate(parts) for parts in (xs, zs, levels, ys))
        owner = np.concatenate(owners)
        return Lesson(x, z, level, y, np.concatenate(targets), value_weights(group, owner)), owner

    def load_pooled(self, state: State) -> PooledRegressionModel:
        """The model that gave this `state()`.

        Raises
        ------
        DamagedError
            Where its core reads columns that its plan does not have.
        """
        opened(state, f"pooled_{self.alone.kind}", VERSION)
        frame = PooledFrame.load(state["frame"])
        core = regression.loaded_core(state["core"], self.alone.load_core, len(frame.plan.columns))
        return PooledRegressionModel(dict(state["settings"]), frame, core, float(state["factor"]))


def _learnable(series: Series) -> bool:
    """Whether a series has values, all of a usable size."""
    return len(series) > 0 and float(np.abs(series.y).max()) < LARGEST


def _transform(group: Sequence[GroupSeries]) -> str:
    """The transform that most of the group allows."""
    wished = [transform_for(one.context) for one in group]
    allowed = [name for name in wished if name != "none"]
    return max(sorted(set(allowed)), key=allowed.count) if 2 * len(allowed) >= len(wished) else "none"


def _factor(frame: PooledFrame, owns: Sequence[State], lesson: Lesson, owner: Positions, core: Core) -> float:
    """How much larger the targets of the group are than their fitted medians, every series counting alike."""
    judged = np.arange(0, len(owner), -(-len(owner) // MOST_JUDGED))
    owner, y_of = owner[judged], lesson.y[judged]
    told, y, median = core.predict(lesson.x[judged]) + lesson.level[judged], [], []
    for place in np.unique(owner):
        rows, own = owner == place, owns[int(place)]
        scale = TargetScale.from_list(own["scale"])
        if scale.floor == 0.0:
            y.append(y_of[rows] / scale.unit)
            median.append(frame.backward(told[rows], own) / scale.unit)
    return mean_over_median(np.concatenate(y), np.concatenate(median)) if y else 1.0


def _stored(frame: PooledFrame, group: Sequence[GroupSeries]) -> PooledFrame:
    """The frame as a forecast needs it: how the group went is kept from where its first series ends."""
    first = min(one.series.end for one in group)
    families = tuple(f.since(first) if isinstance(f, Group) else f for f in frame.plan.families)
    return replace(frame, plan=replace(frame.plan, families=families))


BOOSTING: dict[str, Any] = {
    **regression.BOOSTING,
    "learning_rate": 0.05,
    "num_leaves": 16,
    "min_data_in_leaf": 20,
    "min_data_in_bin": 3,
    "feature_fraction": 0.7,
}
TREES = 150


class PooledLightGBM(PooledRegression):
    """Boosted trees, with the absolute or the squared error as loss."""

    alone = regression.LightGBM()
    most_rows = MOST_ROWS

    def variants(self) -> tuple[tuple[str, Parameters], ...]:
        """The absolute error, then the squared one."""
        return (("pooled_lightgbm", {"loss": "l1"}), ("pooled_lightgbm_l2", {"loss": "l2"}))

    def learn(self, lesson: Lesson, parameters: Parameters, context: FitContext) -> Trees:
        """More and larger trees than a single series can carry."""
        objective = "regression_l1" if parameters["loss"] == "l1" else "regression"
        # Thresholds at random tell windows of noisy values better, and prices worse.
        chosen = {"objective": objective, "extra_trees": bool(parameters["history"])}
        return regression.boosted_trees(lesson, context, {**BOOSTING, **chosen}, TREES)


class PooledElasticNet(PooledRegression):
    """Linear regression with ridge's penalty, or with one that leaves columns out."""

    alone = regression.ElasticNet()
    most_rows = MOST_ROWS

    def variants(self) -> tuple[tuple[str, Parameters], ...]:
        """Ridge, then the elastic net."""
        return (
            ("pooled_ridge", {"penalty": "ridge", "spread": True}),
            ("pooled_elastic_net", {"penalty": "elastic_net", "spread": True}),
        )

    def learn(self, lesson: Lesson, parameters: Parameters, context: FitContext) -> Core:
        """The coefficients at the penalty that leave-one-out errors, or AICc, prefer."""
        if parameters["penalty"] == "elastic_net":
            return self.alone.learn(lesson, context)
        return ridge_core(lesson.x, lesson.z, lesson.weight)


def ridge_core(x: Floats, z: Floats, weight: Floats | None = None) -> LinearCore:
    """Ridge regression of `z` [n] on `x` [n, c], whose rows count `weight` [n]."""
    fit = ridge(x, z, weight=weight)
    low, high = float(z.min()), float(z.max())
    margin = high - low
    used = np.flatnonzero(fit.coefficients)
    return LinearCore(fit.intercept, used, fit.coefficients[used], low - margin, high + margin)


class PooledLassoLars(PooledRegression):
    """The lasso by least angles."""

    alone = sparse.LassoLars()


class PooledSgd(PooledRegression):
    """Linear regression by gradient descent."""

    alone = sparse.Sgd()


class PooledKnn(PooledRegression):
    """The nearest of the newest rows of all series."""

    alone = neighbours.Knn()


class PooledDecisionTree(PooledRegression):
    """One regression tree."""

    alone = forests.DecisionTree()


class PooledRandomForest(PooledRegression):
    """The mean of trees on bootstrap samples."""

    alone = forests.RandomForest()


class PooledExtraTrees(PooledRegression):
    """The mean of trees with random thresholds."""

    alone = forests.ExtraTrees()


class PooledGradientBoosting(PooledRegression):
    """Boosted trees of scikit-learn."""

    alone = forests.GradientBoosting()
