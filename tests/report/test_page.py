"""The report says what the run's frames say, escapes what users named, and stays bounded."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from many_models.report import plot_series, report
from many_models.report.digest import coverage, key_text, learner_shares, outcomes
from many_models.report.page import duration, number, percent
from many_models.report.plots import interval_columns


@dataclass(frozen=True)
class Asked:
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)


class Spec:
    """A resolved configuration that can be written out."""

    forecast = Asked()

    def to_yaml(self) -> str:
        return "name: shops\ndata: {time: Week, target: Sold}\n"


@dataclass
class MadeUpRun:
    """A finished run whose rows are made here, in the columns of the run directory, and written there."""

    keys: list[tuple]
    key_columns: list[str]
    directory: Path
    time_column: str = "Week"
    spec: Spec = field(default_factory=Spec)
    folds: int = 2
    horizon: int = 4
    zone: str | None = None
    findings_of: tuple[str, ...] = ("GAP_FILLED",)

    def __post_init__(self):
        self.rng = np.random.default_rng(7)
        for folder in ("results", "leaderboard", "forecasts", "backtest", "findings"):
            table = pa.Table.from_pandas(getattr(self, folder)(), preserve_index=False)
            (self.directory / folder).mkdir(parents=True)
            # Written in two parts and in another order than the keys', as a run writes its batches.
            half = table.num_rows // 2
            for part, rows in enumerate((table.slice(half), table.slice(0, half))):
                if rows.num_rows:
                    pq.write_table(rows, self.directory / folder / f"part-{part}.parquet")

    @property
    def summary(self):
        return {
            "series": len(self.keys),
            "rows": 60 * len(self.keys),
            "outcomes": {},
            "skill": {"median": 0.125, "share_beating_naive": 0.75},
            "bias": -0.02,
            "coverage": {"0.8": 0.79},
            "seconds": 205.0,
            "spec_fingerprint": "abc123",
            "engine": {"name": "local", "workers": "2"},
            "versions": {"numpy": "2.0.0"},
            "registered": None,
        }

    def _key(self, number):
        return dict(zip(self.key_columns, self.keys[number], strict=True))

    def results(self):
        rows = []
        for i in range(len(self.keys)):
            failed = i % 7 == 3
            rows.append(
                {
                    **self._key(i),
                    "status": "FAILED" if failed else "TRAINED",
                    "reason": "CRASHED" if failed else None,
                    "learner": "seasonal_naive" if failed else "ensemble",
                    "score": np.nan if failed else 0.6 + 0.01 * i,
                    "skill": np.nan if failed else 0.5 - 0.05 * i,
                    "bias": np.nan if failed else 0.01 * (i % 5 - 2),
                    "seconds": 0.1 * (i + 1),
                    "trained_until": pd.Timestamp("2026-01-05"),
                    "n_obs": 60,
                    "spec_fingerprint": "abc123",
                    "content_id": f"c{i}",
                }
            )
        return pd.DataFrame(rows)

    def leaderboard(self):
        rows = [
            {
                **self._key(i),
                "candidate": name,
                "learner": name,
                "parameters": "{}",
                "score": score,
                "score_std": 0.1,
                "weight": weight,
                "fit_seconds": 0.02,
                "predict_seconds": 0.01,
                "status": "OK" if np.isfinite(score) else "FAILED",
                "error_code": None if np.isfinite(score) else "NOT_FINITE",
            }
            for i in range(len(self.keys))
            for name, weight, score in (
                ("ets", 0.25, 0.8),
                ("arx", 0.75, 0.7),
                ("seasonal_naive", 0.0, 1.0),
                ("ces", 0.0, np.nan),
            )
        ]
        return pd.DataFrame(rows)

    def _steps(self, start, copies):
        """The same stamps for each of `copies` blocks, with random medians."""
        times = pd.date_range(start, periods=self.horizon, freq="7D", tz=self.zone).as_unit("us")
        middle = 100.0 + 10.0 * self.rng.standard_normal(self.horizon * copies)
        steps = {"mean": middle + 1.0, "q0.1": middle - 12.0, "q0.5": middle, "q0.9": middle + 12.0}
        frame = pd.DataFrame({"step": np.tile(np.arange(1, self.horizon + 1), copies), **steps})
        frame[self.time_column] = times[np.tile(np.arange(self.horizon), copies)]
        return frame

    def _keyed(self, frame):
        block = len(frame) // len(self.keys)
        for position, name in enumerate(self.key_columns):
            frame[name] = [key[position] for key in self.keys for _ in range(block)]
        return frame

    def forecasts(self):
        frame = self._keyed(self._steps("2026-01-12", len(self.keys)))
        return frame.assign(learner="ensemble", status="TRAINED", reason=None, run_id="r")

    def backtest(self):
        frames = []
        for fold in range(self.folds):
            start = pd.Timestamp("2025-09-01") + pd.Timedelta(weeks=self.horizon * fold)
            for name in ("ensemble", "seasonal_naive"):
                frame = self._keyed(self._steps(start, len(self.keys)))
                frames.append(frame.assign(fold=fold, candidate=name, actual=frame["q0.5"] + 5.0))
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def findings(self):
        rows = [
            {
                **self._key(i),
                "code": code,
                "severity": "info",
                "state": "handled",
                "count": 3,
                "message": "3 missing weeks were filled",
                "action": "none",
            }
            for i in range(0, len(self.keys), 2)
            for code in self.findings_of
        ]
        columns = [*self.key_columns, "code", "severity", "state", "count", "message", "action"]
        return pd.DataFrame(rows, columns=columns)


@pytest.fixture
def made_up(tmp_path):
    """Makes up a run from keys and key columns."""
    return lambda keys, columns, **more: MadeUpRun(keys, columns, tmp_path / f"run-{next(COUNTER)}", **more)


@pytest.fixture
def shops(made_up):
    """Makes up a run of so many series with two key columns."""
    return lambda count, **more: made_up(two_keys(count), ["Store", "Brand"], **more)


def two_keys(count):
    return [(s, f"brand {s % 3}") for s in range(count)]


COUNTER = itertools.count()


class Reader(HTMLParser):
    """Collects tags and visible text, and proves that every tag is closed."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text, self.attributes = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.text.append(data.strip())


def read(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def page_of_nine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "shops-20260101T000000Z"
    return report(MadeUpRun(two_keys(9), ["Store", "Brand"], folder))


def test_page_says_the_counts_skill_and_bias_of_the_run(page_of_nine):
    page = read(page_of_nine)
    text = " ".join(page.text)
    assert "TRAINED 8" in text
    assert "FAILED 1" in text
    assert "CRASHED" in text
    assert "75 % beat seasonal naive" in text
    assert "+12 % median skill" in text
    assert "−2.0 % bias of the total" in text
    assert "3 min 25 s in all" in text
    assert "GAP_FILLED" in text
    assert "name: shops" in text


def test_page_loads_nothing_and_runs_nothing(page_of_nine):
    page = read(page_of_nine)
    assert "script" not in page.tags
    assert "link" not in page.tags
    sources = [value for name, value in page.attributes if name in ("src", "href")]
    assert sources
    assert all(source.startswith("data:image/") for source in sources)


def test_hostile_names_are_only_characters(made_up):
    nasty = "<script>alert(1)</script>"
    run = made_up(
        [(nasty,), ('" onload="x',), ("../../etc $x^$ 🌵",), ("k" * 1000,)],
        ["sku <b>id</b>"],
        findings_of=("<i>CODE</i>",),
    )
    html = report(run)
    page = read(html)
    assert "<script" not in html
    assert "<b>id" not in html
    assert not {"script", "i>"} & set(page.tags)
    assert not any(name == "onload" for name, _ in page.attributes)
    assert any(nasty in text for text in page.text)
    assert max(len(text) for text in page.text if text.startswith("sku")) < 200


def test_thousands_of_series_give_a_bounded_page(shops):
    small, large = report(shops(40)), report(shops(3000, folds=1))
    assert len(large) < 3_000_000
    assert len(large) < 1.5 * len(small)
    assert "The first 50 of 429" in large


def test_the_same_run_gives_the_same_page(shops):
    run = shops(2)
    assert report(run) == report(run)


def test_few_series_are_pictured_once(shops):
    page = report(shops(3))
    assert page.count("<figcaption><span") == 3


def test_a_run_of_one_series_without_key_columns_has_a_page(made_up):
    text = " ".join(read(report(made_up([()], []))).text)
    assert "the one series" in text


def test_a_zoned_time_column_with_an_odd_name_is_drawn(shops):
    assert report(shops(2, zone="Europe/Berlin", time_column="when <ever>")).count("<figure>") >= 2


def test_a_run_without_backtest_and_findings_has_a_page(shops):
    run = shops(2, folds=0, findings_of=())
    page = report(run)
    assert "None: the data was used as it is." in page
    assert 'id="coverage"' not in page


def test_only_the_served_candidate_of_the_backtest_is_judged(shops):
    run = shops(3)
    assert "24" in report(run)  # 3 series × 2 folds × 4 steps; as many again belong to another candidate
    judged = coverage(run.backtest().query("candidate == 'ensemble'"))
    assert judged[0].count == 24


def test_coverage_counts_what_lies_inside():
    backtest = pd.DataFrame(
        {
            "actual": [1.0, 5.0, np.nan, 3.0],
            "q0.1": [0.0, 0.0, 0.0, np.nan],
            "q0.5": [1.0] * 4,
            "q0.9": [2.0] * 4,
        }
    )
    (found,) = coverage(backtest)
    assert (found.nominal, found.observed, found.count) == (pytest.approx(0.8), 0.5, 2)


def test_learner_shares_add_up_and_name_the_trouble(shops):
    shares = learner_shares(shops(4).leaderboard(), ["Store", "Brand"])
    assert [s.learner for s in shares][:2] == ["arx", "ets"]
    assert sum(s.share for s in shares) == pytest.approx(1.0)
    assert {s.learner: s.errors for s in shares}["ces"] == [("NOT_FINITE", 4)]


def test_a_learner_with_several_candidates_counts_a_series_once(shops):
    once = shops(4).leaderboard()
    other = once[once["candidate"] == "arx"].assign(candidate="arx_known")
    shares = learner_shares(pd.concat([once, other], ignore_index=True), ["Store", "Brand"])
    assert [(s.series, s.candidates) for s in shares if s.learner == "arx"] == [(4, 8)]


def test_outcomes_balance(shops):
    results = shops(15).results()
    assert sum(o.count for o in outcomes(results)) == len(results)


def test_interval_columns_pair_up_and_leave_other_names_alone():
    names = pd.Index(["q", "qty", "0.1", "q0.05", "q0.1", "q0.5", "q0.9", "q0.95", "q0.7"])
    assert [(a, b) for a, b, _ in interval_columns(names)] == [("q0.05", "q0.95"), ("q0.1", "q0.9")]


def test_key_text_is_cut():
    assert key_text(["a", "b"], [1, "x y"]) == "a=1, b=x y"
    assert len(key_text(["a"], ["z" * 1000])) == 90


def test_plot_shows_history_every_fold_and_the_interval(shops):
    run = shops(1)
    backtest = run.backtest().query("candidate == 'ensemble'")
    history = pd.DataFrame(
        {"Week": pd.date_range("2024-01-01", periods=600, freq="7D"), "actual": np.arange(600.0)}
    )
    figure = plot_series(history, backtest, run.forecasts(), "A $title_", time="Week")
    (axes,) = figure.axes
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["actual", "backtest, median", "80% interval", "forecast, median", "forecast, mean"]
    assert axes.get_title(loc="left") == "A $title_"
    assert len(axes.lines[0].get_xdata()) == 400


def test_plotting_leaves_no_global_state(shops):
    import sys

    before = "matplotlib.pyplot" in sys.modules
    report(shops(2))
    assert ("matplotlib.pyplot" in sys.modules) == before


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.83412, "0.834"),
        (1230.4, "1,230"),
        (0.0, "0"),
        (12.345, "12.3"),
        (None, "–"),
        (np.nan, "–"),
        (2e9, "2.00e+09"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_shares_and_durations_read_well():
    assert percent(0.83) == "83 %"
    assert percent(0.024, signed=True) == "+2.4 %"
    assert percent(None) == "–"
    assert duration(0.42) == "0.42 s"
    assert duration(200) == "3 min 20 s"
    assert duration(7500) == "2 h 5 min"


def test_nothing_stands_in_for_a_missing_number(shops):
    page = report(shops(5))
    assert not re.search(
        r"\bnan\b", page.lower().split("<section", 1)[1].split("<pre>")[0].replace("data:image", "")
    )
