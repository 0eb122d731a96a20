"""Training one series: evaluate the candidates, combine them, guard the result, refit on everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from many_models.automl.candidates import series_candidates, settled
from many_models.automl.choice import Choice, choose
from many_models.automl.combination import Combine, candidate_weights, without_negligible
from many_models.automl.evaluation import (
    LEFT_OUT,
    Folds,
    Observations,
    Trial,
    believable,
    check_forecast,
    fit_candidate,
    fit_fallback,
    make_folds,
    predict_candidate,
)
from many_models.automl.intervals import bounded, earlier_sums, error_factor, recency_scale, step_quantiles
from many_models.automl.measures import measures
from many_models.automl.model import Bands, Member, SeriesModel
from many_models.automl.pooled import PooledTrial
from many_models.automl.prior import KindPrior
from many_models.automl.scores import Scores, fold_errors, naive_errors, score, score_trials, scores_of
from many_models.automl.search import Exit, search
from many_models.errors import LearnerError
from many_models.learners.base import Candidate, Deadline, FitContext, FittedModel
from many_models.metrics import METRICS
from many_models.metrics.totals import TOTALLED
from many_models.panel.findings import Finding, finding
from many_models.panel.series import Bools, Floats, Future, Series

SHORTEST = 7
"""Fewest observed values for which candidates are weighed; shorter series get the fallback."""


class Plan(Protocol):
    """The settings of the run that decide how one series is trained."""

    @property
    def levels(self) -> tuple[float, ...]:
        """Quantile levels; 0.5 is one of them."""

    @property
    def learners(self) -> tuple[str, ...]:
        """Names of the learners to try."""

    @property
    def learners_named(self) -> bool:
        """Whether the user named them."""

    @property
    def metric(self) -> str:
        """The metric that judges this series."""

    @property
    def combine(self) -> Combine:
        """How candidates become one forecast."""

    @property
    def exit(self) -> Exit:
        """When the search ends before every candidate was tried on every fold."""


@dataclass(frozen=True)
class Backtest:
    """The combination on the folds, with weights from the other folds.

    Attributes
    ----------
    mean : [F, H], quantiles : [F, H, Q]
    reported : [F]
        Its fold errors by the metric.
    """

    mean: Floats
    quantiles: Floats
    reported: Floats


@dataclass(frozen=True)
class Trained:
    """Everything the rows of one series are made of."""

    model: SeriesModel
    folds: Folds | None
    trials: tuple[Trial, ...]
    weights: Floats
    scores: Scores | None
    backtest: Backtest | None
    naive_score: float
    findings: tuple[Finding, ...]
    usable: tuple[Trial, ...] = ()
    chosen: Choice | None = None

    @property
    def score(self) -> float:
        """The combination's score over its folds; NaN without folds."""
        if self.backtest is None or self.scores is None:
            return float("nan")
        return score(self.backtest.reported, self.scores.metric)

    @property
    def skill(self) -> float:
        """1 - score / seasonal naive's score; NaN where either is missing or the latter zero."""
        if not np.isfinite(self.naive_score) or self.naive_score <= 0:
            return float("nan")
        return 1.0 - self.score / self.naive_score

    @property
    def bias(self) -> float:
        """Sum of forecast means over sum of actuals, minus one, over all folds; NaN without folds."""
        if self.backtest is None or self.folds is None:
            return float("nan")
        return float(METRICS["bias"].function(self.folds.actual.ravel(), self.backtest.mean.ravel()))

    def measures(self, context: FitContext) -> dict[str, Any]:
        """The errors of the combination over all folds, how many values were scored, and their volume."""
        if self.backtest is None or self.folds is None:
            return {**dict.fromkeys(TOTALLED), "scored": 0, "volume": None}
        folds, actual = self.folds, self.folds.actual
        scales = {"mase": folds.mase_scale(context.score_season), "rmsse": folds.rmsse_scale}
        told = measures(
            TOTALLED, actual, self.backtest.mean, self.backtest.quantiles, self.model.levels, scales
        )
        seen = np.isfinite(actual)
        return {**told, "scored": int(seen.sum()), "volume": float(np.abs(actual[seen]).sum())}


def train_fallback(
    series: Series,
    context: FitContext,
    plan: Plan,
    prior: KindPrior,
    bounds: Bounds,
    status: str,
    reason: str,
) -> Trained:
    """The seasonal naive (else naive) as the model of a series, with the reason why."""
    fitted = fit_fallback(series, context)
    name = "seasonal_naive" if fitted.tail > 1 else "naive"
    member = Member(Candidate(name, name, fitted.parameters), 1.0, 0.0, fitted)
    model = _series_model(name, status, reason, (member,), series, context, plan, prior, bounds, None, None)
    return Trained(model, None, (), np.array([]), None, None, float("nan"), ())


def train_short(
    series: Series,
    future: Future,
    context: FitContext,
    plan: Plan,
    prior: KindPrior,
    bounds: Bounds,
    pooled: Sequence[PooledTrial],
) -> Trained | None:
    """The models of its group as the model of a series too short for candidates of its own; None without any.

    Nothing is known of how they do on it: their weights are those of the prior.
    """
    usable = [one for one in pooled if one.final is not None]
    free = np.array([not one.candidate.uses_known for one in usable], dtype=bool)
    if not np.isfinite(future.known_x).all():
        usable, free = [one for one, is_free in zip(usable, free, strict=True) if is_free], free[free]
    if not usable:
        return None

    def weights(places: Bools) -> Floats:
        found = np.zeros(len(usable))
        names = [one.candidate.name for one, there in zip(usable, places, strict=True) if there]
        if names:
            nothing = np.empty((len(names), 0))
            given = np.array([(prior.shares or {}).get(name, 0.0) for name in names])
            if plan.combine != "auto" or not given.any():
                given = without_negligible(
                    candidate_weights(nothing, names, prior.candidates, 0, plan.combine)
                )
            found[places] = given / given.sum()
        return found

    main = weights(np.ones(len(usable), dtype=bool))
    standby = np.zeros(len(usable)) if free.all() else weights(free)
    members = [
        Member(one.candidate, float(w), float(s), one.final, one.final.shared)
        for one, w, s in zip(usable, main, standby, strict=True)
        if one.final is not None and (w > 0 or s > 0)
    ]
    served = [m for m in members if m.weight > 0]
    label = served[0].candidate.learner if len(served) == 1 else "ensemble"
    model = _series_model(
        label, "FALLBACK", "TOO_SHORT", tuple(members), series, context, plan, prior, bounds, None, None
    )
    found = finding("SHORT_POOLED", len(served), message=", ".join(m.candidate.name for m in served))
    return Trained(model, None, (), np.array([]), None, None, float("nan"), (found,))


@dataclass(frozen=True)
class Bounds:
    """The least and the greatest value a forecast may have (None is no bound); whether it is a count."""

    low: float | None
    high: float | None
    integer: bool = False


def train_series(
    observations: Observations,
    length: int,
    cutoffs: Sequence[int],
    context: FitContext,
    plan: Plan,
    prior: KindPrior,
    bounds: Bounds,
    deadline: Deadline,
    pooled: Sequence[PooledTrial] = (),
) -> Trained:
    """The model of one series and how it was chosen.

    Parameters
    ----------
    observations
        The prepared series.
    length
        Positions up to the last observed target.
    cutoffs
        Training lengths of the folds; may be empty.
    context, plan, prior, bounds
        Season and seed; the run's settings; what other series taught; the range of forecasts.
    deadline
        Candidates that have not been tried by then are left out, and counted.
    pooled
        What the candidates of its group did on the same folds.
    """
    series = observations.train(length)
    candidates = series_candidates(series, context, plan.learners, plan.learners_named)
    candidates = settled(candidates, prior.pipelines)
    folds = make_folds(observations, cutoffs, context)
    timed = replace(context, deadline=deadline)
    own = search(candidates, folds, timed, plan.metric, plan.exit)
    trials = (*own, *(one.trial(folds) for one in pooled))
    every = score_trials(trials, folds, context, plan.metric)
    usable = [t for t in trials if not cutoffs or not t.failed.all()]
    if not usable:
        trained = train_fallback(series, context, plan, prior, bounds, "FALLBACK", "NO_VALID_CANDIDATE")
        findings = [finding("ALL_CANDIDATES_FAILED", len(trials)), *_failure_findings(trials)]
        nothing = np.zeros(len(trials))
        return replace(
            trained, folds=folds, trials=trials, weights=nothing, scores=every, findings=tuple(findings)
        )
    scores = every
    if len(usable) < len(trials):
        scores = score_trials(usable, folds, context, plan.metric)
    known = prior.with_pipelines([t.candidate for t in usable])
    chosen = choose(usable, scores, folds, context, plan.combine, known)
    findings = [*_failure_findings(trials), *_score_findings(scores, usable, chosen, len(series.known))]
    model, dropped = _refit(usable, chosen, series, observations, length, context, plan, prior, bounds, folds)
    if dropped:
        findings.append(
            finding(
                "CANDIDATE_FAILED",
                len(dropped),
                message=f"left out at the refit: {', '.join(sorted(dropped))}",
            )
        )
    if model.reason == "NAIVE_WINS":
        findings.append(
            finding("NAIVE_WINS", len(cutoffs), message="seasonal naive was better in every fold")
        )
    weights = np.zeros(len(trials))
    by_name = {m.candidate.name: m.weight for m in model.members}
    for i, trial in enumerate(trials):
        weights[i] = by_name.get(trial.candidate.name, 0.0)
    naive = score(naive_errors(folds, context, plan.metric), plan.metric)
    backtest = _with_quantiles(chosen, folds, context, plan, model, prior, bounds) if cutoffs else None
    return Trained(
        model, folds, trials, weights, every, backtest, naive, tuple(findings), tuple(usable), chosen
    )


def refitted(
    trained: Trained,
    observations: Observations,
    length: int,
    context: FitContext,
    plan: Plan,
    prior: KindPrior,
    bounds: Bounds,
    pooled: Sequence[PooledTrial] = (),
) -> Trained:
    """What was chosen on a part of a series, fitted on its first `length` positions.

    What its group chose is there already: `pooled` has the models that the group fitted on everything.
    """
    series, before = observations.train(length), trained.model
    if trained.chosen is None or trained.folds is None:
        reason = before.reason or "TOO_SHORT"
        model = train_fallback(series, context, plan, prior, bounds, before.status, reason).model
        return replace(trained, model=model)
    given = {one.candidate.name: one.final for one in pooled}
    model, dropped = _refit(
        [replace(t, given=given.get(t.candidate.name)) if t.pooled else t for t in trained.usable],
        trained.chosen,
        series,
        observations,
        length,
        context,
        plan,
        prior,
        bounds,
        trained.folds,
    )
    findings = trained.findings
    if dropped:
        text = f"left out at the refit on everything: {', '.join(sorted(dropped))}"
        findings = (*findings, finding("CANDIDATE_FAILED", len(dropped), message=text))
    return replace(trained, model=model, findings=findings)


def _refit(
    usable: Sequence[Trial],
    chosen: Choice,
    series: Series,
    observations: Observations,
    length: int,
    context: FitContext,
    plan: Plan,
    prior: KindPrior,
    bounds: Bounds,
    folds: Folds,
) -> tuple[SeriesModel, list[str]]:
    """The members fitted on everything, and the names of those that failed there."""
    if chosen.naive_wins:
        trained = train_fallback(series, context, plan, prior, bounds, "TRAINED", "NAIVE_WINS")
        return trained.model, []
    future = observations.future(length, context.horizon, context.gap)
    limits = believable(series.y)
    members: list[Member] = []
    dropped: list[str] = []
    for trial, weight, standby in zip(usable, chosen.weights, chosen.standby, strict=True):
        if weight == 0 and standby == 0:
            continue
        try:
            fitted = _fitted(trial, series, context)
            known = not trial.candidate.uses_known or bool(np.isfinite(future.known_x).all())
            if known:
                predict_candidate(trial.candidate, fitted, future, limits)
            shared = None if trial.given is None else trial.given.shared
            members.append(Member(trial.candidate, float(weight), float(standby), fitted, shared))
        except LearnerError:
            dropped.append(trial.candidate.name)
    members = _renormalised(members)
    if not any(m.weight > 0 for m in members):
        trained = train_fallback(series, context, plan, prior, bounds, "FALLBACK", "NO_VALID_CANDIDATE")
        return trained.model, dropped
    main = [m for m in members if m.weight > 0]
    label = main[0].candidate.learner if len(main) == 1 else "ensemble"
    own = _own_error(_scaled_errors(chosen.median, folds))
    own_standby = None
    if chosen.standby.any():
        own_standby = _own_error(_scaled_errors(chosen.standby_median, folds))
    model = _series_model(
        label, "TRAINED", None, tuple(members), series, context, plan, prior, bounds, own, own_standby
    )
    try:
        check_forecast(model.forecast(future).forecast, limits)
    except LearnerError:
        trained = train_fallback(series, context, plan, prior, bounds, "FALLBACK", "ABSURD_FORECAST")
        return trained.model, dropped
    return model, dropped


def _fitted(trial: Trial, series: Series, context: FitContext) -> FittedModel:
    """The candidate fitted on everything: here, or by the group of the series."""
    if trial.given is not None:
        return trial.given
    if trial.pooled:
        raise LearnerError("NOT_GIVEN", "the group could not fit it on everything")
    return fit_candidate(trial.candidate, series, context)


def _renormalised(members: Sequence[Member]) -> list[Member]:
    weight = sum(m.weight for m in members) or 1.0
    standby = sum(m.standby_weight for m in members) or 1.0
    return [replace(m, weight=m.weight / weight, standby_weight=m.standby_weight / standby) for m in members]


def _scaled_errors(median: Floats, folds: Folds) -> Floats:
    """The mean absolute residual of each fold [F] in its scale; NaN where there is neither."""
    residual = np.abs(folds.actual - median)
    errors = np.full(len(residual), np.nan)
    seen = np.isfinite(residual).any(axis=1) & (folds.scale > 0)
    errors[seen] = np.nanmean(residual[seen], axis=1) / folds.scale[seen]
    return errors


def _own_error(errors: Floats) -> float | None:
    """The mean of scaled fold errors [F]; None where no fold has one."""
    known = errors[np.isfinite(errors)]
    return float(known.mean()) if known.size else None


def _series_model(
    label: str,
    status: str,
    reason: str | None,
    members: tuple[Member, ...],
    series: Series,
    context: FitContext,
    plan: Plan,
    prior: KindPrior,
    bounds: Bounds,
    own_error: float | None,
    own_standby: float | None,
) -> SeriesModel:
    shape = prior.shape
    last = float(context.horizon + context.gap)
    leads = np.array([float(x) for x in shape.leads if x < last] + [last])
    size = recency_scale(series.y, series.observed, context.season)
    tail = max([m.model.tail for m in members] + [2 * context.season, 12])
    bands = Bands(
        size * error_factor(own_error, shape.pool_error),
        size * error_factor(own_standby if own_standby is not None else own_error, shape.pool_error),
        earlier_sums(series.y, series.observed, context.season, tail),
        leads,
        shape.step_quantiles(leads, plan.levels),
        shape.total_quantiles(leads, plan.levels),
    )
    return SeriesModel(
        label,
        status,
        reason,
        members,
        plan.combine,
        series.tail(tail),
        believable(series.y),
        context.horizon,
        context.gap,
        context.season,
        plan.levels,
        bands,
        bounds.low,
        bounds.high,
        bounds.integer,
    )


def _with_quantiles(
    chosen: Choice,
    folds: Folds,
    context: FitContext,
    plan: Plan,
    model: SeriesModel,
    prior: KindPrior,
    bounds: Bounds,
) -> Backtest:
    """The combination's fold forecasts with the quantiles that the other folds would have given it."""
    mean, median = chosen.mean, chosen.median
    if model.reason is not None:
        # The series was handed to seasonal naive: its folds are what is reported.
        mean, median = folds.fallback_mean, folds.fallback_median
    leads = np.arange(1, context.horizon + 1, dtype=np.float64) + context.gap
    table = prior.shape.step_quantiles(leads, plan.levels)
    errors = _scaled_errors(median, folds)
    quantiles = np.empty((*mean.shape, len(plan.levels)))
    for f in range(len(folds.cutoffs)):
        size = folds.scale[f] * error_factor(_own_error(np.delete(errors, f)), prior.shape.pool_error)
        quantiles[f] = step_quantiles(median[f], size * table, plan.levels)
    mean, median = bounded(mean, bounds.low, bounds.high), bounded(median, bounds.low, bounds.high)
    reported = fold_errors(plan.metric, folds, mean, median, context)
    return Backtest(mean, bounded(quantiles, bounds.low, bounds.high), reported)


def _failure_findings(trials: Sequence[Trial]) -> list[Finding]:
    """Which candidates failed on a fold and why, and which were never begun for lack of time."""
    found: list[Finding] = []
    late: list[str] = []
    failures: dict[str, str] = {}
    for trial in trials:
        if trial.failed.size and trial.failed.all() and trial.error_code == "DEADLINE":
            late.append(trial.candidate.name)
        elif trial.failed.any() and trial.error_code != LEFT_OUT:
            failures[trial.candidate.name] = trial.error_code or ""
    if failures:
        text = ", ".join(f"{name} ({code})" for name, code in sorted(failures.items()))
        # The first folds of a short history are too short for some: nothing that a person has to look at.
        only_short = set(failures.values()) == {"TOO_SHORT"}
        found.append(
            finding(
                "CANDIDATE_FAILED",
                len(failures),
                message=f"the fallback scored on some folds: {text}",
                severity="info" if only_short else None,
            )
        )
    if late:
        text = f"no time was left for: {', '.join(sorted(late))}"
        found.append(finding("CANDIDATES_NOT_RUN", len(late), message=text))
    return found


def _score_findings(scores: Scores, usable: Sequence[Trial], chosen: Choice, known: int) -> list[Finding]:
    """Where scores say less than they seem to: scales of zero, covariates known by hindsight."""
    found: list[Finding] = []
    if METRICS[scores.metric].needs_scale:
        unscaled = int(np.isnan(scores.reported).all(axis=0).sum())
        if unscaled:
            found.append(finding("SCALE_ZERO", unscaled))
    uses = any(t.candidate.uses_known and w > 0 for t, w in zip(usable, chosen.weights, strict=True))
    if uses and scores.reported.size and not chosen.naive_wins:
        free = scores_of(scores.reported, scores.metric)[[not t.candidate.uses_known for t in usable]]
        best = min((s for s in free if np.isfinite(s)), default=float("nan"))
        reached = score(chosen.reported, scores.metric)
        found.append(
            finding(
                "PERFECT_FORESIGHT",
                known,
                message=f"folds used the realised covariates: score {reached:.4g}; "
                f"best candidate without them {best:.4g}",
            )
        )
    return found
