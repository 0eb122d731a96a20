"""Regression on features: an elastic net and LightGBM, by one of three strategies.

`direct`: one model answers all steps of the horizon. Each training row is seen from one of the
steps before it, in turn, so that lags and windows are as old there as they will be in the forecast.
`per_step`: the same, with a model of its own for each step, or for each few of a long horizon.
`recursive`: one model of the next step; what it forecasts is fed back.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np

from many_models.errors import DamagedError, LearnerError
from many_models.features.base import Style, Wishes
from many_models.features.past import reads_past
from many_models.features.plan import FeaturePlan
from many_models.features.rows import Positions, Rows
from many_models.learners.base import Candidate, FitContext, LearnerInfo, Parameters, State
from many_models.learners.guards import opened
from many_models.learners.linear import Centred, LinearCore, check_future, check_target
from many_models.learners.pipeline import Pipeline, stated_pipeline, with_pipelines, with_stated
from many_models.learners.recursion import HISTORY, recursed
from many_models.learners.table import learner_info
from many_models.learners.target import Level, TargetScale, stated_level, transform_for
from many_models.learners.trees import Trees
from many_models.panel.series import Floats, Forecast, Future, Series

FEWEST_ROWS = 6
"""Fewest observed training rows."""
VERSION = 1
"""Of stored states, whose kind is that of their core; an older one stays readable when it goes up."""
LONG = 200
"""From so many values on, models with covariates read lags and windows too."""
MOST_ROWS = 4000
"""More training rows than this are not drawn from one series; the newest are kept."""
ENOUGH_ROWS = 200
"""Shorter series are seen from several steps per value until there are about so many rows."""
MEAN_OVER_MEDIAN = (0.5, 2.0)
"""Between these a mean lies, as a multiple of its median."""

MOST_CORES = 12
"""Models of a `per_step` forecast; of a longer horizon each answers a few neighbouring steps."""

OUTSIDE = ("fourier", "stl", "calendar", "holidays", "events")


@dataclass(frozen=True)
class Frame:
    """What both regressions know of a series besides their coefficients.

    Attributes
    ----------
    level
        What targets and lags are relative to.
    known
        Number of known covariates that a forecast needs.
    """

    scale: TargetScale
    plan: FeaturePlan
    level: Level
    known: int

    @property
    def memory(self) -> int:
        """How many last values a forecast reads."""
        return max(self.plan.memory, self.level.memory)

    @property
    def zero(self) -> float:
        """What a target of zero is on the learned scale."""
        return float(self.scale.forward(np.zeros(1))[0])

    @property
    def tail(self) -> int:
        """How many last values of target and covariates `recent` and `recent_covariates` need."""
        return max(self.memory, self.plan.known_memory, self.plan.past_memory)

    def rows(self, rows: Rows) -> tuple[Floats, Floats]:
        """The features of `rows` [n, c] and the level of each row [n]."""
        level = self.level.of(rows)
        return self.plan.build(rows.relative_to(level)), level

    def recent(self, series: Series) -> Floats:
        """The last values that a forecast reads, on the learned scale [memory]."""
        if len(series) < self.memory:
            raise LearnerError("TOO_SHORT", f"update needs {self.memory} values")
        return self.scale.forward(series.y[len(series) - self.memory :])

    def recent_covariates(self, series: Series) -> tuple[Floats, Floats]:
        """The last known [k, K] and past-only [p, P] covariates that a forecast reads."""
        known, past = (min(len(series), n) for n in (self.plan.known_memory, self.plan.past_memory))
        return series.known_x[len(series) - known :], series.past_x[len(series) - past :]

    def state(self) -> State:
        """The frame as plain data."""
        return {
            "scale": self.scale.to_list(),
            "plan": self.plan.to_dict(),
            "level": self.level.to_list(),
            "known": self.known,
        }

    @classmethod
    def load(cls, state: State) -> Frame:
        """The frame that gave this state."""
        return cls(
            TargetScale.from_list(state["scale"]),
            FeaturePlan.from_dict(state["plan"]),
            Level.from_list(state["level"]),
            int(state["known"]),
        )


@dataclass(frozen=True)
class Lesson:
    """Features, targets and weights to learn from.

    Attributes
    ----------
    x : [n, c]
        Features.
    z : [n]
        Targets on the learned scale, relative to `level`.
    level : [n]
        Level of each row.
    y : [n]
        Targets as they were observed.
    target : [n]
        Position of each target: a value seen from several steps is one observation.
    weight : [n]
        How much each row counts, 1 on average; None is alike.
    """

    x: Floats
    z: Floats
    level: Floats
    y: Floats
    target: Positions
    weight: Floats | None = None

    @property
    def distinct(self) -> int:
        """How many different values are targets."""
        return len(np.unique(self.target))


def frame_of(series: Series, parameters: Parameters, context: FitContext, style: Style) -> Frame:
    """The scale and the feature plan for a training part."""
    recursive = strategy_of(parameters) == "recursive"
    wishes = Wishes(style, context.season, context.gap + context.horizon, context.features, recursive)
    names: tuple[str, ...] = OUTSIDE
    names += HISTORY if parameters["history"] else ()
    names += ("covariates", "context") if parameters["known"] else ()
    names += ("past",) if parameters.get("past") else ()
    names += tuple(sorted(context.features.own))
    plan = FeaturePlan.decide(series, wishes, names).within(min(MOST_ROWS, len(series) + ENOUGH_ROWS))
    scale = TargetScale.of(series.y, str(parameters["transform"]), context.season)
    level = level_of(scale.forward(series.y), bool(parameters["history"]), context)
    return Frame(scale, plan, level, len(series.known) if parameters["known"] else 0)


def strategy_of(parameters: Parameters) -> str:
    """The strategy of a candidate; without a history to read all strategies are one."""
    return str(parameters.get("strategy", "direct")) if parameters["history"] else "direct"


def level_of(z: Floats, history: bool, context: FitContext) -> Level:
    """The level that the settings state; auto = a mean of last values where models read their history."""
    difference = context.features.difference
    if difference != "auto":
        return stated_level(difference, len(z), context.season, context.gap + context.horizon)
    width = best_level(z, context) if history else 0
    return Level("mean", width) if width else Level("none", 0)


def best_level(z: Floats, context: FitContext) -> int:
    """How many last values make the mean that targets are told relative to, 0 for none.

    A mean of the last values serves where it is nearer to what comes than the mean of all: in
    series that trend or wander, not in those that jump for a week and come back.
    """
    targets, steps = seen_from(len(z), 1, context.horizon)
    cutoffs = targets - steps - context.gap
    targets, cutoffs = targets[cutoffs >= 3], cutoffs[cutoffs >= 3]
    if len(targets) < 8:
        return 1
    of_all = np.cumsum(z)[cutoffs] / (cutoffs + 1)
    best, error = 0, 0.95 * float(np.abs(z[targets] - of_all).mean())
    for width in (1, 4, *([context.season] if 4 < context.season <= len(z) // 4 else [])):
        block = z[np.maximum(cutoffs[:, None] - np.arange(width), 0)]
        found = float(np.abs(z[targets] - block.mean(axis=1)).mean())
        if found < error:
            best, error = width, found
    return best


Steps: TypeAlias = tuple[int, int]
"""The first and the last step, gap not included, that a core answers."""


def seen_from(count: int, first: int, horizon: int, nearest: int = 1) -> tuple[Positions, Positions]:
    """Target positions and steps of the training rows [n] each, for `count` values.

    Every value is a target at least once; the steps from `nearest` to `horizon` come in turn, so that
    all are equally often met without `horizon` times as many rows.
    """
    targets = np.arange(first, count, dtype=np.int64)
    span = horizon - nearest + 1
    copies = max(1, min(span, -(-ENOUGH_ROWS // max(1, len(targets)))))
    spread = max(1, span // copies)
    steps = [(targets + copy * spread) % span + nearest for copy in range(copies)]
    return np.tile(targets, copies)[-MOST_ROWS:], np.concatenate(steps)[-MOST_ROWS:]


def answered_steps(strategy: str, horizon: int) -> tuple[Steps, ...]:
    """The steps that each core answers: one core for all, or at most `MOST_CORES` that share them evenly."""
    if strategy == "recursive":
        return ((1, 1),)
    cores = min(horizon, MOST_CORES) if strategy == "per_step" else 1
    ends = [(core + 1) * horizon // cores for core in range(cores)]
    return tuple(zip([1, *(end + 1 for end in ends[:-1])], ends, strict=True))


def lesson_of(series: Series, frame: Frame, gap: int, steps: Steps) -> Lesson:
    """The training rows of `series` that were observed, seen from `steps`.

    Raises
    ------
    LearnerError
        `TOO_SHORT` where too few rows are left behind the lags.
    """
    z = frame.scale.forward(series.y)
    if frame.memory == 0 and frame.plan.past_memory == 0:
        targets = np.arange(max(0, len(z) - MOST_ROWS), len(z), dtype=np.int64)
        seen = np.ones_like(targets)
    else:
        lags = [family.memory for family in frame.plan.families if family.name == "lags"]
        first = max(1, frame.level.first, *lags)
        targets, seen = seen_from(len(z), first, steps[1], steps[0])
        early = targets - seen - gap < first - 1
        targets, seen = targets[~early], seen[~early]
    kept = series.observed[targets]
    if int(kept.sum()) < FEWEST_ROWS:
        raise LearnerError("TOO_SHORT", "too few observed values behind the lags")
    targets, seen = targets[kept], seen[kept]
    x, level = frame.rows(Rows.training(series, z, seen, targets, gap).with_zero(frame.zero))
    return Lesson(x, z[targets] - level, level, series.y[targets], targets)


def mean_over_median(y: Floats, median: Floats) -> float:
    """How much larger the total of the targets was than that of their fitted medians."""
    total = float(median.sum())
    if not total > 0.0 or float(y.min()) < 0.0:
        return 1.0
    return float(np.clip(float(y.sum()) / total, *MEAN_OVER_MEDIAN))


class Core(Protocol):
    """What a regression learned of its columns: plain arrays, and a few lines that read them."""

    @property
    def kind(self) -> str:
        """Of stored states with this core."""

    @property
    def reads(self) -> Positions:
        """The positions of the columns that have a say, increasing."""

    def predict(self, x: Floats) -> Floats:
        """The answer for rows [n, c] -> [n], each row by itself."""

    def state(self) -> State:
        """The core as plain data."""


@dataclass(frozen=True)
class Piped:
    """A core that reads scaled or reduced columns."""

    pipeline: Pipeline
    core: Core

    @property
    def kind(self) -> str:
        """That of the core."""
        return self.core.kind

    @property
    def reads(self) -> Positions:
        """The positions of the columns that have a say; a reduction reads them all."""
        if self.pipeline.reduction is None:
            return self.core.reads
        return np.arange(self.pipeline.reduction.components.shape[1], dtype=np.int64)

    def predict(self, x: Floats) -> Floats:
        """The answer for rows [n, c] -> [n]."""
        return self.core.predict(self.pipeline.transform(x))

    def state(self) -> State:
        """The pipeline and the core as plain data."""
        return {"pipeline": self.pipeline.state(), "core": self.core.state()}


@dataclass(frozen=True)
class RegressionModel:
    """A fitted regression: its frame, its coefficients or trees, and what its lags read.

    Attributes
    ----------
    cores
        Coefficients or trees: one, or one for each few steps.
    until
        The last step, gap included, that each core answers; the last core answers all beyond.
    factor
        Mean over median.
    bounds
        Lowest and highest value on the learned scale that a recursion may take.
    recent, recent_known, recent_past : [memory], [k, K], [p, P]
        The last values of target and covariates that the next rows read.
    """

    settings: Parameters
    frame: Frame
    cores: tuple[Core, ...]
    until: tuple[int, ...]
    factor: float
    bounds: tuple[float, float]
    end: int
    recent: Floats
    recent_known: Floats
    recent_past: Floats

    @property
    def parameters(self) -> Parameters:
        """The parameters of the fit."""
        return self.settings

    @property
    def tail(self) -> int:
        """How many last values `update` needs."""
        return self.frame.tail

    def predict(self, future: Future) -> Forecast:
        """The forecast for the stamps of `future`."""
        check_future(future, self.end, self.frame.known)
        if len(future) == 0:
            return Forecast.point(np.empty(0))
        recursive = strategy_of(self.settings) == "recursive"
        return self.forecast(recursed([self], [future])[0] if recursive else self._direct(future))

    def forecast(self, z: Floats) -> Forecast:
        """The forecast on the scale of the target, for one on the learned scale [n]."""
        median = self.frame.scale.backward(z)
        return Forecast.point(median * self.factor, median)

    def _direct(self, future: Future) -> Floats:
        rows = self.future_rows(future)
        x, level = self.frame.rows(rows)
        core = np.searchsorted(self.until[:-1], rows.target - rows.cutoff)
        answer = np.empty(len(rows))
        for place in np.unique(core):
            answer[core == place] = self.cores[place].predict(x[core == place])
        return answer + level

    def future_rows(self, future: Future) -> Rows:
        """The rows of a forecast, with the end of the history that they read."""
        rows = Rows.future(future, self.recent, self.end, self.recent_known, self.recent_past)
        return rows.with_zero(self.frame.zero)

    @property
    def reads(self) -> Positions:
        """The positions of the columns that have a say in some step, increasing."""
        return np.unique(np.concatenate([core.reads for core in self.cores]))

    def update(self, series: Series) -> RegressionModel:
        """The same coefficients, moved to the end of `series`."""
        known, past = self.frame.recent_covariates(series)
        recent = self.frame.recent(series)
        return replace(self, end=series.end, recent=recent, recent_known=known, recent_past=past)

    def state(self) -> State:
        """The model as plain data."""
        return {
            "kind": self.cores[0].kind,
            "version": VERSION,
            "settings": dict(self.settings),
            "frame": self.frame.state(),
            "cores": [core.state() for core in self.cores],
            "until": list(self.until),
            "numbers": np.array([self.factor, *self.bounds]),
            "end": self.end,
            "recent": self.recent,
            "recent_known": self.recent_known,
            "recent_past": self.recent_past,
        }


def learned(
    series: Series,
    parameters: Parameters,
    context: FitContext,
    style: Style,
    core_of: Callable[[Lesson], Core],
    of_the_mean: bool,
) -> RegressionModel:
    """The model of a series, by the strategy of its parameters.

    `core_of` learns a lesson; `of_the_mean`: what it answers is the mean on the learned scale.
    """
    frame = frame_of(series, parameters, context, style)
    strategy = strategy_of(parameters) if frame.memory else "direct"
    gap = 0 if strategy == "recursive" else context.gap
    blocks = answered_steps(strategy, context.horizon)
    cores, told, targets = [], [], []
    for steps in blocks:  # one lesson after another: each may be a large matrix
        lesson = lesson_of(series, frame, gap, steps)
        cores.append(core_of(lesson))
        told.append(cores[-1].predict(lesson.x) + lesson.level)
        targets.append(lesson.y)
    factor = 1.0
    if not of_the_mean or frame.scale.transform != "none":
        factor = mean_over_median(np.concatenate(targets), frame.scale.backward(np.concatenate(told)))
    until = tuple(last + gap for _, last in blocks)
    recent = frame.recent(series), *frame.recent_covariates(series)
    bounds = walk_bounds(frame, series)
    return RegressionModel(dict(parameters), frame, tuple(cores), until, factor, bounds, series.end, *recent)


def walk_bounds(frame: Frame, series: Series) -> tuple[float, float]:
    """The trained range on the learned scale, widened by itself on both sides; no target below its floor."""
    z = frame.scale.forward(series.y)
    low, high = float(z.min()), float(z.max())
    floor = frame.zero if frame.scale.floor == 0.0 else -np.inf
    return max(2.0 * low - high, floor), 2.0 * high - low


def loaded(state: State, load: Callable[[State], Core]) -> RegressionModel:
    """The model that gave this state; `load` reads a core without its pipeline.

    Raises
    ------
    DamagedError
        Where cores read columns that the plan does not have, or are not as many as their steps.
    """
    frame = Frame.load(state["frame"])
    width = len(frame.plan.columns)
    cores = tuple(loaded_core(core, load, width) for core in state["cores"])
    until = tuple(int(step) for step in state["until"])
    if len(cores) != len(until) or not cores:
        raise DamagedError("a regression model has other steps than cores")
    factor, low, high = (float(v) for v in state["numbers"])
    return RegressionModel(
        dict(state["settings"]),
        frame,
        cores,
        until,
        factor,
        (low, high),
        int(state["end"]),
        np.asarray(state["recent"]),
        np.asarray(state["recent_known"]),
        np.asarray(state["recent_past"]),
    )


def loaded_core(state: State, load: Callable[[State], Core], width: int) -> Core:
    """The core that gave this state, for `width` columns."""
    pipeline = Pipeline.load(state["pipeline"], width) if "pipeline" in state else None
    core = load(state["core"] if pipeline else state)
    reads = core.reads
    if len(reads) and not 0 <= int(reads.min()) <= int(reads.max()) < (
        pipeline.columns(width) if pipeline else width
    ):
        raise DamagedError("a regression model reads columns that its plan does not have")
    return Piped(pipeline, core) if pipeline else core


class Regression:
    """A learner that is one kind of core on the common frame."""

    info: ClassVar[LearnerInfo]
    style: ClassVar[Style]
    kind: ClassVar[str]
    """Of the core, and so of stored states."""
    by_distance: ClassVar[bool] = False
    """Whether columns must be of one size."""
    of_the_mean: ClassVar[bool] = True
    """Whether the answer is the mean on the learned scale: squared errors are made small."""

    def learn(self, lesson: Lesson, context: FitContext) -> Core:
        """The core fitted to a lesson."""
        raise NotImplementedError

    def load_core(self, state: State) -> Core:
        """The core that gave this state."""
        raise NotImplementedError

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """One with the known covariates where there are some, one without, one with past-only ones."""
        name = self.info.name
        if len(series) < self.info.min_length:
            return ()
        transform = transform_for(context)
        strategy = "direct" if context.features.strategy == "auto" else context.features.strategy
        found = []
        reads_covariates = context.features.covariates is not None
        if series.known and reads_covariates:
            # On a hundred values lags cost more than they tell beside prices and promotions.
            history = len(series) >= max(LONG, 10 * (context.gap + context.horizon))
            # Nobody is asked for the covariates of a gap, which a recursion would need on its way.
            way = "direct" if strategy == "recursive" and context.gap else strategy
            known = {"history": history, "known": True, "transform": transform, "strategy": way}
            found.append(Candidate(f"{name}_known", name, known, True))
        plain = {"history": True, "known": False, "transform": transform, "strategy": strategy}
        found.append(Candidate(name, name, plain))
        if reads_past(series, context.features.covariates):
            # Fed back, a row would read covariates older than those that it was trained with.
            way = "direct" if strategy == "recursive" else strategy
            found.append(Candidate(f"{name}_past", name, {**plain, "strategy": way, "past": True}))
        return with_pipelines(found, context.features, self.by_distance, self.style == "tree")

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> RegressionModel:
        """The model at the end of `series`."""
        check_target(series, self.info.min_length)
        context = replace(context, features=with_stated(context.features, parameters))
        scaling, reduction = stated_pipeline(context.features, self.by_distance)

        def core_of(lesson: Lesson) -> Core:
            pipeline = Pipeline.fit(lesson.x, scaling, reduction)
            core = self.learn(replace(lesson, x=pipeline.transform(lesson.x)), context)
            return core if (scaling, reduction) == ("none", None) else Piped(pipeline, core)

        return learned(series, parameters, context, self.style, core_of, self.of_the_mean)

    def load(self, state: State) -> RegressionModel:
        """The model that gave this state."""
        opened(state, self.kind, VERSION)
        return loaded(state, self.load_core)


class LinearRegression(Regression):
    """A regression whose core is linear."""

    style = "linear"
    kind = LinearCore.kind

    def load_core(self, state: State) -> LinearCore:
        """The coefficients that gave this state."""
        return LinearCore.load(state)

    @staticmethod
    def own_size(context: FitContext) -> bool:
        """Whether columns are brought to one size in the fit: where nothing else was asked."""
        return context.features.scaling == "auto" and context.features.reduction is None


class ElasticNet(LinearRegression):
    """Linear regression on features, with a penalty that leaves columns out."""

    info = learner_info("elastic_net")

    def learn(self, lesson: Lesson, context: FitContext) -> LinearCore:
        """The coefficients at the penalty that the corrected information criterion prefers."""
        return elastic_net(lesson.x, lesson.z, lesson.distinct, self.own_size(context), lesson.weight)


L1_SHARE = 0.5
PATH_LENGTH = 12
PATH_END = 0.003
"""The smallest penalty of the path, as a share of the one that leaves every column out."""


def elastic_net(
    x: Floats, z: Floats, count: int, scaled: bool = True, weight: Floats | None = None
) -> LinearCore:
    """The elastic net of `z` [n] on `x` [n, c] at the penalty with the lowest AICc.

    `count` observations stand behind the n rows, which count `weight` [n]; not `scaled`: columns are
    penalised as they are.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import enet_path

    problem = Centred.of(x, z, scaled, weight)
    strongest = problem.strongest / L1_SHARE
    if not strongest > 1e-12:
        return problem.core(np.zeros(x.shape[1]))
    alphas = strongest * np.geomspace(1.0, PATH_END, PATH_LENGTH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, path, _ = enet_path(
            np.asfortranarray(problem.x), problem.z, l1_ratio=L1_SHARE, alphas=alphas,
            precompute=problem.x.T @ problem.x, Xy=problem.products, check_input=False,
            max_iter=200, tol=1e-3,
        )  # fmt: skip
    return problem.core(problem.by_information(path, count))


class LightGBM(Regression):
    """Boosted trees on features, with the absolute error as loss."""

    info = learner_info("lightgbm")
    style = "tree"
    kind = Trees.kind
    of_the_mean = False

    def learn(self, lesson: Lesson, context: FitContext) -> Trees:
        """The trees, at fixed settings."""
        return boosted_trees(lesson, context)

    def load_core(self, state: State) -> Trees:
        """The trees that gave this state."""
        return Trees.load(state)


TREES = 60
BOOSTING: dict[str, Any] = {
    "objective": "regression_l1",
    "learning_rate": 0.1,
    "num_leaves": 8,
    "min_data_in_leaf": 5,
    "max_bin": 63,
    "min_data_in_bin": 1,
    "extra_trees": True,
    "deterministic": True,
    "force_row_wise": True,
    "feature_pre_filter": False,
    "num_threads": 1,
    "verbosity": -1,
}


def boosted_trees(
    lesson: Lesson, context: FitContext, boosting: Mapping[str, Any] = BOOSTING, trees: int = TREES
) -> Trees:
    """Trees fitted to a lesson, in single precision.

    Raises
    ------
    LearnerError
        `DEADLINE` when the time is over.
    """
    import lightgbm

    x, z = lesson.x, lesson.z
    if x.shape[1] == 0:
        x = np.zeros((len(z), 1))
    settings = {**boosting, "seed": context.seed % 2**31}
    booster = lightgbm.Booster(settings, lightgbm.Dataset(x, z, weight=lesson.weight, params=settings))
    for round_ in range(trees):
        if round_ % 16 == 15 and context.deadline.passed:
            raise LearnerError("DEADLINE")
        if booster.update():
            break
    return Trees.of(booster).single()
