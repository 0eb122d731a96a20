"""Each series sees the holidays of its own country, from a static column or from its key."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models.automl.group import check_group, series_of, train_group
from many_models.automl.prior import shipped_prior
from many_models.automl.rows import read_rows
from many_models.automl.settings import fit_context
from many_models.automl.task import TrainTask
from many_models.engines.reading import canonical_table, read_table
from many_models.panel.preparation import prepare
from many_models.spec import ForecastSpec


def stores(**countries):
    """Daily rows of stores by name, each with its country."""
    parts = []
    for seed, (name, country) in enumerate(countries.items()):
        y = 20 + np.random.default_rng(seed).normal(size=90)
        when = pd.date_range("2023-01-01", periods=90)
        parts.append(pd.DataFrame({"store": name, "land": country, "when": when, "sold": y}))
    return pd.concat(parts, ignore_index=True)


def task_for(table, holidays, series=("store",), static=("land",)):
    spec = ForecastSpec.from_dict(
        {
            "data": {
                "time": "when", "target": "sold", "series": list(series), "static": list(static),
                "group": [], "frequency": "D",
            },
            "forecast": {"horizon": 7},
            "features": {"holidays": holidays},
            "learners": {"allow": ["arx"]},
        }
    )  # fmt: skip
    frame, layout = canonical_table(read_table(table, spec.data), spec.data, None)
    return frame, TrainTask(spec, layout, shipped_prior(), "D", None, "run-1", None)


def seen(frame, task):
    """Store -> the places whose holidays it sees."""
    found = {}
    for key, part in series_of(frame, task.layout):
        prepared = prepare(part, key, task.layout, task.prepare_settings)
        found[key.values[-1]] = fit_context(prepared, key, task).features.holidays
    return found


def test_each_store_has_the_calendar_of_its_own_country():
    table = stores(berlin="DE-BE", boston="US-MA", lost="Atlantis", nowhere=None)
    frame, task = task_for(table, {"column": "land"})
    assert seen(frame, task) == {
        "berlin": (("DE", "BE"),), "boston": (("US", "MA"),), "lost": (), "nowhere": ()
    }  # fmt: skip
    findings = read_rows(check_group(frame, task))["findings"].to_pandas()
    unknown = findings[findings["code"] == "HOLIDAYS_UNKNOWN"]
    assert list(unknown["store"]) == ["lost", "nowhere"]
    assert "'Atlantis'" in unknown["message"].iloc[0]
    assert "no value" in unknown["message"].iloc[1]


def test_a_column_is_added_to_the_countries_of_all():
    frame, task = task_for(stores(a="DE", b="US"), {"country": ["US", "DE-BY"], "column": "land"})
    both = (("US", None), ("DE", "BY"))
    assert seen(frame, task) == {"a": (*both, ("DE", None)), "b": both}


def test_the_country_may_be_part_of_the_key():
    frame, task = task_for(stores(a="NA", b="NO"), {"column": "land"}, series=("land", "store"), static=())
    assert seen(frame, task) == {"a": (("NA", None),), "b": (("NO", None),)}


@pytest.mark.parametrize("names", [False, True])
def test_a_series_of_an_unknown_country_is_trained_without_holidays(names):
    frame, task = task_for(stores(lost="Atlantis", paris="FR"), {"column": "land", "names": names})
    rows = {name: table.to_pandas() for name, table in read_rows(train_group(frame, task)).items()}
    assert list(rows["results"]["status"]) == ["TRAINED", "TRAINED"]
    assert list(rows["findings"].query("code == 'HOLIDAYS_UNKNOWN'")["store"]) == ["lost"]
