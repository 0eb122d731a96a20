from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from many_models.datasets import fertility


@pytest.fixture(scope="module")
def frame():
    return fertility()


def test_every_country_has_every_year(frame):
    assert list(frame.columns) == ["country", "year", "fertility"]
    assert frame["year"].dtype == np.int64
    assert frame["fertility"].dtype == np.float64
    assert frame["country"].nunique() == 219
    assert len(frame) == 219 * 54
    assert not frame.duplicated(["country", "year"]).any()
    assert set(frame.groupby("country")["year"].agg(["min", "max"]).itertuples(index=False)) == {(1960, 2013)}


def test_countries_without_any_value_are_kept(frame):
    assert (frame.groupby("country")["fertility"].count() == 0).sum() == 9
    assert frame.loc[frame["year"] > 2011, "fertility"].isna().all()


def test_values_are_those_of_the_packaged_table(frame):
    from statsmodels.datasets import fertility as packaged

    wide = packaged.load_pandas().data.set_index("Country Name")
    for country, year in (("Aruba", 1960), ("Zimbabwe", 2011), ("Namibia", 1987)):
        row = frame[(frame["country"] == country) & (frame["year"] == year)]
        assert row["fertility"].item() == wide.loc[country, str(year)]


def test_rows_are_sorted_and_two_calls_agree(frame):
    assert frame.equals(frame.sort_values(["country", "year"], ignore_index=True))
    assert frame.equals(fertility())


def test_importing_the_datasets_is_light():
    heavy = ("pandas", "statsmodels", "holidays", "scipy", "sklearn")
    code = f"import sys, many_models.datasets; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
