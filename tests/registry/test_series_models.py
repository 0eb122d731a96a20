"""The own models of series: wherever the alias of their set goes, theirs go."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, open_models, promote, train
from many_models.panel.keys import SeriesKey
from many_models.registry import Registry
from many_models.runs.promotion import rollback
from many_models.runs.series_models import series_model_name

TWO = {
    "name": "two",
    "data": {"time": "t", "target": "y", "series": ["item"]},
    "forecast": {"horizon": 2},
    "engine": {"workers": 1},
    "registry": {"granularity": "series", "promote": "if_better"},
}


def of_two_items(periods):
    """One series that stays where it is, and one that trends."""
    noise = np.random.default_rng(1).normal(0, 1, periods)
    level = pd.DataFrame({"item": "level", "t": range(periods), "y": 100 + noise})
    return pd.concat([level, level.assign(item="trend", y=50 + 3.0 * np.arange(periods) + noise)])


def agree(source):
    """Set and series name the same model under both aliases."""
    for alias in ("champion", "challenger"):
        whole = open_models(f"models:/two@{alias}", tracking_uri=source.tracking_uri)
        for item in ("level", "trend"):
            own = source.version(f"models:/{named(item)}@{alias}")
            assert own.tags["many_models.content_id"] == whole.find(item=item).content_id, (alias, item)


def named(item):
    return series_model_name("two", SeriesKey(("item",), (item,)))


@pytest.mark.parametrize("store", ["local", pytest.param("server", marks=pytest.mark.slow)])
def test_the_own_models_of_series_follow_the_set(store, request, tmp_path):
    """Contested, composed, promoted, rolled back: set and series agree at every step."""
    uri, table = request.getfixturevalue(f"{store}_uri"), tmp_path / "table.parquet"
    of_two_items(40).to_parquet(table)
    source, made = Registry(uri), []
    for learner, until in (("average", 29), ("drift", 36)):
        spec = ForecastSpec.from_dict(TWO).replace(
            {"learners.allow": [learner], "data.path": str(table), "registry.tracking_uri": uri}
        )
        run = train(None, spec, run_dir=tmp_path / learner, cutoff=until)
        made.append(run.register("two"))
    assert [version.version for version in made] == [1, 2]
    assert made[1].aliases == ("challenger",)
    assert source.version("models:/two@champion").version == 3  # composed: the trend alone is better
    before, after = (open_models(f"models:/two/{n}", tracking_uri=uri) for n in (1, 3))
    assert before.find(item="level").content_id == after.find(item="level").content_id
    assert before.find(item="trend").content_id != after.find(item="trend").content_id
    own = named("trend")
    assert [v.version for v in source.versions(own)] == [2, 1]  # the composed version registered none
    agree(source)
    assert rollback("two", tracking_uri=uri) == (3, 1)
    agree(source)
    promote("two", 2, tracking_uri=uri)
    # a series that was moved by itself comes back when the set is promoted again
    assert source.rollback(own) == (2, 1)
    promote("two", 2, tracking_uri=uri)
    agree(source)
