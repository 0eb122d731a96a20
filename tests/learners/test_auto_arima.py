"""The searched orders: what the libraries choose is what is fitted, and it is searched once."""

from __future__ import annotations

import numpy as np
import pytest

from many_models.learners.arima import ArimaModel, Order, posed
from many_models.learners.base import FitContext
from many_models.learners.table import learner
from many_models.panel.series import Covariate


def walk(n=36, seed=4):
    rng = np.random.default_rng(seed)
    return 300 + 0.7 * np.arange(n) + np.cumsum(rng.normal(0, 3, n))


@pytest.mark.filterwarnings("ignore")
def test_statsforecasts_order_is_fitted(make_series):
    from statsforecast.arima import auto_arima_f

    series = make_series(walk())
    model = learner("auto_arima").fit(series, {}, FitContext(4))
    theirs = auto_arima_f(posed(series, False).values, period=1, approximation=False, method="CSS-ML")
    p, q, P, Q, _, d, D = theirs["arma"]
    assert (model.order.p, model.order.d, model.order.q) == (p, d, q)
    assert (model.order.P, model.order.D, model.order.Q) == (P, D, Q)
    assert model.order.constant == ("drift" in theirs["coef"] or "intercept" in theirs["coef"])


def test_pmdarimas_order_is_fitted(make_series, make_future, capfd):
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1, 61)
    series = make_series(20 + noise[1:] + 0.8 * noise[:-1])
    model = learner("arima_pmdarima").fit(series, {}, FitContext(4))
    assert isinstance(model, ArimaModel)
    assert model.kind == "arima_pmdarima"
    assert model.order.d == 0
    assert model.order.constant
    assert model.predict(make_future(series, 4)).mean[-1] == pytest.approx(20, abs=2)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize("name", ["auto_arima", "arima_pmdarima"])
def test_a_known_order_is_not_searched_again(name, make_series, make_future):
    order = Order(2, 1, 1, 0, 1, 1, 4)
    series = make_series(walk(48))
    model = learner(name).fit(series, order.parameters(), FitContext(4, season=4))
    fixed = learner("arima").fit(series, order.parameters(), FitContext(4, season=4))
    assert model.parameters == order.parameters()
    future = make_future(series, 6)
    np.testing.assert_array_equal(model.predict(future).mean, fixed.predict(future).mean)


def test_known_covariates_give_two_candidates(make_series):
    x = np.random.default_rng(0).normal(size=(48, 1))
    series = make_series(walk(48), known_x=x, known=(Covariate("price"),))
    names = [c.name for c in learner("auto_arima").candidates(series, FitContext(4))]
    assert names == ["auto_arima_known", "auto_arima"]


def test_a_search_with_known_covariates_uses_them(make_series, make_future):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(54, 1))
    y = 50 + 20 * x[:, 0] + rng.normal(0, 0.5, 54)
    series = make_series(y[:48], known_x=x[:48], known=(Covariate("price"),))
    model = learner("auto_arima").fit(series, {}, FitContext(6))
    np.testing.assert_allclose(model.predict(make_future(series, 6, x[48:])).mean, y[48:], atol=3)
