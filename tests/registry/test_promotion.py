"""Promoting where it is better: against a local registry, and against a real server."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, open_models, promote, train
from many_models.errors import DataError, InputError, RegistryError
from many_models.registry import Registry
from many_models.runs import promotion
from many_models.runs.base_version import open_base
from many_models.runs.contest import contest

KEYS = ["shop", "item"]


def weekly(name, values):
    shop, item = name
    weeks = pd.date_range("2024-01-01", periods=len(values), freq="W-MON")
    return pd.DataFrame({"shop": shop, "item": item, "week": weeks, "sold": values})


def shops(periods=90):
    """Three series: one that trends (drift is right), one around a level (the average is), one of both."""
    t, rng = np.arange(periods), np.random.default_rng(3)
    parts = [
        weekly((1, "up"), 100 + 5.0 * t + rng.normal(0, 2, periods)),
        weekly((1, "level"), 200 + rng.normal(0, 20, periods)),
        weekly((2, "up"), 50 + 3.0 * t + rng.normal(0, 2, periods)),
    ]
    return pd.concat(parts, ignore_index=True)


def spec(*learners, **overrides):
    made = ForecastSpec.from_dict(
        {
            "name": "shops",
            "data": {"time": "week", "target": "sold", "series": KEYS},
            "forecast": {"horizon": 4},
            "learners": {"allow": list(learners)},
            "features": {"holidays": None},
            "engine": {"workers": 1},
        }
    )
    return made.replace(overrides) if overrides else made


@pytest.fixture(scope="module")
def table():
    return shops()


@pytest.fixture(scope="module")
def runs(table, tmp_path_factory):
    """An older run of averages, and a newer one of drifts with a series more and one less."""
    folder = tmp_path_factory.mktemp("runs")
    weeks = sorted(table["week"].unique())
    rng = np.random.default_rng(5)
    older = table[table["week"] <= weeks[59]]
    extra = weekly((3, "new"), rng.normal(50, 5, 70))
    newer = pd.concat([table, extra])
    newer = newer[(newer["week"] <= weeks[69]) & ~(newer["shop"] == 2)]
    return (
        train(older, spec("average"), run_dir=folder / "older"),
        train(newer, spec("drift"), run_dir=folder / "newer"),
    )


@pytest.fixture(scope="module")
def name(registry, runs):
    """A model of which version 1 is the older run, 2 the newer one, and 3 the older one again."""
    name = "shops_of_two"
    for run, alias in ((runs[0], None), (runs[1], "challenger"), (runs[0], "again")):
        run.register(name, alias=alias, tracking_uri=registry.tracking_uri)
    return name


@pytest.fixture
def shop(registry, name):
    """That model, its champion version 1 again."""
    registry.promote(name, 1)
    return name


def verdicts(found):
    frame = found.verdicts
    return {(row["shop"], row["item"]): (row["winner"], row["reason"]) for _, row in frame.iterrows()}


def test_each_series_keeps_the_better_model_and_says_where_it_is_from(registry, shop, runs, table):
    uri = registry.tracking_uri
    found = promote(shop, 2, only_better=True, data=table, tracking_uri=uri)
    assert found.version > 3
    assert (found.before, found.composed) == (1, True)
    assert verdicts(found) == {
        (1, "up"): ("challenger", "BETTER"),
        (1, "level"): ("champion", "NOT_BETTER"),
        (2, "up"): ("champion", "ONLY_CHAMPION"),
        (3, "new"): ("challenger", "ONLY_CHALLENGER"),
    }
    models = open_models("models:/shops_of_two@champion", tracking_uri=uri)
    assert len(models) == 4  # no series is lost
    records = {key: models.find(shop=key[0], item=key[1]).record for key in verdicts(found)}
    for key, (winner, _) in verdicts(found).items():
        side = 1 if winner == "challenger" else 0
        assert records[key]["inherited_from"] == f"models:/{shop}/{side + 1}"
        assert records[key]["run_id"] == runs[side].summary["run_id"]
        assert records[key]["spec_fingerprint"] == runs[side].spec.fingerprint
        assert records[key]["code_version"]
        own = runs[side].models().find(shop=key[0], item=key[1])
        # bit for bit, and signed by the run that trained it
        pd.testing.assert_frame_equal(
            models.find(shop=key[0], item=key[1]).forecast(), own.forecast(), check_exact=True
        )
    assert records[1, "up"]["data_until"] > records[1, "level"]["data_until"]
    base = open_base("models:/shops_of_two@champion", uri)
    assert base.table("forecasts").num_rows == 16
    assert base.table("backtest").num_rows > 0
    assert registry.rollback(shop) == (found.version, 1)  # one step, also from a version made of two
    assert len(open_models("models:/shops_of_two@champion", tracking_uri=uri)) == 3


def test_the_difference_is_that_of_paired_errors_on_the_same_stamps(runs, table):
    older, newer = (open_base(run.directory) for run in runs)
    found = contest(older, newer, table).table().to_pandas().set_index(KEYS)
    row = found.loc[(1, "up")]
    series = table[(table["shop"] == 1) & (table["item"] == "up")].set_index("week")["sold"]
    weeks = series.index
    losses = {}
    for side, run in zip(("champion", "challenger"), runs, strict=True):
        forecaster, errors = run.models().find(shop=1, item="up"), []
        for start in range(70, 90, 4):  # both stand at the newer run's end, week 69, and move on
            history = series.iloc[:start].rename("sold").reset_index()
            answer = forecaster.forecast(history=history, horizon=4).set_index("week")["q0.5"]
            stamps = list(weeks[start : start + 4])
            errors += [abs(series[w] - answer[w]) for w in stamps]
        losses[side] = np.array(errors)
    difference = losses["champion"] - losses["challenger"]
    assert row["basis"] == "later data"
    assert row["stamps"] == len(difference) == 20
    assert row["champion_loss"] == pytest.approx(losses["champion"].mean(), rel=1e-9)
    assert row["challenger_loss"] == pytest.approx(losses["challenger"].mean(), rel=1e-9)
    assert row["difference"] == pytest.approx(difference.mean(), rel=1e-9)
    assert row["error"] == pytest.approx(difference.std(ddof=1) / np.sqrt(20), rel=1e-9)


def test_without_later_data_the_champion_meets_the_challengers_folds(runs, table):
    older, newer = (open_base(run.directory) for run in runs)
    known = table[table["week"] <= sorted(table["week"].unique())[69]]
    found = contest(older, newer, known).table().to_pandas().set_index(KEYS)
    assert found.loc[(1, "up"), "basis"] == "challenger's folds"
    assert found.loc[(1, "up"), "winner"] == "challenger"
    folds = contest(older, newer).table().to_pandas().set_index(KEYS)
    assert folds.loc[(1, "up"), "basis"] == "common folds"


def test_what_cannot_be_compared_is_said(runs, table, tmp_path):
    older = open_base(runs[0].directory)
    early = table[table["week"] <= "2024-06-30"]
    with pytest.raises(DataError, match="no later values of any"):
        contest(open_base(runs[1].directory), older, early)
    other = train(table[table["shop"] == 1], spec("drift", **{"forecast.horizon": 5}), run_dir=tmp_path / "o")
    with pytest.raises(InputError, match=r"forecast\.horizon"):
        promotion.refuse_other_panel(older, other.layout, other.spec, "other")


def test_a_challenger_that_wins_nowhere_moves_nothing(registry, shop, table):
    uri, before = registry.tracking_uri, len(registry.versions(shop))
    found = promote(shop, 3, only_better=True, data=table, tracking_uri=uri)
    assert (found.version, found.composed) == (1, False)
    assert set(found.verdicts["reason"]) == {"SAME_MODEL"}
    assert registry.version(f"models:/{shop}@champion").version == 1
    assert len(registry.versions(shop)) == before
    with pytest.raises(InputError, match="version 1 already"):
        promote(shop, 1, only_better=True, data=table, tracking_uri=uri)


def test_an_alias_that_names_nothing_has_nothing_to_beat(registry, shop, table):
    found = promote(shop, 2, alias="unset", only_better=True, data=table, tracking_uri=registry.tracking_uri)
    assert (found.version, found.before) == (2, None)


def test_of_two_comparisons_at_once_the_loser_is_told(registry, shop, table, monkeypatch):
    uri, compared = registry.tracking_uri, promotion.contest

    def meanwhile(*arguments, **named):
        found = compared(*arguments, **named)
        Registry(uri).promote(shop, 3)  # somebody else is done first
        return found

    monkeypatch.setattr(promotion, "contest", meanwhile)
    with pytest.raises(RegistryError, match="is version 3, no longer 1") as told:
        promote(shop, 2, only_better=True, data=table, tracking_uri=uri)
    assert told.value.exit_code == 4
    assert registry.version(f"models:/{shop}@champion").version == 3
    assert registry.rollback(shop) == (3, 1)
    # in either order no series is lost: what the loser made stands, with all series of both
    assert len(open_models(f"models:/{shop}/latest", tracking_uri=uri)) == 4


def test_if_better_makes_a_new_run_the_challenger_and_promotes_where_it_wins(server_uri, table, tmp_path):
    weeks = sorted(table["week"].unique())
    table.to_parquet(tmp_path / "sales.parquet")
    change = {"data.path": str(tmp_path / "sales.parquet"), "registry.promote": "if_better"}
    change["registry.tracking_uri"] = server_uri
    first = train(None, spec("average", **change), run_dir=tmp_path / "a", cutoff=str(weeks[59])[:10])
    assert first.register("contested").aliases == ("challenger", "champion")  # nothing was there to beat
    second = train(None, spec("drift", **change), run_dir=tmp_path / "b", cutoff=str(weeks[69])[:10])
    version = second.register("contested")
    assert (version.version, version.aliases) == (2, ("challenger",))
    told = json.loads((tmp_path / "b" / "summary.json").read_text())["promotion"]
    assert (told["version"], told["before"], told["composed"]) == (3, 1, True)
    assert set(told["contest"]["basis"]) == {"challenger's folds"}  # nothing after the cutoff was read
    registry = Registry(server_uri)
    assert registry.version("models:/contested@champion").version == 3
