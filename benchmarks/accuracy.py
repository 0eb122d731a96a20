"""How good the forecasts are, on real sets, beside naive anchors and with paired bootstrap errors.

    python benchmarks/accuracy.py [SET ...] [--preset NAME] [--limit N] [--origins N] [--quick]

Sets: yearly, quarterly, weekly, hourly (M4: OWA of q0.5 on the official test values), orange_juice (WAPE of
q0.5 over origins eight weeks apart, the future prices and promotions handed in), hospital (MASE of q0.5),
carparts (root mean squared scaled error of the mean over all series, beside an all-zero forecast's),
nyc_energy (one long hourly series, origins two days apart), nyc_energy_week (a week ahead, with the weather
and without). Beside every score stands the coverage of the 80 % interval. Nothing of the scored values is
seen in training: past days are replayed with `cutoff`.

The errors are a paired bootstrap over series: `difference` is from the first row, and its error is the
error of the difference. With `--limit` an evenly spaced subset of the series is used.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scores
import yaml
from anchors import FOUR, SPARSE, anchored
from harness import Target

from many_models import ForecastSpec, train
from many_models.metrics import mase, mase_scale, rmsse, rmsse_scale
from many_models.runs.run import Run

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]

WORKERS = 2
ANCHOR = "median of four"
LEVELS = [0.025, 0.1, 0.5, 0.9, 0.975]
REFERENCE_OWA = {"yearly": "0.778, 0.768", "quarterly": "0.847, 0.805", "weekly": "0.851, 0.743",
                 "hourly": "0.440, 0.400"}  # fmt: skip
"""OWA of the competition's winner on the full frequency, and of the rule the design was measured with."""
REACH_OWA = {"yearly": 0.765, "quarterly": 0.805, "weekly": 0.730, "hourly": 0.400}
ORANGE_JUICE_WAPE = 0.49


@dataclass(frozen=True)
class Options:
    """What to run.

    Attributes
    ----------
    limit
        Series per set, evenly spaced; None is all.
    origins
        Replayed days, where a set has several.
    settings
        Further settings at dotted paths.
    anchor_limit
        Seconds for one fit of the four models compared with; None does without them.
    """

    preset: str
    limit: int | None
    origins: int
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    anchor_limit: float | None = None


@dataclass
class Outcome:
    """What a set gave: its table of scores, remarks, targets, and the runs behind it."""

    table: pd.DataFrame
    remarks: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)


def trained(
    frame: pd.DataFrame, spec: ForecastSpec, options: Options, cutoff: pd.Timestamp | None = None
) -> Run:
    """A finished run on the local engine."""
    spec = spec.replace(
        {
            "learners.preset": options.preset,
            "engine.workers": WORKERS,
            "forecast.quantiles": LEVELS,
            **options.settings,
        }
    )
    number = len(list(options.folder.iterdir()))
    target = options.folder / f"run-{number}"
    return train(frame, spec, run_dir=target, cutoff=None if cutoff is None else str(cutoff))


def plain_spec(series: list[str], time: str, target: str, horizon: int, frequency: str) -> ForecastSpec:
    """A configuration with nothing but the names of the columns."""
    return ForecastSpec.from_dict(
        {
            "name": "benchmark",
            "data": {"time": time, "target": target, "series": series, "frequency": frequency},
            "forecast": {"horizon": horizon},
        }
    )


# ------------------------------------------------------------------------------- intervals


def inside(forecasts: pd.DataFrame, actual: pd.DataFrame, on: list[str], target: str) -> dict[str, float]:
    """Shares of actual values within the 80 and 95 % intervals, below and above the former, in percent."""
    columns = ["q0.025", "q0.1", "q0.5", "q0.9", "q0.975"]
    rows = actual[[*on, target]].dropna().merge(forecasts[[*on, *columns]].dropna(), on=on)
    y, lowest, low, middle, high, highest = (rows[c].to_numpy(np.float64) for c in (target, *columns))
    # A value equal to the median is half below it: counts and zeros often are.
    under = (y < middle).mean() + 0.5 * (y == middle).mean()
    return {
        "in 80 % interval": 100 * float(((y >= low) & (y <= high)).mean()),
        "in 95 %": 100 * float(((y >= lowest) & (y <= highest)).mean()),
        "below": 100 * float((y < low).mean()),
        "above": 100 * float((y > high).mean()),
        "below median": 100 * float(under),
    }


def coverage_by_lead(forecasts: pd.DataFrame, actual: pd.DataFrame, on: list[str], target: str) -> str:
    """Coverage of the 80 % interval in the first, middle and last third of the horizon."""
    rows = actual[[*on, target]].dropna()
    joined = rows.merge(forecasts.loc[:, list(dict.fromkeys([*on, "step", "q0.1", "q0.9"]))], on=on)
    hit = (joined[target] >= joined["q0.1"]) & (joined[target] <= joined["q0.9"])
    third = np.minimum(2, 3 * (joined["step"] - 1) // joined["step"].max())
    shares = hit.groupby(third).mean()
    return "coverage by third of the horizon: " + ", ".join(f"{100 * s:.0f} %" for s in shares)


# ---------------------------------------------------------------------------------- M4


def m4_set(name: str, options: Options) -> Outcome:
    """OWA of q0.5 on the official test values; Naive2 and our own seasonal naive beside it."""
    about = scores.M4[name]
    train_rows, test, naive2 = scores.m4(name)
    rows = harness.some_series(train_rows, ["unique_id"], options.limit)
    run = trained(rows, plain_spec(["unique_id"], "t", "y", about.horizon, about.frequency), options)
    forecasts = run.forecasts()
    chosen = forecasts["unique_id"].unique()
    mean = forecasts.assign(**{"q0.5": forecasts["mean"]})
    naive2 = naive2[naive2["unique_id"].isin(chosen)]
    answers = {
        f"many-models, {options.preset}": forecasts,
        "its mean instead of q0.5": mean,
        "Naive2": naive2,
    }
    told = []
    if options.anchor_limit is not None:
        others, remark = four_models(rows, about, options.anchor_limit)
        answers, told = {**answers, **others}, [remark]
    table = scores.owa_table(answers, name, ANCHOR if told else None)
    table["not_forecast"] -= test["unique_id"].nunique() - len(chosen)
    test = test[test["unique_id"].isin(chosen)]
    on = ["unique_id", "step"]
    table = table.reset_index().join(pd.DataFrame([inside(forecasts, test, on, "y")]))
    reference = f"OWA of the competition's winner (full set) and of the design's rule: {REFERENCE_OWA[name]}"
    remarks = [
        reference,
        coverage_by_lead(forecasts, test, on, "y"),
        bias_text(forecasts, test, on, "y"),
        *told,
    ]
    value = float(table["owa"].iloc[0])
    low = float(table["in 80 % interval"].iloc[0])
    lines = [
        Target(
            f"M4 {name}, {options.preset}: OWA",
            f"≤ {REACH_OWA[name]}",
            f"{value:.3f} ± {table['owa_se'].iloc[0]:.3f}",
            value <= REACH_OWA[name],
        ),
        Target(f"M4 {name}, {options.preset}: coverage of 80 %", "78–83 %", f"{low:.0f} %", 77 <= low <= 84),
    ]
    return Outcome(table, remarks, lines, [run])


def four_models(rows: pd.DataFrame, about: scores.M4Set, limit: float) -> tuple[dict[str, pd.DataFrame], str]:
    """The four models alone and their median, as `unique_id`, `step`, `q0.5`; and what they cost."""
    groups = {name: part["y"].to_numpy(np.float64) for name, part in rows.groupby("unique_id")}
    found = anchored(list(groups.values()), about.season, about.horizon, FOUR, limit)
    answers = {}
    for label, wide in {ANCHOR: found.median(), **found.forecasts}.items():
        frame = pd.DataFrame(
            wide, index=pd.Index(groups, name="unique_id"), columns=range(1, about.horizon + 1)
        )
        # A model that gave up on a series is shown by the median alone.
        if label == ANCHOR or np.isfinite(wide).all():
            answers[label] = frame.melt(ignore_index=False, var_name="step", value_name="q0.5").reset_index()
    return answers, found.remark


def bias_text(forecasts: pd.DataFrame, actual: pd.DataFrame, on: list[str], target: str) -> str:
    """Sum of forecasts over sum of actuals, minus one, of the mean and of the median."""
    rows = actual[[*on, target]].dropna().merge(forecasts[[*on, "mean", "q0.5"]].dropna(), on=on)
    total = rows[target].sum()
    return (
        f"sum of forecasts over sum of actuals: mean {100 * (rows['mean'].sum() / total - 1):+.1f} %, "
        f"q0.5 {100 * (rows['q0.5'].sum() / total - 1):+.1f} %"
    )


# -------------------------------------------------------------------------- orange juice


def orange_juice(options: Options) -> Outcome:
    """WAPE of q0.5 over several origins, each replayed with `cutoff`, the future prices handed in."""
    keys, time, target = ["Store", "Brand"], "WeekStarting", "Quantity"
    frame = harness.some_series(scores.orange_juice(), keys, options.limit)
    spec = ForecastSpec.from_yaml(harness.CONFIGS / "orange_juice.yaml")
    horizon = spec.forecast.horizon
    forecasts: dict[str, list[pd.DataFrame]] = {}
    by_origin, tables, runs = [], {}, []
    for cutoff in scores.cutoffs(frame[time], horizon, options.origins, step=8):
        run = trained(frame, spec, options, cutoff)
        runs.append(run)
        ahead = frame[(frame[time] > cutoff) & (frame[time] <= cutoff + pd.Timedelta(weeks=horizon))]
        future = ahead[[*keys, time, *spec.data.known]]
        past = frame[frame[time] <= cutoff]
        answers = {
            f"many-models, {options.preset}": run.models().forecast(future=future),
            "without future prices (stand-by)": run.forecasts(),
            "median of the history": anchor(past, ahead, keys, time, target, "median"),
            "last value": anchor(past, ahead, keys, time, target, "last"),
        }
        for label, answer in answers.items():
            kept = answer.assign(cutoff=cutoff)
            forecasts.setdefault(label, []).append(kept)
        first = {label: parts[-1] for label, parts in forecasts.items()}
        tables[cutoff] = scores.wape_table(first, frame, keys, time, target)
        wape, error = tables[cutoff][["wape", "wape_se"]].iloc[0]
        by_origin.append(f"{cutoff:%Y-%m-%d} {wape:.3f} ± {error:.3f}")
    together = {label: pd.concat(parts) for label, parts in forecasts.items()}
    table = scores.wape_table(together, frame, keys, time, target).reset_index()
    ours = next(iter(together.values()))
    on = [*keys, time]
    table = table.join(pd.DataFrame([inside(ours, frame, on, target)]))
    value = float(table["wape"].iloc[0])
    low = float(table["in 80 % interval"].iloc[0])
    fallback = ours["reason"].value_counts().to_dict()
    last = tables[max(tables)].iloc[0]
    remarks = [
        "WAPE by origin: " + ", ".join(by_origin),
        f"the last {horizon} weeks alone: {last['wape']:.3f} ± {last['wape_se']:.3f}",
        coverage_by_lead(ours, frame, on, target),
        bias_text(ours, frame, on, target),
        f"reasons among {len(ours)} rows: {fallback or 'none'}",
    ]
    lines = [
        Target(
            f"orange juice, {options.preset}: WAPE of q0.5, {options.origins} origins",
            f"< {ORANGE_JUICE_WAPE}",
            f"{value:.3f} ± {table['wape_se'].iloc[0]:.3f}",
            value < ORANGE_JUICE_WAPE,
        ),
        Target(
            f"orange juice, {options.preset}: coverage of 80 %", "78–83 %", f"{low:.0f} %", 77 <= low <= 84
        ),
    ]
    return Outcome(table, remarks, lines, runs)


def anchor(
    past: pd.DataFrame, ahead: pd.DataFrame, keys: list[str], time: str, target: str, how: str
) -> pd.DataFrame:
    """The median or the last value of each series' history, at every row of `ahead`."""
    value = past.dropna(subset=[target]).sort_values(time).groupby(keys)[target].agg(how).rename("q0.5")
    return ahead[[*keys, time]].merge(value.reset_index(), on=keys)


# ------------------------------------------------------------------ monthly sets with dates


def hospital(options: Options) -> Outcome:
    """MASE of q0.5 over the last twelve months."""
    wide = monthly(scores.hospital(), options.limit)
    run, ours, actual, history = last_months(wide, 12, options)
    scale = mase_scale(history, 12)
    answers = {
        f"many-models, {options.preset}": ours["q0.5"],
        "seasonal naive": history[:, -12:],
        "mean of 24": np.repeat(history[:, -24:].mean(axis=1, keepdims=True), 12, axis=1),
    }
    told = []
    if options.anchor_limit is not None:
        found = anchored(list(history), 12, 12, FOUR, options.anchor_limit)
        answers, told = {**answers, ANCHOR: found.median(), **found.forecasts}, [found.remark]
    table = paired(
        {k: mase(actual, v, scale)[:, None] for k, v in answers.items()}, "mase", lambda m: m[..., 0]
    )
    outcome = monthly_outcome("hospital", table, "mase", run, wide, options)
    outcome.remarks.extend(told)
    return outcome


def carparts(options: Options) -> Outcome:
    """Root mean squared scaled error of the mean over the last six months, and the 6-month total.

    The root is taken once, over all series: taken series by series it would hand the prize to the
    all-zero forecast, which is perfect wherever nothing was sold.
    """
    wide = monthly(scores.carparts(), options.limit)
    run, ours, actual, history = last_months(wide, 6, options)
    scale = rmsse_scale(history)
    flat = np.nanmean(history[:, -12:], axis=1, keepdims=True)
    answers = {
        f"many-models, {options.preset}": ours["mean"],
        "all zero": np.zeros_like(actual),
        "mean of 12": np.repeat(np.nan_to_num(flat), 6, axis=1),
    }
    if options.anchor_limit is not None:
        known = [row[np.isfinite(row)] for row in history]
        answers |= anchored(known, 1, 6, SPARSE, options.anchor_limit).forecasts
    table = paired(
        {k: rmsse(actual, v, scale)[:, None] ** 2 for k, v in answers.items()},
        "rmsse",
        lambda m: np.sqrt(m[..., 0]),
        anchor="mean of 12",
    )
    both = np.isfinite(actual).all(axis=1)
    totals = {
        k: np.where(both, (v.sum(axis=1) - actual.sum(axis=1)) / scale, np.nan) for k, v in answers.items()
    }
    table["6-month total, rmsse"] = [float(np.sqrt(np.nanmean(v[scale > 0] ** 2))) for v in totals.values()]
    table["6-month total, % off"] = [
        100 * (np.nansum(v) / np.nansum(actual) - 1) if k else np.nan for k, v in answers.items()
    ]
    return monthly_outcome("carparts", table, "rmsse", run, wide, options)


def monthly(frame: pd.DataFrame, limit: int | None) -> pd.DataFrame:
    """Series by rows, months by columns."""
    return harness.some_series(frame, ["unique_id"], limit).pivot(index="unique_id", columns="ds", values="y")


def last_months(
    wide: pd.DataFrame, horizon: int, options: Options
) -> tuple[Run, dict[str, Floats], Floats, Floats]:
    """A run that was trained without the last months: forecasts [N, H], actual [N, H], history [N, T]."""
    rows = wide.melt(ignore_index=False, value_name="y").reset_index()
    spec = plain_spec(["unique_id"], "ds", "y", horizon, "auto").replace({"forecast.origin": "panel"})
    run = trained(rows, spec, options, wide.columns[-horizon - 1])
    forecasts = run.forecasts()
    ours = {}
    for column in ("mean", "q0.5"):
        found = forecasts.pivot(index="unique_id", columns="ds", values=column)
        ours[column] = found.reindex(index=wide.index, columns=wide.columns[-horizon:]).to_numpy(np.float64)
    values = wide.to_numpy(np.float64)
    return run, ours, values[:, -horizon:], values[:, :-horizon]


def monthly_outcome(
    name: str, table: pd.DataFrame, metric: str, run: Run, wide: pd.DataFrame, options: Options
) -> Outcome:
    """The table with coverage, and the targets."""
    forecasts = run.forecasts()
    actual = wide.melt(ignore_index=False, value_name="y").reset_index()
    on = ["unique_id", "ds"]
    table = table.join(pd.DataFrame([inside(forecasts, actual, on, "y")]))
    low = float(table["in 80 % interval"].iloc[0])
    value, error = float(table[metric].iloc[0]), float(table[f"{metric}_se"].iloc[0])
    remarks = [coverage_by_lead(forecasts, actual, on, "y"), bias_text(forecasts, actual, on, "y")]
    lines = [
        Target(f"{name}, {options.preset}: {metric.upper()}", "–", f"{value:.3f} ± {error:.3f}", None),
        Target(f"{name}, {options.preset}: coverage of 80 %", "–", f"{low:.0f} %", None),
    ]
    return Outcome(table, remarks, lines, [run])


def paired(values: dict[str, Floats], name: str, statistic: Statistic, anchor: str = ANCHOR) -> pd.DataFrame:
    """Scores of several forecasts on the series that all have, with paired errors; values are [N, C]."""
    stacked = np.stack(list(values.values()))
    shared = np.isfinite(stacked).all(axis=(0, 2))
    row = None if anchor not in values else list(values).index(anchor)
    return pd.DataFrame(
        {
            "forecast": list(values),
            **scores.bootstrap(stacked[:, shared], statistic).columns(name, row),
            "series": int(shared.sum()),
            "left out": int((~shared).sum()),
        }
    )


# --------------------------------------------------------------------------- one long series


def nyc_energy(options: Options) -> Outcome:
    """MASE of q0.5 over origins two days apart, with the weather known; seasonal naives beside it."""
    outcome = hourly_energy(options, ForecastSpec.from_yaml(harness.CONFIGS / "nyc_energy.yaml"))
    outcome.targets.append(
        Target(
            f"nyc_energy, {options.preset}: MASE, {len(outcome.runs)} origins",
            "–",
            f"{outcome.table['mase'].iloc[0]:.3f}",
            None,
        )
    )
    return outcome


def nyc_energy_week(options: Options) -> Outcome:
    """MASE of q0.5 a week ahead, origins a week apart, with the weather that came and without any."""
    spec = ForecastSpec.from_yaml(harness.CONFIGS / "nyc_energy.yaml").replace({"forecast.horizon": 168})
    known = hourly_energy(options, spec)
    bare = hourly_energy(options, spec.replace({"data.known": []}))
    mean = known.table["mase"]
    naive = mean.iloc[1:].min()
    below = 1 - mean.iloc[0] / naive
    without = bare.table["mase"].iloc[0]
    known.remarks.append(
        f"without any weather: {without:.3f}, {1 - without / naive:.0%} below seasonal naive"
    )
    known.targets.append(
        Target(
            f"nyc_energy, {options.preset}, 168 hours: MASE below seasonal naive's",
            "≥ 25 %",
            f"{below:.0%}",
            bool(below >= 0.25),
        )
    )
    return replace(known, runs=[*known.runs, *bare.runs])


def hourly_energy(options: Options, spec: ForecastSpec) -> Outcome:
    """MASE of q0.5 over origins a horizon apart; of seasonal naive, with a day and with a week, too."""
    time, target = "timeStamp", "demand"
    frame = scores.nyc_energy().sort_values(time, ignore_index=True)
    horizon = spec.forecast.horizon
    seen = frame.loc[frame[target].notna()].drop_duplicates(time)
    y = seen.set_index(time)[target].asfreq("h")
    values: dict[str, list[Floats]] = {}
    ours, runs, unscored = [], [], 0
    for cutoff in scores.cutoffs(seen[time], horizon, options.origins, step=horizon):
        run = trained(frame, spec, options, cutoff)
        runs.append(run)
        stamps = pd.date_range(cutoff, periods=horizon + 1, freq="h")[1:]
        rows = frame[frame[time].isin(stamps)].drop_duplicates(time)
        answer = run.models().forecast(future=rows[[time, *spec.data.known]])
        ours.append(answer)
        history = y[y.index <= cutoff].to_numpy()
        scale = mase_scale(history, 24)
        actual = y.reindex(stamps).to_numpy()
        answers = {
            f"many-models, {options.preset}": answer.set_index(time)["q0.5"].reindex(stamps).to_numpy(),
            "a day before": np.resize(history[-24:], horizon),
            "a week before": np.resize(history[-168:], horizon),
        }
        # An hour that the data lack, ahead or in what seasonal naive repeats, is scored for none.
        scored = np.isfinite([actual, *answers.values()]).all(axis=0)
        unscored += int((~scored).sum())
        for label, forecast in answers.items():
            values.setdefault(label, []).append(np.atleast_1d(mase(actual[scored], forecast[scored], scale)))
    table = paired({k: np.stack(v) for k, v in values.items()}, "mase", lambda m: m[..., 0])
    table = table.rename(columns={"series": "origins"})
    together = pd.concat(ours)
    table = table.join(pd.DataFrame([inside(together, frame, [time], target)]))
    remarks = [
        f"{unscored} hours not scored: the data lack them, ahead or in what seasonal naive repeats",
        coverage_by_lead(together, frame, [time], target),
        bias_text(together, frame, [time], target),
        "seconds per origin: " + ", ".join(f"{run.summary['seconds']:.0f}" for run in runs),
        f"reasons: {together['reason'].value_counts().to_dict() or 'none'}",
    ]
    return Outcome(table, remarks, [], runs)


# ------------------------------------------------------------------------------ printing


SETS: dict[str, Callable[[Options], Outcome]] = {
    "yearly": lambda options: m4_set("yearly", options),
    "quarterly": lambda options: m4_set("quarterly", options),
    "weekly": lambda options: m4_set("weekly", options),
    "hourly": lambda options: m4_set("hourly", options),
    "orange_juice": orange_juice,
    "hospital": hospital,
    "carparts": carparts,
    "nyc_energy": nyc_energy,
    "nyc_energy_week": nyc_energy_week,
}
QUICK = {"yearly": 24, "quarterly": 16, "weekly": 8, "hourly": 8, "orange_juice": 8, "hospital": 16,
         "carparts": 24, "nyc_energy": None, "nyc_energy_week": None}  # fmt: skip


def candidates(runs: list[Run]) -> pd.DataFrame:
    """The candidates over all series: how good, how often used, how often failed and why."""
    board = pd.concat([pd.read_parquet(run.directory / "leaderboard") for run in runs], ignore_index=True)
    keys = runs[0].key_columns
    board["run"] = np.repeat(np.arange(len(runs)), [len(_board(run)) for run in runs])
    on = ["run", *keys]
    ensemble = board.loc[board["candidate"] == "ensemble", [*on, "score"]]
    rest = board[board["candidate"] != "ensemble"].merge(ensemble, on=on, suffixes=("", "_ensemble"))
    with np.errstate(all="ignore"):
        ratio = rest["score"] / rest["score_ensemble"]
        rest["log"] = np.log(ratio.where((ratio > 0) & np.isfinite(ratio)))
    rows = []
    for name, part in rest.groupby("candidate"):
        codes = part["error_code"].dropna().value_counts()
        rows.append(
            {
                "candidate": name,
                "series": len(part),
                "score / ensemble's": float(np.exp(part["log"].mean())),
                "mean weight": float(part["weight"].mean()),
                "used %": 100 * float((part["weight"] > 0).mean()),
                "failed on a fold": int(part["error_code"].notna().sum()),
                "failed on all": int((part["status"] != "OK").sum()),
                "codes": ", ".join(f"{code} {n}" for code, n in codes.items()) or "–",
            }
        )
    return pd.DataFrame(rows).sort_values("score / ensemble's", ignore_index=True)


def _board(run: Run) -> pd.DataFrame:
    return pd.read_parquet(run.directory / "leaderboard", columns=["candidate"])


def accounts(runs: list[Run]) -> str:
    """Outcomes, reasons, skill in the folds and coverage in the folds, over all runs."""
    results = pd.concat([run.results() for run in runs])
    outcomes = results["status"].value_counts().to_dict()
    reasons = results["reason"].value_counts().to_dict()
    summary = runs[-1].summary
    seconds = sum(run.summary["seconds"] for run in runs)
    return (
        f"{len(results)} results {outcomes}, reasons {reasons or 'none'}; "
        f"in the folds: skill {summary['skill']}, bias {summary['bias']}, "
        f"coverage {summary['coverage']}; {seconds:.0f} s on {WORKERS} workers, "
        f"{results['seconds'].mean():.2f} s per series"
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}; default all")
    parser.add_argument("--preset", default="balanced", choices=("fast", "balanced", "best"))
    parser.add_argument("--limit", type=int, help="series per set, evenly spaced; default all")
    parser.add_argument(
        "--anchor",
        type=float,
        metavar="SECONDS",
        help="also the four models of statsforecast and their median, so many seconds for one fit at most",
    )
    parser.add_argument("--origins", type=int, default=5, help="replayed days, where a set has several")
    parser.add_argument("--candidates", action="store_true", help="also every candidate's share and failures")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting, such as features.lags=off"
    )
    options = parser.parse_args(argv)
    unknown = set(options.sets) - set(SETS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: no such set; there are {', '.join(SETS)}")
    settings = {name: yaml.safe_load(value) for name, _, value in (s.partition("=") for s in options.set)}
    shown = "".join(f", {name}: {value}" for name, value in settings.items())
    print(harness.headline(f"Accuracy, preset {options.preset}{shown}"), flush=True)
    lines: list[Target] = []
    for name in options.sets or SETS:
        with harness.scratch() as folder:
            limit = options.limit or (QUICK[name] if options.quick else None)
            limit = None if name.startswith("nyc_energy") else limit
            origins = min(options.origins, 2) if options.quick else options.origins
            outcome = SETS[name](Options(options.preset, limit, origins, folder, settings, options.anchor))
            lines += show(name, outcome, limit, options.candidates)
    harness.finish(lines, options.json)


def show(name: str, outcome: Outcome, limit: int | None, with_candidates: bool) -> list[Target]:
    """Prints what a set gave; its targets, which say so where a subset was scored."""
    print(f"### {name}\n\n{harness.markdown(outcome.table)}")
    for remark in [*outcome.remarks, accounts(outcome.runs)]:
        print(f"- {remark}")
    print(flush=True)
    if with_candidates:
        print(harness.markdown(candidates(outcome.runs)), flush=True)
    if limit is None:
        return outcome.targets
    return [replace(t, what=f"{t.what} ({limit} series)") for t in outcome.targets]


if __name__ == "__main__":
    main()
