"""Feature families that other packages offer, and families that are blocked."""

from __future__ import annotations

import sys
import textwrap

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, open_models, train
from many_models.errors import LookupFailed, SpecError
from many_models.features.own import offered, own_family
from many_models.features.plan import FAMILIES
from many_models.spec.feature_sections import FAMILY_NAMES

FAMILY = """
from dataclasses import dataclass
from typing import ClassVar
import numpy as np

@dataclass(frozen=True)
class Payday:
    name: ClassVar[str] = "payday"
    reads: ClassVar[str] = "time"
    day: int

    @classmethod
    def decide(cls, series, wishes):
        return cls(15) if series.grid.has_calendar else None

    @property
    def columns(self):
        return ("payday",)

    @property
    def memory(self):
        return 0

    def build(self, rows):
        days = rows.grid.wall(rows.ordinals).astype("datetime64[D]")
        day = (days - days.astype("datetime64[M]")).astype(int) + 1
        return (day == self.day).astype(float)[:, None]

    def to_dict(self):
        return {"day": self.day}

    @classmethod
    def from_dict(cls, data):
        return cls(int(data["day"]))
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that offers the family `payday`, here and in the children."""
    site = tmp_path / "site"
    info = site / "paydays-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "paydays.py").write_text(textwrap.dedent(FAMILY))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paydays\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[many_models.features]\npayday = paydays:Payday\n")
    monkeypatch.syspath_prepend(str(site))
    own_family.cache_clear()
    yield
    sys.modules.pop("paydays", None)
    own_family.cache_clear()


def frame():
    days = pd.date_range("2023-01-01", periods=400, freq="D")
    noise = np.random.default_rng(0).normal(0, 1, len(days))
    return pd.DataFrame({"shop": "a", "day": days, "sold": 50 + 80 * (days.day == 15) + noise})


def spec_of(**more):
    spec = ForecastSpec.from_dict(
        {
            "name": "own",
            "data": {"time": "day", "target": "sold", "series": ["shop"]},
            "forecast": {"horizon": 28},
            "features": {"calendar": "off"},
            "learners": {"allow": ["elastic_net"]},
            "validation": {"folds": 2},
            "engine": {"workers": 1},
        }
    )
    return spec.replace(more) if more else spec


def test_a_family_of_a_package_is_found_used_stored_and_listed(package, tmp_path):
    assert "payday" in offered()
    run = train(frame(), spec_of(**{"features.own": ["payday"]}), run_dir=tmp_path / "run")
    rows = run.features(shop="a").query("feature == 'payday'")
    assert rows["family"].tolist() == ["payday"]
    assert rows["kept"].tolist() == [True]
    ahead = open_models(tmp_path / "run").forecast()
    peak = ahead["day"].dt.day == 15
    assert ahead.loc[peak, "mean"].min() > ahead.loc[~peak, "mean"].max() + 20


def test_a_family_that_nobody_offers_is_refused_with_what_to_do(package):
    with pytest.raises(SpecError, match="did you mean payday"):
        spec_of(**{"features.own": ["payda"]})
    with pytest.raises(LookupFailed, match="install the package"):
        own_family("zzz")


def test_a_blocked_family_has_no_columns(tmp_path):
    run = train(frame(), spec_of(**{"features.block": ["lags", "windows"]}), run_dir=tmp_path / "run")
    assert not set(run.features()["family"]) & {"lags", "windows"}
    assert "fourier" in set(run.features()["family"])


def test_the_configuration_names_the_families_there_are():
    assert tuple(FAMILIES) == FAMILY_NAMES
