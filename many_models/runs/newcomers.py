"""Series that came after the training: forecast by what their group learned, where that is asked for.

A new series has no model. Its group may have pooled models, and the series beside it say how much each
of them is to be trusted: the new series gets their members, weighted as its siblings weigh them on
average, its own scale, and intervals as wide in that scale as theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from many_models.automl.evaluation import believable, fit_fallback
from many_models.automl.intervals import earlier_sums, recency_scale
from many_models.automl.model import Bands, Member, SeriesModel
from many_models.automl.settings import bounds_of
from many_models.learners.base import Candidate, FitContext
from many_models.learners.pooled import PooledMember
from many_models.panel.clusters import series_features
from many_models.panel.keys import SeriesKey
from many_models.panel.preparation import Prepared, PrepareSettings, prepare
from many_models.panel.series import Series

if TYPE_CHECKING:
    from many_models.runs.models import ModelSet

MissingModel: TypeAlias = Literal["empty", "error", "pooled", "naive"]
"""What becomes of a key without a model: an empty row, an error, the group's models, seasonal naive."""

NEW_SERIES = "NEW_SERIES"

SIBLINGS = 20
"""So many series of a group say how its pooled models are weighed."""


class Newcomers:
    """Makes models for series that were not trained, from those of their group."""

    def __init__(self, models: ModelSet) -> None:
        self._models = models
        self._names = tuple(key.name for key in models.layout.keys)

    def model(self, key: SeriesKey, frame: pd.DataFrame, policy: MissingModel) -> SeriesModel | None:
        """The model of a new series at the end of its history; None where there is nothing to go by."""
        own = self._of_group(key, frame)
        # Where its own group has no model, those of another say how wide intervals usually are.
        names = own or next(iter(self._by_group.values()), [])
        siblings = [self._models.load(name) for name in names]
        if not siblings:
            return None
        first = siblings[0]
        grid = first.history.grid
        settings = PrepareSettings.of(self._models.spec, grid.frequency.alias, None, grid)
        prepared = prepare(frame, key, self._models.layout, settings)
        if prepared.n_obs == 0:
            return None
        series = prepared.train(prepared.length)
        members = self._pooled(key, series, siblings) if policy == "pooled" and own else ()
        return _model(members or _naive(series, first), series, prepared, siblings, self._models)

    def _pooled(self, key: SeriesKey, series: Series, siblings: Sequence[SeriesModel]) -> tuple[Member, ...]:
        """The pooled members of the siblings, with their mean weights."""
        found: dict[tuple[str, str], list[Member]] = {}
        for sibling in siblings:
            for member in sibling.members:
                if member.shared is not None:
                    found.setdefault((member.shared, member.candidate.name), []).append(member)
        mains = sum(m.weight for some in found.values() for m in some)
        standbys = sum(m.standby_weight for some in found.values() for m in some) or 1.0
        if not mains:
            return ()
        made = []
        for (shared, _), some in sorted(found.items()):
            candidate, pooled = some[0].candidate, self._models.pooled(shared)
            past = series if candidate.uses_known else series.without_known()
            own = pooled.own(key.canonical, past)
            weight = sum(m.weight for m in some) / mains
            standby = sum(m.standby_weight for m in some) / standbys
            made.append(Member(candidate, weight, standby, PooledMember(pooled, own, past), shared))
        return tuple(made)

    def _of_group(self, key: SeriesKey, frame: pd.DataFrame) -> list[str]:
        """Content ids of trained series of the group of a new series; none where nobody knows the group."""
        layout = self._models.layout
        if layout.clusters is None:
            return self._by_group.get(tuple(key.values[i] for i in layout.group), [])
        prepared = prepare(frame, key, layout, PrepareSettings.of(self._models.spec, self._frequency, None))
        if prepared.n_obs == 0:
            return []
        season = prepared.grid.frequency.season
        features = series_features(prepared.y, prepared.observed, season)
        group = layout.clusters.group_of(features, key.digest)
        rows = self._models.rows(bytes.fromhex(digest) for digest in layout.clusters.siblings[group])
        told = zip(*(rows[n].to_pylist() for n in ("digest", "content_id", "status")), strict=True)
        # in the order of digests, as columns tell it: where rows are stored decides nothing
        return [c for _, c, status in sorted(told) if c is not None and status == "TRAINED"]

    def references(self) -> list[bytes]:
        """Digests of the trained series that models of new series may be made from, in their order."""
        wanted = {name for names in self._by_group.values() for name in names}
        clusters = self._models.layout.clusters
        told = () if clusters is None else (digest for one in clusters.siblings for digest in one)
        siblings = {bytes.fromhex(digest) for digest in told}
        index = self._models.index(["digest", "content_id"])
        rows = zip(index["digest"].to_pylist(), index["content_id"].to_pylist(), strict=True)
        return sorted(digest for digest, content_id in rows if content_id in wanted or digest in siblings)

    @cached_property
    def _frequency(self) -> str | None:
        """The frequency of a trained series, for histories that are too short to tell."""
        names = next(iter(self._by_group.values()), [])
        return self._models.load(names[0]).history.grid.frequency.alias if names else None

    @cached_property
    def _by_group(self) -> dict[tuple[Any, ...], list[str]]:
        """Content ids of the first trained series of each group, in the order of their digests."""
        index = self._models.index([*self._names, "digest", "content_id", "status"])
        columns = [index[self._names[i]].to_pylist() for i in self._models.layout.group]
        groups = zip(*columns, strict=True) if columns else [()] * index.num_rows
        rows = zip(groups, *(index[n].to_pylist() for n in ("digest", "content_id", "status")), strict=True)
        found: dict[tuple[Any, ...], list[str]] = {}
        for group, _, content_id, status in sorted(rows, key=lambda row: row[1]):
            if content_id is not None and status == "TRAINED":
                some = found.setdefault(tuple(group), [])
                if len(some) < SIBLINGS:
                    some.append(content_id)
        return found


def _naive(series: Series, sibling: SeriesModel) -> tuple[Member, ...]:
    """Seasonal naive, else naive, as the only member."""
    context = FitContext(horizon=sibling.horizon, gap=sibling.gap, season=sibling.naive_season)
    fitted = fit_fallback(series, context)
    name = "seasonal_naive" if fitted.tail > 1 else "naive"
    return (Member(Candidate(name, name, fitted.parameters), 1.0, 0.0, fitted),)


def _model(
    members: tuple[Member, ...],
    series: Series,
    prepared: Prepared,
    siblings: Sequence[SeriesModel],
    models: ModelSet,
) -> SeriesModel:
    first, season = siblings[0], siblings[0].naive_season
    tail = max([m.model.tail for m in members] + [2 * season, 12])
    size = recency_scale(series.y, series.observed, season)
    bands = Bands(
        size * _spread([(s, s.bands.scale) for s in siblings]),
        size * _spread([(s, s.bands.standby_scale) for s in siblings]),
        earlier_sums(series.y, series.observed, season, tail),
        first.bands.leads,
        first.bands.steps,
        first.bands.totals,
    )
    bounds = bounds_of(prepared, models.spec)
    served = [m for m in members if m.weight > 0]
    return SeriesModel(
        served[0].candidate.learner if len(served) == 1 else "ensemble",
        "FALLBACK",
        NEW_SERIES,
        members,
        first.combine,
        series.tail(tail),
        believable(series.y),
        first.horizon,
        first.gap,
        season,
        first.levels,
        bands,
        bounds.low,
        bounds.high,
        bounds.integer,
    )


def _spread(siblings: Sequence[tuple[SeriesModel, float]]) -> float:
    """The geometric mean of the siblings' residuals in units of their own recency scales; 1 without any."""
    ratios = []
    for model, size in siblings:
        past = model.history
        scale = recency_scale(past.y, past.observed, model.naive_season, model.bands.earlier)
        if scale > 0 and size > 0:
            ratios.append(size / scale)
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else 1.0
