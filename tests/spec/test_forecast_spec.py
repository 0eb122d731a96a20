"""The tree itself: defaults, canonical values, round trips, overrides and the fingerprint."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.errors import SpecError
from many_models.spec import LEARNER_NAMES, METRICS, DataSpec, ForecastSettings, ForecastSpec

SMALLEST = {
    "data": {"time": "when", "target": "sold", "series": ["shop", "item"]},
    "forecast": {"horizon": 8},
}


def spec_with(overrides=None):
    return ForecastSpec.from_dict(SMALLEST).replace(overrides or {})


def maybe(key, values):
    return st.fixed_dictionaries({}, optional={key: values})


COLUMN = st.text(min_size=1, max_size=8).filter(lambda text: "\0" not in text and text.isprintable())
AUTO_OR_OFF = st.sampled_from(["auto", "off"])
LEARNER_LISTS = st.none() | st.lists(st.sampled_from(LEARNER_NAMES), min_size=1, unique=True)


@st.composite
def trees(draw):
    """Configuration trees that are right."""
    columns = draw(st.lists(COLUMN, min_size=8, max_size=8, unique=True))
    series = columns[2 : 2 + draw(st.integers(0, 2))]
    horizon = draw(st.integers(1, 40))
    levels = draw(st.lists(st.integers(1, 99), unique=True, max_size=4))
    data = {
        "time": columns[0],
        "target": columns[1],
        "series": series,
        "group": draw(st.sampled_from([None, series, series[:1], []])),
        "known": columns[4 : 4 + draw(st.integers(0, 2))],
        "mask": draw(st.sampled_from([None, columns[6]])),
        "label": draw(st.sampled_from(["start", "end"])),
        "timezone": draw(st.sampled_from([None, "UTC", "America/New_York"])),
        "frequency": draw(st.sampled_from(["auto", "W-THU", "15min", "1"])),
    }
    forecast = {
        "horizon": horizon,
        "quantiles": [level / 100 for level in sorted(levels)],
        "min": draw(st.sampled_from(["auto", None, 0, -2.5])),
        "totals": draw(st.lists(st.integers(1, horizon), unique=True, max_size=3)),
    }
    features = {
        "lags": draw(AUTO_OR_OFF | st.lists(st.integers(1, 400), min_size=1, max_size=4, unique=True)),
        "calendar": draw(AUTO_OR_OFF),
        "holidays": draw(st.sampled_from([None, {"country": "US"}, {"country": "US", "subdivision": "NY"}])),
    }
    rest = st.fixed_dictionaries(
        {},
        optional={
            "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
            "learners": maybe("allow", LEARNER_LISTS),
            "validation": maybe("metric", st.sampled_from(["auto", *METRICS])),
            "budget": maybe("seconds_per_group", st.sampled_from(["auto", None, 5, 0.5])),
            "engine": maybe("kind", st.sampled_from(["local", "spark", "spark://h:7077", "sc://h", "sc://h:15002/;use_ssl=true"])),
            "seed": st.integers(0, 2**63 - 1),
        },
    )  # fmt: skip
    return {"data": data, "forecast": forecast, "features": features, **draw(rest)}


@settings(max_examples=60)
@given(trees())
def test_dict_and_yaml_round_trips_give_an_equal_spec(tmp_path_factory, tree):
    spec = ForecastSpec.from_dict(tree)
    path = tmp_path_factory.mktemp("spec") / "spec.yaml"
    path.write_text(spec.to_yaml(), encoding="utf-8")
    sent = pickle.loads(pickle.dumps(spec))  # noqa: S301  (as engines send it to their workers)
    for again in (ForecastSpec.from_dict(spec.to_dict()), ForecastSpec.from_yaml(path), sent):
        assert again == spec
        assert hash(again) == hash(spec)
        assert again.fingerprint == spec.fingerprint
    assert ForecastSpec(**tree) == spec
    assert spec.replace({}) == spec
    assert json.loads(json.dumps(spec.to_dict())) == spec.to_dict()


def test_the_written_yaml_means_the_same_to_other_readers():
    spec = spec_with({"features.lags": "off", "data.known": ["no", "2020-01-01", "1e3", "007"]})
    assert yaml.safe_load(spec.to_yaml()) == spec.to_dict()


def test_the_smallest_configuration_takes_the_documented_defaults():
    spec = spec_with()
    assert (spec.name, spec.seed, spec.events) == ("forecast", 0, None)
    assert spec.data.group_columns == ("shop", "item")
    assert spec.forecast.quantiles == (0.1, 0.5, 0.9)
    assert (spec.forecast.min, spec.forecast.max, spec.forecast.gap) == ("auto", "auto", 0)
    assert spec.learners.preset == "balanced"
    assert spec.budget.seconds_per_group == "auto"
    assert spec.budget.max_failed_fraction == 0.05
    assert spec.registry.alias == "champion"
    assert spec.features.holidays is None


def test_nothing_can_be_changed_in_place():
    spec = spec_with()
    with pytest.raises(ValueError, match="frozen"):
        spec.data.time = "other"
    with pytest.raises(ValueError, match="frozen"):
        spec.seed = 1


def test_building_leaves_the_tree_alone():
    tree = {**copy.deepcopy(SMALLEST), "features": {"lags": [3, 1]}}
    before = copy.deepcopy(tree)
    ForecastSpec.from_dict(tree)
    assert tree == before


def test_parts_and_mappings_may_be_mixed():
    data = DataSpec(time="when", target="sold", series=("shop", "item"))
    assert ForecastSpec(data=data, forecast={"horizon": 8}) == spec_with()
    assert ForecastSpec(data=data, forecast=ForecastSettings(horizon=8)) == spec_with()


def test_values_have_one_canonical_form():
    written = spec_with(
        {
            "data.series": "shop",
            "data.known": "price",
            "forecast.quantiles": [0.1 + 0.2],
            "forecast.min": 0,
            "forecast.totals": [8, 4],
            "features.lags": [7, 1],
            "features.holidays": {"country": "US"},
            "learners.allow": ["theta", "ets"],
            "data.path": Path("a") / "b.csv",
        }
    )
    canonical = spec_with(
        {
            "data.series": ["shop"],
            "data.known": ["price"],
            "forecast.quantiles": [0.3, 0.5],
            "forecast.min": 0.0,
            "forecast.totals": [4, 8],
            "features.lags": [1, 7],
            "features.holidays": {"country": ["US"]},
            "learners.allow": ["ets", "theta"],
            "data.path": "a/b.csv",
        }
    )
    assert written == canonical
    assert written.to_yaml() == canonical.to_yaml()
    assert written.forecast.quantiles == (0.3, 0.5)


def test_numbers_of_numpy_are_numbers():
    numpy = pytest.importorskip("numpy")
    spec = spec_with({"forecast.horizon": numpy.int32(5), "forecast.quantiles": [numpy.float64(0.2)]})
    assert json.dumps(spec.to_dict()["forecast"]["horizon"]) == "5"
    with pytest.raises(SpecError):
        spec_with({"forecast.horizon": numpy.float64(5)})


DECIDES = {
    "data.time": "t",
    "data.target": "y",
    "data.series": ["shop"],
    "data.group": ["shop"],
    "data.timezone": "Europe/Berlin",
    "data.frequency": "D",
    "data.label": "end",
    "data.absent": "zero",
    "data.known": ["price"],
    "data.past": ["price"],
    "data.static": ["price"],
    "data.mask": "price",
    "data.closed": "price",
    "forecast.horizon": 9,
    "forecast.quantiles": [0.2],
    "forecast.gap": 1,
    "forecast.origin": "panel",
    "forecast.min": None,
    "forecast.max": 10,
    "forecast.totals": [4],
    "forecast.integer": True,
    "preparation.impute": "zero",
    "preparation.aggregate.target": "mean",
    "preparation.aggregate.columns": {},
    "preparation.short": "drop",
    "preparation.outliers": "off",
    "features.lags": "off",
    "features.windows": [2],
    "features.calendar": "off",
    "features.holidays": {"country": "US"},
    "features.fourier": 2,
    "features.stl": "on",
    "features.transforms": "none",
    "features.difference": "first",
    "features.covariates.lags": [1],
    "features.covariates.leads": [1],
    "features.covariates.differences": [1],
    "features.covariates.relative": [2],
    "features.covariates.interactions": "off",
    "features.covariates.log": "off",
    "features.covariates.past_lags": "off",
    "features.covariates.past_windows": "off",
    "features.was_missing": True,
    "features.strategy": "recursive",
    "features.block": ["stl"],
    "features.arima": ["events"],
    "features.scaling": "robust",
    "features.reduction": {"method": "pca"},
    "features.context": ["mean"],
    "events": {"path": "events.csv"},
    "forecast.missing_model": "naive",
    "learners.preset": "fast",
    "learners.allow": ["ets"],
    "learners.block": ["ets"],
    "validation.pilot": 25,
    "validation.folds": 2,
    "validation.step": 3,
    "validation.metric": "mae",
    "validation.test": 8,
    "learners.racing": True,
    "learners.trials": 5,
    "learners.patience": 3,
    "learners.target_score": 0.5,
    "pooling.largest": 50,
    "pooling.weights": "series",
    "ensemble.combine": "best",
    "ensemble.stack": True,
    "seed": 1,
}
DECIDES_NOTHING = {
    "name": "other",
    "data.path": "other.csv",
    "data.table": "a.b.c",
    "budget.seconds_per_group": 5,
    "budget.seconds_total": 5,
    "budget.seconds_per_trial": 5,
    "budget.max_failed_fraction": 0.5,
    "engine.kind": "spark",
    "engine.workers": 3,
    "engine.staging": "/tmp/x",
    "registry.name": "m",
    "registry.alias": "a",
    "registry.promote": "if_better",
    "registry.granularity": "series",
    "registry.stale_after": 3,
    "registry.drift": 3.0,
    "registry.experiment": "e",
    "registry.tracking_uri": "sqlite:///x.db",
    "registry.wheel": "x.whl",
    "data.group": ["shop", "item"],
}
NEEDS_A_PACKAGE = {"features.own"}
NEEDS_ANOTHER = {"data.context", "data.keep", "validation.weights"}


def test_the_fingerprint_changes_with_whatever_decides_a_forecast():
    prints = {spec_with({dotted: value}).fingerprint for dotted, value in DECIDES.items()}
    assert len(prints | {spec_with().fingerprint}) == len(DECIDES) + 1


def test_a_publication_lag_decides_and_mappings_are_read_back():
    late = {"data.past": ["price"], "data.publication_lag": {"price": 2}}
    assert spec_with(late).fingerprint != spec_with({"data.past": ["price"]}).fingerprint
    by_column = {"data.known": ["price", "sun"], "features.covariates.lags": {"price": [3, 1]}}
    spec = spec_with({**by_column, "features.covariates.interactions": [["price", "sun"]]})
    assert spec.features.covariates.lags == {"price": (1, 3)}
    assert ForecastSpec.from_dict(yaml.safe_load(spec.to_yaml())) == spec
    assert hash(spec) == hash(ForecastSpec.from_dict(spec.to_dict()))
    nothing = spec_with({"features.covariates": None})
    assert ForecastSpec.from_dict(nothing.to_dict()) == nothing != spec_with()


def test_a_context_decides():
    known = {"data.known": ["price"]}
    context = {"by": [], "columns": ["price"]}
    spec = spec_with({**known, "data.context": context})
    assert spec.fingerprint != spec_with(known).fingerprint
    assert ForecastSpec.from_dict(spec.to_dict()) == spec


def test_the_fingerprint_does_not_change_with_what_decides_nothing():
    assert {spec_with({dotted: value}).fingerprint for dotted, value in DECIDES_NOTHING.items()} == {
        spec_with().fingerprint
    }


def test_every_setting_is_known_to_decide_or_not():
    def leaves(tree, where=""):
        for key, value in tree.items():
            dotted = f"{where}{key}"
            yield from leaves(value, f"{dotted}.") if isinstance(value, dict) else [dotted]

    assert set(leaves(spec_with().to_dict())) == {
        *DECIDES,
        *DECIDES_NOTHING,
        *NEEDS_A_PACKAGE,
        *NEEDS_ANOTHER,
    }


def test_the_fingerprint_is_the_same_in_every_release():
    assert spec_with().fingerprint == "8249647c425df428"


def test_overrides_stand_at_dotted_paths():
    spec = spec_with({"engine.kind": "spark", "features.holidays.country": "DE", "seed": 4})
    assert (spec.engine.kind, spec.features.holidays.country, spec.seed) == ("spark", ("DE",), 4)
    assert spec.replace({"features.holidays": None}).features.holidays is None
    assert spec.replace({"data.path": "x"}).replace({"data.table": "t"}).data.path is None
    assert spec.replace({"data.table": "t"}).replace({"data.path": "x"}).data.table is None
    assert spec.replace(
        {"data": DataSpec(time="a", target="b", series="c"), "data.known": ["d"]}
    ).data.known == ("d",)


@pytest.mark.parametrize(
    ("overrides", "wheres"),
    [
        ({"engine.knd": "spark", "forecast.horizon": 0}, {"engine.knd", "forecast.horizon"}),
        ({"dta.path": "x"}, {"dta"}),
        ({"name.first": "x", "seed.second": 2}, {"name.first", "seed.second"}),
        ({"features.holidays.subdivision": "CA"}, {"features.holidays.country"}),
        ({"": 1}, {""}),
        ({"data.path": "a", "data.table": "b"}, {"data.table"}),
    ],
)
def test_wrong_overrides_are_refused_together(overrides, wheres):
    with pytest.raises(SpecError) as caught:
        spec_with(overrides)
    assert {problem.where for problem in caught.value.problems} == wheres


def test_a_relative_path_is_taken_from_beside_the_file_where_it_exists(tmp_path: Path):
    (tmp_path / "sales.csv").write_text("x")
    for name, path in (
        ("sales.csv", str(tmp_path / "sales.csv")),
        ("absent.csv", "absent.csv"),
        ("s3://b/x", "s3://b/x"),
    ):
        file = tmp_path / "c.yaml"
        file.write_text(spec_with({"data.path": name}).to_yaml())
        assert ForecastSpec.from_yaml(file).data.path == path


def test_importing_the_configuration_loads_nothing_heavy():
    heavy = (
        "pandas",
        "numpy",
        "holidays",
        "pyspark",
        "mlflow",
        "rapidfuzz",
        "sklearn",
        "statsmodels",
        "lightgbm",
    )
    code = f"import sys, many_models.spec; print([name for name in {heavy!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_waves_per_season_and_calendar_fields_survive_yaml(tmp_path):
    spec = spec_with(
        {
            "features.fourier": {168: 3, 24: 5, "52.18": 2},
            "features.calendar": ["month", "cyclic_hour"],
            "features.holidays": {"country": ["US-CA", "DE"], "names": True, "before": 2},
        }
    )
    assert spec.features.fourier == ((24.0, 5), (52.18, 2), (168.0, 3))
    assert spec.features.holidays.calendars == (("US", "CA"), ("DE", None))
    file = tmp_path / "spec.yaml"
    file.write_text(spec.to_yaml(), encoding="utf-8")
    assert ForecastSpec.from_yaml(file) == spec
    file.write_text(
        spec_with().to_yaml().replace("fourier: auto", "fourier: {24: 5, 7: 3}"), encoding="utf-8"
    )
    assert ForecastSpec.from_yaml(file).features.fourier == ((7.0, 3), (24.0, 5))


def test_a_column_kept_on_purpose_changes_the_fingerprint():
    known = {"data.known": ["price"]}
    assert spec_with({**known, "data.keep": ["price"]}).fingerprint != spec_with(known).fingerprint
