"""The settings of what is read of the target's own history."""

from __future__ import annotations

import pytest

from many_models.errors import SpecError
from many_models.spec.feature_sections import FeaturesSpec


@pytest.mark.parametrize(
    ("asked", "canonical"),
    [
        (7, (7,)),
        ([14, 7], (7, 14)),
        ("pacf", "pacf"),
        ("off", "off"),
    ],
)
def test_lags_have_one_canonical_form(asked, canonical):
    assert FeaturesSpec(lags=asked).lags == canonical


def test_windows_are_sizes_or_a_mapping_in_one_order():
    assert FeaturesSpec(windows=[28, 7]).windows == (7, 28)
    asked = {"ewm": [14, 2], "sizes": [28, 7], "statistics": "max"}
    found = FeaturesSpec(windows=asked).windows
    assert found == {"sizes": (7, 28), "statistics": ("max",), "ewm": (2.0, 14.0)}
    assert list(found) == ["sizes", "statistics", "ewm"]
    assert hash(FeaturesSpec(windows=asked)) == hash(FeaturesSpec(windows=dict(reversed(asked.items()))))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"windows": {"size": [7]}}, "did you mean sizes?"),
        ({"windows": {"statistics": ["meen"]}}, "did you mean mean?"),
        ({"windows": {"seasonal": -1}}, "features.windows.seasonal"),
        ({"windows": {"ewm": [0]}}, "features.windows.ewm"),
        ({"windows": {}}, "a mapping with some of sizes"),
        ({"windows": [1]}, "features.windows"),
        ({"lags": 0}, "features.lags"),
        ({"lags": True}, "features.lags"),
        ({"strategy": "recursiv"}, "did you mean recursive?"),
    ],
)
def test_what_is_not_allowed_is_named(settings, said):
    with pytest.raises(SpecError, match=said.replace("?", r"\?")):
        FeaturesSpec(**settings)
