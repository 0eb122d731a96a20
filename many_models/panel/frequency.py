"""The frequency of a series, read off its stamps: the coarsest regular grid that holds them.

Years before half-years, quarters, months, weeks, days; hours, minutes, seconds after them. A few
stamps may miss the grid (one in twenty): they are off-grid rows, not another frequency.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from many_models.panel.grid import MONTHS, WEEKDAYS, Frequency, Grid
from many_models.panel.zones import DAY_US, to_wall

Ints = npt.NDArray[np.int64]
Label = Literal["start", "end"]

TOLERANCE = 0.05
"""The share of stamps that may miss a grid which is still the grid of the series."""

_ENOUGH = 3
_SAMPLE = 1_500
_STEPS: tuple[str, ...] = (
    *("12h", "8h", "6h", "4h", "3h", "2h", "h"),
    *("30min", "20min", "15min", "10min", "5min", "2min", "min"),
    *("30s", "20s", "15s", "10s", "5s", "2s", "s"),
)


@dataclass(frozen=True)
class Inferred:
    """A grid, the share of the stamps that lie on it, and how many stamps there were."""

    grid: Grid
    share: float
    stamps: int

    @property
    def frequency(self) -> Frequency:
        """The frequency of the grid."""
        return self.grid.frequency


def same_frequency(a: Frequency, b: Frequency) -> bool:
    """Whether two frequencies cut time alike, whatever their aliases (`QS-JAN` and `QS-OCT` do)."""
    return (a.kind, a.every, a.anchor, a.at_end) == (b.kind, b.every, b.anchor, b.at_end)


def _mode(values: npt.NDArray[np.int64]) -> int:
    """The most frequent value; the smallest of equals."""
    found, counts = np.unique(values, return_counts=True)
    return int(found[np.argmax(counts)])


def fit_grid(t: Ints, frequency: Frequency, zone: str | None = None, label: Label = "start") -> Inferred:
    """The grid of this frequency that holds most of the stamps [n], sorted and unique.

    The phase is the most frequent offset inside the period; for weeks it stays within the named
    day, and for months and coarser within the first 28 days, from three stamps on.
    """
    if frequency.kind == "integer":
        grid = Grid(frequency, None, _mode(t % frequency.every) if len(t) else 0, label)
        return _judged(grid, t)
    if not len(t):
        return _judged(Grid(frequency, zone, 0, label), t)
    if frequency.is_absolute:
        return _judged(Grid(frequency, zone, _mode(t % frequency.step_us), label), t)
    base = Grid(frequency, None, 0, label)
    wall = to_wall(t, zone)
    offsets = wall - base.stamps(base.ordinals(wall))
    if frequency.is_monthly and not frequency.at_end:
        limit = 28 * DAY_US if len(t) >= _ENOUGH else DAY_US
    elif frequency.kind == "day":
        limit = frequency.every * DAY_US
    else:
        limit = DAY_US
    week = 7 * DAY_US
    within = offsets % week if frequency.kind == "week" else offsets
    allowed = offsets[(within >= 0) & (within < limit)]
    return _judged(Grid(frequency, zone, _mode(allowed) if len(allowed) else 0, label), t)


def _judged(grid: Grid, t: Ints) -> Inferred:
    return Inferred(grid, float(grid.on_grid(t).mean()) if len(t) else 1.0, len(t))


def infer_frequency(
    t: Ints, zone: str | None = None, *, integer: bool = False, label: Label = "start"
) -> Inferred | None:
    """The coarsest regular grid that holds the stamps [n] (sorted, unique); None for fewer than three.

    Gaps are tolerated, and one stamp in twenty may miss the grid. Where no grid holds enough, the
    result is the finest one tried, with its true `share`.
    """
    if len(t) < _ENOUGH:
        return None
    if integer:
        return fit_grid(t, _integer_step(t), label=label)
    # long series: its two ends tell the frequency, all of it tells the share
    part = t if len(t) <= 3 * _SAMPLE else np.concatenate([t[:_SAMPLE], t[-_SAMPLE:]])
    best: Inferred | None = None
    for frequency in _candidates(part, zone):
        found = fit_grid(part, frequency, zone, label)
        if found.share >= 1 - _allowed_miss(len(part)):
            best = found
            break
        if best is None or found.share > best.share:
            best = found
    assert best is not None  # the candidates are never empty
    return best if len(part) == len(t) else _judged(best.grid, t)


def _allowed_miss(stamps: int) -> float:
    return int(TOLERANCE * stamps) / stamps


def _integer_step(t: Ints) -> Frequency:
    steps = np.diff(t)
    common = _mode(steps)
    if ((t - t[0]) % common == 0).mean() >= 1 - _allowed_miss(len(t)):
        return Frequency.parse(str(common))
    return Frequency.parse(str(int(np.gcd.reduce(steps))))


def _candidates(t: Ints, zone: str | None) -> Iterator[Frequency]:
    """Frequencies that may hold the stamps, coarsest first."""
    wall = to_wall(t, zone)
    time_of_day = wall % DAY_US
    usual = _mode(time_of_day)
    kept = wall[time_of_day == usual]
    if len(kept) >= (1 - TOLERANCE) * len(wall):
        days = (kept - usual) // DAY_US
        yield from _month_candidates(days)
        yield from _week_candidates(days)
        yield from _day_candidates(days)
        return
    median = float(np.median(np.diff(t)))
    for alias in _STEPS:
        frequency = Frequency.parse(alias)
        # a grid much coarser than the usual step cannot hold the stamps
        if frequency.step_us <= 1.5 * median or alias == "s":
            yield frequency


def _month_candidates(days: Ints) -> Iterator[Frequency]:
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    number = months.astype(np.int64)
    day = days - months.astype("datetime64[D]").astype(np.int64) + 1
    at_end = (dates + 1).astype("datetime64[M]").astype(np.int64) > number
    enough = (1 - TOLERANCE) * len(days)
    for is_end, member in ((True, at_end), (False, day == _mode(day))):
        if member.sum() < enough or len(np.unique(number[member])) < member.sum():
            continue
        letter = "E" if is_end else "S"
        for months_each, unit in ((12, f"Y{letter}"), (6, f"2Q{letter}"), (3, f"Q{letter}")):
            residue = _mode(number[member] % months_each)
            if (number[member] % months_each == residue).sum() >= enough:
                yield Frequency.parse(f"{unit}-{_month_name(residue, months_each, is_end)}")
        yield Frequency.parse(f"M{letter}")


def _month_name(residue: int, months_each: int, at_end: bool) -> str:
    """`residue` is the month of the stamps modulo the period; quarters that end in March end in DEC."""
    if at_end and months_each < 12:
        return MONTHS[residue + 12 - months_each]
    return MONTHS[residue]


def _week_candidates(days: Ints) -> Iterator[Frequency]:
    weekday = (days + 3) % 7
    usual = _mode(weekday)
    kept = days[weekday == usual]
    if len(kept) < (1 - TOLERANCE) * len(days):
        return
    weeks = (kept - kept[0]) // 7
    for every in (4, 2):
        fits = (weeks % every == 0).all()
        if fits and len(weeks) >= 5 and len(weeks) * every >= 0.7 * (weeks[-1] + every):
            yield Frequency.parse(f"{every}W-{WEEKDAYS[usual]}")
    yield Frequency.parse(f"W-{WEEKDAYS[usual]}")


def _day_candidates(days: Ints) -> Iterator[Frequency]:
    days = np.unique(days)
    step = _mode(np.diff(days)) if len(days) > 1 else 1
    span = int(days[-1] - days[0])
    if step > 1 and step % 7 and len(days) >= 5 and len(days) * step >= 0.7 * (span + step):
        yield Frequency.parse(f"{step}D")
    workdays = int(((days + 3) % 7 < 5).sum())
    if workdays == len(days) >= 10 and span >= 20 and workdays >= 0.5 * (span + 1) * 5 / 7:
        yield Frequency.parse("B")
    yield Frequency.parse("D")


def panel_frequency(
    samples: Sequence[npt.ArrayLike], zone: str | None = None, *, integer: bool = False
) -> Frequency:
    """The frequency of most series, given the stamps [n] of each, in any order.

    Longer series count more, up to 24 stamps. Where no series has three stamps, all stamps together
    decide; where these are too few as well, it is days (steps of 1 for an integer index).
    """
    votes: Counter[str] = Counter()
    stamps = [np.unique(np.asarray(sample, dtype=np.int64)) for sample in samples]
    for t in stamps:
        found = infer_frequency(t, zone, integer=integer)
        if found is not None:
            votes[found.frequency.alias] += min(len(t), 24)
    if not votes:
        together = np.unique(np.concatenate(stamps)) if stamps else np.empty(0, dtype=np.int64)
        found = infer_frequency(together, zone, integer=integer)
        return found.frequency if found is not None else Frequency.parse("1" if integer else "D")
    top = max(votes.values())
    winners = [Frequency.parse(alias) for alias, count in votes.items() if count == top]
    # of equals the finest: a coarser series lies on its grid, not the other way round
    return max(winners, key=lambda frequency: (-frequency.step_us, frequency.alias))
