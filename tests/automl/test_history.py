"""Features of the target's own history, by every strategy: blind to what comes after a cutoff."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.automl.evaluation import make_folds, run_trial
from many_models.features.settings import FeatureSettings, WindowSettings
from many_models.learners.table import learner

EVERY = ("mean", "std", "min", "max", "sum", "median", "nonzeros", "since_nonzero")
WINDOWS = WindowSettings((3, 6), EVERY, 2, (1.0,))


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10**6), value=st.sampled_from([np.nan, 1e30]), gap=st.sampled_from([0, 2]))
@pytest.mark.parametrize("strategy", ["direct", "recursive", "per_step"])
@pytest.mark.parametrize("name", ["elastic_net", "lightgbm"])
def test_nothing_after_a_cutoff_changes_a_forecast_by_one_bit(
    handmade, context, name, strategy, seed, value, gap
):
    rng = np.random.default_rng(seed)
    known = rng.normal(size=(100, 1))
    y = np.round(3 + 2 * np.sin(np.arange(90) * np.pi / 2) + known[:90, 0] + rng.normal(size=90)).clip(0)
    y[rng.integers(3, 20, 2)] = np.nan
    features = FeatureSettings(strategy=strategy, lags="pacf", windows=WINDOWS)
    options = context(6, gap=gap, season=4, score_season=4, seed=1, nonnegative=True, features=features)
    data, cutoffs = handmade(y, known, "QS-JAN"), (60,)
    folds = make_folds(data, cutoffs, options)
    for f, cutoff in enumerate(cutoffs):
        other = make_folds(data.after(cutoff, value), cutoffs[: f + 1], options)
        for candidate in learner(name).candidates(data.train(90), options):
            before, after = run_trial(candidate, folds, options), run_trial(candidate, other, options)
            assert not before.failed.any()
            np.testing.assert_array_equal(after.mean[f], before.mean[f])
            np.testing.assert_array_equal(after.median[f], before.median[f])
