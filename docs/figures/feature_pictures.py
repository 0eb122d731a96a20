"""One picture per feature family: the rows and times that it reads.

    python docs/figures/feature_pictures.py [FOLDER]

What is coloured is measured, not drawn by hand: the columns of one row are computed again and again, each
time with a single value changed (a target, a covariate, a sibling's price, the date of a row, a day that is
a holiday), and the values that change the row are those that it reads. Writes PNG files, by default to
`docs/figures/features`; no picture is written in which a row reads the target past its cutoff.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path as MplPath
from matplotlib.textpath import TextPath
from PIL import Image

from many_models.engines.reading import canonical_table, read_table
from many_models.features import calendar as calendar_family
from many_models.features import holidays as holiday_family
from many_models.features.base import Family, Wishes
from many_models.features.calendar import Calendar, Dates
from many_models.features.context import Context
from many_models.features.covariates import Covariates
from many_models.features.events import Events
from many_models.features.fourier import Fourier
from many_models.features.group import Group
from many_models.features.holidays import DAY_US, Holidays
from many_models.features.lags import Lags
from many_models.features.past import Past
from many_models.features.recent import Recent
from many_models.features.rows import Rows
from many_models.features.settings import CovariateSettings, FeatureSettings, WindowSettings
from many_models.features.stl import Stl
from many_models.features.windows import Windows
from many_models.learners.target import Level, stated_level
from many_models.panel.context import context_columns
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Covariate, Future, Series
from many_models.spec import DataSpec

FOLDER = Path(__file__).parent / "features"

# ------------------------------------------------------------------------------------------ what is read


def series_of(alias: str, length: int, until: str, **columns: Any) -> Series:
    """A series of positive values whose last period starts at `until`."""
    grid = Grid(Frequency.parse(alias), None, 0, "start")
    end = int(grid.ordinals(np.array([moment(until)]))[0])
    draws = np.random.default_rng(1)
    y = 20.0 + 4.0 * np.sin(np.arange(length) * 2 * np.pi / 7) + draws.normal(0.0, 1.0, length)
    empty = np.empty((length, 0))
    given = {"known_x": empty, "past_x": empty, "known": (), "past": ()} | columns
    return Series(grid, end - length + 1, y, np.ones(length, bool), static_x=np.empty(0), **given)


def moment(text: str) -> int:
    """Microseconds since 1970."""
    return int(np.datetime64(text, "us").astype(np.int64))


def forecast_rows(series: Series, steps: int, known: Any = None) -> Rows:
    """The rows of the first `steps` of a forecast, with everything that the history holds."""
    table = np.empty((steps, series.known_x.shape[1])) if known is None else known
    future = Future(series.grid, series.end + 1 + np.arange(steps), table)
    return Rows.future(future, series.y, series.end, series.known_x, series.past_x)


def decided(family: Any, series: Series, reach: int, season: int = 7, **settings: Any) -> Any:
    """The family as it is decided for this series."""
    found = family.decide(series, Wishes("tree", season, reach, FeatureSettings(**settings)))
    if found is None:
        raise ValueError(f"{family.name} has nothing to say here")
    return found


def changes(build: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
    """How much each column of each row changes with each of `values` [v] -> [n, c, v], per unit."""
    before = build(values)
    found = np.zeros((*before.shape, len(values)))
    for place in range(len(values)):
        for other in (0.0, values[place] * 3.0, values[place] - 100.0, values[place] + 100.0):
            changed = values.copy()
            changed[place] = other
            size = np.abs(build(changed) - before) / abs(other - values[place])
            found[..., place] = np.maximum(found[..., place], size)
    return np.where(found > 1e-12, found, 0.0)


def of_target(family: Family, rows: Rows) -> np.ndarray:
    """What each column of each row reads of the target [n, c, T]."""
    found = changes(lambda y: family.build(replace(rows, y=y)), rows.y)
    for row, cutoff in enumerate(rows.cutoff):
        if found[row, :, cutoff + 1 :].any():
            raise AssertionError(f"{family.name} reads the target past the cutoff")
    return found


def of_known(family: Family, rows: Rows, column: int = 0) -> np.ndarray:
    """What each column of each row reads of a known covariate, history and horizon [n, c, L]."""

    def build(values: np.ndarray) -> np.ndarray:
        table = rows.known_table.copy()
        table[:, column] = values
        return family.build(replace(rows, known_table=table, known_x=table[-len(rows) :]))

    return changes(build, rows.known_table[:, column])


def of_past(family: Family, rows: Rows) -> np.ndarray:
    """What each column of each row reads of a past-only covariate [n, c, M]."""
    return changes(lambda x: family.build(replace(rows, past_x=x[:, None])), rows.past_x[:, 0])


def of_dates(family: Family, rows: Rows) -> np.ndarray:
    """Which rows' dates each column of each row reads [n, c, n]: one row's date is moved at a time."""
    before = family.build(rows)
    found = np.zeros((*before.shape, len(rows)))
    for place in range(len(rows)):
        for shift in (1, 2, 3, 17, 200):
            ordinals = rows.ordinals.copy()
            ordinals[place] -= shift
            found[..., place] += np.abs(family.build(replace(rows, ordinals=ordinals)) - before)
    return found


def of_holidays(family: Family, rows: Rows, days: np.ndarray) -> np.ndarray:
    """Which of `days` [d] since 1970 each column of each row would count as a holiday [n, c, d]."""
    found = []
    for day in days:
        with patch.object(holiday_family, "holiday_days", lambda *_, day=day: np.array([day])):
            found.append(family.build(rows))
    return np.stack(found, axis=2)


def of_events(family: Events, rows: Rows, days: np.ndarray) -> np.ndarray:
    """At which of `days` [d] since 1970 an event of a day would be counted [n, c, d]."""
    spans = [((family.dates[0][0], ((int(day) * DAY_US, (int(day) + 1) * DAY_US),)),) for day in days]
    return np.stack([replace(family, dates=dates).build(rows) for dates in spans], axis=2)


def of_stl(series: Series, rows: Rows) -> np.ndarray:
    """What each column of each row reads of the target of the training part [n, c, T]."""

    def build(y: np.ndarray) -> np.ndarray:
        return decided(Stl, replace(series, y=y), 4, 4, stl=True, transform="none").build(rows)

    found = changes(build, series.y)
    for row, (target, cutoff) in enumerate(zip(rows.target, rows.cutoff, strict=True)):
        if found[row, :, cutoff + 1 :].any():
            raise AssertionError(f"stl reads past the cutoff in the row {target}")
    return found


def of_days(family: Calendar, rows: Rows, days: np.ndarray) -> dict[str, np.ndarray]:
    """Which of `days` [d] since 1970 the fields of a single row read, field by field [d]."""
    found = {name: np.zeros(len(days)) for name, _ in family.fields}
    before = family._blocks(Dates(rows))

    def compare(dates: Dates, day: int) -> None:
        for (name, _), old, new in zip(family.fields, before, family._blocks(dates), strict=True):
            found[name][days == day] += float(np.abs(old - new).sum())

    for attribute in ("date", "last"):
        for shift in (-200, -40, -17, -3, 3, 17, 40, 200):
            dates = Dates(rows)
            day = getattr(dates, attribute)
            # The first and the last day come from the grid: one of them is moved at a time.
            dates.__dict__["last"] = dates.last
            dates.__dict__[attribute] = day - np.timedelta64(shift, "D")
            compare(dates, int(day.astype(np.int64)[0]))
    true = calendar_family.working_days
    for day in days:
        with patch.object(
            calendar_family, "working_days", lambda *at, day=day: np.setxor1d(true(*at), [day])
        ):
            compare(Dates(rows), int(day))
    return found


# ---------------------------------------------------------------------------------------------- the sheet

INK, PALE, FAINT, SOFT = "#1B1F24", "#E3E6EA", "#C9CED6", "#5B6470"
# Okabe and Ito's colours, told apart by most eyes; every lane also says its source in a word.
COLOURS = {
    "target": "#0072B2",
    "past": "#009E73",
    "known": "#E69F00",
    "siblings": "#D55E00",
    "dates": "#A65F93",
    "events": "#A65F93",
}
WIDTH, LEFT, RIGHT, STEP = 720.0, 166.0, 66.0, 30.0
ON_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
MARKS: dict[str, dict[str, Any]] = {
    "row": {"facecolor": "none", "edgecolor": INK, "lw": 1.9},
    "idle": {"facecolor": PALE, "edgecolor": "none", "lw": 0},
    "none": {"facecolor": "white", "edgecolor": FAINT, "lw": 0.8, "linestyle": (0, (2, 2))},
    "late": {"facecolor": "white", "edgecolor": SOFT, "lw": 0.6, "hatch": "//////"},
}


@dataclass
class Sheet:
    """A time line of cells, the cutoff as a line, and under it one lane per column.

    Attributes
    ----------
    cells
        How many stamps are shown.
    cutoff
        The position of the last stamp of the history.
    """

    cells: int
    cutoff: int
    left: float = LEFT

    def __post_init__(self) -> None:
        self.figure = Figure(figsize=(WIDTH / 100, 1.0))
        self.axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.set_axis_off()
        self.axes.set_xlim(0, WIDTH)
        self.size = (WIDTH - self.left - RIGHT) / self.cells
        self.y = 14.0
        self.top = 0.0

    def at(self, cell: float) -> float:
        """The left edge of a cell."""
        return self.left + cell * self.size

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """A text, its middle at y."""
        style = {"fontsize": 9.0, "color": INK, "va": "center_baseline", "ha": "left"} | style
        self.axes.text(x, y, text, **style)

    def title(self, text: str) -> None:
        """One line that says what is seen."""
        self.text(10, self.y + 4, text, fontsize=10.5, fontweight="bold")
        self.y += 30

    def times(self, labels: Sequence[str], past: str = "history", future: str = "horizon") -> None:
        """The names of the stamps, and on which side of the cutoff they lie."""
        edge = self.at(self.cutoff + 1)
        self.text(edge, self.y, "cutoff", ha="center", fontweight="bold")
        self.text(edge - 34, self.y, f"◂ {past}", ha="right", color=SOFT)
        self.text(edge + 34, self.y, f"{future} ▸", color=SOFT)
        self.top = self.y + 9
        self.y += 23
        for cell, label in enumerate(labels):
            self.text(self.at(cell + 0.5), self.y, label, ha="center", fontsize=8.0, color=SOFT)
        self.y += 22

    def heading(self, text: str, source: str) -> None:
        """What the lanes below it are of."""
        self.y += 2
        self.axes.add_patch(Rectangle((10, self.y - 6), 5, 13, color=COLOURS[source], lw=0))
        # On white, so that the line of the cutoff does not run through the words.
        self.text(21, self.y, text, fontweight="bold", fontsize=9.0, bbox=ON_WHITE, zorder=4)
        self.y += 24

    def lane(
        self,
        label: str,
        source: str,
        read: Sequence[float],
        row: tuple[int, int] | int | None,
        *,
        there: Iterable[int] | None = None,
        late: Iterable[int] = (),
        value: str = "",
        mono: bool = True,
        arrow: bool = False,
        cutoff: int | None = None,
    ) -> None:
        """The cells that a column of `row` reads, of those that are `there`.

        Parameters
        ----------
        read
            How strongly each cell is read: 0 = not at all, 1 = coloured in full.
        late
            Cells whose values are not published yet.
        cutoff
            That of the row where it is another one than the picture's.
        """
        exists = set(range(self.cutoff + 1) if there is None else there)
        height = min(self.size, 20.0)
        self.text(
            self.left - 12, self.y, label, ha="right", family="monospace" if mono else None, fontsize=8.6
        )
        for cell in range(self.cells):
            strength = float(read[cell]) if cell < len(read) else 0.0
            style = MARKS["late" if cell in late else "idle" if cell in exists else "none"]
            if strength > 0:
                style = {"facecolor": _tint(COLOURS[source], strength), "edgecolor": "none", "lw": 0}
            self._cell(cell, cell, height, **style)
        if row is not None:
            first, last = (row, row) if isinstance(row, int) else row
            self._cell(first, last, height, out=1.5, facecolor="none", edgecolor=INK, lw=1.9)
            if arrow:
                self._arrow(int(np.flatnonzero(read)[-1]), first, height)
        if cutoff is not None:
            x = self.at(cutoff + 1)
            self.axes.plot([x, x], [self.y - height * 0.8, self.y + height * 0.8], color=INK, lw=1.6)
        self.text(WIDTH - RIGHT + 10, self.y, value, fontsize=8.6, color=INK)
        self.y += STEP

    def curve(self, label: str, values: np.ndarray, row: int, source: str) -> None:
        """The values of a column at every stamp, that of the row marked."""
        height, color = 34.0, COLOURS[source]
        span = max(float(np.ptp(values)), 1e-9)
        x = np.array([self.at(cell + 0.5) for cell in range(self.cells)])
        y = self.y + height / 2 - (values - values.min()) / span * height
        self.text(self.left - 12, self.y, label, ha="right", family="monospace", fontsize=8.6)
        self.axes.plot(x, y, color=color, lw=1.4, zorder=3)
        self.axes.plot(x, y, "o", color=color, ms=3.2, zorder=3)
        self.axes.plot(x[row], y[row], "o", ms=8.0, mfc=color, mec=INK, mew=1.9, zorder=4)
        self.text(WIDTH - RIGHT + 10, self.y, f"= {values[row]:.2f}".replace("-", "−"), fontsize=8.6)
        self.y += height + 20

    def spans(self, label: str, spans: Sequence[tuple[float, float, str]]) -> None:
        """Named bars on the time line: events, holidays."""
        self.text(self.left - 12, self.y, label, ha="right", color=SOFT)
        for first, last, name in spans:
            box = Rectangle((self.at(first) + 1, self.y - 9), (last - first + 1) * self.size - 2, 18, lw=0)
            box.set(facecolor=INK)
            self.axes.add_patch(box)
            self.text(
                (self.at(first) + self.at(last + 1)) / 2,
                self.y,
                name,
                ha="center",
                color="white",
                fontsize=7.8,
            )
        self.y += STEP

    def key(self, *entries: tuple[str, str]) -> None:
        """What the marks mean: (kind, text) pairs; a kind is a source, `read`, `cut` or one of `MARKS`."""
        self._cut()
        self.y += 10
        x = 10.0
        for kind, text in entries:
            if kind == "cut":
                self.axes.plot([x + 7, x + 7], [self.y - 8, self.y + 8], color=INK, lw=1.6)
            elif kind == "read":
                for place, source in enumerate(("target", "past", "known", "dates")):
                    self.axes.add_patch(
                        Rectangle((x + 1 + 3 * place, self.y - 6), 3, 12, color=COLOURS[source], lw=0)
                    )
            else:
                style = MARKS.get(kind) or {"facecolor": COLOURS[kind], "edgecolor": "none", "lw": 0}
                self.axes.add_patch(
                    FancyBboxPatch(
                        (x + 2, self.y - 5), 10, 10, boxstyle="round,pad=1,rounding_size=2", **style
                    )
                )
            self.text(x + 20, self.y, text, fontsize=8.4, color=SOFT)
            x += 20 + TextPath((0, 0), text, size=8.4 * 100 / 72).get_extents().width + 20
        self.y += 18

    def save(self, path: Path) -> None:
        """The picture as a file, the same bytes each time."""
        self.figure.set_size_inches(WIDTH / 100, self.y / 100)
        self.axes.set_ylim(self.y, 0)
        self.figure.set_dpi(200)
        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()
        # Few colours: a third of the bytes.
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(96)
        picture.save(path, optimize=True)

    def _cell(self, first: int, last: int, height: float, out: float = 0.0, **style: Any) -> None:
        x, width = self.at(first) + 1.5 - out, (last - first + 1) * self.size - 3 + 2 * out
        box = FancyBboxPatch(
            (x + 2, self.y - height / 2 + 3 - out),
            width - 4,
            height - 6 + 2 * out,
            boxstyle="round,pad=2,rounding_size=2.5",
            zorder=3 if out else 2,
            **style,
        )
        self.axes.add_patch(box)

    def _arrow(self, source: int, row: int, height: float) -> None:
        x0, x1, y = self.at(source + 0.5), self.at(row + 0.5), self.y - height / 2
        # A low arc, however far it goes: it must not touch what stands above.
        arc = MplPath([(x0, y), (x0 + 2, y - 15), (x1 - 2, y - 15), (x1, y - 2)], [1, 4, 4, 4])
        head = {"arrowstyle": "-|>", "mutation_scale": 9, "color": INK, "lw": 1.0}
        self.axes.add_patch(FancyArrowPatch(path=arc, zorder=5, **head))

    def _cut(self) -> None:
        x = self.at(self.cutoff + 1)
        self.axes.plot([x, x], [self.top, self.y - STEP / 2], color=INK, lw=1.6, zorder=1.5)


def _tint(color: str, strength: float) -> tuple[float, ...]:
    """The colour, paler where it counts for less."""
    rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    share = 0.22 + 0.78 * min(1.0, strength)
    return tuple(1.0 - share * (1.0 - rgb))


def read_at(found: np.ndarray, row: int, columns: Iterable[int] | int, shown: slice) -> np.ndarray:
    """1 where a row reads a value in any of the columns [cells]."""
    places = [columns] if isinstance(columns, int) else list(columns)
    return (found[row, places, shown].max(axis=0) > 0).astype(float)


def column(family: Family, *names: str) -> list[int]:
    """The positions of columns by name."""
    return [family.columns.index(name) for name in names]


# ------------------------------------------------------------------------------------------- the pictures

PAST, AHEAD, ROW = 14, 8, 3
"""Stamps before and after the cutoff, and the step that is looked at."""
SUNDAY = "2025-12-21"
WEEKDAYS = "MTWTFSS" * 4
TARGET_KEY = (("target", "read"), ("idle", "known, not read"), ("none", "not known yet"), ("row", "the row"))


def cell_of(step: int) -> int:
    """The cell of a step of the horizon."""
    return PAST - 1 + step


def lags() -> Sheet:
    """Lags 7 and 1 at three steps."""
    series = series_of("D", 60, SUNDAY)
    family = decided(Lags, series, AHEAD, lags=(1, 7))
    rows = forecast_rows(series, AHEAD)
    found = of_target(family, rows)
    sheet = Sheet(PAST + AHEAD, PAST - 1)
    sheet.title("lags: the nearest value that is known, a whole number of lags before the row")
    sheet.times(WEEKDAYS[: sheet.cells])
    for lag, says in ((7, "lag 7: the last value of the same weekday"), (1, "lag 1: the last value")):
        sheet.heading(says, "target")
        for step in (1, 3, 8) if lag == 7 else (1, 8):
            reads = read_at(found, step - 1, column(family, f"lag{lag}"), slice(-PAST, None))
            sheet.y += 8
            sheet.lane(f"lag{lag}, step {step}", "target", reads, cell_of(step), arrow=True)
    sheet.key(*TARGET_KEY)
    return sheet


def windows() -> Sheet:
    """Windows, a weighted mean and the mean of a season at step 3."""
    series = series_of("D", 90, SUNDAY)
    asked = WindowSettings((4, 12), ("mean", "std"), 2, (2.0,))
    family = decided(Windows, series, AHEAD, windows=asked)
    found = of_target(family, forecast_rows(series, AHEAD))
    sheet = Sheet(PAST + AHEAD, PAST - 1)
    sheet.title("windows: the last values up to the cutoff, told by a few numbers")
    sheet.times(WEEKDAYS[: sheet.cells])
    recent = slice(-PAST, None)
    for label, names in (
        ("mean4, std4", ("mean4", "std4")),
        ("mean12, std12", ("mean12", "std12")),
        ("seasonal_mean7", ("seasonal_mean7",)),
    ):
        reads = read_at(found, ROW - 1, column(family, *names), recent)
        sheet.lane(label, "target", reads, cell_of(ROW))
    weights = found[ROW - 1, column(family, "ewm2")[0], recent]
    sheet.lane("ewm2", "target", weights / weights.max(), cell_of(ROW))
    sheet.key(("target", "read (paler: weighs less)"), *TARGET_KEY[1:])
    return sheet


def stl() -> Sheet:
    """Three rows with their own cutoffs."""
    series = series_of("QS", 24, "2025-10-01")
    rows = forecast_rows(series, 4)
    past = Rows.training(series, series.y, np.array([3, 3]), np.array([13, 19]), 0)
    of_past_rows, of_future = of_stl(series, past), of_stl(series, rows)
    sheet = Sheet(28, 23)
    sheet.title("stl: the last decomposition that ends at or before the cutoff of the row")
    sheet.times([f"Q{1 + cell % 4}" if cell % 4 == 0 else "·" for cell in range(28)], "training part")
    for place, target in enumerate((13, 19)):
        reads = read_at(of_past_rows, place, (0, 1), slice(None))
        sheet.lane("training row", "target", reads, target, cutoff=target - 3, mono=False)
    sheet.lane(
        "forecast, step 3", "target", read_at(of_future, ROW - 1, (0, 1), slice(None)), 23 + ROW, mono=False
    )
    sheet.key(
        ("target", "decomposed for this row"),
        ("idle", "not read"),
        ("row", "the row"),
        ("cut", "its cutoff"),
    )
    return sheet


def every_row(series: Series, ahead: int) -> Rows:
    """A row for each of the last stamps of the history and of the horizon."""
    longer = replace(series, y=np.resize(series.y, len(series) + ahead))
    empty = np.empty((len(longer), 0))
    rows = Rows.past(replace(longer, known_x=empty, past_x=empty, observed=np.ones(len(longer), bool)))
    return rows


def on_dates(family: Family, series: Series, ahead: int, past: int, step: int) -> tuple[np.ndarray, ...]:
    """The values of the columns at the cells shown, and whose dates the row of a step reads."""
    rows = every_row(series, ahead)
    if changes(lambda y: family.build(replace(rows, y=y)), rows.y).any():
        raise AssertionError(f"{family.name} reads the target")
    shown = slice(-past - ahead, None)
    place = len(series) - 1 + step
    reads = (of_dates(family, rows)[place, :, shown].max(axis=0) > 0).astype(float)
    return family.build(rows)[shown], reads


def fourier() -> Sheet:
    """Two waves of a week over history and horizon."""
    series = series_of("D", 60, SUNDAY)
    family = decided(Fourier, series, AHEAD, fourier=((7.0, 2),))
    values, reads = on_dates(family, series, AHEAD, PAST, ROW)
    sheet = Sheet(PAST + AHEAD, PAST - 1)
    sheet.title("fourier: waves of a season; a row reads its own date, and no value")
    sheet.times(WEEKDAYS[: sheet.cells])
    sheet.y += 8
    for name in ("sin1_7", "cos1_7", "sin2_7"):
        sheet.curve(name, values[:, family.columns.index(name)], cell_of(ROW), "dates")
    _dates_and_target(sheet, reads, PAST)
    return sheet


def _dates_and_target(sheet: Sheet, reads: np.ndarray, past: int) -> None:
    everything = range(sheet.cells)
    sheet.y -= 6
    sheet.lane("reads: dates", "dates", reads, cell_of(ROW), there=everything, mono=False)
    sheet.lane("target", "target", np.zeros(sheet.cells), cell_of(ROW), mono=False, value="none")
    sheet.key(("dates", "read"), ("idle", "known, not read"), ("none", "not known yet"), ("row", "the row"))


def calendar() -> Sheet:
    """The days of a week that its fields read."""
    fields = ("month", "day_of_month", "month_start", "working_days")
    weeks = series_of("W-THU", 110, "2025-01-23")
    family = decided(Calendar, weeks, 2, calendar=fields, holidays=(("US", None),))
    row = forecast_rows(weeks, 1)
    first = np.datetime64("2025-01-23")
    days = np.arange(first, first + 21).astype("datetime64[D]").astype(np.int64)
    found = of_days(family, row, days)
    values = dict(zip(family.columns, family.build(row)[0], strict=True))
    sheet = Sheet(21, 6)
    sheet.title("calendar: which of its days a weekly row reads (weeks from Thursday)")
    sheet.times([_day(day) for day in days])
    sheet.text(sheet.left - 12, sheet.y - 22, "January, February", ha="right", fontsize=8.0, color=SOFT)
    for name, label in zip(fields, family.columns, strict=True):
        reads = (found[name] > 0).astype(float)
        sheet.lane(label, "dates", reads, (7, 13), there=range(21), value=f"= {values[label]:g}")
    sheet.key(("dates", "day that is read"), ("idle", "not read"), ("row", "the row: one week"))
    return sheet


def _day(day: int) -> str:
    return str(int(str(np.datetime64(int(day), "D"))[-2:]))


def holidays() -> Sheet:
    """The days that a daily and a weekly row look at."""
    first = np.datetime64("2025-12-12")
    days = np.arange(first, first + 20).astype("datetime64[D]").astype(np.int64)
    sheet = Sheet(20, 9)
    sheet.title("holidays: which days count for a row")
    sheet.times([_day(day) for day in days])
    sheet.text(sheet.left - 12, sheet.y - 22, "December", ha="right", fontsize=8.0, color=SOFT)
    sheet.spans("public holidays, US", ((13, 13, ""),))
    sheet.text(sheet.at(14) + 4, sheet.y - STEP, "Christmas Day", fontsize=8.6)
    daily = series_of("D", 800, SUNDAY)
    family = decided(Holidays, daily, AHEAD, holidays=(("US", None),))
    rows = forecast_rows(daily, AHEAD)
    found, values = of_holidays(family, rows, days), family.build(rows)
    sheet.heading("daily: the row of 26 December", "dates")
    for place, name in enumerate(family.columns):
        reads = read_at(found, 4, place, slice(None))
        sheet.lane(name, "dates", reads, 14, there=range(20), value=f"= {values[4, place]:g}")
    weekly = series_of("W-MON", 110, "2025-12-15")
    family = decided(Holidays, weekly, 2, holidays=(("US", None),))
    rows = forecast_rows(weekly, 1)
    found, values = of_holidays(family, rows, days), family.build(rows)
    sheet.heading("weekly: the row of 22 to 28 December", "dates")
    reads = read_at(found, 0, 0, slice(None))
    sheet.lane("holiday_US", "dates", reads, (10, 16), there=range(20), value=f"= {values[0, 0]:g}")
    sheet.key(("dates", "a holiday here is counted"), ("idle", "not counted"), ("row", "the row"))
    return sheet


def events() -> Sheet:
    """The days on which an event is counted, two days ahead and one after."""
    series = series_of("D", 60, SUNDAY)
    end = np.datetime64(SUNDAY).astype("datetime64[D]").astype(np.int64)
    days = np.arange(end - PAST + 1, end + AHEAD + 1)

    def span(first: int, last: int) -> tuple[int, int]:
        return int(days[first]) * DAY_US, (int(days[last]) + 1) * DAY_US

    dates = (("promo", (span(4, 6), span(17, 19))),)
    family = decided(Events, series, AHEAD, events=dates, event_before=2, event_after=1)
    rows = forecast_rows(series, AHEAD)
    found, values = of_events(family, rows, days), family.build(rows)
    sheet = Sheet(PAST + AHEAD, PAST - 1)
    sheet.title("events: named dates known ahead (here before: 2, after: 1)")
    sheet.times(WEEKDAYS[: sheet.cells])
    sheet.spans("your table", ((4, 6, "promo"), (17, 19, "promo")))
    for name in ("event_promo", "before_promo", "after_promo"):
        place = family.columns.index(name)
        reads = read_at(found, ROW - 1, place, slice(None))
        value = f"= {values[ROW - 1, place]:g}"
        sheet.lane(name, "events", reads, cell_of(ROW), there=range(sheet.cells), value=value)
    sheet.key(("events", "an event here is counted"), ("idle", "not counted"), ("row", "the row"))
    return sheet


def _priced(length: int, ahead: int) -> tuple[Series, np.ndarray]:
    """A series with prices, and those of its horizon."""
    price = np.random.default_rng(2).uniform(2.0, 4.0, (length + ahead, 1))
    series = series_of("D", length, SUNDAY, known_x=price[:length], known=(Covariate("Price"),))
    return series, price[length:]


def _derived() -> CovariateSettings:
    every = ((None, (1,)),)
    return CovariateSettings(lags=((None, (2,)),), leads=every, differences=every, relative=((None, (4,)),))


def covariates() -> Sheet:
    """What derived columns read of a price."""
    series, ahead = _priced(60, AHEAD)
    family = decided(Covariates, series, AHEAD, covariates=_derived())
    found = of_known(family, forecast_rows(series, AHEAD, ahead))
    sheet = Sheet(PAST + AHEAD, PAST - 1, left=200.0)
    sheet.title("covariates: columns known ahead, at the row and around it")
    sheet.times(WEEKDAYS[: sheet.cells])
    shown = slice(-PAST - AHEAD, None)
    for name, says in (
        ("Price", ""),
        ("Price-2", "lags: [2]"),
        ("Price+1", "leads: [1]"),
        ("Price~1", "differences"),
        ("Price/mean4", "relative: [4]"),
    ):
        reads = read_at(found, ROW - 1, column(family, name), shown)
        sheet.lane(name, "known", reads, cell_of(ROW), there=range(sheet.cells))
        sheet.text(10, sheet.y - STEP, says, fontsize=8.0, color=SOFT)
    sheet.key(("known", "price that is read"), ("idle", "not read"), ("row", "the row"))
    return sheet


def past() -> Sheet:
    """Published values alone."""
    visits = np.random.default_rng(3).uniform(50.0, 90.0, (60, 1))
    series = series_of("D", 60, SUNDAY, past_x=visits, past=(Covariate("Visits"),))
    asked = CovariateSettings(past_lags=(1, 7), past_windows=(4,), delays=(("Visits", 2),))
    family = decided(Past, series, AHEAD, covariates=asked)
    rows = forecast_rows(series, AHEAD)
    found = of_past(family, rows)
    if found[..., -2:].any():
        raise AssertionError("past reads what is not published")
    sheet = Sheet(PAST + AHEAD, PAST - 1)
    sheet.title("past: covariates known up to the cutoff, less their publication lag (here 2 days)")
    sheet.times(WEEKDAYS[: sheet.cells])
    for name in family.columns:
        reads = read_at(found, ROW - 1, column(family, name), slice(-PAST, None))
        sheet.lane(name, "past", reads, cell_of(ROW), late=(PAST - 2, PAST - 1))
    sheet.key(
        ("past", "read"),
        ("idle", "not read"),
        ("late", "not published yet"),
        ("none", "not known yet"),
        ("row", "the row"),
    )
    return sheet


@cache
def context_reads(length: int, ahead: int) -> tuple[list[tuple[int, str]], np.ndarray, np.ndarray]:
    """What the row of a step reads of each series' price and target [series, stamps] each."""
    keys = [(1, "a"), (1, "b"), (1, "c"), (2, "a")]
    stamps = pd.date_range(end=pd.Timestamp(SUNDAY) + pd.Timedelta(days=ahead), periods=length + ahead)
    frame = pd.DataFrame(
        [(store, brand, stamp) for store, brand in keys for stamp in stamps],
        columns=["store", "brand", "day"],
    )
    draws = np.random.default_rng(4)
    frame["price"], frame["sold"] = draws.uniform(2.0, 4.0, len(frame)), draws.uniform(5.0, 9.0, len(frame))
    spec = DataSpec(
        time="day",
        target="sold",
        series=["store", "brand"],
        known=["price"],
        context={"by": ["store"], "columns": ["price"]},
    )
    table, layout = canonical_table(read_table(frame, spec), spec, None)
    back = {name: canonical for canonical, name in layout.sources.items()}
    table = table.sort_values([*layout.key_names, "t"], ignore_index=True)
    derived = [c.name for c in layout.covariates if c.derived]
    known = (Covariate("price"), *(Covariate(name, origin="siblings") for name in derived))
    own = np.arange(length + ahead)

    def known_x(changed: pd.DataFrame) -> np.ndarray:
        seen = context_columns(changed, layout)
        return np.column_stack([changed[back["price"]], *seen.values()])[own]

    known_table = known_x(table)
    series = series_of("D", length, SUNDAY, known_x=known_table[:length], known=known)
    family = decided(Context, series, ahead)
    place = length - 1 + ROW

    def row_of(changed: pd.DataFrame) -> np.ndarray:
        return family.build(forecast_rows(series, ahead, known_x(changed)[length:]))[ROW - 1]

    found = {}
    for source in ("price", "sold"):
        name = back.get(source, "y")
        values = table[name].to_numpy(dtype=float)
        before = row_of(table)
        hit = np.zeros(len(table))
        for position in range(len(table)):
            changed = values.copy()
            changed[position] += 1.0
            hit[position] = np.abs(row_of(table.assign(**{name: changed})) - before).max() > 1e-12
        found[source] = hit.reshape(len(keys), length + ahead)
    if found["sold"].any() or found["price"][:, np.arange(length + ahead) != place].any():
        raise AssertionError("context reads more than the siblings' rows of its own stamp")
    return keys, found["price"], found["sold"]


def context() -> Sheet:
    """The siblings' rows of the same stamp."""
    keys, prices, targets = context_reads(30, AHEAD)
    shown = slice(-PAST - AHEAD, None)
    sheet = Sheet(PAST + AHEAD, PAST - 1)
    sheet.title("context: what the siblings of a series have at the same stamp (by: [store])")
    sheet.times(WEEKDAYS[: sheet.cells])
    for (store, brand), reads in zip(keys, prices, strict=True):
        own = (store, brand) == (1, "a")
        source = "known" if own else "siblings"
        if own:
            sheet.heading("price of the series itself", "known")
        elif brand == "b":
            sheet.heading("prices of its siblings: other brands in the same store", "siblings")
        elif store == 2:
            sheet.heading("prices elsewhere, and all targets: never", "target")
        row = cell_of(ROW) if own else None
        label = f"store {store}, brand {brand}"
        sheet.lane(label, source, reads[shown], row, there=range(sheet.cells), mono=False)
    sheet.lane("targets of all", "target", targets.max(axis=0)[shown], None, mono=False)
    sheet.key(
        ("known", "own price"),
        ("siblings", "siblings' price"),
        ("idle", "not read"),
        ("none", "not known yet"),
        ("row", "the row"),
    )
    return sheet


def overview() -> Sheet:
    """Every family's reads of one row, on one time line."""
    sheet = Sheet(PAST + AHEAD, PAST - 1)
    sheet.title("What one row of a forecast (step 3) may read")
    sheet.times(WEEKDAYS[: sheet.cells])
    row, recent, whole = cell_of(ROW), slice(-PAST, None), range(sheet.cells)
    daily = series_of("D", 60, SUNDAY)
    rows = forecast_rows(daily, AHEAD)
    sheet.heading("the target, up to the cutoff", "target")
    lag = of_target(decided(Lags, daily, AHEAD, lags=(1, 7)), rows)
    sheet.lane("lags", "target", read_at(lag, ROW - 1, range(2), recent), row)
    window = of_target(decided(Windows, daily, AHEAD, windows=(4, 7)), rows)
    sheet.lane("windows", "target", read_at(window, ROW - 1, range(window.shape[1]), recent), row)
    short = replace(daily, start=daily.start + 32, y=daily.y[32:], observed=daily.observed[32:])
    seen = np.abs(changes(lambda y: _stl_of(short, y), short.y))
    sheet.lane("stl", "target", read_at(seen, ROW - 1, (0, 1), recent), row)
    sheet.heading("past covariates, as far as published (here 2 days late)", "past")
    visits = np.random.default_rng(3).uniform(50.0, 90.0, (60, 1))
    visited = replace(daily, past_x=visits, past=(Covariate("Visits"),))
    asked = CovariateSettings(past_lags=(1, 7), past_windows=(4,), delays=(("Visits", 2),))
    published = of_past(decided(Past, visited, AHEAD, covariates=asked), forecast_rows(visited, AHEAD))
    late = (PAST - 2, PAST - 1)
    sheet.lane("past", "past", read_at(published, ROW - 1, range(published.shape[1]), recent), row, late=late)
    sheet.heading("known covariates; rows around it on request", "known")
    series, ahead = _priced(60, AHEAD)
    priced = decided(Covariates, series, AHEAD, covariates=_derived())
    known = of_known(priced, forecast_rows(series, AHEAD, ahead))
    shown = slice(-PAST - AHEAD, None)
    reads = read_at(known, ROW - 1, range(known.shape[1]), shown)
    sheet.lane("covariates", "known", reads, row, there=whole)
    _, prices, _ = context_reads(30, AHEAD)
    sheet.lane("context (siblings)", "siblings", prices[1:].max(axis=0)[shown], row, there=whole)
    sheet.heading("dates, past and future alike", "dates")
    dated = (
        decided(Fourier, daily, AHEAD, fourier=((7.0, 2),)),
        decided(Calendar, daily, AHEAD, calendar=("day_of_week", "day_of_month", "month")),
    )
    reads = np.max([on_dates(family, daily, AHEAD, PAST, ROW)[1] for family in dated], axis=0)
    sheet.lane("fourier, calendar", "dates", reads, row, there=whole)
    long = series_of("D", 800, SUNDAY)
    days = np.arange(long.end - PAST + 1, long.end + AHEAD + 1)
    eves = of_holidays(decided(Holidays, long, AHEAD, holidays=(("US", None),)), rows, days)
    promo = (("promo", ((int(days[4]) * DAY_US, int(days[5]) * DAY_US),)),)
    around = decided(Events, daily, AHEAD, events=promo, event_before=1, event_after=1)
    near = np.concatenate([eves, of_events(around, rows, days)], axis=1)
    reads = read_at(near, ROW - 1, range(near.shape[1]), slice(None))
    sheet.lane("holidays, events", "dates", reads, row, there=whole)
    sheet.key(
        ("read", "read"),
        ("idle", "known, not read"),
        ("late", "not published"),
        ("none", "not known yet"),
        ("row", "the row"),
    )
    return sheet


def _stl_of(series: Series, y: np.ndarray) -> np.ndarray:
    return decided(Stl, replace(series, y=y), AHEAD, 7, stl=True, transform="none").build(
        forecast_rows(series, AHEAD)
    )


def group() -> Sheet:
    """The window of the last values at two steps, and the group's own movement, read from its mean."""
    series = series_of("D", 60, SUNDAY)
    rows = forecast_rows(series, AHEAD)
    window = decided(Recent, series, AHEAD, season=7)
    found = of_target(window, rows)
    together = Group.decide(series, Wishes("tree", 7, AHEAD, FeatureSettings()))
    if together is None:
        raise ValueError("group has nothing to say here")
    means = changes(lambda y: replace(together, means=tuple(y)).build(rows), np.array(together.means))
    if of_target(together, rows).any():
        raise AssertionError("group reads the series' own target")
    sheet = Sheet(PAST + AHEAD, PAST - 1)
    sheet.title("recent and group: the same window before the cutoff, whatever the step")
    sheet.times(WEEKDAYS[: sheet.cells])
    shown = slice(-PAST, None)
    sheet.heading("recent: the last values of the series", "target")
    for step in (1, 8):
        reads = read_at(found, step - 1, range(window.width), shown)
        sheet.lane(f"last0 … last7, step {step}", "target", reads, cell_of(step), mono=False)
    sheet.heading("group: the mean of all series of the group", "siblings")
    for span in (1, 4):
        reads = read_at(means, ROW - 1, column(together, f"group_change{span}"), shown)
        sheet.lane(f"group_change{span}", "siblings", reads, cell_of(ROW))
    sheet.key(("target", "read"), ("siblings", "read of the group"), *TARGET_KEY[1:])
    return sheet


def difference() -> Sheet:
    """What the target is told relative to, six steps ahead, by each setting of `features.difference`."""
    season, step = 4, 6
    series = series_of("QS", 24, "2025-10-01")
    rows = forecast_rows(series, AHEAD)
    sheet = Sheet(PAST + AHEAD, PAST - 1)
    sheet.title("difference: the level that is known at the cutoff and taken off, six quarters ahead")
    sheet.times([f"Q{1 + (cell + 2) % 4}" for cell in range(sheet.cells)])
    for setting in ("first", "seasonal", "both"):
        level = stated_level(setting, len(series), season, AHEAD)

        def told(y: np.ndarray, level: Level = level) -> np.ndarray:
            return level.of(replace(rows, y=y))[:, None]

        found = changes(told, rows.y)
        if found[:, :, series.y.size :].any():
            raise AssertionError(f"difference {setting} reads past the cutoff")
        sheet.y += 8
        reads = read_at(found, step - 1, 0, slice(-PAST, None))
        sheet.lane(setting, "target", reads, cell_of(step), arrow=True)
    sheet.key(*TARGET_KEY)
    return sheet


PICTURES: dict[str, Callable[[], Sheet]] = {
    "overview": overview,
    "lags": lags,
    "windows": windows,
    "fourier": fourier,
    "stl": stl,
    "calendar": calendar,
    "holidays": holidays,
    "events": events,
    "covariates": covariates,
    "context": context,
    "past": past,
    "group": group,
    "difference": difference,
}


def main(folder: Path) -> None:
    """Write every picture."""
    mpl.rcParams.update({"font.family": "DejaVu Sans", "hatch.linewidth": 0.6})
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        picture().save(folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
