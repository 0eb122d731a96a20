from __future__ import annotations

import numpy as np
import pytest

from many_models.errors import InputError
from many_models.panel.zones import from_wall, to_wall, zone_problem


@pytest.mark.parametrize("year", ["0005", "0012", "1500", "1890", "2200", "9981", "9998"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia"])
def test_years_far_away_neither_fail_nor_lose_time(year, zone):
    t = np.array([f"{year}-01-15T12:00"], dtype="datetime64[us]").astype(np.int64)
    assert np.array_equal(from_wall(to_wall(t, zone), zone), t)


def test_parts_and_whole_agree_over_decades():
    t = np.arange(-(60 * 365), 60 * 365, 7, dtype=np.int64) * 86_400_000_000
    whole = to_wall(t, "Europe/Moscow")
    parts = np.concatenate([to_wall(part, "Europe/Moscow") for part in np.array_split(t, 50)])
    assert np.array_equal(whole, parts)


def test_unknown_zone_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="Europe/Berlin"):
        to_wall(np.array([0]), "Europe/Berln")
    assert zone_problem("Europe/Berlin") is None
    assert zone_problem("../etc/passwd") is not None


def test_nothing_in_nothing_out():
    empty = np.empty(0, dtype=np.int64)
    assert len(to_wall(empty, "Europe/Berlin")) == len(from_wall(empty, "Europe/Berlin")) == 0
