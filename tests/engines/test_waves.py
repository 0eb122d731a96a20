"""Tasks and waves: cut from predicted cost, every task with a partition of its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from many_models.engines.base import GroupAnswer
from many_models.engines.waves import (
    PORTION_BYTES,
    WAVE_BYTES,
    Pace,
    cost_of,
    cut_tasks,
    oversize,
    partition_numbers,
    portions,
)


@given(some.lists(some.integers(1, 1000), min_size=1, max_size=60), some.integers(1, 9))
def test_no_task_has_more_to_do_than_the_fairest_cut_allows(costs, tasks):
    chosen = cut_tasks(costs, tasks)
    load = [sum(cost for cost, task in zip(costs, chosen, strict=True) if task == t) for t in range(tasks)]
    assert sum(load) == sum(costs)
    # Graham's bound for the longest job first
    assert max(load) <= sum(costs) / tasks + max(costs)


def test_a_group_costs_something_even_when_it_is_empty():
    assert cost_of(np.array([0, 10])).tolist() == [100, 110]


@pytest.mark.parametrize("partitions", [1, 2, 12, 200])
def test_partition_numbers_fill_every_partition_once(partitions):
    numbers = partition_numbers(partitions)
    assert [murmur3(number) % partitions for number in numbers] == list(range(partitions))


def test_murmur3_is_the_one_of_spark():
    # SELECT hash(0), hash(1), hash(2)
    assert [murmur3(number) for number in range(3)] == [933211791, -559580957, 1765031574]


def murmur3(number):
    """Murmur3 x86 32 of one 32-bit integer with seed 42, on Python's integers."""
    key = number * 0xCC9E2D51 & 0xFFFFFFFF
    key = (key << 15 | key >> 17) & 0xFFFFFFFF
    key = key * 0x1B873593 & 0xFFFFFFFF
    mixed = 42 ^ key
    mixed = (mixed << 13 | mixed >> 19) & 0xFFFFFFFF
    mixed = (mixed * 5 + 0xE6546B64) & 0xFFFFFFFF
    mixed ^= 4
    mixed ^= mixed >> 16
    mixed = mixed * 0x85EBCA6B & 0xFFFFFFFF
    mixed ^= mixed >> 13
    mixed = mixed * 0xC2B2AE35 & 0xFFFFFFFF
    mixed ^= mixed >> 16
    return mixed - 2**32 if mixed >= 2**31 else mixed


def test_waves_start_small_and_grow_to_their_time():
    pace, waiting, sizes = Pace(cores=4), [100] * 10_000, []
    while waiting:
        count = pace.take(waiting)
        sizes.append(count)
        pace.done(100 * count, seconds=0.1 * count)
        waiting = waiting[count:]
    assert sizes[:3] == [32, 128, 400]  # 40 s at a tenth of a second each
    assert sum(sizes) == 10_000
    assert max(sizes) <= 600


def test_a_slow_wave_is_followed_by_a_smaller_one():
    pace = Pace(cores=2)
    first = pace.take([100] * 1000)
    pace.done(100 * first, seconds=160.0)
    assert pace.take([100] * 1000) == 4


def test_waves_of_heavy_answers_are_smaller():
    pace, waiting, heaviest = Pace(cores=4), [100] * 20_000, 0
    while waiting:
        count = pace.take(waiting)
        heaviest = max(heaviest, count * 50_000)
        pace.done(100 * count, seconds=0.001 * count, size=50_000 * count)
        waiting = waiting[count:]
    assert heaviest <= 1.5 * WAVE_BYTES


@given(some.lists(some.integers(0, 2 * PORTION_BYTES), max_size=30))
def test_a_wave_is_handed_over_in_portions_that_lose_nothing(sizes):
    answers = [GroupAnswer(i, bytes(size)) for i, size in enumerate(sizes)]
    parts = list(portions(answers))
    assert [answer for part in parts for answer in part] == answers
    assert all(parts)
    for part in parts:
        assert sum(len(answer.payload) for answer in part[:-1]) < PORTION_BYTES


@given(some.lists(some.integers(100, 10**6), max_size=80), some.integers(1, 9))
def test_groups_that_go_alone_are_few_and_heavier_than_all_others(costs, cores):
    alone, others = oversize(range(len(costs)), costs, cores)
    assert sorted([*alone, *others]) == list(range(len(costs)))
    assert len(alone) <= 6 * cores
    assert max((costs[g] for g in others), default=0) < min((costs[g] for g in alone), default=10**7)


def test_one_huge_series_goes_alone_and_equal_ones_do_not():
    assert oversize([0, 1, 2], [500_100, *[200] * 5000], 2)[0] == [0]
    assert oversize(range(5001), [500_100, *[200] * 5000], 64)[0] == [0]
    assert oversize(range(40), [700] * 40, 8)[0] == []
    assert oversize([], [], 2) == ([], [])
