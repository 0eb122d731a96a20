"""Our few lines against Prophet's own forecast, its holidays, and what it leaves behind."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from many_models.bundle.container import pack, unpack
from many_models.errors import LearnerError
from many_models.features.settings import FeatureSettings
from many_models.learners import prophet as module
from many_models.learners.base import Deadline, FitContext
from many_models.learners.table import learner
from many_models.panel.series import Covariate

KNOWN = (Covariate("price"), Covariate("aisle", "category", ("a", "b", "c")))
US = FitContext(8, features=FeatureSettings(holidays=(("US", None), ("US", "CA"))))


def wave(n, seed=0):
    t = np.arange(n)
    return 100 + 0.2 * t + 10 * np.sin(t / 5) + np.random.default_rng(seed).normal(0, 3, n)


def table(n):
    rng = np.random.default_rng(3)
    return np.column_stack([rng.normal(5, 2, n), rng.integers(0, 3, n)]).astype(float)


def their_forecast(series, model, future):
    """The forecast of a prophet.Prophet that is set up in the same way and fitted again."""
    with module._silenced(), module._workspace() as folder:
        theirs, frame = module.specified(series, model.seasons, model.holidays, model.regressors)
        theirs.fit(frame, seed=1, iter=10_000, output_dir=folder)
        moments = module.starts(future.grid, future.ordinals).astype("datetime64[us]")
        ahead = pd.DataFrame({"ds": moments})
        blocks = {
            "holiday": model.holidays.columns(future.grid, future.ordinals),
            "covariate": model.regressors.ahead(future.known_x),
        }
        for name, block in blocks.items():
            for i in range(block.shape[1]):
                ahead[f"{name}_{i}"] = block[:, i]
        return theirs.predict(ahead)["yhat"].to_numpy()


@pytest.mark.parametrize(
    ("alias", "n", "seasons", "with_holidays"),
    [
        ("W-THU", 120, ["year"], True),
        ("D", 120, ["week"], True),
        ("h", 120, ["day"], False),
        ("MS", 60, ["year"], False),
        ("QS-OCT", 50, ["year"], False),
        ("YS-JAN", 30, [], False),
    ],
)
def test_the_forecast_is_prophets(alias, n, seasons, with_holidays, make_series, make_future):
    x = table(n + 20)
    series = make_series(wave(n) + 3 * x[:n, 0], alias, known_x=x[:n], known=KNOWN)
    model = learner("prophet").fit(series, {}, US)
    assert [name for name, _, _ in model.seasons] == seasons
    assert bool(model.holidays.names) == with_holidays
    future = make_future(series, 20, x[n:])
    ours = model.predict(future).mean
    np.testing.assert_allclose(ours, their_forecast(series, model, future), rtol=1e-8)


def test_a_holiday_inside_the_week_has_its_effect(make_series, make_future):
    """Weeks that hold Thanksgiving sell double; the week is stamped on another day."""
    n = 156
    flat = make_series(np.full(n, 1.0), "W-WED")
    begun, ended = flat.grid.spans(flat.ordinals)
    days = [np.datetime64(day) for day in ("2001-11-22", "2002-11-28", "2003-11-27", "2004-11-25")]
    holds = np.array([any(b <= day < e for day in days) for b, e in zip(begun, ended, strict=True)])
    assert holds.sum() == 3
    noise = np.random.default_rng(0).normal(0, 1, n)
    series = make_series(100 + noise + 100 * holds, "W-WED")
    context = FitContext(8, features=FeatureSettings(holidays=(("US", None),)))
    model = learner("prophet").fit(series, {}, context)
    effect = dict(zip(model.holidays.names, model.holiday_weights * model.scale, strict=True))
    assert effect["Thanksgiving Day"] > 60
    future = make_future(series, 12)
    begun, ended = future.grid.spans(future.ordinals)
    row = next(i for i, (b, e) in enumerate(zip(begun, ended, strict=True)) if b <= days[3] < e)
    forecast = model.predict(future).mean
    assert int(np.argmax(forecast)) == row


def test_days_around_a_holiday_have_effects_of_their_own_where_asked_for(make_series, make_future):
    n = 3 * 365
    flat = make_series(np.full(n, 1.0), "D")
    days = flat.grid.wall(flat.ordinals).astype("datetime64[D]").astype(str)
    eves = np.array([day.endswith("-12-24") for day in days])
    series = make_series(100 + np.random.default_rng(0).normal(0, 1, n) + 80 * eves, "D")
    features = FeatureSettings(holidays=(("US", None),), holiday_before=1)
    model = learner("prophet").fit(series, {}, FitContext(8, features=features))
    assert model.holidays.shifts == (-1, 0)
    assert len(model.holiday_weights) == 2 * len(model.holidays.names)
    effects = (model.holiday_weights * model.scale).reshape(-1, 2)
    assert effects[model.holidays.names.index("Christmas Day")].argmax() == 0
    assert not [name for name in model.holidays.names if "observed" in name]
    future = make_future(series, 12)
    again = learner("prophet").load(model.state())
    assert np.array_equal(again.predict(future).mean, model.predict(future).mean)


def test_a_coming_event_has_the_effect_of_those_before(make_series, make_future):
    y = wave(120)
    series = make_series(y, alias="D")
    edges = series.grid.spans(np.arange(series.start, series.end + 9))[0].astype(np.int64)
    days = [*range(5, 120, 9), 123]
    y[days[:-1]] += 60
    promo = (("promo", tuple((int(edges[d]), int(edges[d]) + 1) for d in days)),)
    asked = FitContext(8, features=FeatureSettings(events=promo))
    model = learner("prophet").fit(replace(series, y=y), {}, asked)
    future = make_future(series, 8)
    mean = model.predict(future).mean
    assert mean[3] - (mean[2] + mean[4]) / 2 == pytest.approx(60, abs=15)
    np.testing.assert_allclose(mean, their_forecast(replace(series, y=y), model, future), rtol=0.02)
    again = learner("prophet").load(unpack(pack(model.state())))
    assert np.array_equal(again.predict(future).mean, mean)


def test_an_integer_index_has_no_candidates_and_no_fit(make_series):
    series = make_series(wave(40), "1")
    assert learner("prophet").candidates(series, FitContext(4)) == ()
    with pytest.raises(LearnerError, match="NO_CALENDAR"):
        learner("prophet").fit(series, {}, FitContext(4))


def test_an_unknown_country_is_an_error_of_this_candidate(make_series):
    context = FitContext(4, features=FeatureSettings(holidays=(("XX", None),)))
    with pytest.raises(LearnerError, match="HOLIDAYS_UNKNOWN"):
        learner("prophet").fit(make_series(wave(40), "D"), {}, context)


def test_a_deadline_stops_it(make_series):
    context = FitContext(4, deadline=Deadline(time.monotonic() - 1))
    with pytest.raises(LearnerError, match="DEADLINE"):
        learner("prophet").fit(make_series(wave(40), "D"), {}, context)


def test_nothing_is_left_in_the_temporary_directory(make_series, tmp_path, monkeypatch):
    import cmdstanpy

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    learner("prophet").fit(make_series(wave(40), "D"), {}, FitContext(4))
    assert list(tmp_path.iterdir()) == []
    assert not os.path.exists(cmdstanpy._TMPDIR)


def test_seasons_are_bounded_by_length_and_step(make_series):
    def seasons(alias, n):
        return {name: order for name, _, order in module.seasons_for(make_series([1.0], alias).grid, n)}

    assert seasons("D", 10) == {}
    assert seasons("D", 100) == {"week": 3}
    assert seasons("D", 800) == {"week": 3, "year": 10}
    assert seasons("h", 400) == {"week": 3, "day": 4}
    assert seasons("12h", 400) == {"week": 3, "day": 1}
    assert seasons("MS", 40) == {"year": 4}
    assert seasons("QS-OCT", 80) == {"year": 2}
    assert seasons("YS-JAN", 80) == {}
    assert seasons("W-MON", 100) == {}
    assert seasons("W-MON", 110) == {"year": 10}


def test_newer_values_move_only_the_cutoff(make_series, make_future):
    whole = make_series(wave(80), "D")
    early = make_series(whole.y[:60], "D")
    model = learner("prophet").fit(early, {}, FitContext(4))
    moved = model.update(whole.tail(20))
    future = make_future(whole, 5)
    np.testing.assert_array_equal(moved.predict(future).mean, model.predict(future).mean)
    with pytest.raises(LearnerError, match="NOT_AFTER_HISTORY"):
        moved.predict(make_future(early, 5))
