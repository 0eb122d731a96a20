"""`check`: what every guardrail came to, over all series; and the same rows in a run, read with SQL."""

from __future__ import annotations

import sqlite3

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, check_source, train
from many_models.panel.guardrails import GUARDRAIL_OF


def shops(n=100, **columns):
    """Three shops over days: the second has an outlier, the third a hole; price is known, value leaks."""
    rng = np.random.default_rng(3)
    parts = []
    for k in range(3):
        noise = np.convolve(rng.normal(size=n + 4), np.ones(5) / 2, "valid")
        price = rng.uniform(2, 3, n)
        sold = np.round(60 + 15 * np.sin(2 * np.pi * np.arange(n) / 7) + 3 * noise)
        if k == 1:
            sold[50] = 5000
        part = pd.DataFrame(
            {"shop": f"s{k}", "day": pd.date_range("2024-01-01", periods=n), "sold": sold, "price": price}
        )
        part["value"] = part["sold"] * part["price"]
        parts.append(part.drop(index=40) if k == 2 else part)
    return pd.concat(parts, ignore_index=True)


def spec(known=("price",), **data):
    return ForecastSpec.from_dict(
        {
            "data": {"time": "day", "target": "sold", "series": ["shop"], "known": list(known), **data},
            "forecast": {"horizon": 7},
            "learners": {"preset": "fast", "allow": ["seasonal_naive"]},
            "engine": {"workers": 1},
        }
    )


def test_a_check_counts_series_by_guardrail_and_state():
    report = check_source(shops(), spec())
    rails = {row["guardrail"]: row for row in report.guardrails}
    assert all(row["passed"] + row["done"] + row["alerted"] == 3 for row in rails.values())
    assert (rails["OUTLYING_VALUES"]["passed"], rails["OUTLYING_VALUES"]["alerted"]) == (2, 1)
    assert rails["OUTLYING_VALUES"]["share"] == pytest.approx(1 / 3)
    assert (rails["MISSING_VALUES"]["passed"], rails["MISSING_VALUES"]["done"]) == (2, 1)
    assert rails["LEAKAGE"]["passed"] == 3
    assert {row["code"] for row in report.rows} == {
        "OUTLIERS",
        "GAPS_FILLED",
        "COVARIATE_FILLED",
        "COVARIATE_ABSENT_AHEAD",
    }
    kinds = [record["code"] for record in report.records]
    assert kinds.count("GUARDRAIL") == len(rails)


def test_a_suspect_is_left_out_of_a_run_unless_it_is_kept(tmp_path):
    frame = shops()
    run = train(frame, spec(("price", "value")), run_dir=tmp_path / "without")
    told = run.findings().query("code == 'LEAKAGE_SUSPECT'")
    assert len(told) == 3
    assert told["message"].str.contains("value reproduces the target in a ratio with price").all()
    assert [c.name for c in run.layout.covariates if c.role == "known"] == ["price"]
    kept = check_source(frame, spec(("price", "value"), keep=["value"]))
    assert [row["code"] for row in kept.rows if row["code"].startswith("LEAKAGE")] == ["LEAKAGE_KEPT"]


def test_findings_of_a_run_are_read_with_sql(tmp_path):
    run = train(shops(), spec(), run_dir=tmp_path / "run")
    with sqlite3.connect(":memory:") as base:
        run.findings().to_sql("findings", base, index=False)
        found = dict(
            base.execute(
                "select code, count(distinct shop) from findings where state <> 'passed' group by code"
            ).fetchall()
        )
        passed = base.execute(
            "select avg(state = 'passed') from findings where code in ('OUTLYING_VALUES', 'OUTLIERS')"
        ).fetchone()[0]
        quiet = {code for (code,) in base.execute("select code from findings where state = 'passed'")}
    assert found["OUTLIERS"] == found["GAPS_FILLED"] == 1
    assert passed == pytest.approx(2 / 3)
    assert all(GUARDRAIL_OF[code].name == code for code in quiet)


def test_hospital_gives_no_alarm(real_data):
    data = {"time": "ds", "target": "y", "series": ["unique_id"]}
    asked = ForecastSpec.from_dict({"data": data, "forecast": {"horizon": 12}, "engine": {"workers": 1}})
    frame = pd.read_parquet(real_data / "hospital" / "hospital_monthly.parquet")
    report = check_source(frame, asked, limit=150)
    assert report.rows == ()
    assert {row["alerted"] + row["done"] for row in report.guardrails} == {0}
