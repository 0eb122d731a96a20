"""Figures of a run, drawn with matplotlib's own objects: no pyplot, no global state, any thread.

The figures go into the page as SVG images, so that they stay sharp and small.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2937"
MUTED = "#9ca3af"
BACKTEST = "#2563eb"
FORECAST = "#d9630d"
NAIVE = "#dc2626"

ENSEMBLE = "ensemble"
"""The candidate in `backtest/` that stands for what is served."""

MOST_POINTS = 400
"""Points of history in one plot: more are thinner than a pixel."""


def plot_series(
    history: pd.DataFrame | None,
    backtest: pd.DataFrame,
    forecasts: pd.DataFrame,
    title: str = "",
    *,
    time: str,
) -> Figure:
    """One series: its actual values, the backtest of each fold, and the forecast with its intervals.

    Parameters
    ----------
    history
        Rows with the time column and `actual`; None: only what the backtest holds is drawn.
    backtest
        The rows of this series in `backtest/`; may be empty. Of its candidates the ensemble is drawn.
    forecasts
        The rows of this series in `forecasts/`; may be empty.
    title
        Drawn as it stands (a `$` begins no formula).
    time
        Name of the time column in all three frames.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that belongs to nobody else: `savefig` it, or show it in a notebook.
    """
    figure, axes = _canvas((9.0, 3.6), top_inches=0.55)
    _draw_series(axes, history, backtest, forecasts, time)
    axes.set_title(title, loc="left", fontsize=10, color=INK, pad=22, parse_math=False)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(-0.01, 1.0),
            fontsize=7.5,
            frameon=False,
            ncols=len(handles),
        )
    return figure


def thumbnail(backtest: pd.DataFrame, forecasts: pd.DataFrame, *, time: str) -> Figure:
    """One series as in `plot_series`, small and without words, for a page that shows many."""
    figure, axes = _canvas((6.4, 2.2))
    _draw_series(axes, None, backtest, forecasts, time)
    return figure


def plot_distribution(
    values: npt.ArrayLike,
    *,
    mark: float | None = None,
    mark_label: str = "",
    percent: bool = False,
) -> Figure:
    """How many series have which value; the few beyond the 1st and 99th percentile stand at the edges.

    Parameters
    ----------
    values : [N]
        One value per series; those that are not finite are left out.
    mark
        A value to draw a line at, named `mark_label`.
    percent
        Whether the axis shows percent.
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure, axes = _canvas((4.6, 2.2), top_inches=0.25)
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if numbers.size:
        low, high = np.percentile(numbers, [1.0, 99.0])
        shown = np.clip(numbers, low, high)
        bins = int(np.clip(np.sqrt(numbers.size) * 1.5, 5, 40))
        axes.hist(shown, bins=bins, color=BACKTEST, alpha=0.75, edgecolor="white", linewidth=0.4)
        middle = float(np.clip(np.median(numbers), low, high))
        axes.axvline(middle, color=INK, linewidth=1.2, label="median")
        if mark is not None and low <= mark <= high:
            axes.axvline(mark, color=NAIVE, linewidth=1.2, linestyle="--", label=mark_label)
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.02, 0.97), fontsize=7, frameon=False, ncols=2, borderpad=0
        )
    if percent:
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_ylabel("series", fontsize=8, color=INK)
    return figure


def image_uri(figure: Figure) -> str:
    """The figure as the data URI of an SVG image; the same figure gives the same text."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "many-models"}), warnings.catch_warnings():
        # A glyph that our font lacks is drawn by the browser's font.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _canvas(size: tuple[float, float], top_inches: float = 0.1) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    # Margins in inches, the same in all figures: a layout engine doubles the time of a plot.
    width, height = size
    left, right, bottom = 0.62, 0.12, 0.38
    figure = Figure(figsize=size)
    axes = figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top_inches) / height)
    )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(labelsize=7, colors=INK, color=MUTED)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _plain_time(column: pd.Series) -> npt.NDArray[Any]:
    """The time column as matplotlib takes it: integers, or local wall-clock stamps without a zone."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_localize(None)
    return column.to_numpy()


def _actuals(history: pd.DataFrame | None, backtest: pd.DataFrame, time: str) -> pd.DataFrame:
    source = backtest if history is None else history
    known = source.loc[source["actual"].notna(), [time, "actual"]] if len(source) else source
    return known.drop_duplicates(time).sort_values(time).tail(MOST_POINTS) if len(known) else known


def _draw_series(
    axes: Axes, history: pd.DataFrame | None, backtest: pd.DataFrame, forecasts: pd.DataFrame, time: str
) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    served = backtest[backtest["candidate"] == ENSEMBLE]
    _draw_actuals(axes, _actuals(history, served, time), time)
    _draw_backtest(axes, served, time)
    _draw_forecast(axes, forecasts, time)
    locator = axes.xaxis.get_major_locator()
    if isinstance(locator, AutoDateLocator):
        # The formatter's offset, at the right below the labels, names the year.
        axes.xaxis.get_offset_text().set_fontsize(7)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _draw_actuals(axes: Axes, actuals: pd.DataFrame, time: str) -> None:
    if not len(actuals):
        return
    y = actuals["actual"].to_numpy(dtype=np.float64)
    many = len(actuals) > 80
    marker = "" if many else "o"
    when = _plain_time(actuals[time])
    axes.plot(when, y, color=INK, linewidth=1.0, label="actual", marker=marker, markersize=2.2)


def _draw_backtest(axes: Axes, backtest: pd.DataFrame, time: str) -> None:
    label: str | None = "backtest, median"
    for _, rows in backtest.groupby("fold", sort=True):
        ordered = rows.sort_values("step")
        when = _plain_time(ordered[time])
        _draw_bands(axes, when, ordered, BACKTEST, faint=True)
        median = ordered["q0.5"].to_numpy(dtype=np.float64)
        axes.plot(when, median, color=BACKTEST, linewidth=1.1, alpha=0.85, label=label)
        label = None


def _draw_forecast(axes: Axes, forecasts: pd.DataFrame, time: str) -> None:
    ordered = forecasts.sort_values("step")
    ordered = ordered[ordered["mean"].notna()]
    if not len(ordered):
        return
    when = _plain_time(ordered[time])
    _draw_bands(axes, when, ordered, FORECAST, faint=False)
    marker = "o" if len(ordered) <= 40 else ""
    median = ordered["q0.5"].to_numpy(dtype=np.float64)
    mean = ordered["mean"].to_numpy(dtype=np.float64)
    axes.plot(
        when, median, color=FORECAST, linewidth=1.5, label="forecast, median", marker=marker, markersize=2.6
    )
    if not np.allclose(mean, median, rtol=1e-3):
        axes.plot(when, mean, color=FORECAST, linewidth=1.0, linestyle=":", label="forecast, mean")
    axes.axvline(when[0], color=MUTED, linewidth=0.8, linestyle=":")


def _draw_bands(axes: Axes, when: npt.NDArray[Any], rows: pd.DataFrame, color: str, *, faint: bool) -> None:
    for low, high, level in interval_columns(rows.columns):
        bottom, top = (rows[name].to_numpy(dtype=np.float64) for name in (low, high))
        label = None if faint else f"{level:.0%} interval"
        alpha = 0.10 if faint else 0.22
        axes.fill_between(when, bottom, top, color=color, alpha=alpha, linewidth=0, label=label)


def interval_columns(columns: pd.Index) -> list[tuple[str, str, float]]:
    """The quantile columns that pair up as central intervals, widest first: (low, high, nominal level)."""
    levels: dict[float, str] = {}
    for name in map(str, columns):
        try:
            levels[float(name.removeprefix("q"))] = name
        except ValueError:
            continue
    levels = {level: name for level, name in levels.items() if name.startswith("q") and 0 < level < 1}
    pairs = []
    for low in sorted(level for level in levels if level < 0.5):
        high = next((level for level in levels if abs(level + low - 1.0) < 1e-9), None)
        if high is not None:
            pairs.append((levels[low], levels[high], high - low))
    return pairs


def plot_errors(by_step: Sequence[Mapping[str, Any]], by_age: Sequence[Mapping[str, Any]]) -> Figure:
    """Errors on newer data relative to those of the folds: by step, and by the age of the models.

    Parameters
    ----------
    by_step, by_age
        Records with `step` or `age`, `relative_error`, `bias` and `coverage`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for place, (records, name, label) in enumerate(
        ((by_step, "step", "step"), (by_age, "age", "periods since it was trained")), start=1
    ):
        axes = figure.add_subplot(1, 2, place)
        x = [record[name] for record in records]
        y = [np.nan if record["relative_error"] is None else record["relative_error"] for record in records]
        axes.plot(x, y, color=FORECAST, marker="o", markersize=4)
        axes.axhline(1.0, color=MUTED, linewidth=1)
        axes.set_xlabel(label)
        axes.set_ylabel("error / error in the folds")
        axes.set_ylim(bottom=0)
    return figure
