"""Rules of preparation by column: what is taken, what is refused by name, what comes back from a file."""

from __future__ import annotations

import pytest

from many_models.errors import SpecError
from many_models.spec import ForecastSpec

TREE = {
    "data": {"time": "when", "target": "sold", "series": ["shop"], "known": ["price"], "past": ["visits"]},
    "forecast": {"horizon": 4},
}


def spec(**preparation):
    return ForecastSpec.from_dict({**TREE, "preparation": preparation})


def test_rules_by_column_come_back_from_a_file_as_they_were(tmp_path):
    one = spec(
        impute={"sold": "seasonal", "price": {"constant": 3}, "visits": {"constant": True}},
        aggregate={"target": "mean", "columns": {"price": "first"}},
        short="pad",
        outliers="cap",
    )
    assert one.preparation.impute["price"] == {"constant": 3.0}
    assert one.preparation.impute["visits"] == {"constant": 1.0}
    file = tmp_path / "config.yaml"
    file.write_text(one.to_yaml())
    again = ForecastSpec.from_yaml(file)
    assert again == one
    assert again.fingerprint == one.fingerprint != spec().fingerprint


@pytest.mark.parametrize(
    ("preparation", "where", "says"),
    [
        ({"impute": "linaer"}, "preparation.impute", "did you mean linear?"),
        ({"impute": {"prize": "zero"}}, "preparation.impute", "did you mean price?"),
        ({"impute": {"shop": "zero"}}, "preparation.impute", "known or data.past"),
        ({"impute": {"price": "foward"}}, "preparation.impute.price", "did you mean forward?"),
        ({"impute": {"price": {"constant": float("nan")}}}, "preparation.impute.price", "constant"),
        ({"impute": {"price": {"value": 3}}}, "preparation.impute.price", "{constant: a value}"),
        ({"aggregate": {"columns": {"sold": "sum"}}}, "preparation.aggregate.columns", "known or data.past"),
        ({"aggregate": {"columns": {"price": "avg"}}}, "preparation.aggregate.columns.price", "mean"),
        ({"short": "padd"}, "preparation.short", "did you mean pad?"),
        ({"outliers": "clip"}, "preparation.outliers", "cap"),
    ],
)
def test_mistakes_are_named_with_what_is_near(preparation, where, says):
    with pytest.raises(SpecError) as caught:
        spec(**preparation)
    (problem,) = caught.value.problems
    assert problem.where == where
    assert says in f"{problem.allowed} {problem.action}"
