"""Stage `pool`: what a group of series learns together, for each of its series to weigh with its own.

`pool_group` is a pure function of the rows of one group. It prepares every series, makes its folds as
the training of that series does, fits every pooled candidate once per fold on all series cut at their
own cutoffs and once on everything, and answers with the pooled models and, per series, what they did:
the series' `Pooled`, a few kB that travel with it to the stage `train`.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import chain, zip_longest
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from many_models.automl.candidates import pooled_candidates
from many_models.automl.evaluation import Folds, believable, check_forecast, edge, make_folds
from many_models.automl.group import series_of, soft_seconds
from many_models.automl.held_out import before_test, hidden_future, test_cutoffs
from many_models.automl.model import with_last_context
from many_models.automl.moving import moved_history
from many_models.automl.pooled import Pooled, PooledTrial
from many_models.automl.settings import fit_context, fold_cutoffs, is_short, plan_of, weight_of
from many_models.automl.shared import POOLED_KIND, POOLED_VERSION, GivenModel, pack_pooled
from many_models.automl.task import TrainTask
from many_models.automl.training import SHORTEST
from many_models.errors import DamagedError, LearnerError
from many_models.learners.base import Candidate, Deadline, FitContext, State
from many_models.learners.pooled import Asked, GroupSeries, PooledModel
from many_models.learners.table import pooled_learner
from many_models.panel.clusters import series_features
from many_models.panel.findings import Finding, finding
from many_models.panel.guardrails import mixed_scale
from many_models.panel.keys import SeriesKey
from many_models.panel.layout import Layout
from many_models.panel.preparation import Prepared, prepare
from many_models.panel.series import Floats, Forecast, Future, Series

MOST_BYTES = 1_500_000_000
"""What the columns of one pooled fit may weigh, as predicted from rows and columns before it. A group
that weighs more is fitted on a sample of its series; the same on every machine, whatever its memory."""

OWN_COLUMNS, COLUMNS_EACH, COPIES = 60, 4, 3
"""Columns that a pooled regression makes of the target and of each covariate, and how often they are held."""

HUGE = 1e100
"""Beyond, squares overflow: such a series would cost the others their model."""

OUTCOMES = pa.schema([("digest", pa.binary()), ("pooled", pa.binary())])
MODELS = pa.schema(
    [
        ("content_id", pa.string()),
        ("kind", pa.string()),
        ("format_version", pa.int32()),
        ("state", pa.binary()),
    ]
)


# -- the group function ------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """Which of a group's candidates are fitted: every `of`-th, from the one at `number` on."""

    number: int = 0
    of: int = 1


def pool_group(frame: pd.DataFrame, task: TrainTask, share: Share = Share()) -> bytes:
    """The answer of one group, read by `read_pool`: its pooled models, and every series' `Pooled`."""
    deadline = Deadline.after(soft_seconds(frame, task))
    together = mixed_scale(frame, task.layout)
    grouped: dict[SeriesKey, Finding] = {}
    outcomes: dict[SeriesKey, Pooled] = {}
    members: list[_Member] = []
    for key, part in series_of(frame, task.layout):
        try:
            prepared = prepare(part, key, task.layout, task.prepare_settings)
            grouped.update(_grouped(prepared, key, task.layout))
            found = _member(part, prepared, key, task)
        except Exception as trouble:
            # The edge of one series: the others are pooled without it, and its training says why it failed.
            found = f"it cannot be prepared: {type(trouble).__name__}"
        if isinstance(found, str):
            outcomes[key] = Pooled(
                findings=(*together, finding("NOT_POOLED", message=f"not pooled: {found}"))
            )
        else:
            members.append(found)
    if not any(member.hidden for member in members):
        members = [member.whole or member for member in members]
    members, strangers = _of_one_frequency(members)
    for one, why in strangers:
        outcomes[one.key] = Pooled(findings=(*together, finding("NOT_POOLED", message=f"not pooled: {why}")))
    models: dict[str, bytes] = {}
    if members:
        outcomes.update(_pooled(members, task, share, together, deadline, models))
    told = {
        key.digest: replace(pooled, findings=(grouped[key], *pooled.findings)) if key in grouped else pooled
        for key, pooled in outcomes.items()
    }
    return _answer(told, models)


def fall_back_pool(frame: pd.DataFrame, task: TrainTask, trouble: Any) -> bytes:
    """The answer of a group whose pooling crashed, hung or ran out of memory: every series, and why."""
    text = f"{trouble.code}: {trouble.message}; the series' own learners are not touched"
    why = finding("POOL_FAILED", message=text)
    outcomes = {key.digest: Pooled(findings=(why,)) for key, _ in series_of(frame, task.layout)}
    return _answer(outcomes, {})


def _answer(outcomes: Mapping[bytes, Pooled], models: Mapping[str, bytes]) -> bytes:
    """Two Arrow streams, with their lengths first."""
    series = {"digest": list(outcomes), "pooled": [one.to_bytes() for one in outcomes.values()]}
    count = len(models)
    stored = {
        "content_id": list(models),
        "kind": [POOLED_KIND] * count,
        "format_version": [POOLED_VERSION] * count,
        "state": list(models.values()),
    }
    parts = []
    for columns, schema in ((series, OUTCOMES), (stored, MODELS)):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as stream:
            stream.write_table(pa.Table.from_pydict(columns, schema=schema))
        parts.append(sink.getvalue().to_pybytes())
    return struct.pack("<2q", *map(len, parts)) + b"".join(parts)


def read_pool(payload: bytes) -> tuple[pa.Table, pa.Table]:
    """The outcomes of the series (`OUTCOMES`) and the pooled models (`MODELS`) of a group's answer."""
    head = struct.calcsize("<2q")
    if len(payload) < head:
        raise DamagedError(f"a group's answer has {len(payload)} bytes, fewer than its header")
    tables, at, view = [], head, pa.py_buffer(payload)
    for length in struct.unpack_from("<2q", payload):
        with pa.ipc.open_stream(view.slice(at, length)) as stream:
            tables.append(stream.read_all())
        at += length
    return tables[0], tables[1]


def joined(payloads: Sequence[bytes]) -> bytes:
    """The answer of a group whose candidates were shared out: what these answers, in order, say together.

    A share that failed leaves out its candidates, and says so.
    """
    outcomes, models = zip(*map(read_pool, payloads), strict=True)
    each: dict[bytes, list[Pooled]] = {}
    for table in outcomes:
        for digest, pooled in zip(*(table[n].to_pylist() for n in ("digest", "pooled")), strict=True):
            each.setdefault(digest, []).append(Pooled.from_bytes(pooled))
    told = {}
    for digest, parts in each.items():
        trials = chain.from_iterable(zip_longest(*(one.trials for one in parts)))
        findings = dict.fromkeys(found for one in parts for found in one.findings)
        cutoffs = max((one.cutoffs for one in parts), key=len)
        told[digest] = Pooled(tuple(t for t in trials if t is not None), tuple(findings), cutoffs)
    states = {name: state for table in models for name, state in zip(*_named(table), strict=True)}
    return _answer(told, states)


def _named(models: pa.Table) -> tuple[list[str], list[bytes]]:
    return models["content_id"].to_pylist(), models["state"].to_pylist()


# -- the series of a group ---------------------------------------------------------------


@dataclass(frozen=True)
class _Member:
    """One series of the group, prepared, with its folds; a `short` one has none, and teaches nothing.

    Attributes
    ----------
    whole
        Where the last steps are hidden: the series with them. What is chosen comes of the series without.
    weight
        How much it counts in a fit; None: as much as it has values.
    hidden
        Those steps, as they are asked for in the test; none where the series is too short for a test. It is
        compared on all that it has then, and teaches only what is fitted on everything.
    """

    key: SeriesKey
    name: str
    prepared: Prepared
    context: FitContext
    folds: Folds
    series: Series
    limits: tuple[float, float]
    weight: float | None
    short: bool = False
    whole: _Member | None = None
    hidden: tuple[_Hidden, ...] = ()

    @property
    def teaches(self) -> bool:
        """Whether a model that must not know what is hidden may learn from it."""
        return not self.short and (self.whole is None or bool(self.hidden))

    @property
    def future(self) -> Future:
        """The next horizon after everything."""
        return self.prepared.future(self.prepared.length, self.context.horizon, self.context.gap)

    @property
    def bytes(self) -> int:
        """What its rows weigh in a fit, as predicted."""
        covariates = len(self.series.known) + len(self.series.past) + len(self.series.static)
        return len(self.series) * (OWN_COLUMNS + COLUMNS_EACH * covariates) * 8 * COPIES


_Hidden: TypeAlias = tuple[Series, Future]
"""The past of a series at a cutoff of the test, and the stamps after it."""


@dataclass(frozen=True)
class _Point:
    """A series as it was at a cutoff: its past, the stamps that are asked for, and what is believable.

    `met` is its past where the model was fitted, from which comes what is the series' own.
    """

    member: _Member
    past: Series
    ahead: Future
    limits: tuple[float, float]
    met: Series


def _grouped(prepared: Prepared, key: SeriesKey, layout: Layout) -> dict[SeriesKey, Finding]:
    """Which automatic group the series is in, and why; nothing where columns say so."""
    if layout.clusters is None or not prepared.n_obs:
        return {}
    features = series_features(prepared.y, prepared.observed, prepared.grid.frequency.season)
    place = layout.clusters.group_of(features, key.digest) + 1
    why = layout.clusters.why(features, key.digest)
    text = f"group {place} of {len(layout.clusters.siblings)}: {why}"
    return {key: finding("GROUPED", place, message=text)}


def _member(frame: pd.DataFrame, prepared: Prepared, key: SeriesKey, task: TrainTask) -> _Member | str:
    """The series as a member of its group, without its test where there is one, or why it is none."""
    whole = _as_member(prepared, key, task)
    if isinstance(whole, str) or not task.spec.validation.test:
        return whole
    before = before_test(frame, key, task, prepared)
    if before is None or is_short(before, fold_cutoffs(before, task.spec), task.spec):
        return replace(whole, whole=whole)
    early = _as_member(before, key, task)
    if isinstance(early, str):
        return early
    return replace(
        early, whole=whole, hidden=tuple(_hidden(frame, early.series, key, task, prepared, before))
    )


def _hidden(
    frame: pd.DataFrame, past: Series, key: SeriesKey, task: TrainTask, whole: Prepared, before: Prepared
) -> Iterator[_Hidden]:
    """The hidden steps, a horizon at a time, each after the past as a stored model would know it."""
    for end, known in test_cutoffs(frame, key, task, whole, before):
        if known is not before:
            past, _ = moved_history(past, known)
        yield past, hidden_future(task, whole, end, known)[0]


def _as_member(prepared: Prepared, key: SeriesKey, task: TrainTask) -> _Member | str:
    """A prepared series as a member of its group, or why it is none."""
    if prepared.n_obs == 0:
        return "it has no value"
    at = fold_cutoffs(prepared, task.spec)
    short = (prepared.n_obs < SHORTEST and not prepared.padded) or is_short(prepared, at, task.spec)
    if short and task.spec.preparation.short not in ("auto", "pad"):
        return "it is too short to be compared on"
    context = fit_context(prepared, key, task)
    series = prepared.train(prepared.length)
    if float(np.abs(series.y).max()) > HUGE:
        return f"it has values beyond {HUGE:g}"
    folds = make_folds(prepared, () if short else at, context)
    weights: dict[str, float | None] = {"series": 1.0, "column": weight_of(prepared, task.spec)}
    weight, limits = weights.get(task.spec.pooling.weights), believable(series.y)
    return _Member(key, key.canonical, prepared, context, folds, series, limits, weight, short)


def _of_one_frequency(members: list[_Member]) -> tuple[list[_Member], list[tuple[_Member, str]]]:
    """The members of the frequency that most have, and the others with the reason."""
    names = [m.series.grid.frequency.alias for m in members]
    if len(set(names)) < 2:
        return members, []
    usual = max(sorted(set(names)), key=names.count)
    same = [m for m, name in zip(members, names, strict=True) if name == usual]
    why = "its frequency is {}, that of most of its group {}"
    return same, [(m, why.format(n, usual)) for m, n in zip(members, names, strict=True) if n != usual]


def _sampled(members: list[_Member], seed: int) -> list[_Member]:
    """The members that the pooled models are fitted on: all, or as many as memory carries, drawn by key."""
    if sum(m.bytes for m in members) <= MOST_BYTES:
        return members

    def draw(member: _Member) -> bytes:
        return blake2b(f"{seed}\x1f{member.name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()

    drawn = sorted(members, key=draw)
    weights = np.cumsum([m.bytes for m in drawn])
    count = max(1, int(np.searchsorted(weights, MOST_BYTES, side="right")))
    kept = {m.name for m in drawn[:count]}
    return [m for m in members if m.name in kept]


# -- fits and forecasts ------------------------------------------------------------------


def _pooled(
    members: list[_Member],
    task: TrainTask,
    share: Share,
    together: tuple[Finding, ...],
    deadline: Deadline,
    models: dict[str, bytes],
) -> dict[SeriesKey, Pooled]:
    """Every member's outcome; the pooled models are put into `models`."""
    plan, layout = plan_of(members[0].prepared, task.spec), task.layout
    names = tuple(layout.keys[i].name for i in layout.group)
    values = tuple(members[0].key.values[i] for i in layout.group)
    seed = SeriesKey(names, values).seed(task.spec.seed)
    longer = [m for m in members if not m.short]
    learning = _sampled(longer, seed)
    if len(learning) < len(longer):
        size = sum(m.bytes for m in longer) / 2**30
        text = (
            f"the pooled models are fitted on {len(learning)} of {len(longer)} series: "
            f"all would weigh {size:.1f} GiB, the limit is {MOST_BYTES / 2**30:.1f}"
        )
        together = (*together, finding("GROUP_SAMPLED", len(learning), message=text))
    group = [GroupSeries(m.name, m.series, m.context) for m in learning if m.teaches]
    trials: dict[SeriesKey, list[PooledTrial]] = {m.key: [] for m in members}
    candidates = pooled_candidates(group, plan.learners, plan.learners_named) if group else ()
    for candidate in candidates[share.number :: share.of]:
        fits = _Fits(candidate, frozenset(m.name for m in learning), seed, deadline)
        for member, trial in _tried(fits, members, models):
            trials[member.key].append(trial)
    return {m.key: Pooled(tuple(trials[m.key]), together, m.folds.cutoffs) for m in members}


@dataclass
class _Fits:
    """The fits of one candidate: the first resolves its parameters."""

    candidate: Candidate
    learning: frozenset[str]
    seed: int
    deadline: Deadline
    resolved: bool = field(default=False)

    def fit(self, points: Sequence[_Point]) -> tuple[PooledModel, float]:
        """The model fitted on those of these points that take part, and the seconds it took.

        Raises
        ------
        LearnerError
            With a stable code.
        """
        if self.deadline.passed:
            raise LearnerError("DEADLINE", "no time was left for this fit")
        group = [
            GroupSeries(point.member.name, self._past(point.past), point.member.context, point.member.weight)
            for point in points
            if point.member.name in self.learning and point.member.teaches
        ]
        if not group:
            raise LearnerError("TOO_SHORT", "no series that takes part has this fold")
        began = time.perf_counter()
        with edge(self.candidate.learner):
            learner = pooled_learner(self.candidate.learner)
            model = learner.fit_pooled(group, self.candidate.parameters, self.seed, self.deadline)
        if not self.resolved:
            self.candidate, self.resolved = replace(self.candidate, parameters=model.parameters), True
        return model, time.perf_counter() - began

    def predict(
        self, model: PooledModel, points: Sequence[_Point]
    ) -> tuple[list[Forecast | LearnerError], float]:
        """What the model says of each point, and the seconds it took."""
        began = time.perf_counter()
        try:
            answers: list[Forecast | LearnerError] = [*self._asked(model, points)]
        except LearnerError:
            answers = []
            for point in points:  # whose trouble it is shows when they are asked one by one
                try:
                    answers += self._asked(model, [point])
                except LearnerError as trouble:
                    answers.append(trouble)
        for i, (point, answer) in enumerate(zip(points, answers, strict=True)):
            if isinstance(answer, Forecast):
                try:
                    check_forecast(answer, point.limits)
                except LearnerError as trouble:
                    answers[i] = trouble
        return answers, time.perf_counter() - began

    def _asked(self, model: PooledModel, points: Sequence[_Point]) -> list[Forecast]:
        with edge(self.candidate.learner):
            return model.predict(
                [
                    Asked(
                        self._past(point.past),
                        self.own(model, point),
                        point.ahead if self.candidate.uses_known else point.ahead.without_known(),
                    )
                    for point in points
                ]
            )

    def own(self, model: PooledModel, point: _Point) -> State:
        """What is the series' own in the model."""
        return model.own(point.member.name, self._past(point.met))

    def _past(self, past: Series) -> Series:
        return past if self.candidate.uses_known else past.without_known()


def _tried(
    fits: _Fits, members: list[_Member], models: dict[str, bytes]
) -> Iterator[tuple[_Member, PooledTrial]]:
    """What one candidate did for every member."""
    horizon = members[0].context.horizon
    shapes = {m.name: (len(m.folds.cutoffs), horizon) for m in members}
    mean = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
    median = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
    code: dict[str, str | None] = dict.fromkeys(shapes)
    fitting, predicting = dict.fromkeys(shapes, 0.0), dict.fromkeys(shapes, 0.0)
    for back in range(max(count for count, _ in shapes.values()), 0, -1):
        # the oldest first: what a fit resolves comes of no value that a fold is scored on
        points = [_at_fold(m, back) for m in members if shapes[m.name][0] >= back]
        try:
            model, fit_seconds = fits.fit(points)
        except LearnerError as trouble:
            code.update((point.member.name, trouble.code) for point in points)
            continue
        answers, predict_seconds = fits.predict(model, points)
        for point, answer in zip(points, answers, strict=True):
            name = point.member.name
            fitting[name] += fit_seconds / len(points)
            predicting[name] += predict_seconds / len(points)
            if isinstance(answer, LearnerError):
                code[name] = answer.code
            else:
                mean[name][-back], median[name][-back] = answer.mean, answer.median
    tests = _tests(fits, members)
    finals = _finals(fits, [member.whole or member for member in members], models)
    for member in members:
        name = member.name
        yield (
            member,
            PooledTrial(
                fits.candidate,
                mean[name],
                median[name],
                ~np.isfinite(mean[name]).all(axis=1),
                fitting[name],
                predicting[name],
                code[name],
                finals.get(name),
                tests.get(name),
            ),
        )


def _at_fold(member: _Member, back: int) -> _Point:
    """A member at its fold so many from its own end."""
    folds = member.folds
    past = folds.train[-back]
    return _Point(member, past, folds.future[-back], folds.limits[-back], past)


def _tests(fits: _Fits, members: list[_Member]) -> dict[str, GivenModel]:
    """The candidate fitted without what is hidden, as it is tested on each member; those that have no test
    are left out."""
    tested = [member for member in members if member.hidden]
    if not tested:
        return {}
    points = [_Point(m, past, ahead, m.limits, m.series) for m in tested for past, ahead in m.hidden]
    try:
        model, _ = fits.fit([_Point(m, m.series, m.future, m.limits, m.series) for m in tested])
    except LearnerError:
        return {}
    return _given(fits, model, "test", points, moving=True)


def _finals(fits: _Fits, members: list[_Member], models: dict[str, bytes]) -> dict[str, GivenModel]:
    """The candidate fitted on everything, as it serves each member; those it cannot serve are left out."""
    points = [_Point(m, m.series, m.future, m.limits, m.series) for m in members]
    try:
        model, _ = fits.fit(points)
        name, packed = pack_pooled(fits.candidate.learner, model)
    except (LearnerError, ValueError):
        return {}  # too large to be read again, or not to be fitted
    found = _given(fits, model, name, points)
    if found:
        models[name] = packed
    return found


def _given(
    fits: _Fits, model: PooledModel, name: str, points: Sequence[_Point], moving: bool = False
) -> dict[str, GivenModel]:
    """The model as it serves each member, `moving` on from cutoff to cutoff where there are several points of
    one; what it cannot answer is left out."""
    asked = [replace(point, ahead=_complete(fits.candidate, point)) for point in points]
    answers, _ = fits.predict(model, asked)
    parts: dict[str, list[tuple[_Point, Floats]]] = {}
    for point, some, answer in zip(points, asked, answers, strict=True):
        if isinstance(answer, LearnerError):
            continue
        both = np.full((2, len(point.ahead)), np.nan)
        both[:, np.isin(point.ahead.ordinals, some.ahead.ordinals)] = answer.mean, answer.median
        parts.setdefault(point.member.name, []).append((point, both))
    found = {}
    for key, several in parts.items():
        ordinals = np.concatenate([point.ahead.ordinals for point, _ in several])
        mean, median = np.concatenate([both for _, both in several], axis=1)
        own = fits.own(model, several[0][0])
        found[key] = GivenModel(name, model.parameters, model.tail, own, ordinals, mean, median, moving)
    return found


def _complete(candidate: Candidate, point: _Point) -> Future:
    """The stamps that the candidate can answer: what a stored model does with the same."""
    future, _ = with_last_context(point.ahead, point.past)
    there = np.isfinite(future.known_x).all(axis=1)
    if not candidate.uses_known or there.all():
        return future
    return Future(future.grid, future.ordinals[there], future.known_x[there])
