"""Wall clock and UTC: vectorised conversion in microseconds, equal on every pandas version.

The offsets come from `zoneinfo` and are kept per zone and decade, so that a thousand short
series cost a thousand binary searches and no time-zone arithmetic.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
import numpy.typing as npt

from many_models.errors import InputError, Problem, nearest

Ints = npt.NDArray[np.int64]

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US

_BLOCK_US = 3_653 * DAY_US
_PROBE_SECONDS = 5 * 86_400
# datetime ends at the years 1 and 9999; offsets outside equal those at these ends
_FIRST_BLOCK = -196
_LAST_BLOCK = 801


def zone_problem(name: str, where: str = "data.timezone") -> Problem | None:
    """What is wrong with a zone's name, or None."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = nearest(name, sorted(available_timezones()))
        hint = f"did you mean {near!r}?" if near else "write it as in Europe/Berlin"
        return Problem(where, repr(name), "an IANA time zone name, or null", hint)
    return None


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    problem = zone_problem(name)
    if problem is not None:
        raise InputError(problem)
    return ZoneInfo(name)


def _offset_at(zone: ZoneInfo, seconds: int) -> int:
    """Offset from UTC in seconds at an instant given in seconds since the epoch."""
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    offset = instant.astimezone(zone).utcoffset()
    return 0 if offset is None else offset.days * 86_400 + offset.seconds


@lru_cache(maxsize=1024)
def _block(name: str, number: int) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Offset at the start of a block of ten years, and the (instant, new offset) pairs inside, in seconds."""
    zone = _zone(name)
    begin = number * _BLOCK_US // SECOND_US
    end = begin + _BLOCK_US // SECOND_US
    low, first = begin, _offset_at(zone, begin)
    offset, changes = first, []
    while low < end:
        high = min(low + _PROBE_SECONDS, end)
        after = _offset_at(zone, high)
        if after != offset:
            left, right = low, high
            while right - left > 1:
                middle = (left + right) // 2
                if _offset_at(zone, middle) == offset:
                    left = middle
                else:
                    right = middle
            # the instant at `end` opens the next block's first offset: keep it here as a change
            offset = _offset_at(zone, right)
            changes.append((right, offset))
            low = right
        else:
            low = high
    return first, tuple(changes)


@lru_cache(maxsize=256)
def _table(name: str, first: int, last: int) -> tuple[Ints, Ints]:
    """Instants of change [n] and offsets before, between and after them [n + 1], in microseconds."""
    start, _ = _block(name, first)
    instants: list[int] = []
    offsets = [start]
    for number in range(first, last + 1):
        for instant, offset in _block(name, number)[1]:
            instants.append(instant)
            offsets.append(offset)
    return (
        np.array(instants, dtype=np.int64) * SECOND_US,
        np.array(offsets, dtype=np.int64) * SECOND_US,
    )


def _table_for(name: str, t: Ints) -> tuple[Ints, Ints]:
    low = int(t.min() - 2 * DAY_US) // _BLOCK_US
    high = int(t.max() + 2 * DAY_US) // _BLOCK_US
    return _table(name, min(max(low, _FIRST_BLOCK), _LAST_BLOCK), min(max(high, _FIRST_BLOCK), _LAST_BLOCK))


def to_wall(t: Ints, zone: str | None) -> Ints:
    """The wall clock [n] in microseconds (as if it were UTC) of instants in UTC [n], or of one."""
    if zone is None or zone == "UTC" or not t.size:
        return t
    instants, offsets = _table_for(zone, t)
    result: Ints = t + offsets[np.searchsorted(instants, t, side="right")]
    return result


def from_wall(wall: Ints, zone: str | None, second: npt.NDArray[np.bool_] | None = None) -> Ints:
    """The instants in UTC [n] of wall-clock microseconds [n].

    An hour that comes twice is its first occurrence, except where `second` [n] says otherwise;
    an hour that does not exist is read with the offset before the change (it moves forward).
    """
    if zone is None or zone == "UTC" or not wall.size:
        return wall
    instants, offsets = _table_for(zone, wall)
    before, after = offsets[:-1], offsets[1:]
    pick = np.searchsorted(instants + np.maximum(before, after), wall, side="right")
    if second is not None:
        late = np.searchsorted(instants + np.minimum(before, after), wall, side="right")
        ambiguous = late != pick
        # a gap also differs between the two tables, but there is no second occurrence to take
        twice = ambiguous & (offsets[late] < offsets[pick])
        pick = np.where(second & twice, late, pick)
    result: Ints = wall - offsets[pick]
    return result


def wall_trouble(wall: Ints, zone: str | None) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which wall-clock stamps [n] do not exist, and which come twice, in a zone."""
    none = np.zeros(wall.shape, dtype=bool)
    if zone is None or zone == "UTC" or not wall.size:
        return none, none.copy()
    instants, offsets = _table_for(zone, wall)
    before, after = offsets[:-1], offsets[1:]
    early = np.searchsorted(instants + np.minimum(before, after), wall, side="right")
    late = np.searchsorted(instants + np.maximum(before, after), wall, side="right")
    differ = early != late
    forward = offsets[early] > offsets[late]
    return differ & forward, differ & ~forward
