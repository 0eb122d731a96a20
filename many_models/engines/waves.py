"""How groups are cut into tasks and waves on a cluster: set by us, from predicted cost."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from many_models.engines.base import GroupAnswer

Ints = npt.NDArray[np.int64]

TASKS_PER_CORE = 6
"""So many tasks per core even out what the predictions got wrong, and cost little."""

WAVE_SECONDS = 40.0
"""A kill loses at most the waves in flight, and short waves cost more than they do."""

WAVE_BYTES = 12 * 2**20
"""What a wave's answers may weigh: the driver holds three waves, two in flight and one that it writes."""

PORTION_BYTES = 2 * 2**20
"""So much of a wave's answers is handed over at once: written out, rows take several times their bytes."""

GROUP_COST_ROWS = 100
"""What a group costs whatever its length, in rows."""

OVERSIZE = 20.0
"""A group goes by itself when it costs so many times what the middle one does, and more than a fair task."""

_FIRST_GROUPS_PER_CORE = 8
_FASTEST_GROWTH = 4.0
_NO_MORE_THAN = 20_000


def cost_of(rows: Ints) -> Ints:
    """Predicted cost [G] of groups with these row counts."""
    return np.asarray(rows, dtype=np.int64) + GROUP_COST_ROWS


def cut_tasks(costs: Sequence[int], tasks: int) -> list[int]:
    """The task of each group [G]: the costliest group first, always to the task with least to do."""
    load = [(0, task) for task in range(tasks)]
    chosen = [0] * len(costs)
    for group in sorted(range(len(costs)), key=lambda g: (-costs[g], g)):
        total, task = heapq.heappop(load)
        chosen[group] = task
        heapq.heappush(load, (total + costs[group], task))
    return chosen


def oversize(groups: Sequence[int], costs: Sequence[int], cores: int) -> tuple[list[int], list[int]]:
    """Those of the groups that would hold up a wave, and the others, in their order; `costs` is by number."""
    own = [costs[group] for group in groups]
    fair = sum(own) / (cores * TASKS_PER_CORE)
    limit = max(fair, OVERSIZE * float(np.median(own))) if own else 0.0
    alone = [group for group in groups if costs[group] > limit]
    return alone, [group for group in groups if costs[group] <= limit]


@dataclass
class Pace:
    """How large the next wave is, learned from the waves that are done.

    Parameters
    ----------
    cores
        How many groups run at once.
    """

    cores: int
    _last: float = 0.0
    _done: float = 0.0
    _seconds: float = 0.0
    _bytes: int = 0

    def done(self, cost: float, seconds: float, size: int = 0) -> None:
        """Notes that a wave of this cost came back `seconds` after the one before, with `size` bytes."""
        self._done += cost
        self._seconds += seconds
        self._bytes += size

    def take(self, costs: Sequence[int]) -> int:
        """How many of the next groups, with these costs in their order, the next wave holds."""
        if not self._last:
            count = min(len(costs), self.cores * _FIRST_GROUPS_PER_CORE)
        else:
            count = self._fitting(costs)
        self._last = float(sum(costs[:count]))
        return count

    def _fitting(self, costs: Sequence[int]) -> int:
        wanted = self._last
        if self._done:
            wanted = WAVE_SECONDS * self._done / max(self._seconds, 1e-3)
            wanted = min(wanted, self._last * _FASTEST_GROWTH)
            wanted = min(wanted, WAVE_BYTES * self._done / max(self._bytes, 1))
        running = np.cumsum(costs)
        if len(running) and running[-1] <= 1.5 * wanted:  # no crumbs
            return min(len(costs), _NO_MORE_THAN)
        count = int(np.searchsorted(running, wanted, side="right"))
        return min(max(count, self.cores), len(costs), _NO_MORE_THAN)


def portions(answers: Sequence[GroupAnswer]) -> Iterator[list[GroupAnswer]]:
    """The answers of a wave in their order, in lists that weigh little each."""
    portion: list[GroupAnswer] = []
    size = 0
    for answer in answers:
        portion.append(answer)
        size += len(answer.payload)
        if size >= PORTION_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def partition_numbers(partitions: int) -> list[int]:
    """For each of the partitions, an integer that Spark's hash partitioning sends there.

    `repartition(n, column)` puts a row into partition pmod(hash(column), n). With these numbers
    in an `int` column every task has a partition of its own, where 0, 1, 2 … would collide.
    """
    chosen: dict[int, int] = {}
    start = 0
    while len(chosen) < partitions:
        numbers = np.arange(start, start + 64 * partitions, dtype=np.int64)
        for number, place in zip(numbers.tolist(), (_murmur3(numbers) % partitions).tolist(), strict=True):
            chosen.setdefault(place, number)
        start += 64 * partitions
    return [chosen[place] for place in range(partitions)]


def _murmur3(numbers: Ints) -> Ints:
    """Spark's `hash` of 32-bit integers [n]: Murmur3 x86 32 with seed 42, signed."""
    full = np.uint64(0xFFFFFFFF)

    def rotated(x: npt.NDArray[np.uint64], by: int) -> npt.NDArray[np.uint64]:
        return ((x << np.uint64(by)) | (x >> np.uint64(32 - by))) & full

    key = numbers.astype(np.uint64) & full
    key = rotated(key * np.uint64(0xCC9E2D51) & full, 15) * np.uint64(0x1B873593) & full
    mixed = (rotated(np.uint64(42) ^ key, 13) * np.uint64(5) + np.uint64(0xE6546B64)) & full
    mixed ^= np.uint64(4)
    mixed = (mixed ^ (mixed >> np.uint64(16))) * np.uint64(0x85EBCA6B) & full
    mixed = (mixed ^ (mixed >> np.uint64(13))) * np.uint64(0xC2B2AE35) & full
    mixed ^= mixed >> np.uint64(16)
    return mixed.astype(np.uint32).view(np.int32).astype(np.int64)
