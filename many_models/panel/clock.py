"""Time written as text: which formats read it, and its microseconds on the wall clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_TIME = r"(?:[T ](?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
_OFFSET = r"\s?(?P<offset>Z|z|[+-]\d{2}:?\d{2}|[+-]\d{2})"
_SLASHED = r"(?P<{a}>\d{{1,2}})/(?P<{b}>\d{{1,2}})/(?P<y>\d{{4}})"

FORMATS: dict[str, re.Pattern[str]] = {
    "iso": re.compile(r"(?P<y>\d{4})-(?P<m>\d{2})(?:-(?P<d>\d{2})" + _TIME + r")?"),
    "iso-offset": re.compile(r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})" + _TIME + _OFFSET),
    "%m/%d/%Y": re.compile(_SLASHED.format(a="m", b="d") + _TIME),
    "%d/%m/%Y": re.compile(_SLASHED.format(a="d", b="m") + _TIME),
    "%d.%m.%Y": re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})" + _TIME),
    "%Y/%m/%d": re.compile(r"(?P<y>\d{4})/(?P<m>\d{1,2})/(?P<d>\d{1,2})" + _TIME),
    "%Y%m%d": re.compile(r"(?P<y>1[5-9]\d\d|2[0-4]\d\d)(?P<m>\d{2})(?P<d>\d{2})" + _TIME),
}
"""Format -> what its texts look like. A time of day may follow each date."""

_PARTS = ("y", "m", "d", "H", "M", "S")
_DEFAULTS = (1970, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class ReadTimes:
    """What reading texts gave: `us` [n] on the wall clock (UTC where there was an offset), `ok` [n]."""

    us: Ints
    ok: npt.NDArray[np.bool_]


def read_times(texts: Sequence[str], text_format: str) -> ReadTimes:
    """The microseconds of each text; `ok` is False where the format does not read it."""
    pattern = FORMATS[text_format]
    if text_format == "iso" and all(map(pattern.fullmatch, texts)):
        try:
            us = np.array(texts, dtype="datetime64[us]").astype(np.int64)
            return ReadTimes(us, np.ones(len(texts), dtype=bool))
        except ValueError:
            pass  # a day that does not exist, or an hour of one digit: find out which
    return _read_one_by_one(texts, pattern)


def _read_one_by_one(texts: Sequence[str], pattern: re.Pattern[str]) -> ReadTimes:
    parts = np.empty((len(texts), 8), dtype=np.int64)
    matched = np.ones(len(texts), dtype=bool)
    for row, text in enumerate(texts):
        match = pattern.fullmatch(text.strip())
        if match is None:
            matched[row] = False
            parts[row] = (*_DEFAULTS, 0, 0)
            continue
        found = match.groupdict()
        numbers = [
            int(found[p]) if found.get(p) else default for p, default in zip(_PARTS, _DEFAULTS, strict=True)
        ]
        fraction = found.get("f")
        micro = int(fraction[:6].ljust(6, "0")) if fraction else 0
        parts[row] = (*numbers, micro, _offset_us(found.get("offset")))
    us, valid = _assemble(parts)
    return ReadTimes(us, matched & valid)


def _offset_us(text: str | None) -> int:
    if text is None or text in "Zz":
        return 0
    hours, minutes = int(text[1:3]), int(text[3:].replace(":", "") or 0)
    return (-1 if text[0] == "-" else 1) * (hours * 60 + minutes) * 60_000_000


def _assemble(parts: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    year, month, day, hour, minute, second, micro, offset = parts.T
    valid = (month >= 1) & (month <= 12) & (hour <= 23) & (minute <= 59) & (second <= 59)
    months = (year - 1970) * 12 + np.clip(month, 1, 12) - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    length = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) - first
    valid &= (day >= 1) & (day <= length)
    seconds = (first + day - 1) * 86_400 + hour * 3_600 + minute * 60 + second
    return seconds * 1_000_000 + micro - offset, valid


def formats_of(texts: Sequence[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The formats that read every text, and up to three texts that none reads."""
    if not len(texts):
        return frozenset(FORMATS), ()
    readable = np.zeros(len(texts), dtype=bool)
    good: set[str] = set()
    for name in FORMATS:
        # a format that cannot read the first texts is not tried on all of them
        if not read_times(texts[:1], name).ok.any() and good:
            continue
        ok = read_times(texts, name).ok
        readable |= ok
        if ok.all():
            good.add(name)
    trouble = [texts[i] for i in np.flatnonzero(~readable)[:3]]
    return frozenset(good), tuple(sorted(trouble))
