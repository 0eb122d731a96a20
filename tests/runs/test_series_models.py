"""One registered model per series: made, found, used and moved like any other."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, open_models, train
from many_models.panel.keys import SeriesKey
from many_models.runs.registration import registry
from many_models.runs.series_models import GRANULARITY, follow, series_model_name

SPEC = {
    "name": "single",
    "data": {"time": "t", "target": "y", "series": ["shop", "item"]},
    "forecast": {"horizon": 2},
    "learners": {"allow": ["naive"]},
    "registry": {"granularity": "series"},
    "engine": {"workers": 1},
}


@pytest.fixture(scope="module")
def registered(tmp_path_factory, empty_store):
    """A run of three series and one without a single value, registered series by series."""
    folder = tmp_path_factory.mktemp("single")
    rows = [
        {"shop": shop, "item": item, "t": t, "y": np.nan if item == "none" else 10.0 * shop + t}
        for shop, item in [(1, "a/b"), (1, "a:b"), (2, "a b"), (2, "none")]
        for t in range(1, 13)
    ]
    run = train(pd.DataFrame(rows), ForecastSpec.from_dict(SPEC), run_dir=folder / "run")
    uri = empty_store(folder)
    return run, run.register("shops", tracking_uri=uri), uri


def test_each_series_with_a_model_gets_one_of_its_own(registered):
    run, version, uri = registered
    for shop, item in [(1, "a/b"), (1, "a:b"), (2, "a b")]:
        record = open_models(version.uri, tracking_uri=uri).find(shop=shop, item=item).record
        alone = open_models(f"models:/{record['series_model']}@champion", tracking_uri=uri)
        assert len(alone) == 1
        own = alone.find(shop=shop, item=item).forecast()
        whole = run.forecasts(shop=shop, item=item)
        pd.testing.assert_frame_equal(own, whole[own.columns], check_dtype=False)
        (one,) = registry(uri).versions(record["series_model"])
        assert one.tags["many_models.key"] == SeriesKey(("shop", "item"), (shop, item)).canonical
        assert one.run_id == version.run_id


def test_a_series_without_a_model_has_none(registered):
    _, version, uri = registered
    record = open_models(version.uri, tracking_uri=uri).find(shop=2, item="none").record
    assert "series_model" not in record


def test_names_tell_keys_apart_that_look_alike():
    keys = [SeriesKey(("k",), (value,)) for value in ("a b", "a/b", "a:b", "", "é" * 300, "é" * 301)]
    names = [series_model_name("m", key) for key in keys]
    assert len(set(names)) == len(names)
    assert all(len(name) < 200 and not set(name) & set("/: ") for name in names)


def test_the_next_run_adds_a_version_and_moves_each_alias(registered):
    run, _, uri = registered
    run.register("shops", tracking_uri=uri)
    record = open_models("models:/shops@champion", tracking_uri=uri).find(shop=1, item="a/b").record
    newest, first = registry(uri).versions(record["series_model"])
    assert (newest.version, newest.aliases, first.aliases) == (2, ("champion",), ())
    registry(uri).rollback(record["series_model"])
    assert registry(uri).version(f"models:/{record['series_model']}@champion").version == 1


def test_series_registered_with_their_set_alone_are_left_and_said(tmp_path, caplog, empty_store):
    uri = empty_store(tmp_path)
    rows = pd.DataFrame([{"shop": 1, "item": item, "t": t, "y": t} for item in "ab" for t in range(9)])
    spec = ForecastSpec.from_dict(SPEC).replace({"registry.granularity": "set"})
    train(rows, spec, run_dir=tmp_path / "run").register("two", tracking_uri=uri)
    version = registry(uri).version("models:/two@champion")
    tagged = replace(version, tags={GRANULARITY: "series"})
    assert follow(registry(uri), version, "champion") == 0
    assert not caplog.records
    assert follow(registry(uri), tagged, "champion") == 0
    assert "2 series of models:/two/1 have no model of their own" in caplog.text
