"""`check --mutations`: the report of changed values beside the findings."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from many_models.cli.main import app, guarded

CONFIG = """\
name: shops
data: {path: shops.csv, time: week, target: sold, series: [shop, item]}
forecast: {horizon: 4}
engine: {workers: 1}
"""


@pytest.fixture
def config(tmp_path):
    """A configuration beside a table of two series with a hole each."""
    weeks = pd.date_range("2021-01-07", periods=40, freq="W-THU")
    sold = 50 + np.arange(40.0)
    parts = [pd.DataFrame({"shop": 2, "item": item, "week": weeks, "sold": sold}) for item in ("a b", "c")]
    parts[0].loc[5, "sold"] = np.nan
    parts[1].loc[[7, 8], "sold"] = np.nan
    pd.concat(parts).to_csv(tmp_path / "shops.csv", index=False)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path / "config.yaml"


def say(monkeypatch, *arguments):
    """The exit code of the command."""
    monkeypatch.setattr(sys, "argv", ["many-models", *map(str, arguments)])
    return guarded(lambda: app(standalone_mode=False))


def test_changes_are_written_for_all_series_or_for_a_key(config, monkeypatch, capsys):
    out = config.parent / "changes.parquet"
    assert say(monkeypatch, "check", config, "--mutations", out) == 0
    assert pd.read_parquet(out)["after"].tolist() == [55.0, 57.0, 58.0]
    told = capsys.readouterr()
    assert "3 changes of values written" in told.err
    assert "GAPS_FILLED" in told.out
    assert say(monkeypatch, "check", config, "--mutations", out, "--key", "item=a b") == 0
    assert pd.read_parquet(out)["item"].tolist() == ["a b"]


def test_a_key_without_a_report_or_without_series_is_refused(config, monkeypatch, capsys):
    assert say(monkeypatch, "check", config, "--key", "item=c") == 2
    assert "--mutations" in capsys.readouterr().err
    out = config.parent / "changes.csv"
    assert say(monkeypatch, "check", config, "--mutations", out, "--key", "item=zzz") == 2
    assert "item=zzz" in capsys.readouterr().err
    assert not out.exists()
    assert say(monkeypatch, "check", config, "--mutations", config.parent / "changes.xls") == 2
