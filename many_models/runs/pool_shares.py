"""Stage `pool` with fewer groups than workers: the candidates of a group are shared out among tasks.

Every task prepares the whole group and fits its share of the candidates; what they say is put together on the
driver, and is what one task would have said. So one large group keeps several workers busy.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pandas as pd

from many_models.automl.pooling import Share, fall_back_pool, joined, pool_group
from many_models.automl.task import TrainTask
from many_models.engines.base import GroupAnswer, GroupJob, Panel, Tell, Trouble, nobody
from many_models.panel.fingerprint import MARK_BYTES, fingerprint

MOST_SHARES = 8
"""More than a preset has pooled candidates; every share prepares the group anew."""

_LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class PoolTask:
    """What every group of the stage is pooled with."""

    train: TrainTask
    share: Share


def pool_marked(frame: pd.DataFrame, task: PoolTask) -> bytes:
    """The fingerprint of a group's frame, and the answer of `pool_group`."""
    return fingerprint(frame) + pool_group(frame, task.train, task.share)


def fall_back_marked(frame: pd.DataFrame, task: PoolTask, trouble: Trouble) -> bytes:
    """The fingerprint of a group's frame, and the answer of `fall_back_pool`."""
    return fingerprint(frame) + fall_back_pool(frame, task.train, trouble)


def pooling_jobs(task: TrainTask, groups: int, workers: int) -> list[GroupJob]:
    """The jobs that pool so many groups: one, or where workers would be idle one for each share."""
    of = max(1, min(MOST_SHARES, workers // max(groups, 1)))
    return [
        GroupJob(
            pool_marked, fall_back_marked, fall_back_marked, PoolTask(task, Share(number, of)), task.seconds
        )
        for number in range(of)
    ]


def pooled_by(
    panel: Panel, jobs: Sequence[GroupJob], groups: list[int], tell: Tell = nobody
) -> Generator[list[GroupAnswer]]:
    """The answers of these groups in batches, each once every job has answered; closing it cancels."""
    if len(jobs) == 1:
        yield from panel.map(jobs[0], groups, tell=tell)
        return
    answers: queue.Queue[tuple[int, list[GroupAnswer] | BaseException | None]] = queue.Queue()
    stopped = threading.Event()

    def ask(number: int, job: GroupJob) -> None:
        try:
            with closing(panel.map(job, groups, tell=tell)) as batches:
                for batch in batches:
                    answers.put((number, batch))
                    if stopped.is_set():
                        return
            answers.put((number, None))
        except BaseException as trouble:  # the reader raises it
            answers.put((number, trouble))

    threads = [threading.Thread(target=ask, args=one, daemon=True) for one in enumerate(jobs)]
    for thread in threads:
        thread.start()
    parts: dict[int, dict[int, bytes]] = {}
    asking = len(jobs)
    try:
        while asking:
            try:
                number, batch = answers.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                yield []
                continue
            if isinstance(batch, BaseException):
                raise batch
            asking -= batch is None
            for answer in batch or ():
                parts.setdefault(answer.group, {})[number] = answer.payload
            whole = [group for group, found in parts.items() if len(found) == len(jobs)]
            yield [GroupAnswer(group, _whole(parts.pop(group))) for group in whole]
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def _whole(parts: dict[int, bytes]) -> bytes:
    """The fingerprint of a group, and what all its shares say."""
    payloads = [parts[number] for number in sorted(parts)]
    return payloads[0][:MARK_BYTES] + joined([payload[MARK_BYTES:] for payload in payloads])
