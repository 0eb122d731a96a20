"""The pilot of a run: a few of its series go first, and teach a prior for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import blake2b

import pandas as pd

from many_models.automl.pilot import (
    GroupStudy,
    Study,
    learned,
    no_study,
    read_study,
    study_group,
    with_learned_shares,
)
from many_models.automl.prior import Prior
from many_models.automl.shares import FEWEST
from many_models.automl.task import TrainTask
from many_models.engines.base import GroupJob, Panel, Tell, nobody
from many_models.runs.progress import Progress

PILOT_GROUPS = 40
"""So many groups teach: what more of them add is within the noise."""

MANY_GROUPS = 400
"""From so many on a pilot costs less than a tenth of the run, and `auto` has one."""


POOLED_SERIES, POOLED_PART = 150, 2
"""Where groups learn together, so many series teach what share is theirs, at most one of so many."""


def pilot_size(setting: int | str, groups: int) -> int:
    """How many of a run's groups its pilot takes; 0 = there is none."""
    if setting == "off":
        return 0
    if setting == "auto":
        return PILOT_GROUPS if groups >= MANY_GROUPS else 0
    return min(int(setting), groups)


def shares_size(setting: int | str, series: int) -> int:
    """How many series of a run whose groups learn together teach what share is their groups'."""
    if setting == "auto":
        size = min(POOLED_SERIES, series // POOLED_PART)
        return size if size >= FEWEST else 0
    return pilot_size(setting, series)


def pilot_groups(groups: pd.DataFrame, chosen: list[int], count: int, seed: int) -> list[int]:
    """The groups of the pilot, in order: drawn by their keys and the seed, whatever else is in the table."""
    names = [name for name in groups.columns if name.startswith("k")]

    def draw(group: int) -> bytes:
        key = "\x1f".join(str(value) for value in groups.loc[group, names])
        return blake2b(f"{seed}\x1f{key}".encode(), digest_size=8).digest()

    return sorted(sorted(chosen, key=draw)[:count])


def run_pilot(
    panel: Panel,
    task: TrainTask,
    groups: list[int],
    progress: Progress,
    look: Callable[[], None] = lambda: None,
    tell: Tell = nobody,
    attached: Mapping[int, bytes] | None = None,
) -> dict[int, GroupStudy]:
    """What each of these groups teaches, in their order.

    `look` is called every few seconds, and ends the pilot by raising; `tell` hears what the engine does;
    `attached` is what the stage `pool` says of each series.
    """
    job = GroupJob(study_group, no_study, no_study, replace(task, run_id="pilot"), task.seconds)
    found: dict[int, GroupStudy] = {}
    with progress.bar("pilot", len(groups)) as step:
        for batch in panel.map(job, groups, attached, tell):
            found.update((answer.group, read_study(answer.payload)) for answer in batch)
            step(len(found))
            look()
    # In the order of the groups, so that sums do not depend on which came back first.
    return {group: found[group] for group in sorted(found)}


def taught(prior: Prior, studies: Mapping[int, GroupStudy], shares_alone: bool = False) -> Prior:
    """The prior, blended with what a pilot taught, or with the shares of groups alone."""
    found: list[Study] = [one for study in studies.values() for one in study.studies]
    return with_learned_shares(found, prior if shares_alone else learned(found, prior))
