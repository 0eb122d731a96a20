"""Real yearly series: births per woman, country by country."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def fertility() -> pd.DataFrame:
    """Births per woman in 219 countries and regions, 1960 to 2013, one row per country and year.

    Nothing is dropped: nine countries have no value at all, others start late or have holes, and
    the last two years are empty everywhere.

    Returns
    -------
    pandas.DataFrame
        `country` (text), `year` (int64), `fertility` (float64, NaN where nothing is known), sorted by
        country and year.

    References
    ----------
    World Bank, "Fertility rate, total (births per woman)", indicator SP.DYN.TFRT.IN, as packaged by
    statsmodels (`statsmodels.datasets.fertility`).
    """
    from statsmodels.datasets import fertility as packaged

    wide: pd.DataFrame = packaged.load_pandas().data
    years = [column for column in wide.columns if column.isdigit()]
    long = wide.melt("Country Name", years, var_name="year", value_name="fertility")
    long = long.rename(columns={"Country Name": "country"}).astype({"year": "int64", "fertility": "float64"})
    return long.sort_values(["country", "year"], ignore_index=True)
