"""Series sorted into groups of their like by a few cuts, so that what is unrelated does not learn together.

The cuts are a tree of thresholds on four cheap features: whoever looks at a series can read off why it is
in its group, and a series that came later falls into the group that it would have been put into.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from many_models.panel.forecastability import strengths
from many_models.panel.series import Bools, Floats

Ints: TypeAlias = npt.NDArray[np.int64]

FEATURES = ("season strength", "trend strength", "level", "share of zeros", "draw")
"""What is cut: the last is drawn from the key, for series that nothing else tells apart."""

DECADES = 3.0
"""So many powers of ten of the level count as much as a strength of 0 and one of 1."""

FEWEST = 20
"""A group of fewer series learns little: no cut leaves fewer, unless the bound on groups asks for it."""

TWO_KINDS = 0.8
"""A cut of a group that is small enough takes off this share of the variance: more than the 3/4 that the
best cut of evenly spread values takes off."""

APART = 0.25
"""And its sides lie so far apart, on average."""

SIBLINGS = 8
"""So many series of a group are named, the longest, for those that come later."""


def series_features(values: Floats, observed: Bools, season: int) -> Floats:
    """Season and trend strength, level (its power of ten over 3) and share of zeros of a history [T]."""
    found = np.zeros(len(FEATURES) - 1)
    seen = values[observed]
    if not len(seen):
        return found
    size = float(np.abs(seen).max())
    if size > 0 and np.isfinite(size):
        scaled = values / size
        if len(values) >= 10:
            used = season if season > 1 and len(values) >= 3 * season else 1
            trend, seasonal = strengths(scaled - scaled.mean(), used)
            found[:2] = seasonal, trend
        # thousandths of the greatest value are the least that a level is told in
        found[2] = np.log10(size * max(float(np.abs(seen / size).mean()), 1e-3)) / DECADES
    found[3] = float((seen == 0).mean())
    # so that no last bit of a sum decides on which side of a cut a series falls
    rounded: Floats = np.round(found, 6)
    return rounded


def drawn(digest: bytes) -> float:
    """A number in [0, 1) that a key draws."""
    return int.from_bytes(digest[:6], "big") / 2.0**48


@dataclass(frozen=True)
class Cut:
    """One cut: below `at` a series goes to `low`, else to `high`; -1 - g there is the group g."""

    feature: int
    at: float
    low: int
    high: int


@dataclass(frozen=True)
class Clusters:
    """The groups that series were sorted into.

    Attributes
    ----------
    cuts
        The first is made first; none puts all series into one group.
    siblings
        Of each group the digests (hexadecimal) of its longest series.
    """

    cuts: tuple[Cut, ...]
    siblings: tuple[tuple[str, ...], ...]

    def group_of(self, features: Floats, digest: bytes) -> int:
        """The group of a series with these features."""
        return self._way(features, digest)[0]

    def why(self, features: Floats, digest: bytes) -> str:
        """On which side of which cuts a series is, for a person."""
        values = (*features, drawn(digest))
        parts = [
            f"{FEATURES[cut.feature]} {_shown(cut.feature, values[cut.feature])} "
            f"{'<' if below else '>='} {_shown(cut.feature, cut.at)}"
            for cut, below in self._way(features, digest)[1]
        ]
        return ", ".join(parts) or "all series are alike enough"

    def _way(self, features: Floats, digest: bytes) -> tuple[int, list[tuple[Cut, bool]]]:
        values = (*features, drawn(digest))
        place, way = (0 if self.cuts else -1), []
        while place >= 0:
            cut = self.cuts[place]
            below = bool(values[cut.feature] < cut.at)
            way.append((cut, below))
            place = cut.low if below else cut.high
        return -1 - place, way

    def to_dict(self) -> dict[str, Any]:
        """These clusters as JSON values."""
        plain = asdict(self)
        plain["cuts"] = [list(cut.values()) for cut in plain["cuts"]]
        plain["siblings"] = [list(some) for some in self.siblings]
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Clusters:
        """The clusters that `to_dict` gave.

        Raises
        ------
        ValueError
            When they are not of that form: a cut that leads back, or to no group.
        """
        cuts = tuple(Cut(int(f), float(at), int(low), int(high)) for f, at, low, high in data["cuts"])
        siblings = tuple(tuple(str(d) for d in some) for some in data["siblings"])
        for place, cut in enumerate(cuts):
            sides = (cut.low, cut.high)
            if not all(place < side < len(cuts) or -len(siblings) <= side < 0 for side in sides):
                raise ValueError("a cut leads nowhere")
            if not 0 <= cut.feature < len(FEATURES):
                raise ValueError("a cut of a feature that is not there")
        if not cuts and len(siblings) != 1:
            raise ValueError("no cut, and more than one group")
        return cls(cuts, siblings)


def _shown(feature: int, value: float) -> str:
    return f"{10 ** (DECADES * value):.3g}" if FEATURES[feature] == "level" else f"{value:.2f}"


def clusters_of(features: Floats, lengths: Ints, digests: Sequence[bytes], largest: int) -> Clusters:
    """The groups of series with these features [N, 4] and lengths [N], at most `largest` in each."""
    values = np.column_stack([features, [drawn(digest) for digest in digests]])
    cuts: list[Cut] = []
    groups: list[tuple[str, ...]] = []

    def named(places: Ints) -> tuple[str, ...]:
        order = sorted(places.tolist(), key=lambda place: (-int(lengths[place]), digests[place]))
        return tuple(digests[place].hex() for place in order[:SIBLINGS])

    # a list of what is still to be cut, so that no depth is too deep; a cut is known before its sides
    waiting: list[tuple[Ints, int, str]] = [(np.arange(len(values)), -1, "")]
    while waiting:
        places, parent, side = waiting.pop()
        found = _cut(values[places], largest)
        if found is None:
            groups.append(named(places))
            number = -len(groups)
        else:
            number = len(cuts)
            cuts.append(Cut(*found, 0, 0))
            below = values[places, found[0]] < found[1]
            waiting += [(places[~below], number, "high"), (places[below], number, "low")]
        if parent >= 0:
            cuts[parent] = Cut(**{**asdict(cuts[parent]), side: number})
    return Clusters(tuple(cuts), tuple(groups))


def _cut(values: Floats, largest: int) -> tuple[int, float] | None:
    """The feature and the threshold that tell series [N, 5] apart best; None where they stay together."""
    count, too_many = len(values), len(values) > largest
    least = max(1, min(FEWEST, largest // 2))
    best: tuple[int, float] | None = None
    gained = 0.0
    for feature in range(values.shape[1] - 1):
        found = _best_cut(np.sort(values[:, feature]), least)
        if found is None:
            continue
        at, gain, share, apart = found
        if gain > gained and (too_many or (share >= TWO_KINDS and apart >= APART)):
            best, gained = (feature, at), gain
    if best is None and too_many:
        draws = np.sort(values[:, -1])
        best = values.shape[1] - 1, float(draws[count // 2])
    return best


def _best_cut(ordered: Floats, least: int) -> tuple[float, float, float, float] | None:
    """Where sorted values [N] are cut best in two, the sum of squares that this takes off, its share of all,
    and how far the means of both sides lie apart; None where there is no place for a cut."""
    count = len(ordered)
    sizes = np.arange(1, count)
    allowed = (np.diff(ordered) > 0) & (sizes >= least) & (count - sizes >= least)
    if not allowed.any():
        return None
    centred = ordered - ordered.mean()
    low = np.cumsum(centred)[:-1]
    apart = np.abs(low / sizes + low / (count - sizes))
    gains = np.where(allowed, apart**2 * sizes * (count - sizes) / count, -1.0)
    place = int(np.argmax(gains))
    whole = float((centred**2).sum())
    # halfway, unless no number lies there
    middle = (ordered[place] + ordered[place + 1]) / 2
    at = float(middle if middle > ordered[place] else ordered[place + 1])
    return at, float(gains[place]), float(gains[place]) / whole, float(apart[place])
