"""The pilot: what a small sample of a run's own series teaches, as a prior for all of them.

A single series cannot know how far its fold errors can be trusted, which candidates ever win,
nor how errors grow with the lead. A seeded sample goes through the same folds first; what it
teaches is blended with what the prior at hand says, by how many series taught it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from many_models.automl.combination import (
    candidate_weights,
    combined,
    relative_errors,
    without_negligible,
)
from many_models.automl.group import study_series
from many_models.automl.intervals import error_factor
from many_models.automl.pooled import Pooled
from many_models.automl.prior import CandidatePrior, ErrorShape, KindPrior, Prior
from many_models.automl.shares import FEWEST as FEWEST_TO_SHARE
from many_models.automl.shares import Shown, pooled_shares
from many_models.automl.task import TrainTask
from many_models.bundle.container import pack, unpack
from many_models.panel.series import Bools, Floats

LEVELS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5,
    0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 0.995,
)  # fmt: skip
LEADS = (1, 2, 3, 4, 5, 6, 8, 10, 13, 18, 24, 36, 48)

FEWEST_FOLDS = 3
"""A series teaches how errors vary between folds only where it has so many."""

FEWEST_SERIES = 10
"""Nothing is learned of a candidate, nor of the shape of errors, from fewer series."""

CLEARLY = 2.0
"""A pipeline is left out that was worse than the best by more than so many standard errors."""

TRUST = 20.0
"""So many series count as much as the prior at hand."""


@dataclass(frozen=True)
class Study:
    """What one series' folds taught: the forecasts of its K candidates, and the scales known at its cutoffs.

    Attributes
    ----------
    kind
        Class of its frequency.
    names
        The candidates.
    errors : [K, F]
        What weights are made of.
    mean, median : [K, F, H]
    actual : [F, H]
        NaN where not observed.
    scales : [F]
    squared
        Whether squares of the errors are averaged over folds.
    usual
        For each candidate, the one that it differs from in its pipeline alone; empty: none.
    pooled
        The candidates that its group fitted.
    cutoffs : [F]
        The lengths of the training parts.
    """

    kind: str
    names: tuple[str, ...]
    errors: Floats
    mean: Floats
    median: Floats
    actual: Floats
    scales: Floats
    squared: bool = False
    usual: tuple[str, ...] = ()
    pooled: tuple[str, ...] = ()
    cutoffs: tuple[int, ...] = ()

    def settled(self, pipelines: Mapping[str, Collection[str]]) -> Study:
        """The study without the candidates whose pipeline is not among those kept for their usual one."""
        usual = self.usual or ("",) * len(self.names)
        whose = [u or n for n, u in zip(self.names, usual, strict=True)]
        stays = [n in pipelines.get(w, (n,)) for n, w in zip(self.names, whose, strict=True)]
        return self.only([name for name, there in zip(self.names, stays, strict=True) if there])

    def only(self, names: Collection[str]) -> Study:
        """The study of these candidates alone."""
        kept = np.flatnonzero([name in names for name in self.names])
        usual = self.usual or ("",) * len(self.names)
        return replace(
            self,
            names=tuple(self.names[i] for i in kept),
            errors=self.errors[kept],
            mean=self.mean[kept],
            median=self.median[kept],
            usual=tuple(usual[i] for i in kept),
            pooled=tuple(name for name in self.pooled if name in names),
        )


@dataclass(frozen=True)
class GroupStudy:
    """What one group of a pilot taught, and the core-seconds that it took (NaN where it did not answer)."""

    studies: tuple[Study, ...]
    seconds: float


def study_group(frame: pd.DataFrame, task: TrainTask, attachment: bytes | None = None) -> bytes:
    """The studies of a group's series as bytes, for `read_study`.

    `attachment` is what the stage `pool` says of the one series in `frame`.
    """
    started = time.process_time()
    found = []
    pooled = () if attachment is None else Pooled.from_bytes(attachment).trials
    for kind, trained in study_series(frame, task, pooled):
        if trained.folds is None or trained.scores is None or not trained.folds.cutoffs:
            continue
        kept = [i for i, t in enumerate(trained.trials) if not t.failed.all()]
        trials = [trained.trials[i] for i in kept]
        found.append(
            {
                "kind": kind,
                "names": [t.candidate.name for t in trials],
                "errors": trained.scores.ranking[kept],
                "mean": np.array([t.mean for t in trials]),
                "median": np.array([t.median for t in trials]),
                "actual": trained.folds.actual,
                "scales": trained.folds.scale,
                "squared": trained.scores.squared,
                "cutoffs": list(trained.folds.cutoffs),
                "usual": [t.candidate.usual for t in trials],
                "pooled": [t.candidate.name for t in trials if t.pooled],
            }
        )
    return pack({"studies": found, "seconds": time.process_time() - started})


def no_study(frame: pd.DataFrame, task: TrainTask, trouble: Any) -> bytes:
    """The studies of a group that did not answer: none. Its training says what is wrong with it."""
    return pack({"studies": [], "seconds": float("nan")})


def read_study(payload: bytes) -> GroupStudy:
    """What the bytes hold that `study_group` gave."""
    state = unpack(payload)
    lists = ("names", "usual", "pooled", "cutoffs")
    studies = (
        Study(**{**found, **{name: tuple(found[name]) for name in lists}}) for found in state["studies"]
    )
    return GroupStudy(tuple(studies), float(state["seconds"]))


def learned(studies: Sequence[Study], before: Prior) -> Prior:
    """The prior at hand, blended with what the studies of a pilot taught for their kinds of frequency."""
    kinds = dict(before.kinds)
    taught = []
    for kind in sorted({s.kind for s in studies}):
        part = [s for s in studies if s.kind == kind]
        if len(part) >= FEWEST_SERIES:
            kept = kept_pipelines(part)
            blended = _blended(before.kind(kind), [s.settled(kept) for s in part])
            kinds[kind] = replace(blended, pipelines={**blended.pipelines, **kept})
            taught.append(f"{len(part)} series ({kind})")
    if not taught:
        return before
    return Prior(kinds, f"{before.origin}; a pilot of {', '.join(taught)}")


def with_learned_shares(studies: Sequence[Study], before: Prior) -> Prior:
    """The prior with the shares of pooled candidates that the studies taught for their kinds of frequency."""
    kinds = dict(before.kinds)
    for kind in sorted({s.kind for s in studies}):
        known = before.kind(kind)
        part = [s for s in studies if s.kind == kind and s.pooled and len(s.pooled) < len(s.names)]
        if len(part) >= FEWEST_TO_SHARE:
            kinds[kind] = replace(known, shares=pooled_shares([_shown(s, known) for s in part]))
    return replace(before, kinds=kinds)


def _shown(study: Study, prior: KindPrior) -> Shown:
    """The combination of the series' own candidates and the pooled ones on each fold.

    Folds overlap. Weights from the others would know half of what is forecast, and the combination would
    look better than it is: here they come of folds that had ended before the fold began, or of the prior.
    """
    own = study.only([name for name in study.names if name not in study.pooled])
    judged = own.mean if own.squared else own.median
    combination = np.empty_like(study.actual)
    cutoffs, horizon = np.array(study.cutoffs), study.actual.shape[1]
    for f, cutoff in enumerate(cutoffs):
        weights = _weights(own, cutoffs <= cutoff - horizon, prior.candidates)
        combination[f] = combined(judged[:, f], weights)
    whole = study.mean if study.squared else study.median
    pooled = {name: whole[study.names.index(name)] for name in study.pooled}
    return Shown(combination, pooled, study.actual, float(study.scales.mean()), study.squared)


def learned_alone(studies: Sequence[Study]) -> KindPrior:
    """The prior that these studies teach, of one kind of frequency, blended with nothing."""
    candidates = candidate_priors(studies)
    return KindPrior(error_shape(studies, candidates), candidates)


def neutral() -> Prior:
    """A prior that knows nothing of candidates, and errors that grow like a random walk's."""
    probit = np.array([NormalDist().inv_cdf(q) for q in LEVELS])
    leads = np.array(LEADS, dtype=float)
    steps = 1.25 * np.sqrt(leads)[:, None] * probit / np.sqrt(leads.mean())
    totals = steps * np.sqrt(leads)[:, None]
    shape = ErrorShape(1.0, LEVELS, LEADS, _rows(steps), _rows(totals))
    return Prior({"other": KindPrior(shape)}, "neutral")


def _blended(before: KindPrior, studies: Sequence[Study]) -> KindPrior:
    found = candidate_priors(studies)
    counts = {name: sum(name in s.names for s in studies) for name in found}
    common = [name for name in found if name in before.candidates]
    # Errors are told relative to the median candidate, which is another one in another set.
    shift = float(np.mean([before.candidates[n].mean - found[n].mean for n in common])) if common else 0.0
    candidates = dict(before.candidates)
    for name, new in found.items():
        share = counts[name] / (counts[name] + TRUST) if name in before.candidates else 1.0
        old = before.candidates.get(name, new)
        candidates[name] = CandidatePrior(
            _mixed(old.mean, new.mean + (shift if common else 0.0), share),
            _mixed(old.fold_variance, new.fold_variance, share),
            _mixed(old.series_variance, new.series_variance, share),
        )
    return KindPrior(_blended_shape(before.shape, studies, candidates), candidates, before.pipelines)


def _mixed(old: float, new: float, share: float) -> float:
    return float(f"{(1 - share) * old + share * new:.4g}")


def _blended_shape(
    before: ErrorShape, studies: Sequence[Study], candidates: Mapping[str, CandidatePrior]
) -> ErrorShape:
    found = error_shape(studies, candidates)
    share = len(studies) / (len(studies) + TRUST)
    leads = np.array(found.leads, dtype=np.float64)
    steps = (1 - share) * before.step_quantiles(leads, LEVELS) + share * np.array(found.steps)
    totals = (1 - share) * before.total_quantiles(leads, LEVELS) + share * np.array(found.totals)
    pool = float(f"{before.pool_error ** (1 - share) * found.pool_error**share:.4g}")
    return ErrorShape(pool, LEVELS, found.leads, _rows(steps), _rows(totals))


def kept_pipelines(studies: Sequence[Study]) -> dict[str, tuple[str, ...]]:
    """Of regressions that differ in their pipeline alone, those to keep, by the usual one's name.

    One is left out that was clearly worse than the best of them, over the series that had them all. What
    is close stays: forecasts that err differently are better together.
    """
    found: dict[tuple[str, ...], list[Floats]] = {}
    for s in studies:
        level = dict(zip(s.names, relative_errors(s.errors, s.squared).mean(axis=1), strict=True))
        for usual in dict.fromkeys(name for name in s.usual if name in level):
            family = (usual, *(n for n, u in zip(s.names, s.usual, strict=True) if u == usual))
            found.setdefault(family, []).append(np.array([level[name] for name in family]))
    kept = {}
    for family, rows in sorted(found.items(), key=lambda item: len(item[1])):
        if len(rows) >= FEWEST_SERIES:
            levels = np.array(rows)
            behind = levels - levels[:, [int(np.argmin(levels.mean(axis=0)))]]
            error = behind.std(axis=0, ddof=1) / len(rows) ** 0.5
            close = behind.mean(axis=0) <= CLEARLY * error
            kept[family[0]] = tuple(name for name, stays in zip(family, close, strict=True) if stays)
    return kept


def candidate_priors(studies: Iterable[Study]) -> dict[str, CandidatePrior]:
    """μ, σ² and τ² of each candidate, over the series that have it on at least three folds."""
    means: dict[str, list[float]] = {}
    within: dict[str, list[float]] = {}
    counts: dict[str, list[int]] = {}
    for s in studies:
        relative = relative_errors(s.errors, s.squared)
        if relative.shape[1] < FEWEST_FOLDS:
            continue
        for name, row in zip(s.names, relative, strict=True):
            means.setdefault(name, []).append(float(row.mean()))
            within.setdefault(name, []).append(float(row.var(ddof=1)))
            counts.setdefault(name, []).append(len(row))
    found = {}
    for name, values in means.items():
        if len(values) < FEWEST_SERIES:
            continue
        noise = float(np.mean(within[name]))
        between = float(np.var(values, ddof=1)) - noise / float(np.mean(counts[name]))
        mean = float(np.mean(values))
        found[name] = CandidatePrior(*(float(f"{v:.4g}") for v in (mean, noise, max(between, 1e-4))))
    return found


def error_shape(studies: Sequence[Study], priors: Mapping[str, CandidatePrior]) -> ErrorShape:
    """Standardised residual quantiles by lead of the combination with weights from the other folds."""
    forecasts = [_held_out(s, priors) for s in studies]
    own = []
    for s, (median, _) in zip(studies, forecasts, strict=True):
        with np.errstate(all="ignore"):
            errors = np.abs(s.actual - median) / np.where(s.scales > 0, s.scales, np.nan)[:, None]
        own.append(_row_means(errors))
    logs = [np.log(max(float(np.nanmean(o)), 1e-3)) for o in own if np.isfinite(o).any()]
    pool = float(np.exp(np.mean(logs))) if logs else 1.0
    longest = max(s.actual.shape[1] for s in studies)
    steps: list[list[float]] = [[] for _ in range(longest)]
    totals: list[list[float]] = [[] for _ in range(longest)]
    for s, (median, mean), errors in zip(studies, forecasts, own, strict=True):
        for f in range(s.actual.shape[0]):
            rest = np.delete(errors, f)
            factor = error_factor(float(np.nanmean(rest)) if np.isfinite(rest).any() else None, pool)
            size = s.scales[f] * factor
            if not size > 0:
                continue
            residual = (s.actual[f] - median[f]) / size
            total = (np.cumsum(s.actual[f]) - np.cumsum(mean[f])) / size
            for h in range(len(residual)):
                if np.isfinite(residual[h]):
                    steps[h].append(residual[h])
                if np.isfinite(total[h]):
                    totals[h].append(total[h])
    leads = tuple(h for h in LEADS if h <= longest)
    return ErrorShape(float(f"{pool:.4g}"), LEVELS, leads, _table(steps, leads), _table(totals, leads))


def _held_out(study: Study, priors: Mapping[str, CandidatePrior]) -> tuple[Floats, Floats]:
    """Median and mean [F, H] of the combination on each fold, with weights from the others."""
    median, mean = np.empty_like(study.actual), np.empty_like(study.actual)
    for f in range(len(study.actual)):
        weights = _weights(study, np.arange(len(study.actual)) != f, priors)
        median[f] = combined(study.median[:, f], weights)
        mean[f] = combined(study.mean[:, f], weights)
    return median, mean


def _weights(study: Study, kept: Bools, priors: Mapping[str, CandidatePrior]) -> Floats:
    """The weights [K] that the folds in `kept` [F] give."""
    values = int(np.isfinite(study.actual[kept]).sum())
    errors = study.errors[:, kept]
    return without_negligible(candidate_weights(errors, study.names, priors, values, squared=study.squared))


def _row_means(values: Floats) -> Floats:
    """The mean of each row [F, H] -> [F], NaN left out; NaN where there is nothing else."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    means: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return means


def _table(values: list[list[float]], leads: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
    """Quantiles at the leads, each from its neighbours too, so that tails do not hang on a few series."""
    rows = []
    for lead in leads:
        near = [v for h in range(max(0, lead - 2), min(len(values), lead + 1)) for v in values[h]]
        rows.append(np.quantile(np.array(near or [0.0]), LEVELS))
    return _rows(np.array(rows))


def _rows(table: npt.NDArray[Any]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(f"{v:.4g}") for v in row) for row in table)
