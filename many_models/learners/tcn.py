"""A temporal convolutional network: one for all series of a group, or for one long series alone.

Training stands on PyTorch and Lightning (the extra `tcn`); what is stored are a design and float32
arrays, and forecasts are computed by NumPy, so that neither is needed to forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from many_models.errors import DamagedError, LearnerError
from many_models.learners.base import Candidate, Deadline, FitContext, LearnerInfo, Parameters, State
from many_models.learners.guards import finite, library, opened, require_time, steps_after
from many_models.learners.linear import check_future, check_target
from many_models.learners.pooled import Asked, GroupSeries, PooledModel, value_weights
from many_models.learners.pooled_frame import Aligned
from many_models.learners.table import installation, learner_info
from many_models.learners.target import TargetScale, transform_for
from many_models.learners.tcn_forward import LEVELS, Weights, reach_of
from many_models.learners.tcn_windows import (
    Columns,
    Design,
    Ints,
    Panel,
    Told,
    periods_of,
    spread_of,
)
from many_models.panel.series import Floats, Forecast, Future, Series

VERSION = 1
KIND = "tcn"

SETTINGS: Parameters = {
    "width": 24,
    "kernel": 3,
    "dropout": 0.2,
    "rate": 0.004,
    "epochs": 20,
    "patience": 6,
}
"""What a candidate does not say. It may also say `depth`, which is otherwise matched to the season, and
`batches` between two validations and windows in a `batch`, otherwise by the size of the group."""
BATCHES = (10, 50)
BATCH = (32, 128)

DEEPEST = 6
SHALLOWEST = 2
LONGEST_SEASON = 400
"""Seasons beyond it would make every stored history long: they get no references and no waves."""
OFTEN = 3
"""How often a season must have been seen; a year seen twice is learned by heart."""
EARLIEST = 3
"""Fewest values before the cutoff of a lesson."""
FEW_SERIES = 20
"""Up to so many series each holds its last window back; of more, every third does."""
MEAN_OVER_MEAN = (0.5, 2.0)
"""Between these lies what the mean of the quantiles is multiplied by."""
MOST_JUDGED = 1000
"""Windows that this factor is taken from."""


def settings_of(parameters: Parameters, group: Sequence[GroupSeries]) -> dict[str, Any]:
    """All settings of a fit; `depth` is the least whose receptive field holds two seasons and the horizon."""
    found = {**SETTINGS, **parameters}
    if "depth" not in found:
        context = group[0].context
        lengths = [len(one.series) for one in group]
        wished = max(2 * context.season if seasons_of(group) else 0, context.horizon, *seasons_of(group), 12)
        wished = min(wished, int(np.median(lengths)))
        depth = SHALLOWEST
        while depth < DEEPEST and reach_of(depth, int(found["kernel"])) < wished:
            depth += 1
        found["depth"] = depth
    values = sum(len(one.series) for one in group)
    if "batch" not in found:
        found["batch"] = int(np.clip(values // 16, *BATCH))
    if "batches" not in found:
        found["batches"] = int(np.clip(values // int(found["batch"]), *BATCHES))
    return found


def seasons_of(group: Sequence[GroupSeries]) -> tuple[int, ...]:
    """The seasons that half of the series hold often enough, shortest first."""
    context, grid = group[0].context, group[0].series.grid
    length = float(np.median([len(one.series) for one in group]))
    wished = sorted({context.season, *grid.frequency.seasons} - {1})
    return tuple(season for season in wished if OFTEN * season <= length and season <= LONGEST_SEASON)


def design_of(group: Sequence[GroupSeries], settings: Parameters) -> Design:
    """How this group is cut into windows."""
    first = group[0]
    context, seasons = first.context, seasons_of(group)
    reach = reach_of(int(settings["depth"]), int(settings["kernel"]))
    known_names = Aligned.of([one.series.known for one in group], [one.series.known_x for one in group])
    statics = [one.series.static_x[None, :] for one in group]
    static_names = Aligned.of([one.series.static for one in group], statics)
    known = [known_names.read(one.series.known, one.series.known_x) for one in group]
    static = [static_names.read(one.series.static, one.series.static_x[None, :]) for one in group]
    transform = str(settings["transform"])
    logs = []
    for one in group:
        scale = TargetScale.of(one.series.y, transform, context.season)
        logs.append(np.log([scale.unit, spread_of(scale.forward(one.series.y))]))
    spread = np.std(logs, axis=0)
    sizes = [
        (float(middle), float(width) if width > 1e-9 else 1.0)
        for middle, width in zip(np.mean(logs, axis=0), spread, strict=True)
    ]
    return Design(
        reach,
        context.gap + context.horizon,
        best_level(group, transform, level_widths(group, seasons)),
        seasons,
        periods_of(seasons),
        Columns.of(known_names.covariates, known, own_center=True),
        Columns.of(static_names.covariates, static, own_center=False),
        (sizes[0], sizes[1]),
        transform,
        known_names,
        static_names,
    )


def level_widths(group: Sequence[GroupSeries], seasons: Sequence[int]) -> tuple[int, ...]:
    """Widths to try: the last value, some, a season, and many, no more than a third of most histories."""
    length = float(np.median([len(one.series) for one in group]))
    wished = {4, 12, 26, 52, *(season for season in seasons if season <= 168)}
    return (1, *sorted(width for width in wished if width <= length / 3))


def best_level(group: Sequence[GroupSeries], transform: str, widths: Sequence[int]) -> int:
    """How many last values have the mean that is nearest to what comes, over all series."""
    errors = np.zeros(len(widths))
    for one in group[:: max(1, len(group) // MOST_JUDGED)]:
        z = TargetScale.of(one.series.y, transform, one.context.season).forward(one.series.y)
        ahead = one.context.gap + max(1, (one.context.horizon + 1) // 2)
        cutoffs = np.arange(max(widths) - 1, len(z) - ahead)
        if len(cutoffs) == 0:
            continue
        sums = np.concatenate([[0.0], np.cumsum(z)])
        for place, width in enumerate(widths):
            level = (sums[cutoffs + 1] - sums[cutoffs + 1 - width]) / width
            errors[place] += float(np.abs(z[cutoffs + ahead] - level).mean()) / spread_of(z)
    return int(widths[int(np.argmin(errors))])


def told_of(design: Design, series: Series, own: State, future_x: Floats) -> Told:
    """A series as the network is told of it; `future_x` [h, K] are its own covariates."""
    known, names = series.known, design.known_names
    past_x, ahead_x = names.read(known, series.known_x), names.read(known, future_x)
    return Told(series.start, series.y, series.observed, past_x, ahead_x, own)


@dataclass(frozen=True)
class TcnModel:
    """A network fitted on a group: a `PooledModel`.

    Attributes
    ----------
    names
        Its series; the place of a name is its embedding, and that of all others is 0.
    season
        That scales were made with.
    factor
        What the average of the quantiles is multiplied by to be the mean.
    """

    settings: Parameters
    design: Design
    weights: Weights
    names: dict[str, int]
    season: int
    factor: float

    @property
    def parameters(self) -> Parameters:
        """The parameters as resolved in the fit."""
        return self.settings

    @property
    def tail(self) -> int:
        """How many last values of a series a forecast reads."""
        return self.design.memory

    def own(self, name: str, series: Series) -> State:
        """Scale, means of covariates, and place of a series; one never seen has the place of such."""
        return self.design.own(series, self.names.get(name, 0), self.season)

    def predict(self, asked: Sequence[Asked]) -> list[Forecast]:
        """The forecasts of all series that are asked about."""
        told = []
        for one in asked:
            check_future(one.future, one.history.end, len(one.history.known) if len(self.design.known) else 0)
            told.append(told_of(self.design, one.history.tail(self.tail), one.own, one.future.known_x))
        return self.told(told, [steps_after(one.future, one.history.end) for one in asked])

    def told(self, told: Sequence[Told], steps: Sequence[Ints]) -> list[Forecast]:
        """The forecasts for series, each for its own steps."""
        found: list[Forecast | None] = [None] * len(told)
        for count in sorted({len(ahead) for ahead in steps}):
            places = [place for place, ahead in enumerate(steps) if len(ahead) == count]
            for start in range(0, len(places), AT_ONCE):
                part = places[start : start + AT_ONCE]
                answers = self._alike(
                    [told[place] for place in part], np.array([steps[place] for place in part])
                )
                for place, answer in zip(part, answers, strict=True):
                    found[place] = answer
        return [forecast for forecast in found if forecast is not None]

    def _alike(self, told: Sequence[Told], steps: Ints) -> list[Forecast]:
        """The forecasts of series that are asked for as many steps each [n, h]."""
        if steps.shape[1] == 0:
            return [Forecast.point(np.empty(0)) for _ in told]
        panel = Panel.of(self.design, told)
        rows = np.arange(len(told), dtype=np.int64)
        columns = np.broadcast_to(panel.last + 1 + np.arange(steps.shape[1]), steps.shape)
        windows = panel.windows(rows, np.full(len(told), panel.last), steps, columns)
        quantiles = self.weights.forward(windows) + windows.level[:, None, None]
        return [self._forecast(one.own, z) for one, z in zip(told, quantiles, strict=True)]

    def _forecast(self, own: State, quantiles: Floats) -> Forecast:
        """Mean and median of one series, for quantiles [h, Q] in units of its spread."""
        scale = TargetScale.from_list(own["scale"])
        low, high = own["bounds"]
        z = np.clip(quantiles * own["spread"], low, high)
        y = scale.backward(z.reshape(-1)).reshape(z.shape)
        return finite(y.mean(axis=1) * self.factor, y[:, LEVELS.index(0.5)])

    def state(self) -> State:
        """Everything that loading needs, as plain data."""
        return {
            "kind": KIND,
            "version": VERSION,
            "settings": dict(self.settings),
            "design": self.design.to_dict(),
            "weights": self.weights.state(),
            "names": sorted(self.names, key=lambda name: self.names[name]),
            "season": self.season,
            "factor": self.factor,
        }

    @classmethod
    def load(cls, state: State) -> TcnModel:
        """The model that gave this `state()`.

        Raises
        ------
        DamagedError
            Where it is of another kind, or its arrays do not fit each other.
        """
        opened(state, KIND, VERSION)
        design = Design.from_dict(state["design"])
        weights = Weights.load(state["weights"], design.channels, design.series_columns, design.step_columns)
        names = {str(name): place for place, name in enumerate(state["names"], start=1)}
        if len(weights.arrays["embedding"]) != len(names) + 1:
            raise DamagedError("a network has other series than embeddings")
        season, factor = int(state["season"]), float(state["factor"])
        return cls(dict(state["settings"]), design, weights, names, season, factor)


AT_ONCE = 64
"""Series that are forecast together: more only take memory."""


def fit_group(
    group: Sequence[GroupSeries], parameters: Parameters, seed: int, deadline: Deadline
) -> TcnModel:
    """The network fitted on all series of `group` that are long enough to learn from.

    Raises
    ------
    LearnerError
        `TOO_SHORT` where none is, `DEADLINE` where the time is over first.
    """
    require_time(deadline)
    group = sorted(group, key=lambda one: one.name)
    usable = [one for one in group if _learnable(one)]
    if not usable:
        raise LearnerError(
            "TOO_SHORT", f"no series has {EARLIEST + 1 + group[0].context.gap} observed values"
        )
    settings = settings_of(parameters, usable)
    design = design_of(usable, settings)
    names = {one.name: place for place, one in enumerate(usable, start=1)}
    season = usable[0].context.season
    told = [
        told_of(design, one.series, design.own(one.series, names[one.name], season), one.series.known_x[:0])
        for one in usable
    ]
    panel = Panel.of(design, told)
    shares = value_weights(usable, np.arange(len(usable)))
    shares = np.ones(len(usable)) if shares is None else shares
    lengths = [len(one.series) for one in usable]
    weights = _weights(panel, lengths, shares, usable[0].context, settings, seed, deadline)
    model = TcnModel(settings, design, weights, names, season, 1.0)
    return replace(model, factor=_factor(model, usable, seed))


def _learnable(one: GroupSeries) -> bool:
    """Whether a series has a lesson in it."""
    try:
        check_target(one.series, EARLIEST + 1 + one.context.gap)
        TargetScale.of(one.series.y, transform_for(one.context), one.context.season)
    except LearnerError:
        return False
    return True


def _weights(
    panel: Panel,
    lengths: Sequence[int],
    shares: Floats,
    context: FitContext,
    settings: Parameters,
    seed: int,
    deadline: Deadline,
) -> Weights:
    if (command := installation(KIND)) is not None:
        raise LearnerError("NOT_INSTALLED", command)
    with library("PyTorch could not train the network"):
        from many_models.learners.tcn_training import Course, Lessons, trained

        gap, horizon, last = context.gap, context.horizon, panel.last
        first = last + 1 - np.array(lengths, dtype=np.int64)
        held_at = last - gap - horizon
        every = 1 if len(lengths) <= FEW_SERIES else 3
        held = [
            row for row in range(0, len(lengths), every) if held_at - first[row] >= 2 * EARLIEST + horizon
        ]
        latest = np.full(len(lengths), last)
        latest[held] = last - horizon
        rows, cutoffs, share = [], [], []
        for row, begin in enumerate(first):
            ends = np.arange(begin + EARLIEST - 1, latest[row] - gap)
            rows.append(np.full(len(ends), row))
            cutoffs.append(ends)
            share.append(np.full(len(ends), shares[row] / max(len(ends), 1)))
        lessons = Lessons(
            panel,
            np.concatenate(rows),
            np.concatenate(cutoffs),
            np.concatenate(share),
            latest,
            np.array([(row, held_at) for row in held], dtype=np.int64).reshape(-1, 2),
            gap + np.arange(1, horizon + 1),
        )
        course = Course(
            int(settings["depth"]),
            int(settings["width"]),
            int(settings["kernel"]),
            float(settings["dropout"]),
            min(8, 1 + len(lengths) // 4) if len(lengths) > 1 else 0,
            float(settings["rate"]),
            int(settings["epochs"]),
            int(settings["batches"]),
            int(settings["batch"]),
            int(settings["patience"]),
            bool(settings.get("progress", False)),
        )
        weights = trained(lessons, course, seed, deadline)
    if weights is None:
        raise LearnerError("DEADLINE", "the time for this fit is over")
    if not all(np.isfinite(array).all() for array in weights.arrays.values()):
        raise LearnerError("NOT_FINITE", "the training of the network diverged")
    return weights


def _factor(model: TcnModel, group: Sequence[GroupSeries], seed: int) -> float:
    """The total of targets over the total of their means, every series in its own unit."""
    if model.design.transform == "none":
        return 1.0
    context, generator = group[0].context, np.random.default_rng(seed)
    chosen = generator.permutation(len(group))[:MOST_JUDGED]
    each = max(1, MOST_JUDGED // len(group))
    actual = told = 0.0
    for row in np.sort(chosen):
        one = group[row].series
        own = model.own(group[row].name, one)
        whole = told_of(model.design, one, own, one.known_x[:0])
        ends = np.arange(EARLIEST - 1, len(one) - context.gap - 1)
        asked, steps, targets = [], [], []
        for end in np.sort(generator.choice(ends, min(each, len(ends)), replace=False)):
            at = end + context.gap + np.arange(1, context.horizon + 1)
            at = at[at < len(one)]
            at = at[one.observed[at]]
            past = slice(max(0, end + 1 - model.tail), end + 1)
            asked.append(
                Told(one.start + past.start, one.y[past], one.observed[past], whole.known_x[past],
                     whole.known_x[at], own)
            )  # fmt: skip
            steps.append(at - end)
            targets.append(one.y[at])
        unit = TargetScale.from_list(own["scale"]).unit
        for forecast, target in zip(model.told(asked, steps), targets, strict=True):
            actual += float(target.sum()) / unit
            told += float(forecast.mean.sum()) / unit
    return float(np.clip(actual / told, *MEAN_OVER_MEAN)) if told > 0.0 else 1.0


def _candidates(name: str, series: Series, context: FitContext) -> tuple[Candidate, ...]:
    """One with the known covariates where there are some, and one without."""
    transform = transform_for(context)
    transform = "log" if transform in ("log1p", "box_cox") else transform
    plain = {"known": False, "transform": transform}
    found = [Candidate(name, KIND, plain)]
    if series.known and context.features.covariates is not None:
        found.insert(0, Candidate(f"{name}_known", KIND, {**plain, "known": True}, True))
    return tuple(found)


class PooledTcn:
    """One network for all series of a group."""

    info: ClassVar[LearnerInfo] = learner_info("tcn")

    def pooled_candidates(self, group: Sequence[GroupSeries]) -> tuple[Candidate, ...]:
        """One with the known covariates where there are some, and one without."""
        usable = [one for one in group if _learnable(one)]
        if not usable:
            return ()
        low = any(not one.context.nonnegative for one in usable)
        first = min(usable, key=lambda one: one.name)
        context = replace(first.context, nonnegative=not low)
        return _candidates("pooled_tcn", first.series, context)

    def fit_pooled(
        self, group: Sequence[GroupSeries], parameters: Parameters, seed: int, deadline: Deadline
    ) -> TcnModel:
        """The network fitted on all series of `group`."""
        return fit_group(group, parameters, seed, deadline)

    def load_pooled(self, state: State) -> PooledModel:
        """The model that gave this `state()`."""
        return TcnModel.load(state)


LONE = "lone_tcn"
ONLY = "series"
"""The name of the one series of a network that learned from it alone."""


@dataclass(frozen=True)
class LoneTcn:
    """A network of one series: a `FittedModel`. All that a forecast reads is stored with it.

    Attributes
    ----------
    recent
        The last values, with the covariates of the group of one.
    """

    shared: TcnModel
    recent: Told

    @property
    def parameters(self) -> Parameters:
        """The parameters as resolved in the fit."""
        return self.shared.parameters

    @property
    def tail(self) -> int:
        """How many last values `update` needs."""
        return self.shared.tail

    @property
    def end(self) -> int:
        """The ordinal of the cutoff."""
        return self.recent.start + len(self.recent.y) - 1

    def predict(self, future: Future) -> Forecast:
        """The forecast for the stamps of `future`."""
        names = self.shared.design.known_names
        check_future(future, self.end, len(names.covariates) if len(self.shared.design.known) else 0)
        ahead = np.empty((len(future), 0))
        if names.covariates:
            ahead = names.read(names.covariates, future.known_x)
        return self.shared.told([replace(self.recent, future_x=ahead)], [steps_after(future, self.end)])[0]

    def update(self, series: Series) -> LoneTcn:
        """The same network, moved to the end of `series`."""
        recent = series.tail(self.tail)
        return replace(self, recent=told_of(self.shared.design, recent, self.recent.own, recent.known_x[:0]))

    def state(self) -> State:
        """The model as plain data."""
        recent = self.recent
        return {
            "kind": LONE,
            "version": VERSION,
            "shared": self.shared.state(),
            "own": recent.own,
            "start": recent.start,
            "y": recent.y,
            "observed": recent.observed,
            "known_x": recent.known_x,
        }


class Tcn:
    """One network for one series that is long enough."""

    info: ClassVar[LearnerInfo] = learner_info("tcn")

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """One with the known covariates where there are some, and one without."""
        if len(series) < self.info.min_length:
            return ()
        return _candidates(KIND, series, context)

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> LoneTcn:
        """The network at the end of `series`."""
        check_target(series, self.info.min_length)
        shared = fit_group([GroupSeries(ONLY, series, context)], parameters, context.seed, context.deadline)
        own = shared.own(ONLY, series)
        recent = series.tail(shared.tail)
        return LoneTcn(shared, told_of(shared.design, recent, own, recent.known_x[:0]))

    def load(self, state: State) -> LoneTcn:
        """The model that gave this `state()`."""
        opened(state, LONE, VERSION)
        shared = TcnModel.load(state["shared"])
        y = np.asarray(state["y"])
        known_x = np.asarray(state["known_x"])
        return LoneTcn(
            shared,
            Told(int(state["start"]), y, np.asarray(state["observed"]), known_x, known_x[:0], state["own"]),
        )
