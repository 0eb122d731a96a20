"""Automatic groups: one look at every series, and the groups that their features sort them into.

::

    look    one task per series: its features ─► the driver: a tree of cuts ─► `layout.clusters`

The tree is part of the layout, so that it is stored with the run and its bundle: a run that is continued
or trained upon, and a series that comes later, are sorted by the same cuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from many_models.automl.group import series_of
from many_models.automl.held_out import known_then
from many_models.automl.task import TrainTask
from many_models.bundle.container import pack, unpack
from many_models.engines.base import GroupJob, Panel
from many_models.panel.clusters import FEATURES, Clusters, clusters_of, series_features
from many_models.panel.preparation import prepare
from many_models.runs.progress import Progress

if TYPE_CHECKING:
    from many_models.panel.layout import Layout

LOOK_SECONDS = 60.0
"""Wall time for the look at one series."""


@dataclass(frozen=True)
class Look:
    """How series are looked at: as a run prepares them, and as known at a canonical time, or all of them."""

    task: TrainTask
    until: int | None


def look_at(frame: pd.DataFrame, look: Look) -> bytes:
    """Digest, features and number of values of the one series in `frame`, as bytes."""
    task = look.task
    ((key, part),) = series_of(frame if look.until is None else known_then(frame, look.until), task.layout)
    prepared = prepare(part, key, task.layout, task.prepare_settings)
    found = np.zeros(len(FEATURES) - 1)
    if prepared.n_obs:
        found = series_features(prepared.y, prepared.observed, prepared.grid.frequency.season)
    return pack({"digest": key.digest.hex(), "features": found, "values": prepared.n_obs})


def no_look(frame: pd.DataFrame, look: Look, trouble: Any) -> bytes:
    """The same of a series that could not be looked at; its training says what is wrong with it."""
    ((key, _),) = series_of(frame, look.task.layout)
    return pack({"digest": key.digest.hex(), "features": np.zeros(len(FEATURES) - 1), "values": 0})


def sorted_series(
    panel: Panel,
    series: Sequence[int],
    task: TrainTask,
    largest: int,
    given: Clusters | None,
    progress: Progress,
    until: int | None = None,
) -> tuple[Layout, Panel, dict[int, int]]:
    """The layout with its clusters, the panel grouped by them, and the group of each of these series.

    Parameters
    ----------
    panel
        By series.
    series
        Those that take part.
    largest
        So many series are in a group at most.
    given
        The cuts that are gone by; None learns them.
    until
        Nothing later is looked at; None looks at everything.
    """
    job = GroupJob(look_at, no_look, no_look, Look(task, until), LOOK_SECONDS)
    told: dict[int, dict[str, Any]] = {}
    with progress.bar("grouping", len(series)) as step:
        for batch in panel.map(job, list(series)):
            told.update((answer.group, unpack(answer.payload)) for answer in batch)
            step(len(told))
    chosen = sorted(told)
    features = np.array([told[n]["features"] for n in chosen]).reshape(-1, len(FEATURES) - 1)
    digests = [bytes.fromhex(told[n]["digest"]) for n in chosen]
    lengths = np.array([told[n]["values"] for n in chosen], dtype=np.int64)
    clusters = given or clusters_of(features, lengths, digests, largest)
    groups = [clusters.group_of(one, digest) for one, digest in zip(features, digests, strict=True)]
    # a panel is grouped whole: the series that do not take part are a group that is not mapped
    numbers = np.full(len(panel.groups), len(clusters.siblings), dtype=np.int64)
    numbers[chosen] = groups
    grouped = panel.clustered(numbers.tolist())
    layout = replace(grouped.layout, clusters=clusters)
    return layout, grouped, dict(zip(chosen, groups, strict=True))
