"""Training only what needs it: a new run that inherits the other series from a base.

A base is a finished run or a registered version. Which series are trained again is said in words
(`failed`, `stale`, `changed`, `drifted`, `new`); the rows and models of all others are taken over
as they are, as the first batch of the run, and `lineage/` says from where.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from many_models.automl.group import series_of
from many_models.automl.rows import FOLDERS, GroupRows
from many_models.automl.task import TrainTask
from many_models.engines.base import GroupJob, Panel, Trouble
from many_models.errors import InputError, Problem, nearest
from many_models.panel.fingerprint import (
    MARK_BYTES,
    covered_until,
    fingerprint,
    observed_span,
    series_fingerprint,
)
from many_models.panel.grid import Frequency, Grid
from many_models.panel.layout import Layout
from many_models.runs.base_version import REGISTERED, Base, as_schema, inherited, open_base, rows_of_keys
from many_models.runs.drift import drifted
from many_models.runs.progress import Progress

FAILED = ("FAILED", "TIMED_OUT", "CANCELLED")
"""Outcomes in a base that `failed` tries again."""

WORDS = {
    "failed": "the base has it as FAILED, TIMED_OUT or CANCELLED",
    "stale": "its data go on for `registry.stale_after` periods or more after those it was trained on",
    "changed": "the data it was trained on, or the configuration, are no longer what they were",
    "drifted": "its errors on newer data are worse than in its folds, by `registry.drift` standard errors",
    "new": "the base does not have it",
}
"""Which series `--only` trains, by word."""


def checked_words(words: Sequence[str]) -> tuple[str, ...]:
    """The words, each once.

    Raises
    ------
    InputError
        Naming those that are none.
    """
    problems = []
    for word in words:
        if word not in WORDS:
            near = nearest(word, list(WORDS))
            action = f"did you mean {near}?" if near else "give one of them, or several"
            problems.append(Problem("--only", repr(word), ", ".join(WORDS), action))
    if problems:
        raise InputError(problems)
    return tuple(dict.fromkeys(words))


def based_on(
    only: Sequence[str] | None, base: str | Path | None, tracking_uri: str | None
) -> tuple[tuple[str, ...], Base | None]:
    """The words and the base of a run that trains only some series; no words and None for one of all.

    Raises
    ------
    InputError
        When one is given without the other, or a word is none.
    LookupFailed
        When there is no such run or version.
    """
    if only is None and base is None:
        return (), None
    words = checked_words(only or ())
    if base is None or not words:
        raise InputError(
            Problem(
                "--only" if base is None else "--base",
                "one without the other",
                "both: --only says which series are trained, --base gives the others",
                "add --base MODEL (a model URI or a run directory)" if base is None else "add --only WORD",
            )
        )
    text = str(base)
    # whoever continues may stand elsewhere, and an alias may have moved by then
    return words, open_base(text if text.startswith(REGISTERED) else Path(text).absolute(), tracking_uri)


@dataclass(frozen=True)
class Selection:
    """What becomes of each group of a panel.

    Attributes
    ----------
    reasons
        Group -> the words for which it is trained again.
    inherited
        Group -> the digests of its series, which are taken over.
    left_out
        Group that the base does not have and that was not asked for -> the keys of its series.
    marks
        The fingerprint of each group's data.
    gone
        Series of the base that the panel no longer has.
    """

    reasons: Mapping[int, tuple[str, ...]]
    inherited: Mapping[int, tuple[bytes, ...]]
    left_out: Mapping[int, tuple[tuple[Any, ...], ...]]
    marks: Mapping[int, bytes]
    gone: int

    @property
    def digests(self) -> frozenset[bytes]:
        """The digests of all series that are taken over."""
        return frozenset(digest for digests in self.inherited.values() for digest in digests)

    def summary(self, words: Sequence[str], base: str) -> dict[str, Any]:
        """What the run's summary says of it."""
        counts = Counter(word for found in self.reasons.values() for word in found)
        return {
            "words": list(words),
            "base": base,
            "trained_groups": len(self.reasons),
            "inherited_series": len(self.digests),
            "left_out_series": sum(map(len, self.left_out.values())),
            "gone_series": self.gone,
            "groups_by_word": {word: counts[word] for word in words if counts[word]},
        }


@dataclass(frozen=True)
class _Known:
    """What a base says of one series."""

    digest: bytes
    status: str
    spec_fingerprint: str
    data_fingerprint: str | None


def select(
    panel: Panel,
    groups: Sequence[int],
    frequency: str,
    task: TrainTask,
    base: Base,
    words: Sequence[str],
    data: Any,
    cutoff: str | int | None,
    progress: Progress,
) -> Selection:
    """What becomes of each group: trained again for these words, or taken over from the base.

    Parameters
    ----------
    data
        For `drifted`: a data frame or the path of the table.
    """
    known = _by_group(base, panel.layout)
    keys = _group_keys(panel, groups)
    seen = _surveyed(panel, groups, keys, known, progress)
    drift = frozenset[bytes]()
    if "drifted" in words:
        drift = drifted(base, data, cutoff, task.spec.registry.drift, progress)
    setting = task.spec.registry.stale_after
    judge = _Judge(
        tuple(words),
        task.spec.fingerprint,
        _Ages(frequency, panel.layout, task.spec.data.label),
        task.horizon if setting == "auto" else int(setting),
        drift,
    )
    reasons: dict[int, tuple[str, ...]] = {}
    kept: dict[int, tuple[bytes, ...]] = {}
    left_out: dict[int, tuple[tuple[Any, ...], ...]] = {}
    for group in groups:
        there = seen[group].series
        before = {k.digest: k for k in known.get(keys[group], ())}
        found = judge.words_of(there, before)
        if found:
            reasons[group] = found
        elif there.keys() <= before.keys():
            kept[group] = tuple(there)
        elif not before:
            left_out[group] = tuple(seen.key for seen in there.values())
        else:
            reasons[group] = ("new",)  # one model of the group: it is fitted with its new series
    marks = {group: seen[group].mark for group in groups}
    present = {digest for found in seen.values() for digest in found.series}
    gone = sum(k.digest not in present for some in known.values() for k in some)
    return Selection(reasons, kept, left_out, marks, gone)


@dataclass(frozen=True)
class _Judge:
    """Says for which of the words a group is trained again."""

    asked: tuple[str, ...]
    spec_fingerprint: str
    ages: _Ages
    stale_after: int
    drifted: frozenset[bytes]

    def words_of(self, there: Mapping[bytes, _Seen], before: Mapping[bytes, _Known]) -> tuple[str, ...]:
        """The words that are so of any series of a group."""
        found = {
            word
            for digest, seen in there.items()
            for word in self.asked
            if self._is(word, digest, seen, before.get(digest))
        }
        return tuple(word for word in self.asked if word in found)

    def _is(self, word: str, digest: bytes, seen: _Seen, known: _Known | None) -> bool:
        if known is None:
            return word == "new"
        if word == "failed":
            return known.status in FAILED
        if word == "changed":
            return not seen.same or known.spec_fingerprint != self.spec_fingerprint
        if word == "stale":
            covered = covered_until(known.data_fingerprint or "")
            if covered is None or seen.until is None:
                return False
            return self.ages.periods(covered, seen.until) >= self.stale_after
        return word == "drifted" and digest in self.drifted


@dataclass(frozen=True)
class _Ages:
    """Counts periods between two canonical times, in the panel's frequency."""

    frequency: str
    layout: Layout
    label: Any

    def periods(self, earlier: int, later: int) -> int:
        """Periods from one time to a later one."""
        frequency = Frequency.parse(self.frequency)
        grid = Grid.through(later, frequency, self.layout.time.zone, self.label)
        first, last = grid.containing(np.array([earlier, later], dtype=np.int64))
        return int(last - first)


def _by_group(base: Base, layout: Layout) -> dict[tuple[Any, ...], list[_Known]]:
    """What the base says of its series, by the key of their group."""
    index = base.index
    names = [layout.keys[place].name for place in layout.group]
    columns = [index[name].to_pylist() for name in names]
    keys = zip(*columns, strict=True) if names else [()] * index.num_rows
    fields = (
        index[name].to_pylist() for name in ("digest", "status", "spec_fingerprint", "data_fingerprint")
    )
    found: dict[tuple[Any, ...], list[_Known]] = {}
    for key, *row in zip(keys, *fields, strict=True):
        found.setdefault(tuple(key), []).append(_Known(*row))
    return found


def _group_keys(panel: Panel, groups: Sequence[int]) -> dict[int, tuple[Any, ...]]:
    """The key of each group."""
    table = panel.groups.iloc[list(groups)]
    names = [f"k{place}" for place in panel.layout.group]
    columns = [table[name].tolist() for name in names]
    keys = zip(*columns, strict=True) if names else [()] * len(groups)
    return dict(zip(groups, (tuple(key) for key in keys), strict=True))


# -- the survey: one look at the data of every group ------------------------------------


@dataclass(frozen=True)
class _Seen:
    """One series as it lies in the table: whether what it was trained on is the same, its end and its key."""

    same: bool
    until: int | None
    key: tuple[Any, ...]


@dataclass(frozen=True)
class _Surveyed:
    """A group as it lies in the table."""

    mark: bytes
    series: Mapping[bytes, _Seen]


def _surveyed(
    panel: Panel,
    groups: Sequence[int],
    keys: Mapping[int, tuple[Any, ...]],
    known: Mapping[tuple[Any, ...], Sequence[_Known]],
    progress: Progress,
) -> dict[int, _Surveyed]:
    attached = {
        group: json.dumps({k.digest.hex(): k.data_fingerprint for k in known.get(keys[group], ())}).encode()
        for group in groups
    }
    found: dict[int, _Surveyed] = {}
    with progress.bar("looking for changes", len(groups)) as step:
        for batch in panel.map(_survey_job(panel.layout), list(groups), attached):
            for answer in batch:
                told = json.loads(answer.payload[MARK_BYTES:])
                series = {
                    bytes.fromhex(digest): _Seen(same, until, tuple(key))
                    for digest, (same, until, key) in told.items()
                }
                found[answer.group] = _Surveyed(answer.payload[:MARK_BYTES], series)
            step(len(found))
    return found


def _survey_job(layout: Layout) -> GroupJob:
    return GroupJob(survey_group, survey_anyway, survey_anyway, layout)


def survey_group(frame: pd.DataFrame, layout: Layout, attachment: bytes) -> bytes:
    """The fingerprint of a group, and of each of its series whether what a base covers is the same."""
    before = json.loads(attachment)
    told = {}
    for key, part in series_of(frame, layout):
        span = observed_span(part)
        was = before.get(key.digest.hex())
        until = covered_until(was or "")
        # without a fingerprint nothing was observed then
        same = span is None if until is None else series_fingerprint(part, until) == was
        told[key.digest.hex()] = [same, None if span is None else span[1], key.values]
    return fingerprint(frame) + json.dumps(told).encode()


def survey_anyway(frame: pd.DataFrame, layout: Layout, trouble: Trouble) -> bytes:
    """The same for a group that could not be compared: it counts as changed."""
    told = {key.digest.hex(): [False, None, key.values] for key, _ in series_of(frame, layout)}
    return fingerprint(frame) + json.dumps(told).encode()


# -- what is taken over --------------------------------------------------------------


def inherited_tables(selection: Selection, base: Base, task: TrainTask) -> dict[str, list[pa.Table]]:
    """The rows of the series that are not trained, by folder: those of the base, and accounts of the rest."""
    digests = selection.digests
    mask = pa.array([digest in digests for digest in base.index["digest"].to_pylist()], pa.bool_())
    index = base.index.filter(mask)
    keys = index.select(list(base.key_names))
    accounts = _accounts(selection, task)
    tables: dict[str, list[pa.Table]] = {}
    for folder in FOLDERS:
        schema = task.schemas[folder]
        if folder == "models":
            names = [name for name in index["content_id"].to_pylist() if name is not None]
            referred: set[str] = set()
            stored = list(base.stored(names, referred))
            stored += base.pooled(referred)
            rows = list(zip(*stored, strict=True)) or [(), (), (), ()]
            table = pa.table([pa.array(c, f.type) for c, f in zip(rows, schema, strict=True)], schema=schema)
        elif folder in ("results", "lineage"):
            table = as_schema(inherited(index, base.uri) if folder == "lineage" else index, schema)
        else:
            table = as_schema(rows_of_keys(base.table(folder), keys), schema)
        tables[folder] = [table, *accounts.get(folder, [])]
    return {folder: parts for folder, parts in tables.items() if any(part.num_rows for part in parts)}


def _accounts(selection: Selection, task: TrainTask) -> dict[str, list[pa.Table]]:
    """The rows of series that are neither trained nor taken over: CANCELLED, because not asked for."""
    rows = GroupRows(task.layout, task.schemas)
    keys = [key for keys in selection.left_out.values() for key in keys]
    told: dict[str, dict[str, Any]] = {
        "results": {
            "status": "CANCELLED",
            "reason": "NOT_SELECTED",
            "seconds": 0.0,
            "n_obs": 0,
            "spec_fingerprint": task.spec.fingerprint,
        },
        "lineage": {"run_id": task.run_id, "folds": 0},
    }
    for key in keys:
        for folder, values in told.items():
            empty = dict.fromkeys(task.schemas[folder].names)
            names = [k.name for k in task.layout.keys]
            rows.add(folder, key, 1, {k: v for k, v in {**empty, **values}.items() if k not in names})
    return {
        folder: [pa.Table.from_batches(batches, schema=task.schemas[folder])]
        for folder, batches in rows.batches.items()
    }
