"""How much each candidate counts: weights from shrunken fold errors.

Picking the candidate with the best fold error loses everywhere: a handful of folds says
little. So each candidate's relative log error is shrunk towards what that candidate usually
does (the prior), by as much as its folds are noisy, and weights fall off exponentially.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from many_models.automl.prior import CandidatePrior
from many_models.panel.series import Floats

Combine: TypeAlias = Literal["auto", "best", "mean", "median", "vote", "greedy", "stack"]

SHARPNESS = 4.0
"""Exponent of the weights: with a prior they are exp(-4 x̂)."""

NEGLIGIBLE = 0.02
"""Weights below this are dropped before the refit."""

LARGEST = 3.0
"""A relative log error counts no further than this: twenty times better or worse says it all."""

MOST_MEMBERS = 10
"""An ensemble keeps at most this many members: more cost space and gain nothing measurable."""


VOTERS = 5
"""A vote, and a greedy selection at its start, are among so many of the best."""

NEAR_BEST = 0.05
"""A greedy selection starts from candidates no further behind the best than this."""

GREEDY_ROUNDS = 20


def relative_errors(errors: Floats, squared: bool = False) -> Floats:
    """Fold errors [K, F] relative to the median candidate of the fold: about the log of the ratio, finite.

    Where squares are averaged over folds before the root is taken (`squared`), a fold counts as
    much as its squares weigh; else every fold counts alike.
    """
    return _relative_squares(errors) if squared else relative_log_errors(errors)


def _relative_squares(errors: Floats) -> Floats:
    """Differences of squared fold errors in units of twice the least mean of a candidate [K, F].

    Their mean over folds is, near the best, the log of a ratio of roots of mean squares. Of spare parts
    many folds hold zeros alone: forecasts near zero are a thousand times better there, and in logs
    such folds would decide.
    """
    squares = errors**2
    least = float(squares.mean(axis=1).min()) if squares.size else 0.0
    if not least > 0:
        return relative_log_errors(errors)
    relative: Floats = np.clip((squares - np.median(squares, axis=0)) / (2.0 * least), -LARGEST, LARGEST)
    return relative


def relative_log_errors(errors: Floats) -> Floats:
    """Log fold errors relative to the median candidate of the fold [K, F], finite.

    `errors` [K, F] are positive numbers where lower is better. An error of zero is floored at a
    thousandth of the fold's median, so that one lucky fold cannot decide everything.
    """
    middle = np.median(errors, axis=0)
    top = errors.max(axis=0) if len(errors) else middle
    base = np.where(middle > 0, middle, np.where(top > 0, top, 1.0))
    relative = np.log(np.maximum(errors / base, 1e-3))
    # One lucky or hopeless fold says no more than that it was far better or worse.
    centred: Floats = np.clip(relative - np.median(relative, axis=0), -LARGEST, LARGEST)
    return centred


def beliefs(names: Sequence[str], priors: Mapping[str, CandidatePrior]) -> Floats | None:
    """μ, σ² between folds and τ² between series of each candidate [3, K]; None where none is known.

    A candidate that the prior does not know is taken to be middling, with the variances that are usual.
    """
    known = [priors[name] for name in names if name in priors]
    if not known:
        return None
    usual = CandidatePrior(
        0.0,
        float(np.median([p.fold_variance for p in known])),
        float(np.median([p.series_variance for p in known])),
    )
    chosen = [priors.get(name, usual) for name in names]
    return np.array([[p.mean, p.fold_variance, p.series_variance] for p in chosen]).T


def shrunken(relative: Floats, believed: Floats) -> Floats:
    """Shrunken relative errors x̂ [K] from `relative_errors` [K, F] and `beliefs` [3, K].

    x̂ = μ + λ (x̄ − μ) with λ = τ² / (τ² + σ² / folds), 0 without folds.
    """
    mean: Floats = believed[0]
    fold_variance, series_variance = believed[1:]
    folds = relative.shape[1]
    if folds == 0:
        return mean
    trust = series_variance / np.maximum(series_variance + fold_variance / folds, 1e-12)
    level: Floats = mean + trust * (relative.mean(axis=1) - mean)
    return level


def candidate_weights(
    errors: Floats,
    names: Sequence[str],
    priors: Mapping[str, CandidatePrior],
    values: int,
    combine: Combine = "auto",
    squared: bool = False,
) -> Floats:
    """Weights [K], summing to one.

    Parameters
    ----------
    errors : [K, F]
        Fold errors, positive, lower is better; F may be 0.
    names
        The candidates' names, for the prior.
    priors
        What is known of candidates beforehand.
    values
        Actual values in all folds together.
    combine
        `auto` is the rule above (without a prior, 1 / error^p with p = min(4, values / 16));
        `best` gives everything to one; `mean` and `median` count all alike; `vote` weighs the
        best few by 1 / error, as their folds alone say. (`greedy` and `stack` are learned from
        forecasts, not from errors: `greedy_weights` and `learners.stacking`.)
    squared
        Whether squares are averaged over folds: see `relative_errors`.
    """
    return relative_weights(relative_errors(errors, squared), beliefs(names, priors), values, combine)


def relative_weights(
    relative: Floats, believed: Floats | None, values: int, combine: Combine = "auto"
) -> Floats:
    """Weights [K] as `candidate_weights` gives them, from `relative_errors` [K, F] and `beliefs`."""
    count = len(relative)
    if combine in ("mean", "median") or count == 1:
        return np.full(count, 1.0 / count)
    if believed is not None:
        level = shrunken(relative, believed)
        logits = -SHARPNESS * level
    elif relative.shape[1]:
        level = relative.mean(axis=1)
        logits = -min(SHARPNESS, values / 16) * level
    else:
        level = logits = np.zeros(count)
    if combine == "best":
        alone = np.zeros(count)
        alone[int(np.argmin(level))] = 1.0
        return alone
    if combine == "vote":
        level = relative.mean(axis=1) if relative.shape[1] else level
        logits = -level
        logits[np.argsort(level, kind="stable")[VOTERS:]] = -np.inf
    powers = np.exp(logits - logits.max())
    weights: Floats = powers / powers.sum()
    return weights


def greedy_weights(forecasts: Floats, errors: Callable[[Floats], Floats], level: Floats) -> Floats:
    """Weights [K]: how often each candidate was selected, with replacement, to make their mean better.

    Follows Caruana et al. 2004: it starts from the best few, and stops where no addition helps.

    Parameters
    ----------
    forecasts : [K, F, H]
        Out-of-fold forecasts.
    errors
        Fold errors [..., F] of forecasts [..., F, H].
    level : [K]
        Mean log errors of the candidates alone.
    """
    order = np.argsort(level, kind="stable")[:VOTERS]
    start = order[level[order] <= level[order[0]] + np.log1p(NEAR_BEST)]
    counts = np.zeros(len(forecasts))
    counts[start] = 1.0
    total = forecasts[start].sum(axis=0)

    def mean_log(found: Floats) -> Floats:
        logs: Floats = np.log(np.maximum(found, 1e-12)).mean(axis=-1)
        return logs

    reached = float(mean_log(errors(total / counts.sum())))
    for _ in range(GREEDY_ROUNDS):
        tried = mean_log(errors((total + forecasts) / (counts.sum() + 1.0)))
        best = int(np.argmin(tried))
        if not tried[best] < reached - 1e-9:
            break
        reached = float(tried[best])
        counts[best] += 1.0
        total = total + forecasts[best]
    weights: Floats = counts / counts.sum()
    return weights


def without_negligible(weights: Floats, most: int | None = None) -> Floats:
    """The same weights with negligible ones set to zero, at most `most` kept, summing to one."""
    most = MOST_MEMBERS if most is None else most
    kept = np.where(weights >= min(NEGLIGIBLE, float(weights.max())), weights, 0.0)
    if np.count_nonzero(kept) > most:
        # Stable order: of equal weights the earlier candidate stays.
        order = np.argsort(-kept, kind="stable")
        kept[order[most:]] = 0.0
    total: Floats = kept / kept.sum()
    return total


def combined(forecasts: Floats, weights: Floats, combine: Combine = "auto") -> Floats:
    """The combination of forecasts [K, …] along the first axis, by weights or by the median."""
    if combine == "median":
        middle: Floats = np.median(forecasts[weights > 0], axis=0)
        return middle
    # Each value is summed by itself: BLAS may sum it differently when there are more of them, and a
    # forecast of 4 steps must be the first 4 of a forecast of 8, bit for bit.
    shares = np.ascontiguousarray(forecasts.reshape(len(forecasts), -1).T * weights)
    mixed: Floats = shares.sum(axis=1).reshape(forecasts.shape[1:])
    return mixed
