"""Fingerprints of the data of a group: whether what a run was trained on is still what lies there.

The group functions of a run answer with the fingerprint of their frame before their rows, because
there the frame is at hand on every engine. Resuming computes the same for what is finished.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from many_models.automl.group import cancel_group, fall_back_group, give_up_group, train_group
from many_models.automl.task import TrainTask
from many_models.engines.base import GroupJob, Trouble
from many_models.panel.fingerprint import fingerprint


def train_marked(frame: pd.DataFrame, task: TrainTask, attachment: bytes | None = None) -> bytes:
    """The fingerprint of a group's frame, and the rows of `train_group`."""
    return fingerprint(frame) + train_group(frame, task, attachment)


def fall_back_marked(frame: pd.DataFrame, task: TrainTask, trouble: Trouble) -> bytes:
    """The fingerprint of a group's frame, and the rows of `fall_back_group`."""
    return fingerprint(frame) + fall_back_group(frame, task, trouble)


def give_up_marked(frame: pd.DataFrame, task: TrainTask, trouble: Trouble) -> bytes:
    """The fingerprint of a group's frame, and the rows of `give_up_group`."""
    return fingerprint(frame) + give_up_group(frame, task, trouble)


def cancel_marked(frame: pd.DataFrame, task: TrainTask) -> bytes:
    """The fingerprint of a group's frame, and the rows of `cancel_group`."""
    return fingerprint(frame) + cancel_group(frame, task)


def training_job(task: TrainTask) -> GroupJob:
    """The job that trains a group."""
    return GroupJob(train_marked, fall_back_marked, give_up_marked, task, task.seconds)


def cancelling_job(task: TrainTask, seconds: float) -> GroupJob:
    """The job that accounts for a group that is not trained."""
    return GroupJob(cancel_marked, fall_back_marked, give_up_marked, task, seconds)


def marking_job() -> GroupJob:
    """The job that answers the fingerprint of a group and no more."""
    return GroupJob(_mark, _no_mark, _no_mark, None)


def _mark(frame: pd.DataFrame, argument: Any) -> bytes:
    return fingerprint(frame)


def _no_mark(frame: pd.DataFrame, argument: Any, trouble: Trouble) -> bytes:
    return b""
