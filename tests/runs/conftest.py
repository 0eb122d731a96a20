"""One small run of the retail simulator, trained once for all tests of this folder."""

from __future__ import annotations

import pytest

from many_models import ForecastSpec, train
from many_models.datasets import retail


def make_spec(**overrides):
    """Weekly sales per store and item, price and promotion known ahead."""
    spec = ForecastSpec.from_dict(
        {
            "name": "retail",
            "data": {
                "time": "date",
                "target": "sales",
                "series": ["store", "item"],
                "known": ["price", "promotion"],
                "mask": "stock_out",
                "frequency": "W-MON",
            },
            "forecast": {"horizon": 4, "totals": [2, 4]},
            "learners": {"preset": "fast"},
            "engine": {"workers": 2},
        }
    )
    return spec.replace(overrides) if overrides else spec


@pytest.fixture(scope="session")
def retail_spec():
    """A function that makes the configuration, with overrides at dotted paths."""
    return make_spec


@pytest.fixture(scope="session")
def retail_frame():
    """Two stores, three items, two years of weeks, and the plan of the next four weeks."""
    return retail(stores=2, items=3, periods=104, frequency="W", future=4, seed=7)


@pytest.fixture(scope="session")
def retail_run(retail_frame, tmp_path_factory):
    """The finished run of that frame."""
    return train(retail_frame, make_spec(), run_dir=tmp_path_factory.mktemp("runs") / "retail")
