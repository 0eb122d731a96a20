"""Whether the combination beats its best single candidate, chosen with hindsight, on real sets.

    python benchmarks/singles.py [SET ...] [--limit N] [--preset NAME]

Sets: yearly, quarterly, weekly, hourly (M4, OWA of q0.5), hospital (MASE of q0.5), carparts (root mean
squared scaled error of the mean). The first row is what a run gave that never saw the scored values. The
others are each candidate alone, on every series, fitted once more up to the same day; on a series that it
does not fit (too short, constant, not intermittent) seasonal naive or naive stands in, as in a fold.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import accuracy
import numpy as np
import numpy.typing as npt
import pandas as pd
import scores
from harness import Target
from make_prior import Sample, study

from many_models.automl.pilot import Study
from many_models.metrics import mase, mase_scale, rmsse, rmsse_scale

Floats = npt.NDArray[np.float64]

SETS = ("yearly", "quarterly", "weekly", "hourly", "hospital", "carparts")
WORSE = 0.01
"""The combination may be worse than the best single candidate by so much."""


@dataclass(frozen=True)
class Judged:
    """One set: its rows to the end, how long the scored end is, and how a forecast [N, H] is scored.

    Attributes
    ----------
    rows
        `key`, `time` and the target `y`, scored end included.
    actual, history : [N, H], [N, T]
        In key order; NaN where there is nothing.
    """

    name: str
    keys: list[str]
    rows: pd.DataFrame
    sample: Sample
    horizon: int
    season: int
    actual: Floats
    history: Floats

    @property
    def metric(self) -> str:
        """Of the table: owa, mase or rmsse."""
        return {"hospital": "mase", "carparts": "rmsse"}.get(self.name, "owa")

    def table(self, forecasts: dict[str, Floats]) -> pd.DataFrame:
        """Scores of forecasts [N, H], each with its difference from the first and the paired error."""
        if self.metric == "owa":
            steps = range(1, self.horizon + 1)
            frames = {}
            for label, wide in forecasts.items():
                frame = pd.DataFrame(wide, pd.Index(self.keys, name="unique_id"), steps)
                frames[label] = frame.melt(
                    ignore_index=False, var_name="step", value_name="q0.5"
                ).reset_index()
            return scores.owa_table(frames, self.name).reset_index().drop(columns="not_forecast")
        if self.metric == "mase":
            scale = mase_scale(self.history, self.season)
            values = {k: mase(self.actual, v, scale)[:, None] for k, v in forecasts.items()}
            return accuracy.paired(values, "mase", lambda m: m[..., 0])
        scale = rmsse_scale(self.history)
        values = {k: rmsse(self.actual, v, scale)[:, None] ** 2 for k, v in forecasts.items()}
        return accuracy.paired(values, "rmsse", lambda m: np.sqrt(m[..., 0]))


def m4_judged(name: str, limit: int | None) -> Judged:
    """One frequency of M4: the training rows and the official test values behind them."""
    about = scores.M4[name]
    train, test, _ = scores.m4(name)
    train = harness.some_series(train, ["unique_id"], limit)
    last = train.groupby("unique_id")["t"].max()
    test = test[test["unique_id"].isin(last.index)]
    test = test.assign(t=test["step"] + test["unique_id"].map(last))
    actual = test.pivot(index="unique_id", columns="step", values="y")
    rows = pd.concat([train, test[["unique_id", "t", "y"]]]).sort_values(
        ["unique_id", "t"], ignore_index=True
    )
    spec = accuracy.plain_spec(["unique_id"], "t", "y", about.horizon, about.frequency)
    return Judged(
        name,
        list(actual.index),
        train,
        Sample(name, rows, spec),
        about.horizon,
        about.season,
        actual.to_numpy(np.float64),
        train.pivot(index="unique_id", columns="t", values="y").reindex(actual.index).to_numpy(np.float64),
    )


def monthly_judged(name: str, limit: int | None) -> Judged:
    """Hospital or spare parts: the last months are scored."""
    horizon = {"hospital": 12, "carparts": 6}[name]
    wide = accuracy.monthly({"hospital": scores.hospital, "carparts": scores.carparts}[name](), limit)
    rows = wide.melt(ignore_index=False, value_name="y").reset_index()
    spec = accuracy.plain_spec(["unique_id"], "ds", "y", horizon, "auto").replace(
        {"forecast.origin": "panel"}
    )
    values = wide.to_numpy(np.float64)
    before = rows[rows["ds"] <= wide.columns[-horizon - 1]]
    return Judged(
        name,
        list(wide.index),
        before,
        Sample(name, rows, spec),
        horizon,
        12,
        values[:, -horizon:],
        values[:, :-horizon],
    )


def ours(judged: Judged, options: accuracy.Options) -> Floats:
    """The forecasts [N, H] of a run that never saw the scored values: the mean for squares, else q0.5."""
    run = accuracy.trained(judged.rows, judged.sample.spec, options)
    column = "mean" if judged.metric == "rmsse" else "q0.5"
    wide = run.forecasts().pivot(index="unique_id", columns="step", values=column)
    found: Floats = wide.reindex(index=judged.keys).to_numpy(np.float64)
    return found


def singles(judged: Judged, studies: dict[Any, Study]) -> dict[str, Floats]:
    """The forecast [N, H] of every candidate at the scored end, where seasonal naive stands in for it."""
    names = sorted({name for one in studies.values() for name in one.names})
    found = {}
    for name in names:
        rows = []
        for key in judged.keys:
            one = studies.get(key)
            if one is None:
                rows.append(np.full(judged.horizon, np.nan))
                continue
            stand_in = "seasonal_naive" if "seasonal_naive" in one.names else "naive"
            place = one.names.index(name if name in one.names else stand_in)
            rows.append((one.mean if judged.metric == "rmsse" else one.median)[place, -1])
        found[name] = np.array(rows)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}; default all")
    parser.add_argument("--preset", default="balanced", choices=("fast", "balanced", "best"))
    parser.add_argument("--limit", type=int, help="series per set, evenly spaced; default all")
    options = parser.parse_args(argv)
    unknown = set(options.sets) - set(SETS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: no such set; there are {', '.join(SETS)}")
    print(harness.headline(f"The combination and its best single candidate, preset {options.preset}"))
    lines = []
    for name in options.sets or SETS:
        limit = options.limit or (8 if options.quick else None)
        judged = (monthly_judged if name in ("hospital", "carparts") else m4_judged)(name, limit)
        with harness.scratch() as folder:
            mine = ours(judged, accuracy.Options(options.preset, limit, 1, folder))
        sample = Sample(
            name, judged.sample.frame, judged.sample.spec.replace({"learners.preset": options.preset})
        )
        alone = singles(judged, {key[0]: one for key, one in study(sample)})
        table = judged.table({f"many-models, {options.preset}": mine, **alone})
        table = pd.concat([table.iloc[:1], table.iloc[1:].sort_values(judged.metric)], ignore_index=True)
        print(f"### {name}\n\n{harness.markdown(table)}", flush=True)
        best = table.iloc[1]
        ratio, error = (
            table[judged.metric][0] / best[judged.metric],
            best["difference_se"] / best[judged.metric],
        )
        lines.append(
            Target(
                f"{name}, {options.preset}: {judged.metric.upper()} over that of the best alone, "
                f"{best['forecast']}" + ("" if limit is None else f" ({limit} series)"),
                f"≤ {1 + WORSE}",
                f"{ratio:.3f} ± {error:.3f}",
                bool(ratio <= 1 + WORSE),
            )
        )
    harness.finish(lines, options.json)


if __name__ == "__main__":
    main()
