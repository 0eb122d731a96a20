"""The pilot of a run: a few of its series go first, and teach a prior for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b

import pandas as pd

from many_models.automl.pilot import GroupStudy, learned, no_study, read_study, study_group
from many_models.automl.prior import Prior
from many_models.automl.task import TrainTask
from many_models.engines.base import GroupJob, Panel, Tell, nobody
from many_models.runs.progress import Progress

PILOT_GROUPS = 40
"""So many groups teach: what more of them add is within the noise."""

MANY_GROUPS = 400
"""From so many on a pilot costs less than a tenth of the run, and `auto` has one."""


def pilot_size(setting: int | str, groups: int) -> int:
    """How many of a run's groups its pilot takes; 0 = there is none."""
    if setting == "off":
        return 0
    if setting == "auto":
        return PILOT_GROUPS if groups >= MANY_GROUPS else 0
    return min(int(setting), groups)


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
) -> tuple[Prior, dict[int, GroupStudy]]:
    """The prior of the task, blended with what these groups teach, and what each of them taught.

    `look` is called every few seconds, and ends the pilot by raising; `tell` hears what the engine does.
    """
    job = GroupJob(study_group, no_study, no_study, replace(task, run_id="pilot"), task.seconds)
    found: dict[int, GroupStudy] = {}
    with progress.bar("pilot", len(groups)) as step:
        for batch in panel.map(job, groups, tell=tell):
            found.update((answer.group, read_study(answer.payload)) for answer in batch)
            step(len(found))
            look()
    # In the order of the groups, so that sums do not depend on which came back first.
    ordered = {group: found[group] for group in sorted(found)}
    return learned([s for study in ordered.values() for s in study.studies], task.prior), ordered
