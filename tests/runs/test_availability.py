"""A learner that is not installed is named, with the command that installs it; the others run."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec
from many_models.errors import SpecError
from many_models.runs.availability import unavailable
from many_models.runs.check import check_source


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)


def spec_of(allow):
    return ForecastSpec.from_dict(
        {
            "name": "one",
            "data": {"time": "t", "target": "y", "series": ["k"], "frequency": "MS"},
            "forecast": {"horizon": 3},
            "learners": {"allow": allow},
        }
    )


def rows():
    months = pd.date_range("2020-01-01", periods=30, freq="MS")
    return pd.DataFrame({"k": "a", "t": months, "y": np.arange(30.0)})


def test_what_is_not_installed_is_a_finding_with_its_command(without_torch):
    (found,) = unavailable(spec_of(["theta", "tcn"]))
    assert found.code == "LEARNER_UNAVAILABLE"
    assert "tcn" in found.message
    assert found.action == 'pip install "many-models[tcn]"'


def test_only_what_is_not_installed_is_an_error_of_the_user(without_torch):
    with pytest.raises(SpecError, match=r"many-models\[tcn\]") as caught:
        check_source(rows(), spec_of(["tcn"]))
    assert caught.value.exit_code == 2


def test_presets_name_nothing_that_may_be_missing(without_torch):
    for preset in ("fast", "balanced", "best"):
        spec = spec_of(None).replace({"learners.preset": preset})
        assert unavailable(spec) == ()


def test_a_check_reports_it(without_torch):
    report = check_source(rows(), spec_of(["theta", "tcn"]))
    (row,) = [row for row in report.rows if row["code"] == "LEARNER_UNAVAILABLE"]
    assert "many-models[tcn]" in row["action"]
