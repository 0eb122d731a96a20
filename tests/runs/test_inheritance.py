"""Training only what needs it: the rest is taken over from a run or a version, and says so."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, open_models, resume, train
from many_models.errors import InputError, LookupFailed
from many_models.panel.fingerprint import covered_until, series_fingerprint

KEYS = ["shop", "item"]
FOLDERS = ("leaderboard", "forecasts", "findings")


def weekly(shop, item, values):
    weeks = pd.date_range("2024-01-01", periods=len(values), freq="W-MON")
    return pd.DataFrame({"shop": shop, "item": item, "week": weeks, "sold": np.round(values, 2)})


def shops(periods=72):
    rng = np.random.default_rng(11)
    keys = [(1, "a"), (1, "b"), (2, "a"), (2, "b")]
    return pd.concat([weekly(*key, rng.normal(100, 10, periods)) for key in keys], ignore_index=True)


def spec(**overrides):
    made = ForecastSpec.from_dict(
        {
            "name": "shops",
            "data": {"time": "week", "target": "sold", "series": KEYS},
            "forecast": {"horizon": 4},
            "learners": {"allow": ["average", "drift"]},
            "features": {"holidays": None},
            "engine": {"workers": 1},
        }
    )
    return made.replace(overrides) if overrides else made


def of(frame, shop, item):
    return frame[(frame["shop"] == shop) & (frame["item"] == item)].reset_index(drop=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A run on the first 60 weeks."""
    frame = shops()
    known = frame[frame["week"] <= frame["week"].unique()[59]]
    return train(known, spec(), run_dir=tmp_path_factory.mktemp("base") / "run")


@pytest.fixture(scope="module")
def newer():
    """The same table as it lies there later: 12 weeks more, one old value corrected, one series more.

    The demand for (2, "a") has doubled meanwhile.
    """
    frame = shops()
    weeks = frame["week"].unique()
    rng = np.random.default_rng(12)
    shifted = (frame["shop"] == 2) & (frame["item"] == "a") & (frame["week"] > weeks[59])
    frame.loc[shifted, "sold"] *= 2
    frame.loc[(frame["shop"] == 1) & (frame["item"] == "b") & (frame["week"] == weeks[30]), "sold"] += 1
    # this one has no newer weeks: it is never stale
    frame = frame[~((frame["shop"] == 2) & (frame["item"] == "b") & (frame["week"] > weeks[59]))]
    return pd.concat([frame, weekly(3, "c", rng.normal(10, 1, 70))], ignore_index=True)


def trained_keys(run):
    lineage = run.lineage()
    own = lineage[lineage["inherited_from"].isna()]
    done = run.results().merge(own[KEYS])
    return {(row["shop"], row["item"]) for _, row in done.iterrows() if row["status"] != "CANCELLED"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["changed"], {(1, "b")}),
        (["new"], {(3, "c")}),
        (["drifted"], {(2, "a")}),
        (["stale", "new"], {(1, "a"), (1, "b"), (2, "a"), (3, "c")}),
        (["failed"], set()),
    ],
)
def test_each_word_trains_its_series_and_every_series_has_a_row(base, newer, tmp_path, words, expected):
    run = train(newer, spec(), run_dir=tmp_path / "run", only=words, base=base.directory)
    assert trained_keys(run) == expected
    results = run.results().set_index(KEYS)
    assert len(results) == run.summary["series"] == 5  # closed accounting
    if (3, "c") not in expected:
        assert tuple(results.loc[(3, "c"), ["status", "reason"]]) == ("CANCELLED", "NOT_SELECTED")
    told = run.summary["only"]
    assert told["words"] == words
    assert told["inherited_series"] == 5 - len(expected) - ((3, "c") not in expected)
    lineage = run.lineage().set_index(KEYS)
    for key in {(1, "a"), (1, "b"), (2, "a"), (2, "b")} - expected:
        shop, item = key
        assert lineage.loc[key, "inherited_from"] == str(base.directory)
        assert lineage.loc[key, "run_id"] == base.summary["run_id"]
        for folder in FOLDERS:
            mine, theirs = (getattr(r, folder)(shop=shop, item=item) for r in (run, base))
            pd.testing.assert_frame_equal(mine, theirs, check_exact=True, check_dtype=False)
        mine, theirs = (r.results().set_index(KEYS).loc[[key]] for r in (run, base))
        pd.testing.assert_frame_equal(mine, theirs, check_exact=True, check_dtype=False)
        assert run.backtest(shop=shop, item=item)["candidate"].unique().tolist() == ["ensemble"]
        pd.testing.assert_frame_equal(
            run.models().find(shop=shop, item=item).forecast(),
            base.models().find(shop=shop, item=item).forecast(),
        )


def test_a_series_trained_again_is_as_in_a_run_of_all(base, newer, tmp_path):
    whole = train(newer, spec(), run_dir=tmp_path / "whole")
    some = train(newer, spec(), run_dir=tmp_path / "some", only=["changed"], base=base.directory)
    one, other = (run.forecasts(shop=1, item="b").drop(columns="run_id") for run in (whole, some))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_a_registered_version_is_a_base_and_what_comes_of_it_too(base, newer, tmp_path, empty_store):
    uri = empty_store(tmp_path)
    base.register("shops", tracking_uri=uri)
    settings = spec(**{"registry.tracking_uri": uri})
    run = train(newer, settings, run_dir=tmp_path / "run", only=["new"], base="models:/shops@champion")
    assert run.summary["only"]["base"] == "models:/shops/1"  # not the alias, which moves
    assert set(run.lineage()["inherited_from"].dropna()) == {"models:/shops/1"}
    pd.testing.assert_frame_equal(
        run.forecasts(shop=1, item="a"), base.forecasts(shop=1, item="a"), check_exact=True
    )
    assert run.register("shops", tracking_uri=uri).version == 2
    record = open_models("models:/shops@champion", tracking_uri=uri).find(shop=1, item="a").record
    assert record["inherited_from"] == "models:/shops/1"
    assert record["run_id"] == base.summary["run_id"]


def test_a_changed_configuration_changes_every_series(base, newer, tmp_path):
    other = spec(**{"learners.allow": ["average"]})
    run = train(newer, other, run_dir=tmp_path / "run", only=["changed"], base=base.directory)
    assert trained_keys(run) == {(1, "a"), (1, "b"), (2, "a"), (2, "b")}


def test_what_was_not_run_is_tried_again(base, newer, tmp_path):
    left = train(newer, spec(), run_dir=tmp_path / "left", only=["changed"], base=base.directory)
    run = train(newer, spec(), run_dir=tmp_path / "again", only=["failed"], base=left.directory)
    assert trained_keys(run) == {(3, "c")}
    assert run.lineage().set_index(KEYS).loc[(1, "a"), "run_id"] == base.summary["run_id"]


def test_of_a_group_that_shares_models_only_the_chosen_series_is_trained(base, newer, tmp_path):
    pooled = spec(**{"data.group": ["shop"]})
    first = train(
        newer[(newer["week"] <= "2025-02-17") & (newer["shop"] < 3)], pooled, run_dir=tmp_path / "first"
    )
    run = train(newer, pooled, run_dir=tmp_path / "run", only=["drifted"], base=first.directory)
    assert trained_keys(run) == {(2, "a")}
    assert run.summary["only"]["left_out_series"] == 1


def test_an_interrupted_run_takes_over_once(base, newer, tmp_path):
    whole = train(newer, spec(), run_dir=tmp_path / "whole", only=["changed"], base=base.directory)
    for lost in ("part-000001.parquet", "part-000002.parquet"):
        cut = shutil.copytree(whole.directory, tmp_path / lost)
        (cut / "summary.json").unlink()
        for file in (cut / "results").glob("part-*.parquet"):
            if lost <= file.name:
                file.unlink()
        run = resume(cut, data=newer)
        assert run.summary["series"] == 5
        assert not run.results().duplicated(KEYS).any()
        pd.testing.assert_frame_equal(run.forecasts(), whole.forecasts(), check_exact=True)
        assert run.summary["only"] == whole.summary["only"]


def test_what_makes_no_sense_is_refused(base, newer, tmp_path):
    with pytest.raises(InputError, match="did you mean failed"):
        train(newer, spec(), run_dir=tmp_path / "a", only=["faild"], base=base.directory)
    with pytest.raises(InputError, match="one without the other"):
        train(newer, spec(), run_dir=tmp_path / "b", only=["new"])
    with pytest.raises(InputError, match="one without the other"):
        train(newer, spec(), run_dir=tmp_path / "c", base=base.directory)
    with pytest.raises(LookupFailed, match="nothing there"):
        train(newer, spec(), run_dir=tmp_path / "d", only=["new"], base=tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"forecast\.horizon"):
        train(
            newer, spec(**{"forecast.horizon": 5}), run_dir=tmp_path / "e", only=["new"], base=base.directory
        )
    assert not any(tmp_path.iterdir())


def test_a_fingerprint_says_what_it_covers():
    frame = pd.DataFrame({"t": [1, 2, 3], "y": [1.0, np.nan, 3.0]})
    text = series_fingerprint(frame, 2)
    assert covered_until(text) == 2
    assert series_fingerprint(frame.assign(y=[1.0, np.nan, 9.0]), 2) == text  # later rows say nothing
    assert series_fingerprint(frame.assign(y=[1.5, np.nan, 3.0]), 2) != text
    assert covered_until("") is covered_until("x:00") is None
