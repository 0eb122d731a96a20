"""Our filter and forecasts against statsforecast's, and ARIMA's behaviour on odd input."""

from __future__ import annotations

import numpy as np
import pytest

from many_models.bundle.container import pack, unpack
from many_models.errors import LearnerError
from many_models.features.settings import FeatureSettings
from many_models.learners.arima import Order, orders_for, posed
from many_models.learners.arima_estimation import Lags, differenced, estimate, invertible
from many_models.learners.base import FitContext
from many_models.learners.covariates import Regressors
from many_models.learners.table import learner
from many_models.panel.series import Covariate

CASES = [
    *orders_for(4),
    *orders_for(1),
    *orders_for(1, known=True),
    Order(1, 0, 1, constant=True),
    Order(1, 1, 1, 0, 1, 1, 4),
    Order(2, 1, 1),
    Order(0, 1, 0),
    Order(0, 0, 0, 1, 1, 1, 4),
]
KNOWN = (
    Covariate("price"),
    Covariate("advert", "boolean"),
    Covariate("aisle", "category", ("a", "b", "c")),
)


def walk(n=56, seed=4):
    rng = np.random.default_rng(seed)
    t = np.arange(n)
    return 300 + 0.7 * t + 9 * np.sin(np.pi / 2 * t) + np.cumsum(rng.normal(0, 3, n))


def table(n, seed=1):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.normal(5, 2, n), rng.integers(0, 2, n), rng.integers(0, 3, n)]).astype(float)


def posed_columns(series, order):
    """The values and the regressors, the constant's among them, of the problem that we pose."""
    problem = posed(series, order.d + order.D > 0)
    n = len(problem.values)
    centred = order.constant and order.d + order.D == 0
    first = [np.ones(n)] if centred else [(np.arange(n) - (n - 1.0)) / n] if order.drifts else []
    return problem, np.column_stack([*first, problem.columns])


def estimated_parts(series, order):
    problem, columns = posed_columns(series, order)
    parts = [differenced(v, order.d, order.D, order.season) for v in (problem.values, columns)]
    return (*parts, estimate(*parts, order.lags))


def density(errors, coefficients, order):
    """Log likelihood of an ARMA process as a normal density of the best variance: without a filter."""
    from scipy.linalg import toeplitz
    from statsmodels.tsa.arima_process import arma_acovf

    phi, theta = order.lags.expanded(coefficients)
    n = len(errors)
    covariance = toeplitz(arma_acovf(np.r_[1, -phi], np.r_[1, theta], n)[:n])
    low = np.linalg.cholesky(covariance)
    white = np.linalg.solve(low, errors)
    variance = float(white @ white) / n
    return -0.5 * n * (np.log(2 * np.pi * variance) + 1) - float(np.log(np.diag(low)).sum())


def their_coefficients(series, order):
    """What statsforecast estimates: ARMA coefficients, weights of the regressors."""
    from statsforecast.arima import arima

    problem, columns = posed_columns(series, order)
    centred = order.constant and not order.drifts
    given = columns[:, 1:] if centred else columns
    with np.errstate(all="ignore"):
        fitted = arima(
            problem.values,
            order=(order.p, order.d, order.q),
            seasonal={"order": (order.P, order.D, order.Q), "period": order.season},
            xreg=given if given.shape[1] else None,
            include_mean=centred,
            method="CSS-ML",
            tol=1e-5,
        )
    found = np.array(list(fitted["coef"].values()))
    return found[: order.lags.count], found[order.lags.count :]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("order", CASES, ids=lambda o: f"{o.label}-{o.season}")
@pytest.mark.parametrize("seed", [4, 11])
def test_the_likelihood_is_exact_and_no_less_than_statsforecasts(order, seed, make_series):
    values, columns, found = estimated_parts(make_series(walk(64, seed)), order)
    ours = density(values - columns @ found.weights, found.coefficients, order)
    np.testing.assert_allclose(found.likelihood, ours, atol=1e-5)
    coefficients, weights = their_coefficients(make_series(walk(64, seed)), order)
    assert ours > density(values - columns @ weights, coefficients, order) - 0.5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "order", [orders_for(4)[0], Order(0, 1, 1, constant=True), Order(1, 0, 1, constant=True)]
)
def test_with_covariates_the_likelihood_is_exact_and_no_less_than_statsforecasts(order, make_series):
    x = table(56)
    series = make_series(walk() + 4 * x[:, 0] + 10 * x[:, 1], known_x=x, known=KNOWN)
    values, columns, found = estimated_parts(series, order)
    ours = density(values - columns @ found.weights, found.coefficients, order)
    np.testing.assert_allclose(found.likelihood, ours, atol=1e-5)
    coefficients, weights = their_coefficients(series, order)
    assert ours > density(values - columns @ weights, coefficients, order) - 0.5


@pytest.mark.parametrize("order", CASES, ids=lambda o: f"{o.label}-{o.season}")
def test_with_our_coefficients_the_forecast_is_statsforecasts(order, make_series, make_future):
    from statsforecast.arima import arima_like, kalman_forecast, make_arima

    series = make_series(walk())
    model = learner("arima").fit(series, order.parameters(), FitContext(8, season=4))
    errors = (series.y - model._regression(series.ordinals, np.empty((56, 0))) - model.shift) / model.scale
    form = make_arima(model.phi, model.theta, model.delta)
    arima_like(errors, model.phi, model.theta, model.delta, form["a"], form["P"], form["Pn"], 0, True)
    path = kalman_forecast(12, form["Z"], form["a"], form["P"], form["T"], form["V"], form["h"])[0]
    future = make_future(series, 12)
    expected = path * model.scale + model.shift + model._regression(future.ordinals, np.empty((12, 0)))
    np.testing.assert_allclose(model.predict(future).mean, expected, rtol=1e-9)


def test_a_moving_average_is_turned_into_its_invertible_twin():
    twin = invertible(np.array([-3.5, 1.5]))
    np.testing.assert_allclose(np.sort(np.roots([1, *twin])), [1 / 3, 0.5])
    kept = np.array([-0.8, 0.15])
    assert invertible(kept) is kept


def test_simulated_coefficients_are_found_again():
    rng = np.random.default_rng(3)
    e = rng.normal(size=4000)
    y = np.zeros(4000)
    for t in range(5, 4000):
        y[t] = 0.7 * y[t - 1] + e[t] + 0.4 * e[t - 1] + 0.5 * e[t - 4] + 0.2 * e[t - 5]
    found = estimate(y, np.empty((4000, 0)), Lags(1, 1, 0, 1, 4))
    np.testing.assert_allclose(found.coefficients, [0.7, 0.4, 0.5], atol=0.05)


def test_covariates_are_found_again(make_series, make_future):
    x = table(80)
    effect = 6 * x[:, 0] + 15 * x[:, 1] + np.array([0, 8, -8])[x[:, 2].astype(int)]
    noise = np.random.default_rng(9).normal(0, 0.5, 80)
    y = 100 + effect + noise
    series = make_series(y[:72], known_x=x[:72], known=KNOWN)
    model = learner("arima").fit(series, Order(1, 0, 1, constant=True).parameters(), FitContext(8))
    np.testing.assert_allclose(model.predict(make_future(series, 8, x[72:])).mean, y[72:], atol=2.5)


def test_new_values_are_filtered_as_by_an_exact_filter(make_series, make_future):
    """An AR(1) in differences has a closed form: the next change is phi times the last."""
    y = walk(60)
    early, whole = make_series(y[:50]), make_series(y)
    model = learner("arima").fit(early, Order(1, 1, 0).parameters(), FitContext(4))
    moved = model.update(whole.tail(model.tail + 10))
    change = model.phi[0] * (y[-1] - y[-2])
    np.testing.assert_allclose(moved.predict(make_future(whole, 1)).mean, y[-1] + change, rtol=1e-9)
    ema = Order(0, 1, 1)
    model = learner("arima").fit(early, ema.parameters(), FitContext(4))
    level = model.predict(make_future(early, 1)).mean[0]
    for value in y[50:]:
        level = level + (1 + model.theta[0]) * (value - level)
    moved = model.update(whole.tail(model.tail + 10))
    np.testing.assert_allclose(moved.predict(make_future(whole, 1)).mean, level, rtol=1e-6)


def test_a_revision_counts_as_if_it_had_always_been_there(make_series, make_future):
    y = walk(50)
    series = make_series(y)
    revised = y.copy()
    revised[-3] += 7.0
    model = learner("arima").fit(series, Order(1, 1, 0).parameters(), FitContext(4))
    moved = model.update(make_series(revised).tail(model.tail))
    np.testing.assert_allclose(
        moved.predict(make_future(series, 5)).mean, model.predict(make_future(series, 5)).mean, rtol=1e-9
    )
    revised[-1] += 7.0
    moved = model.update(make_series(revised).tail(model.tail)).predict(make_future(series, 1)).mean
    np.testing.assert_allclose(moved, revised[-1] + model.phi[0] * (revised[-1] - revised[-2]), rtol=1e-9)


def test_the_level_of_a_differenced_series_does_not_matter(make_series, make_future):
    series, high = make_series(walk()), make_series(walk() + 2.0**30)
    for order in (Order(0, 1, 1), Order(0, 1, 1, 0, 1, 1, 4)):
        low = learner("arima").fit(series, order.parameters(), FitContext(4)).predict(make_future(series, 6))
        far = learner("arima").fit(high, order.parameters(), FitContext(4)).predict(make_future(high, 6))
        np.testing.assert_allclose(far.mean - 2.0**30, low.mean, rtol=1e-3)


def test_candidates_follow_length_season_and_covariates(make_series):
    fit = learner("arima")
    yearly = [c.name for c in fit.candidates(make_series(walk(40)), FitContext(6))]
    assert yearly == ["arima_110_c", "arima_022", "arima_011_c", "arima_111"]
    seasonal = [c.name for c in fit.candidates(make_series(walk(40)), FitContext(6, season=4))]
    assert seasonal[0] == "arima_011_011"
    assert len(seasonal) == 5
    weekly = fit.candidates(make_series(walk(56)), FitContext(6, season=52))
    assert {c.parameters["season"] for c in weekly} == {1}
    too_short_for_its_season = fit.candidates(make_series(walk(20)), FitContext(6, season=12))
    assert {c.parameters["season"] for c in too_short_for_its_season} == {1}
    known = fit.candidates(make_series(walk(56), known_x=table(56), known=KNOWN), FitContext(6))
    assert [c.name for c in known] == ["arima_100_c_known", "arima_011_known", "arima_100_c", "arima_011"]
    assert [c.uses_known for c in known] == [True, True, False, False]
    assert fit.candidates(make_series(walk(9)), FitContext(6)) == ()


@pytest.mark.parametrize("y", [np.full(40, 3.0), np.zeros(40), 5 + 2.0 * np.arange(40)])
def test_what_does_not_vary_is_refused_by_name(y, make_series):
    with pytest.raises(LearnerError, match="CONSTANT"):
        learner("arima").fit(make_series(y), Order(0, 1, 1).parameters(), FitContext(4))


def test_an_order_that_the_history_cannot_carry_is_too_short(make_series):
    order = Order(1, 1, 1, 0, 1, 1, 12)
    with pytest.raises(LearnerError, match="TOO_SHORT"):
        learner("arima").fit(make_series(walk(20)), order.parameters(), FitContext(4, season=12))


def test_a_missing_future_covariate_is_an_error_and_not_a_guess(make_series, make_future):
    x = table(64)
    series = make_series(walk(), known_x=x[:56], known=KNOWN)
    model = learner("arima").fit(series, Order(0, 1, 1).parameters(), FitContext(4))
    for column in range(3):
        ahead = x[56:].copy()
        ahead[1, column] = np.nan
        with pytest.raises(LearnerError, match="FUTURE_COVARIATES_MISSING"):
            model.predict(make_future(series, 8, ahead))
    with pytest.raises(LearnerError, match="FUTURE_COVARIATES_MISSING"):
        model.predict(make_future(series, 8))


def test_regressors_drop_what_is_constant_or_said_twice(make_series):
    n = 30
    price = np.random.default_rng(0).normal(2, 1, n)
    shop = np.tile([0.0, 1.0, 2.0], n // 3)
    x = np.column_stack([price, np.full(n, 4.0), 3 * price + 1, shop, np.full(n, np.nan)])
    known = (
        Covariate("price"),
        Covariate("rent"),
        Covariate("price in cents"),
        Covariate("shop", "category", ("a", "b", "c", "d")),
        Covariate("empty"),
    )
    made = Regressors.of(make_series(price, known_x=x, known=known))
    assert made.source.tolist() == [0, 3, 3]
    assert made.level[1:].tolist() == [1.0, 2.0]
    columns = made.past(x)
    np.testing.assert_allclose(columns.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(columns.std(axis=0), 1)


def test_holes_in_past_covariates_are_neutral(make_series):
    x = table(40)
    x[:3, 0] = np.nan
    made = Regressors.of(make_series(walk(40), known_x=x, known=KNOWN))
    assert (made.past(x)[:3, 0] == 0).all()
    assert np.isfinite(made.past(x)).all()


DAY_US = 86_400_000_000


def promoted(make_series, known_x=None, known=()):
    """150 weeks around 300, 60 more in each of the weeks of a promo; the promo also six weeks ahead."""
    empty = make_series(np.zeros(150), "W-SUN")
    begun = empty.grid.spans(np.arange(empty.start, empty.start + 160))[0].astype(np.int64)
    weeks = np.array([5, 17, 18, 40, 63, 64, 90, 111, 130, 149, 152, 155])
    spans = tuple((int(begun[w]) + DAY_US, int(begun[w]) + 3 * DAY_US) for w in weeks)
    y = 300 + np.random.default_rng(0).normal(0, 5, 150)
    y[weeks[weeks < 150]] += 60
    settings = FeatureSettings(events=(("promo", spans),), arima=("events",))
    return make_series(y, "W-SUN", known_x, known), settings, weeks[weeks >= 150] - 150


@pytest.mark.parametrize("name", ["arima", "auto_arima"])
def test_arima_reads_events_where_it_is_asked_to(name, make_series, make_future):
    series, settings, promos = promoted(make_series)
    asked = FitContext(horizon=8, seed=1, features=settings)
    chosen = learner(name)
    candidate = chosen.candidates(series, asked)[0]
    model = chosen.fit(series, candidate.parameters, asked)
    eight = make_future(series, 8)
    found = model.predict(eight).mean
    expected = np.full(8, 300.0)
    expected[promos] += 60
    np.testing.assert_allclose(found, expected, atol=12)
    loaded = chosen.load(unpack(pack(model.state())))
    for other in (loaded, loaded.update(series.tail(max(loaded.tail, 1)))):
        assert np.array_equal(other.predict(eight).mean, found)
    assert np.array_equal(model.predict(make_future(series, 4)).mean, found[:4])
    bare = chosen.fit(series, candidate.parameters, FitContext(horizon=8, seed=1))
    assert "dates" not in bare.state()
    assert np.ptp(bare.predict(eight).mean) < 30


def test_events_stand_beside_known_covariates(make_series, make_future):
    rng = np.random.default_rng(2)
    price = rng.uniform(1, 3, (150, 1))
    series, settings, promos = promoted(make_series, price, (Covariate("price"),))
    asked = FitContext(horizon=8, seed=1, features=settings)
    arima = learner("arima")
    candidate = next(c for c in arima.candidates(series, asked) if c.uses_known)
    model = arima.fit(series, candidate.parameters, asked)
    low, high = (model.predict(make_future(series, 8, np.full((8, 1), p))).mean for p in (1.0, 3.0))
    np.testing.assert_allclose(high - low, 0, atol=8)
    assert low[promos].min() - np.delete(low, promos).max() > 45
    short = series.tail(12)
    assert len(arima.candidates(short, asked)) < len(arima.candidates(short, FitContext(horizon=8, seed=1)))
