"""Drift, from the first forecast to the version without it: orange juice as it was sold."""

from __future__ import annotations

import pandas as pd

from many_models import ForecastSpec, monitor, open_models, train

KEYS = ["Store", "Brand"]
SPEC = ForecastSpec.from_dict(
    {
        "name": "orange_juice",
        "data": {
            "time": "WeekStarting",
            "target": "Quantity",
            "series": KEYS,
            "label": "start",
            "known": ["Price", "Advert", "feat", "deal"],
        },
        "forecast": {"horizon": 8},
        "learners": {"allow": ["average", "arx"]},
        "engine": {"workers": 1},
    }
)


def test_what_the_monitor_names_is_trained_again_and_nothing_else_changes(real_data, tmp_path, empty_store):
    table = pd.read_parquet(real_data / "oj" / "oj_weekly.parquet")
    table = table[table["Store"] == 2]
    uri, champion = empty_store(tmp_path), "models:/juice@champion"
    spec = SPEC.replace({"registry.tracking_uri": uri})
    train(table, spec, run_dir=tmp_path / "first", cutoff="1992-02-20").register("juice")
    first = open_models(champion, tracking_uri=uri)
    scored = first.forecast(history=table)

    found = monitor(champion, table, out=tmp_path / "monitor", tracking_uri=uri).series()
    drifted = {tuple(k) for k in found[found["alerts"].str.contains("DRIFT")][KEYS].to_numpy()}
    assert 0 < len(drifted) < len(found) == 3

    again = train(table, spec, run_dir=tmp_path / "again", only=["drifted"], base=champion)
    again.register("juice")
    second = open_models(champion, tracking_uri=uri)
    assert (first.lineage["version"], second.lineage["version"]) == (1, 2)
    before, after = (models.index().to_pandas().set_index(KEYS)["content_id"] for models in (first, second))
    assert {key for key in before.index if before[key] != after[key]} == drifted

    inherited = before[[key not in drifted for key in before.index]]
    assert first.states(inherited) == second.states(inherited)
    told = second.forecast(history=table)
    same = [tuple(key) not in drifted for key in scored[KEYS].to_numpy()]
    pd.testing.assert_frame_equal(scored[same], told[same], check_exact=True)
    assert (told["cutoff"] == table["WeekStarting"].max()).all()
