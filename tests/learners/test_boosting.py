"""XGBoost's trees as arrays against its own predictions."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from many_models.errors import LearnerError
from many_models.learners.base import FitContext
from many_models.learners.boosting import BOOSTING, XGBoost, trees_of
from many_models.learners.forests import Forest

xgboost = pytest.importorskip("xgboost", reason="the extra xgboost is not installed")


@pytest.mark.parametrize("holes", [False, True])
def test_arrays_predict_what_xgboost_predicts(holes):
    import json

    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    x[:, 3] = rng.integers(0, 3, 200)
    if holes:
        x[rng.random(200) < 0.2, 0] = np.nan
    z = np.nan_to_num(x[:, 0]) * 2 + x[:, 1] ** 2 + x[:, 3] + rng.normal(0, 0.1, 200)
    booster = xgboost.train({**BOOSTING, "seed": 1}, xgboost.DMatrix(x, z), 30)
    grown = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]["trees"]
    # rows that lie on a border go where XGBoost sends them
    borders = x.copy()
    for tree in grown:
        for place, border, left in zip(
            tree["split_indices"], tree["split_conditions"], tree["left_children"], strict=True
        ):
            if left >= 0:
                borders[rng.integers(0, 200), place] = np.float32(border)
    for rows in (x, borders):
        ours = Forest(trees_of(grown, 7.0)).predict(rows)
        np.testing.assert_allclose(ours, booster.predict(xgboost.DMatrix(rows)) + 7.0, rtol=0, atol=2e-5)


def test_without_it_the_reason_names_the_extra(monkeypatch, make_series, quarterly):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    series, context = make_series(quarterly()), FitContext(horizon=4, season=4)
    candidate = XGBoost().candidates(series, context)[0]
    with pytest.raises(LearnerError, match=r"pip install 'many-models\[xgboost\]'") as caught:
        XGBoost().fit(series, candidate.parameters, context)
    assert caught.value.code == "NOT_INSTALLED"
