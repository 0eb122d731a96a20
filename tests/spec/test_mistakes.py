"""Every kind of mistake is refused, all at once, in words that help."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from many_models.errors import SpecError
from many_models.spec import DataSpec, ForecastSettings, ForecastSpec, HolidaysSpec

SMALLEST = {
    "data": {"time": "when", "target": "sold", "series": ["shop", "item"]},
    "forecast": {"horizon": 8},
}
JARGON = ("pydantic", "Input should", "type=", "errors.", "validation error", "literal_error")


def tree_with(**settings):
    """The smallest tree with values set at dotted paths; `__` stands for the dot."""
    tree = copy.deepcopy(SMALLEST)
    for dotted, value in settings.items():
        *parents, last = dotted.split("__")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = value
    return tree


def problems_of(tree):
    with pytest.raises(SpecError) as caught:
        ForecastSpec.from_dict(tree)
    assert not any(word in str(caught.value) for word in JARGON)
    return {problem.where: problem for problem in caught.value.problems}


REFUSED = [
    ("name", ["", "a/b", "../x", "x" * 101, 5, None, ".hidden"]),
    ("data__path", ["", 5, ["a"], "a\0b"]),
    ("data__table", [5, ""]),
    ("data__time", [None, 5, "", ["a"], True, "\ud800"]),
    ("data__target", [None, 1.5, ""]),
    ("data__series", [None, "", ["a", "a"], 5, [["a"]], {"a": 1}, [""]]),
    ("data__group", [["other"], [5], {}]),
    ("data__timezone", ["Europe/Berlim", "", 2, "../../etc/passwd", "/etc/passwd"]),
    ("data__frequency", [1, None, ""]),
    ("data__label", ["middle", None, True]),
    ("data__keep", [[1], 5]),
    ("data__absent", ["missing", 0]),
    ("data__known", [None, [5], ["a", "a"]]),
    ("data__context", [["shop"], "shop", False]),
    ("data__publication_lag", [None, 2, ["visits"], {"visits": -1}, {"visits": "2"}, {5: 1}]),
    ("data__kinds", [None, 2, ["visits"], {"visits": "text"}, {"visits": 1}, {5: "number"}]),
    ("data__mask", [True, ["a"]]),
    ("forecast__horizon", [0, -1, 1.5, "8", None, True, 10**9]),
    ("forecast__quantiles", [[0], [1], [0.9, 0.1], [0.1, 0.1], ["a"], 0.5, [float("nan")], None, [1e-400]]),
    ("forecast__gap", [-1, "0", 0.0]),
    ("forecast__origin", ["all"]),
    ("forecast__missing_model", ["zero", None, True]),
    ("forecast__min", ["none", float("nan"), float("inf"), True, 10**400]),
    ("forecast__max", ["none", [1]]),
    ("forecast__integer", ["yes", 1, None]),
    ("forecast__totals", [[0], [9], 4, [4, 4]]),
    ("preparation__impute", ["mean", None]),
    ("preparation__short", ["keep"]),
    ("preparation__outliers", ["remove"]),
    ("preparation__aggregate", ["sum", None, [1]]),
    ("preparation__aggregate__target", ["total"]),
    ("features__lags", [[0], [1.5], [], "1", 0, None, [1, 1]]),
    ("features__windows", [[1], [], "all"]),
    ("features__calendar", ["on", True, None, [], ["moth"], ["month", "month"]]),
    ("features__holidays", ["US", ["US"], False]),
    ("features__fourier", [0, -1, 1.5, "three", True, {}, {1: 3}, {7: 0}, {"week": 2}, [[7, 3], ["7", 2]]]),
    ("features__stl", ["yes", None, True]),
    ("features__transforms", ["sqrt"]),
    ("features__difference", ["second", True]),
    ("features__scaling", ["zscore", None]),
    ("features__covariates", ["auto", False, ["lags"]]),
    ("features__covariates__lags", [[0], ["1"], 1, "auto", [2, 2]]),
    ("features__covariates__leads", [[-1], True]),
    ("features__covariates__differences", [[1.5]]),
    ("features__covariates__relative", [[1], {"price": [1]}]),
    ("features__covariates__interactions", ["all", [["price"]], [["a", "a"]], ["price"]]),
    ("features__covariates__log", [True, "on"]),
    ("features__covariates__past_lags", [[], [0], "on"]),
    ("features__covariates__past_windows", [[1]]),
    ("features__strategy", ["recursiv", None, 1]),
    ("features__own", [["nobody_offers_this"], 3]),
    ("features__block", [["lag"], "lags,windows", 3]),
    ("features__was_missing", ["yes", 1, None]),
    ("features__reduction", ["pca", ["svd"], 3]),
    ("features__context", ["relativ", [], None, ["off"]]),
    ("features__arima", ["holiday", ["prices"], True]),
    ("events", [["x"], "x", False]),
    ("events__path", ["", 5]),
    ("events__before", [-1, "one"]),
    ("learners__preset", ["quick", None]),
    ("learners__allow", [["lightgmb"], [], {"ets": 1}, "prophett"]),
    ("learners__block", [[5]]),
    ("validation__folds", [-1, 21, "six", 2.0, True]),
    ("validation__step", [0, "half"]),
    ("validation__metric", ["r2", "MASE", None]),
    ("validation__pilot", [5, "on", -1, True]),
    ("validation__weights", ["sales", 5, ""]),
    ("validation__test", [-1, "auto", 1.5, None]),
    ("learners__racing", ["yes", 1, None]),
    ("learners__trials", [0, "auto", 1.5]),
    ("learners__patience", [0, "auto"]),
    ("learners__target_score", [0, -1, "low"]),
    ("budget__seconds_per_trial", [0, "auto"]),
    ("pooling__largest", [1, "auto", 2.5]),
    ("pooling__weights", ["size", None, "column"]),
    ("ensemble__combine", ["votes"]),
    ("ensemble__stack", ["yes", None, 0]),
    ("budget__seconds_per_group", [0, -1, "60", float("inf"), float("nan"), True]),
    ("budget__seconds_total", [0, "auto"]),
    ("budget__max_failed_fraction", [-0.1, 1.1, None, "5 %"]),
    ("engine__kind", ["local[2]", "spark://host", "sc://", "yarn", "", None, "sc://h/;token=secret"]),
    ("engine__workers", [0, "all", 1.5]),
    ("engine__staging", [5, ""]),
    ("registry__name", ["a/b", "a:b", 5]),
    ("registry__alias", ["latest", "v1", "V12", "a b", "", None]),
    ("registry__promote", ["never", True, None]),
    ("registry__granularity", ["group", True, None]),
    ("registry__stale_after", [0, "soon", 1.5]),
    ("registry__drift", [0, -1, "a", None]),
    ("registry__tracking_uri", [5, "", "postgresql://me:secret@host/db"]),
    ("registry__wheel", [5]),
    ("seed", [-1, 1.5, "0", None, True, 2**63]),
]


@pytest.mark.parametrize(
    ("dotted", "value"), [(dotted, value) for dotted, values in REFUSED for value in values]
)
def test_a_value_that_is_not_allowed_is_refused_where_it_stands(dotted, value):
    found = problems_of(tree_with(**{dotted: value}))
    where = dotted.replace("__", ".")
    assert [place for place in found if place == where or place.startswith((f"{where}[", f"{where}."))], found
    assert all(problem.found and problem.allowed for problem in found.values())


@pytest.mark.parametrize(
    "section", [name for name in ForecastSpec.model_fields if name not in ("name", "seed", "events")]
)
@pytest.mark.parametrize("value", [None, 5, "text", []])
def test_a_section_that_is_no_mapping_is_refused(section, value):
    problem = problems_of({**SMALLEST, section: value})[section]
    assert "a mapping with the keys" in problem.allowed


def test_every_setting_has_a_value_that_is_refused_here():
    tried = {dotted.split("__")[0] + "." + dotted.split("__")[-1] for dotted, _ in REFUSED}
    for name, field in ForecastSpec.model_fields.items():
        part = field.annotation
        for key in getattr(part, "model_fields", {}):
            assert f"{name}.{key}" in tried or key in ("past", "static", "closed", "experiment"), (
                f"{name}.{key}"
            )


def test_columns_of_settings_are_columns_of_their_role():
    late = tree_with(data__past=["visits"], data__publication_lag={"visit": 2})
    assert problems_of(late)["data.publication_lag"].action == "did you mean visits?"
    wrong = tree_with(
        data__known=["price"],
        features__covariates={"lags": {"prices": [1]}, "interactions": [["price", "sun"]]},
    )
    found = problems_of(wrong)
    assert found["features.covariates.lags"].action == "did you mean price?"
    assert found["features.covariates.interactions"].action == "list it under data.known"
    assert "columns of data.known: price" in found["features.covariates.interactions"].allowed


def test_a_group_of_a_table_without_key_columns_is_refused():
    problem = problems_of(tree_with(data__series=[], data__group=["shop"]))["data.group"]
    assert "names none" in problem.allowed


def test_all_problems_are_reported_at_once():
    tree = tree_with(
        data__label="mid", forecast__horizon=0, engine__kind="yarn", learners__allow=["etz"], sed=1
    )
    del tree["data"]["time"]
    assert set(problems_of(tree)) == {
        "data.label",
        "data.time",
        "engine.kind",
        "forecast.horizon",
        "learners.allow[0]",
        "sed",
    }


def test_what_is_missing_is_named_down_to_the_key():
    assert set(problems_of({})) == {"data.time", "data.target", "data.series", "forecast.horizon"}
    assert problems_of({})["data.time"].found == "nothing"


@pytest.mark.parametrize(
    ("tree", "where", "advice"),
    [
        (tree_with(data__tiem="a"), "data.tiem", "did you mean data.time?"),
        (tree_with(data__Target="a"), "data.Target", "did you mean data.target?"),
        (tree_with(forcast={}), "forcast", "did you mean forecast?"),
        (tree_with(features__calender="off"), "features.calender", "did you mean features.calendar?"),
        (
            tree_with(features__holidays={"contry": "US"}),
            "features.holidays.contry",
            "features.holidays.country?",
        ),
        (tree_with(horizon=8), "horizon", "move it to forecast.horizon"),
        (tree_with(data__quantiles=[0.5]), "data.quantiles", "move it to forecast.quantiles"),
        (tree_with(data__qqqqqqqq=1), "data.qqqqqqqq", "remove it"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(tree, where, advice):
    problem = problems_of(tree)[where]
    assert problem.found == "an unknown key"
    assert advice in problem.action


def test_a_key_that_is_no_text_is_unknown():
    assert "5" in problems_of({**SMALLEST, 5: 1})


@pytest.mark.parametrize(
    ("dotted", "value", "advice"),
    [
        ("learners__allow", ["lightgmb"], "lightgbm"),
        ("data__timezone", "Europe/Berlim", "Europe/Berlin"),
        ("validation__metric", "MASE", "mase"),
        ("data__group", ["shp"], "shop"),
        ("engine__kind", "local[4]", "engine.workers"),
        ("features__holidays", {"country": "USA"}, "US?"),
        ("features__holidays", {"country": "Germany"}, "DE?"),
        ("features__holidays", {"country": "us"}, "US?"),
        ("data__frequency", 1, "quotes"),
        ("data__context", {"by": ["shp"], "columns": ["price"]}, "did you mean shop"),
        ("data__context", {"by": [], "columns": ["price"]}, "list it under data.known"),
        ("events", {"path": "x", "by": ["shp"]}, "did you mean shop"),
    ],
)
def test_the_message_says_what_was_probably_meant(dotted, value, advice):
    assert any(advice in problem.action for problem in problems_of(tree_with(**{dotted: value})).values())


@pytest.mark.parametrize("role", ["target", "series", "known", "past", "static", "mask", "closed"])
def test_a_column_has_one_role(role):
    value = "when" if role in ("target", "mask", "closed") else ["when"]
    problem = problems_of(tree_with(**{f"data__{role}": value}))[f"data.{role}"]
    assert "time already" in problem.found


def test_each_overlap_is_a_problem_of_its_own():
    found = problems_of(
        tree_with(data__known=["a", "b"], data__past=["a"], data__static=["b"], data__mask="sold")
    )
    assert set(found) == {"data.past", "data.static", "data.mask"}


def test_overlaps_are_found_beside_other_mistakes_of_the_section():
    found = problems_of(tree_with(data__known=["a"], data__past=["a"], data__label="mid", data__nope=1))
    assert set(found) == {"data.past", "data.label", "data.nope"}


def test_a_table_and_a_path_are_one_too_many():
    assert "data.table" in problems_of(tree_with(data__path="a.csv", data__table="a.b.c"))


@pytest.mark.parametrize("components", [0, 1.5, -0.5, "all", None, True])
def test_a_reduction_needs_a_method_and_a_count_or_share(components):
    found = problems_of(tree_with(features__reduction={"method": "tsne", "components": components}))
    assert set(found) == {"features.reduction.method", "features.reduction.components"}
    assert "features.reduction.method" in problems_of(tree_with(features__reduction={}))


def test_counts_need_a_whole_number_within_their_bounds():
    found = problems_of(tree_with(forecast__min=0.2, forecast__max=0.8, forecast__integer=True))
    assert "whole number" in found["forecast.integer"].allowed


def test_bounds_must_leave_room():
    assert "forecast.max" in problems_of(tree_with(forecast__min=5, forecast__max=5))


def test_a_learner_is_not_both_allowed_and_blocked():
    assert "learners.block" in problems_of(tree_with(learners__allow=["ets", "theta"], learners__block="ets"))


def test_a_subdivision_belongs_to_its_one_country():
    several = {"country": ["US", "DE"], "subdivision": "BY"}
    assert "features.holidays.subdivision" in problems_of(tree_with(features__holidays=several))
    twice = {"country": "DE-BY", "subdivision": "BY"}
    assert "features.holidays.subdivision" in problems_of(tree_with(features__holidays=twice))
    wrong = {"country": "DE", "subdivision": "CA"}
    assert "BY" in problems_of(tree_with(features__holidays=wrong))["features.holidays.subdivision"].allowed
    place = problems_of(tree_with(features__holidays={"country": "DE-BX"}))["features.holidays.country[0]"]
    assert "BY" in place.action


def test_holidays_need_a_country_or_a_column_of_countries():
    assert "features.holidays.country" in problems_of(tree_with(features__holidays={}))
    nowhere = problems_of(tree_with(features__holidays={"column": "shp"}))["features.holidays.column"]
    assert nowhere.action == "did you mean shop?"
    ForecastSpec.from_dict(tree_with(features__holidays={"column": "shop"}))
    ForecastSpec.from_dict(tree_with(data__static=["land"], features__holidays={"column": "land"}))


def test_a_category_of_holidays_is_one_that_a_country_has():
    none = {"country": ["US", "GB"], "categories": ["bank"]}
    problem = problems_of(tree_with(features__holidays=none))["features.holidays.categories"]
    assert "government" in problem.allowed
    unknown = {"country": "US", "categories": ["goverment"]}
    problem = problems_of(tree_with(features__holidays=unknown))["features.holidays.categories[0]"]
    assert problem.action == "did you mean government?"


def test_parts_built_in_python_refuse_in_the_same_words():
    with pytest.raises(SpecError, match=r"^data\.target: found 't', which is time already"):
        DataSpec(time="t", target="t", series=["x"])
    with pytest.raises(SpecError, match=r"^features\.holidays\.country\[0\]"):
        HolidaysSpec(country="XX")
    with pytest.raises(SpecError, match=r"forecast\.horizon: found 0"):
        ForecastSpec(data=SMALLEST["data"], forecast={"horizon": 0})
    with pytest.raises(SpecError, match=r"forecast\.horizon: found nothing"):
        ForecastSettings()
    with pytest.raises(SpecError, match=r"data: found ForecastSettings"):
        ForecastSpec(data=ForecastSettings(horizon=1), forecast=ForecastSettings(horizon=1))


def test_a_message_stays_short_whatever_was_found():
    endless: list[object] = []
    endless.append(endless)
    found = problems_of(
        tree_with(data__time="x" * 100_000, data__series=endless, data__target=["y"] * 10_000)
    )
    assert all(len(str(problem)) < 500 for problem in found.values())


def test_the_source_is_named_in_front_of_each_problem(tmp_path: Path):
    path = tmp_path / "shop.yaml"
    path.write_text("data: {time: a}\n")
    with pytest.raises(SpecError) as caught:
        ForecastSpec.from_yaml(path)
    assert {problem.where for problem in caught.value.problems} == {
        f"{path}: data.target",
        f"{path}: data.series",
        f"{path}: forecast.horizon",
    }
