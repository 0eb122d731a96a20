"""What is kept of one series: an ensemble, its stand-by, the tail of its history, its intervals.

A `SeriesModel` is frozen and made of plain data: `state()` goes through the bundle's
container and `load` gives a model that predicts identically, bit for bit.

Change procedure: a change to what `state()` holds raises `FORMAT_VERSION`, keeps a reader
for the older one in `load`, and adds a golden file under `tests/bundle/golden`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from many_models.automl.combination import Combine, combined
from many_models.automl.evaluation import believable, check_forecast, fit_fallback, predict_candidate
from many_models.automl.intervals import bounded, recency_scale, step_quantiles, whole
from many_models.automl.paths import at_scores, normals
from many_models.automl.shared import PooledModels, shared_names
from many_models.errors import DamagedError, LearnerError, LookupFailed
from many_models.learners.base import Candidate, FitContext, FittedModel, State
from many_models.learners.pooled import PooledMember, PooledModel
from many_models.learners.table import learner
from many_models.panel.grid import Grid
from many_models.panel.series import Bools, Covariate, Floats, Forecast, Future, Series

FORMAT_VERSION = 1
KIND = "series_model"


@dataclass(frozen=True)
class Member:
    """One fitted candidate and its share in the ensemble and in the covariate-free stand-by.

    `shared` is the name of the pooled model that the candidate was learned with, where it was.
    """

    candidate: Candidate
    weight: float
    standby_weight: float
    model: FittedModel
    shared: str | None = None


@dataclass(frozen=True)
class Bands:
    """What turns a median into quantiles.

    Attributes
    ----------
    scale, standby_scale
        Size of the residuals of the ensemble and of its stand-by, in units of the target.
    earlier
        What the recent scale owes to the history before the stored tail.
    leads : [S]
        Steps after the cutoff of the tables' rows.
    steps, totals : [S, Q]
        Standardised quantiles for single steps and for sums over the first leads.
    """

    scale: float
    standby_scale: float
    earlier: tuple[float, float]
    leads: Floats
    steps: Floats
    totals: Floats

    def at(self, leads: Floats, table: Floats) -> Floats:
        """The table read at some leads [len(leads), Q]; beyond its end errors grow like a random walk's."""
        inside = np.clip(leads, self.leads[0], self.leads[-1])
        read = np.stack([np.interp(inside, self.leads, table[:, j]) for j in range(table.shape[1])], axis=1)
        growth = np.sqrt(np.maximum(leads / self.leads[-1], 1.0))
        widened: Floats = read * growth[:, None]
        return widened


@dataclass(frozen=True)
class SeriesForecast:
    """A forecast with who made each row, and why it was not the ensemble where it was not."""

    forecast: Forecast
    learner: tuple[str, ...]
    status: tuple[str, ...]
    reason: tuple[str | None, ...]


@dataclass(frozen=True)
class SeriesModel:
    """The forecaster of one series.

    Attributes
    ----------
    members
        Fitted candidates; those with weight make the ensemble, those with stand-by weight answer
        where known covariates are missing.
    history
        The tail of the history that members need to move their state, and the naive its values.
    limits
        The believable range of forecasts, taken from the whole history: a tail of zeros says little.
    naive_season
        Season of the seasonal naive of last resort.
    integer
        Whether the target is a count, so that quantiles are whole numbers; the mean is not.
    """

    label: str
    status: str
    reason: str | None
    members: tuple[Member, ...]
    combine: Combine
    history: Series
    limits: tuple[float, float]
    horizon: int
    gap: int
    naive_season: int
    levels: tuple[float, ...]
    bands: Bands
    low: float | None
    high: float | None
    integer: bool = False

    @property
    def uses_known(self) -> bool:
        """Whether the ensemble needs known covariates."""
        return any(m.candidate.uses_known and m.weight > 0 for m in self.members)

    def steps(self, ordinals: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The step of each ordinal: 1 is the first after the cutoff and the gap."""
        return ordinals - self.history.end - self.gap

    def forecast(self, future: Future, closed: Bools | None = None) -> SeriesForecast:
        """The forecast of every stamp in `future`.

        A row whose known covariates are not all there is answered by the stand-by, and says so;
        where a member cannot answer, the next in line does: stand-by, then seasonal naive. A row
        that lacks its siblings' covariates alone keeps its own, beside what siblings last had.
        """
        rows = len(future)
        carried = np.zeros(len(future), dtype=bool)
        if self.uses_known:
            future, carried = with_last_context(future, self.history)
        mean, median = np.empty(rows), np.empty(rows)
        label, status = [self.label] * rows, [self.status] * rows
        reason: list[str | None] = [self.reason] * rows
        complete = np.isfinite(future.known_x).all(axis=1) if self.uses_known else np.ones(rows, dtype=bool)
        size = np.full(rows, self.bands.scale)
        for served, standby in ((complete, False), (~complete, True)):
            if not served.any():
                continue
            part = Future(future.grid, future.ordinals[served], future.known_x[served])
            answer, by, failed = self._answer(part, standby)
            mean[served], median[served] = answer.mean, answer.median
            if standby or failed:
                size[served] = self.bands.standby_scale
            for i in np.flatnonzero(served):
                label[i] = by
                if standby:
                    status[i], reason[i] = "FALLBACK", "FUTURE_COVARIATES_MISSING"
                elif failed:
                    status[i], reason[i] = "FALLBACK", failed
                elif carried[i]:
                    status[i], reason[i] = "FALLBACK", "CONTEXT_MISSING"
        size[carried] = self.bands.standby_scale
        leads = (future.ordinals - self.history.end).astype(np.float64)
        table = self.bands.at(leads, self.bands.steps)
        quantiles = step_quantiles(median, size[:, None] * table, self.levels)
        for i in np.flatnonzero(self.steps(future.ordinals) > self.horizon):
            # A reason that explains a status is kept.
            reason[i] = "BEYOND_HORIZON" if status[i] == "TRAINED" else reason[i] or "BEYOND_HORIZON"
        mean, quantiles = bounded(mean, self.low, self.high), self._within(quantiles, 1)
        if closed is not None:
            mean, quantiles = np.where(closed, 0.0, mean), np.where(closed[:, None], 0.0, quantiles)
        return SeriesForecast(
            Forecast(mean, quantiles, self.levels), tuple(label), tuple(status), tuple(reason)
        )

    def total(self, mean: Floats, steps: int, standby: bool) -> Floats:
        """Quantiles [Q] of the sum over the first `steps` steps, whose means [H] are given."""
        lead = np.array([float(steps + self.gap)])
        size = self.bands.standby_scale if standby else self.bands.scale
        spread = self.bands.at(lead, self.bands.totals)[0] * size
        return self._within(mean[:steps].sum() + spread, mean[:steps].size)

    def simulate(self, future: Future, paths: int, seed: int, closed: Bools | None = None) -> Floats:
        """Simulated futures [N, H] of the stamps in `future`, as its forecast and its totals are spread.

        Raises
        ------
        LearnerError
            NO_SPREAD, where the model knows no quantile but the median.
        """
        if len(self.levels) < 2:
            raise LearnerError("NO_SPREAD", "forecast.quantiles names the median alone")
        answer = self.forecast(future, closed).forecast
        steps = self.steps(future.ordinals)
        leads = np.arange(1, int(steps.max(initial=0)) + 1, dtype=np.float64) + self.gap
        step, total = (
            table[:, -1] - table[:, 0]
            for table in (self.bands.at(leads, self.bands.steps), self.bands.at(leads, self.bands.totals))
        )
        scores = normals(step, total, paths, seed)[np.maximum(steps, 1) - 1]
        values = self._within(at_scores(scores, answer.quantiles, self.levels).T, 1)
        return values if closed is None else np.where(closed, 0.0, values)

    def _within(self, quantiles: Floats, count: int) -> Floats:
        """Quantiles of a sum over `count` steps, within its bounds, and whole where the target is."""
        low = None if self.low is None else self.low * count
        high = None if self.high is None else self.high * count
        kept = bounded(quantiles, low, high)
        return whole(kept, low, high) if self.integer else kept

    def _answer(self, future: Future, standby: bool) -> tuple[Forecast, str, str | None]:
        """The forecast by the ensemble or its stand-by, who made it, and why not the one asked for."""
        lines: list[tuple[str, Callable[[Member], float]]] = [("standby", lambda m: m.standby_weight)]
        if not standby:
            lines.insert(0, ("ensemble", lambda m: m.weight))
        failed: str | None = None
        for name, weight in lines:
            members = [m for m in self.members if weight(m) > 0]
            try:
                if members:
                    answer = self._mixed(members, [weight(m) for m in members], future)
                    return answer, self._line_label(name, members), failed
            except LearnerError as trouble:
                failed = failed or trouble.code
        context = FitContext(horizon=self.horizon, gap=self.gap, season=self.naive_season)
        fitted = fit_fallback(self.history, context)
        by = "seasonal_naive" if fitted.tail > 1 else "naive"
        return fitted.predict(future.without_known()), by, failed or "NO_STANDBY"

    def _line_label(self, line: str, members: Sequence[Member]) -> str:
        if line == "ensemble":
            return self.label
        return members[0].candidate.learner if len(members) == 1 else "ensemble"

    def _mixed(self, members: Sequence[Member], weights: list[float], future: Future) -> Forecast:
        forecasts = [predict_candidate(m.candidate, m.model, future, self.limits) for m in members]
        share = np.array(weights)
        mean = combined(np.array([f.mean for f in forecasts]), share, self.combine)
        median = combined(np.array([f.median for f in forecasts]), share, self.combine)
        answer = Forecast.point(mean, median)
        check_forecast(answer, self.limits)
        return answer

    def updated(self, history: Series) -> SeriesModel:
        """The same parameters with the state moved to the end of `history`.

        `history` begins with the stored tail (values at the same stamps may be revised).
        """
        before, after = (
            recency_scale(h.y, h.observed, self.naive_season, self.bands.earlier)
            for h in (self.history, history)
        )
        if before > 0:
            sizes = [size * (after / before) for size in (self.bands.scale, self.bands.standby_scale)]
        else:
            # Nothing but zeros so far: there was no residual to compare the scale with.
            sizes = [after, after]
        bands = replace(self.bands, scale=sizes[0], standby_scale=sizes[1])
        members = tuple(
            replace(m, model=m.model.update(history if m.candidate.uses_known else history.without_known()))
            for m in self.members
        )
        limits = self.limits
        if history.end > self.history.end:
            low, high = believable(history.y)
            limits = (min(limits[0], low), max(limits[1], high))
        return replace(self, members=members, history=history, limits=limits, bands=bands)

    def state(self) -> State:
        """Everything `load` needs, as plain data."""
        h = self.history
        return {
            "kind": KIND,
            "format_version": FORMAT_VERSION,
            "label": self.label,
            "status": self.status,
            "reason": self.reason,
            "combine": self.combine,
            "limits": list(self.limits),
            "horizon": self.horizon,
            "gap": self.gap,
            "naive_season": self.naive_season,
            "levels": list(self.levels),
            "low": self.low,
            "high": self.high,
            "integer": self.integer,
            "bands": {
                "scale": self.bands.scale,
                "standby_scale": self.bands.standby_scale,
                "earlier": list(self.bands.earlier),
                "leads": self.bands.leads,
                "steps": self.bands.steps,
                "totals": self.bands.totals,
            },
            "history": {
                "grid": h.grid.to_dict(),
                "start": h.start,
                "y": h.y,
                "observed": h.observed,
                "known_x": h.known_x,
                "past_x": h.past_x,
                "static_x": h.static_x,
                "known": [_covariate_state(c) for c in h.known],
                "past": [_covariate_state(c) for c in h.past],
                "static": [_covariate_state(c) for c in h.static],
            },
            "members": [
                {
                    "name": m.candidate.name,
                    "learner": m.candidate.learner,
                    "parameters": dict(m.candidate.parameters),
                    "uses_known": m.candidate.uses_known,
                    "weight": m.weight,
                    "standby_weight": m.standby_weight,
                    "state": m.model.state(),
                    **({} if m.shared is None else {"shared": m.shared}),
                }
                for m in self.members
            ],
        }


def with_last_context(future: Future, history: Series) -> tuple[Future, Bools]:
    """The future with the siblings' last covariates where no sibling has a row, and where that is [H]."""
    columns = history.known
    siblings = np.array([column.origin == "siblings" for column in columns], dtype=bool)
    if not siblings.any() or future.known_x.shape[1] != len(columns):
        return future, np.zeros(len(future), dtype=bool)
    missing = ~np.isfinite(future.known_x)
    carried: Bools = np.asarray(missing[:, siblings].any(axis=1) & ~missing[:, ~siblings].any(axis=1))
    last = np.where(carried[:, None] & missing & siblings, history.known_x[-1], future.known_x)
    return replace(future, known_x=last), carried & np.isfinite(last).all(axis=1)


def no_pooled(name: str) -> PooledModel:
    """Where no pooled models lie: a reference to one is a DamagedError."""
    raise DamagedError(f"the pooled model {name}, which a stored model refers to, is missing")


def load_series_model(state: State, pooled: PooledModels = no_pooled) -> SeriesModel:
    """The model that gave this `state()`; `pooled` finds the pooled models that it refers to.

    Raises
    ------
    DamagedError
        Where the state is of another kind or version, or not of the form that is written.
    """
    # as text: what stands there may be an array, which is equal to nothing as a whole
    if [str(state.get(name)) for name in ("kind", "format_version")] != [KIND, str(FORMAT_VERSION)]:
        raise DamagedError(
            f"a stored model of kind {state.get('kind')!r} and version {state.get('format_version')!r}; "
            f"this release reads {KIND!r} of version {FORMAT_VERSION}"
        )
    try:
        shared_names(state)
        h, bands = state["history"], state["bands"]
        history = Series(
            Grid.from_dict(h["grid"]),
            int(h["start"]),
            h["y"],
            h["observed"],
            h["known_x"],
            h["past_x"],
            h["static_x"],
            tuple(_covariate(c) for c in h["known"]),
            tuple(_covariate(c) for c in h["past"]),
            tuple(_covariate(c) for c in h["static"]),
        )
        members = tuple(
            Member(
                Candidate(m["name"], m["learner"], m["parameters"], bool(m["uses_known"])),
                float(m["weight"]),
                float(m["standby_weight"]),
                _fitted(m, history, pooled),
                m.get("shared"),
            )
            for m in state["members"]
        )
        return SeriesModel(
            state["label"],
            state["status"],
            state["reason"],
            members,
            state["combine"],
            history,
            (float(state["limits"][0]), float(state["limits"][1])),
            int(state["horizon"]),
            int(state["gap"]),
            int(state["naive_season"]),
            tuple(state["levels"]),
            Bands(
                float(bands["scale"]),
                float(bands["standby_scale"]),
                (float(bands["earlier"][0]), float(bands["earlier"][1])),
                bands["leads"],
                bands["steps"],
                bands["totals"],
            ),
            state["low"],
            state["high"],
            bool(state.get("integer", False)),
        )
    except LookupFailed as trouble:
        raise DamagedError(
            f"a stored model of a learner that this release does not have: {trouble}"
        ) from trouble
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as trouble:
        raise DamagedError(f"a stored model lacks its form: {type(trouble).__name__}: {trouble}") from trouble


def _fitted(member: State, history: Series, pooled: PooledModels) -> FittedModel:
    """The fitted model of a stored member."""
    if "shared" not in member:
        return learner(member["learner"]).load(member["state"])
    past = history if member["uses_known"] else history.without_known()
    return PooledMember(pooled(member["shared"]), member["state"]["own"], past)


def _covariate_state(covariate: Covariate) -> State:
    return {
        "name": covariate.name,
        "kind": covariate.kind,
        "categories": list(covariate.categories),
        "origin": covariate.origin,
    }


def _covariate(state: State) -> Covariate:
    return Covariate(state["name"], state["kind"], tuple(state["categories"]), state.get("origin", "own"))
