"""Two versions against each other, series by series, on the same later data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from many_models.automl.model import SeriesModel
from many_models.automl.realised import (
    LEAST_STAMPS,
    Ints,
    Realised,
    loss_metric,
    origins_after,
    paired,
    realised,
    standard_error,
)
from many_models.automl.rows import REAL, TEXT, WHOLE, key_columns, quantile_column
from many_models.errors import DataError, OutsideError, Problem
from many_models.panel.canonical import canonical_times
from many_models.panel.keys import SeriesKey
from many_models.panel.series import Floats
from many_models.runs.base_version import Base
from many_models.runs.later import Later, keyed_rows, last_observed, parts_of
from many_models.runs.progress import Progress, silent
from many_models.runs.tally import FAILED_STATUSES

MARGIN = 1.0
"""By so many standard errors of the paired difference a challenger has to be better."""

CHALLENGER, CHAMPION = "challenger", "champion"

_NO_ROWS = np.array([], dtype=np.int64)

LATER, OWN_FOLDS, COMMON_FOLDS = "later data", "challenger's folds", "common folds"
"""What a series was judged on; see `docs/operations.md`."""


@dataclass(frozen=True)
class Verdict:
    """Which version serves one series, and why.

    Attributes
    ----------
    winner
        `challenger` or `champion`.
    reason
        BETTER (the challenger, by more than the margin), NOT_BETTER, SAME_MODEL, NO_COMMON_DATA,
        CHAMPION_FAILED, ONLY_CHALLENGER, ONLY_CHAMPION.
    basis
        What both were judged on; None where they were not.
    stamps
        Forecasts compared.
    champion_loss, challenger_loss, difference, error
        Mean losses, their difference (positive: the challenger is better) and its standard error.
    """

    winner: str
    reason: str
    basis: str | None = None
    metric: str | None = None
    stamps: int = 0
    champion_loss: float | None = None
    challenger_loss: float | None = None
    difference: float | None = None
    error: float | None = None


@dataclass
class Contest:
    """The verdicts on all series of two versions, by the digest of their keys."""

    champion: Base
    challenger: Base
    verdicts: dict[bytes, tuple[SeriesKey, Verdict]] = field(default_factory=dict)

    def winners(self, side: str) -> set[bytes]:
        """The digests of the series that one side serves."""
        return {digest for digest, (_, verdict) in self.verdicts.items() if verdict.winner == side}

    @property
    def compared(self) -> list[Verdict]:
        """The verdicts on series that both versions were judged on."""
        return [verdict for _, verdict in self.verdicts.values() if verdict.basis is not None]

    def summary(self) -> dict[str, Any]:
        """Counts by winner and reason, and the errors on the compared stamps relative to the champion's."""
        judged = [v for v in self.compared if v.champion_loss and v.challenger_loss]
        ratios = np.array([v.challenger_loss / v.champion_loss for v in judged])  # type: ignore[operator]
        best = np.array([v.winner == CHALLENGER for v in judged])
        verdicts = [verdict for _, verdict in self.verdicts.values()]
        return {
            "series": len(verdicts),
            "winners": dict(Counter(v.winner for v in verdicts)),
            "reasons": dict(Counter(v.reason for v in verdicts)),
            "basis": dict(Counter(v.basis for v in verdicts if v.basis is not None)),
            "compared_series": len(self.compared),
            "compared_stamps": sum(v.stamps for v in self.compared),
            "challenger_to_champion": _geometric(ratios),
            "composed_to_champion": _geometric(np.where(best, ratios, 1.0)),
        }

    def table(self) -> pa.Table:
        """One row per series: its key, which version serves it, and why."""
        names = (
            ("winner", TEXT), ("reason", TEXT), ("basis", TEXT), ("metric", TEXT), ("stamps", WHOLE),
            ("champion_loss", REAL), ("challenger_loss", REAL), ("difference", REAL), ("error", REAL),
        )  # fmt: skip
        schema = pa.schema([*key_columns(self.challenger.layout), *names])
        ordered = sorted(self.verdicts.values(), key=lambda found: found[0].values)
        rows = [{**key.as_dict(), **vars(verdict)} for key, verdict in ordered]
        return pa.Table.from_pylist(rows, schema=schema)


def _geometric(ratios: Floats) -> float | None:
    return float(f"{np.exp(np.log(ratios).mean()):.6g}") if ratios.size else None


def contest(
    champion: Base,
    challenger: Base,
    data: Any = None,
    cutoff: str | int | None = None,
    progress: Progress | None = None,
) -> Contest:
    """The verdict on every series that either version has.

    Parameters
    ----------
    data
        The table with what came later; None: the fold forecasts that both left are compared.
    cutoff
        Nothing later of it is read.

    Raises
    ------
    DataError
        When no series could be compared, saying what would help.
    """
    found = Contest(champion, challenger)
    before = {key.digest: row for key, row in keyed_rows(champion)}
    later = None if data is None else Later.of(challenger, data, cutoff)
    shared = done = 0
    with (progress or silent()).bar("comparing", challenger.index.num_rows) as step:
        for part in parts_of(challenger):
            judge = _Judge(champion, challenger, later, part)
            for key, row in keyed_rows(challenger, part):
                verdict = judge.verdict(key, before.pop(key.digest, None), row)
                shared += verdict.reason in ("BETTER", "NOT_BETTER", "NO_COMMON_DATA")
                found.verdicts[key.digest] = (key, verdict)
                done += 1
                if done % 100 == 0:
                    step(done)
    for digest, row in before.items():
        key = SeriesKey(champion.key_names, tuple(row[name] for name in champion.key_names))
        found.verdicts[digest] = (key, Verdict(CHAMPION, "ONLY_CHAMPION"))
    if shared and not found.compared:
        raise DataError(_nothing_in_common(data is not None, shared))
    return found


def _nothing_in_common(with_data: bool, series: int) -> Problem:
    if with_data:
        return Problem(
            "--data",
            f"no later values of any of the {series} series that have another model in each version",
            "a table with values after the cutoffs of both versions, or after the champion's",
            "promote when newer values are there",
        )
    return Problem(
        "--only-better",
        f"no common cutoff of folds in any of the {series} series that have another model in each version",
        "--data PATH with values that came after both versions were trained",
        "give --data PATH",
    )


class _Judge:
    """Compares two models of one series after the other, of those with some keys."""

    def __init__(self, champion: Base, challenger: Base, later: Later | None, keys: pa.Table) -> None:
        self._champion = champion
        self._challenger = challenger
        self._later = later
        self._folds = {CHALLENGER: FoldRows.of(challenger, keys)}
        if later is None:
            self._folds[CHAMPION] = FoldRows.of(champion, keys)

    def verdict(self, key: SeriesKey, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Verdict:
        """Who serves a series that the challenger has."""
        if old is None:
            return Verdict(CHALLENGER, "ONLY_CHALLENGER")
        if new["content_id"] is None:
            return (
                Verdict(CHAMPION, "ONLY_CHAMPION") if old["content_id"] else Verdict(CHALLENGER, "SAME_MODEL")
            )
        if old["content_id"] is None:
            return Verdict(CHALLENGER, "ONLY_CHALLENGER")
        if old["content_id"] == new["content_id"]:
            return Verdict(CHALLENGER, "SAME_MODEL")
        try:
            judged = self._judged(key, old, new)
        except OutsideError:
            raise
        except Exception:
            # The edge of one series: a model that cannot forecast these rows is no better than the champion.
            judged = None
        if judged is not None:
            return judged
        if old["status"] in FAILED_STATUSES and new["status"] == "TRAINED":
            return Verdict(CHALLENGER, "CHAMPION_FAILED")
        return Verdict(CHAMPION, "NO_COMMON_DATA")

    def _judged(self, key: SeriesKey, old: Mapping[str, Any], new: Mapping[str, Any]) -> Verdict | None:
        """The verdict on what both forecast; None where they share fewer than two stamps."""
        if self._later is None:
            return _decided(COMMON_FOLDS, *self._common_folds(key))
        one = self._champion.models.load(old["content_id"])
        other = self._challenger.models.load(new["content_id"])
        if one.history.grid != other.history.grid or one.gap != other.gap:
            return None
        newer = self._later.prepared(key.digest, key, other)
        if newer is None:
            return None
        metric = self._later.metric(newer)
        origins = origins_after(
            max(one.history.end, other.history.end), last_observed(newer), other.horizon, other.gap
        )
        if origins.size:
            pair = paired(realised(one, newer, origins), realised(other, newer, origins))
            verdict = _decided(LATER, metric, *pair)
            if verdict is not None:
                return verdict
        folds = self._folds[CHALLENGER].realised(key.digest, other)
        origins = np.unique(folds.origin[folds.origin >= one.history.end])
        if not origins.size:
            return None
        return _decided(OWN_FOLDS, metric, *paired(realised(one, newer, origins), folds))

    def _common_folds(self, key: SeriesKey) -> tuple[str, Realised, Realised]:
        """The out-of-fold forecasts of both at the same cutoffs and stamps, and the metric."""
        one, other = (self._folds[side].stored(key.digest) for side in (CHAMPION, CHALLENGER))
        pair = paired(one, other)
        metric = loss_metric(self._challenger.spec.validation.metric, pair[1].actual)
        return metric, *pair


def _decided(basis: str, metric: str, champion: Realised, challenger: Realised) -> Verdict | None:
    if len(champion) < LEAST_STAMPS:
        return None
    old, new = champion.losses(metric), challenger.losses(metric)
    difference = float((old - new).mean())
    error = standard_error(old - new)
    better = difference > MARGIN * error
    return Verdict(
        CHALLENGER if better else CHAMPION,
        "BETTER" if better else "NOT_BETTER",
        basis,
        metric,
        len(champion),
        float(old.mean()),
        float(new.mean()),
        difference,
        error,
    )


class FoldRows:
    """The ensemble's out-of-fold forecasts of some series of a version."""

    def __init__(self, base: Base, table: pa.Table, places: dict[bytes, Ints]) -> None:
        self._base = base
        self._table = table
        self._places = places
        self._cutoff = canonical_times(table["cutoff"], base.layout)
        self._time = canonical_times(table[base.layout.time.name], base.layout)

    @classmethod
    def of(cls, base: Base, keys: pa.Table) -> FoldRows:
        """The fold rows of the series with these keys."""
        table = base.rows("backtest", keys)
        return cls(base, table, dict(rows_by_series(table, base.key_names)))

    def stored(self, digest: bytes) -> Realised:
        """The forecasts of a series; origins and ordinals are canonical times."""
        rows = self._places.get(digest, _NO_ROWS)
        part = self._table.take(pa.array(rows, pa.int64()))
        levels = tuple(self._base.spec.forecast.quantiles)
        actual, mean = (part[name].to_numpy() for name in ("actual", "mean"))
        quantiles = np.stack([part[quantile_column(q)].to_numpy() for q in levels], axis=1)
        found = Realised(
            self._cutoff[rows], self._time[rows], part["step"].to_numpy(), actual, mean, quantiles, levels
        )
        return found.at(np.flatnonzero(np.isfinite(actual) & np.isfinite(mean)))

    def realised(self, digest: bytes, model: SeriesModel) -> Realised:
        """The forecasts of a series, with the ordinals of its model's grid."""
        found, grid = self.stored(digest), model.history.grid
        whole = (grid.ordinals(found.origin), grid.ordinals(found.ordinal))
        return Realised(*whole, found.step, found.actual, found.mean, found.quantiles, found.levels)


def rows_by_series(table: pa.Table, names: tuple[str, ...]) -> Iterator[tuple[bytes, Ints]]:
    """The rows of each series by the digest of its key."""
    if not names:
        yield SeriesKey((), ()).digest, np.arange(table.num_rows)
        return
    frame = table.select(list(names)).to_pandas()
    for values, rows in frame.groupby(list(names), sort=False, observed=True).indices.items():
        key = SeriesKey(names, values if isinstance(values, tuple) else (values,))
        yield key.digest, np.asarray(rows, dtype=np.int64)
