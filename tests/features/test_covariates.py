"""Known covariates: derived columns against plain loops, what a row may read, and the edges."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.bundle.container import pack, unpack
from many_models.features.base import Wishes
from many_models.features.covariates import Covariates
from many_models.features.plan import FeaturePlan
from many_models.features.rows import Rows
from many_models.features.settings import CovariateSettings, FeatureSettings
from many_models.learners.arx import Arx
from many_models.learners.base import FitContext
from many_models.learners.regression import ElasticNet, LightGBM
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import MOST_CATEGORIES, UNSEEN, Covariate, Future, Series

COLUMNS = (
    Covariate("price"),
    Covariate("promo", "boolean"),
    Covariate("shelf", "category", ("end", "mid", "top")),
    Covariate("balance"),
)
ALL = CovariateSettings(
    lags=((None, (1, 3)),),
    leads=(("price", (2,)), ("promo", (1,)), ("shelf", (1,))),
    differences=((None, (1, 2)),),
    relative=((None, (4,)),),
)


def panel(n=60, ahead=8, seed=0):
    """A random daily series with four known covariates, and the rows of its future."""
    rng = np.random.default_rng(seed)
    total = n + ahead
    table = np.column_stack(
        [
            rng.uniform(1, 3, total).round(2),
            rng.integers(0, 2, total),
            rng.integers(0, 3, total),
            rng.normal(0, 1, total).round(2),
        ]
    )
    y = np.exp(5 - table[:n, 0] + 0.4 * table[:n, 1] + rng.normal(0, 0.2, n))
    grid, none = Grid(Frequency.parse("W-THU")), np.empty((n, 0))
    series = Series(grid, 2_000, y, np.ones(n, bool), table[:n], none, np.empty(0), COLUMNS)
    return series, Future(grid, series.end + 1 + np.arange(ahead), table[n:])


def wishes(style="tree", covariates=ALL):
    return Wishes(style, settings=FeatureSettings(covariates=covariates))


def oracle(column, ordinal, table, style, bounds):
    """The value of a derived column by its name, from {ordinal: row}; NaN where a row is not there."""
    base, kind, steps = column
    name, _, category = base.removeprefix("log_").partition("=")
    source = [c.name for c in COLUMNS].index(name)

    def at(position):
        if position not in table:
            return math.nan
        value = table[position][source]
        if category:
            return float(COLUMNS[source].categories[int(value)] == category)
        value = min(max(value, bounds[source][0]), bounds[source][1])
        return math.log(value) if base.startswith("log_") else value

    def plain(position):
        return math.exp(at(position)) if base.startswith("log_") else at(position)

    if kind in "-+":
        return at(ordinal + steps if kind == "+" else ordinal - steps)
    if kind == "~":
        return at(ordinal) - at(ordinal - steps)
    before = [plain(ordinal - k) for k in range(1, steps + 1) if ordinal - k in table]
    if not before:
        return math.nan
    ratio = plain(ordinal) / (max(before) if kind == "max" else sum(before) / len(before))
    return math.log(ratio) if base.startswith("log_") else ratio


def parsed(name):
    """(base column, kind, steps) of the name of a derived column, or None for other columns."""
    for kind in ("/mean", "/max", "-", "+", "~"):
        base, found, steps = name.rpartition(kind)
        if found and steps.isdigit():
            return base, kind.strip("/"), int(steps)
    return None


@pytest.mark.parametrize("style", ["linear", "tree"])
@pytest.mark.parametrize("seed", range(3))
def test_each_derived_column_is_what_a_loop_over_the_rows_gives(style, seed):
    series, future = panel(seed=seed)
    family = Covariates.decide(series, wishes(style))
    # The forecast is asked for some rows only, and the model keeps no more than its memory.
    asked = np.array([0, 1, 2, 5, 6])
    part = Future(future.grid, future.ordinals[asked], future.known_x[asked])
    tail = series.known_x[len(series) - family.known_memory :]
    past = family.build(Rows.past(series))
    ahead = family.build(Rows.future(part, series.y[-1:], series.end, tail))
    history = dict(zip(series.ordinals.tolist(), series.known_x.tolist(), strict=True))
    known = {**history, **dict(zip(part.ordinals.tolist(), part.known_x.tolist(), strict=True))}
    bounds = {column.source: (column.low, column.high) for column in family.singles}
    checked = 0
    for place, name in enumerate(family.columns):
        column = parsed(name)
        if column is None:
            continue
        checked += 1
        learned = [oracle(column, t, history, style, bounds) for t in series.ordinals.tolist()]
        neutral = np.nanmean(learned)
        np.testing.assert_allclose(past[:, place], np.nan_to_num(learned, nan=neutral), rtol=1e-12)
        told = [oracle(column, t, known, style, bounds) for t in part.ordinals.tolist()]
        np.testing.assert_allclose(ahead[:, place], np.nan_to_num(told, nan=neutral), rtol=1e-12)
    assert checked == 12 + 5 + 6 + 2


def test_columns_are_asked_for_column_by_column():
    series, _ = panel()
    own = CovariateSettings(lags=(("price", (1, 2)), ("shelf", (1,))), relative=(("price", (8,)),))
    names = Covariates.decide(series, wishes(covariates=own)).columns
    derived = [name for name in names if parsed(name)]
    shelves = [f"shelf={name}-1" for name in ("end", "mid", "top")]
    assert derived == ["price-1", "price-2", "price/mean8", "price/max8", *shelves]


def test_without_a_wish_nothing_is_derived_and_nothing_is_kept():
    series, _ = panel()
    family = Covariates.decide(series, wishes("linear", CovariateSettings()))
    assert family.known_memory == 0
    assert not any(parsed(name) for name in family.columns)
    assert Covariates.decide(series, Wishes("linear", settings=FeatureSettings(covariates=None))) is None


def test_only_positive_numbers_have_a_relative_level():
    series, _ = panel()
    names = Covariates.decide(series, wishes()).columns
    assert "price/mean4" in names
    assert not any(
        "balance/" in name or "promo/" in name or ("shelf" in name and "/" in name) for name in names
    )


def test_logs_are_for_linear_models_and_positive_numbers_and_can_be_refused():
    series, _ = panel()
    assert "log_price" in Covariates.decide(series, wishes("linear")).columns
    assert "log_balance" not in Covariates.decide(series, wishes("linear")).columns
    assert "price" in Covariates.decide(series, wishes("tree")).columns
    plain = Covariates.decide(series, wishes("linear", CovariateSettings(log=False)))
    assert plain.columns[:2] == ("price", "promo")


def test_products_are_of_the_pairs_that_are_named_for_trees_too():
    series, _ = panel()
    for style, price in (("tree", "price"), ("linear", "log_price")):
        pairs = CovariateSettings(interactions=(("price", "promo"), ("shelf", "promo")))
        family = Covariates.decide(series, wishes(style, pairs))
        products = [name for name in family.columns if "*" in name]
        shelves = [f"promo*shelf={name}" for name in ("end", "mid", "top")]
        assert products == [f"{price}*promo", *shelves]
        built = dict(zip(family.columns, family.build(Rows.past(series)).T, strict=True))
        promo = series.known_x[:, 1]
        middle = family.singles[0].center
        np.testing.assert_allclose(built[products[0]], (built[price] - middle) * promo)
        np.testing.assert_array_equal(built[products[1]], promo * (series.known_x[:, 2] == 0))
    assert not any("*" in c for c in Covariates.decide(series, wishes("tree")).columns)
    none = Covariates.decide(series, wishes("linear", CovariateSettings(interactions=())))
    assert not any("*" in c for c in none.columns)


def test_a_pair_with_a_constant_column_makes_no_product():
    series, _ = panel()
    table = series.known_x.copy()
    table[:, 1] = 1.0
    pairs = CovariateSettings(interactions=(("price", "promo"),))
    family = Covariates.decide(replace(series, known_x=table), wishes("tree", pairs))
    assert family.products == ()
    assert "promo" not in family.columns


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), row=st.integers(0, 7), bad=st.sampled_from([math.nan, 1e30]))
def test_a_row_reads_no_further_ahead_than_its_leads(seed, row, bad):
    series, future = panel(40, seed=seed)
    family = Covariates.decide(series, wishes("linear"))
    tail = series.known_x[len(series) - family.known_memory :]
    before = family.build(Rows.future(future, series.y[-1:], series.end, tail))
    lead = 2
    changed = future.known_x.copy()
    changed[row + lead + 1 :] = bad
    after = family.build(Rows.future(replace(future, known_x=changed), series.y[-1:], series.end, tail))
    assert np.array_equal(before[: row + 1], after[: row + 1])
    no_leads = [i for i, name in enumerate(family.columns) if "+" not in name]
    changed[row + 1 :] = bad
    after = family.build(Rows.future(replace(future, known_x=changed), series.y[-1:], series.end, tail))
    assert np.array_equal(before[: row + 1, no_leads], after[: row + 1, no_leads])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), bad=st.sampled_from([math.nan, 1e30]))
def test_the_target_is_never_read(seed, bad):
    series, _ = panel(40, seed=seed)
    other = replace(series, y=np.full(len(series), bad))
    family = Covariates.decide(series, wishes("linear"))
    assert Covariates.decide(other, wishes("linear")) == family
    assert np.array_equal(family.build(Rows.past(series)), family.build(Rows.past(other)))


def test_a_lead_beyond_the_rows_that_were_given_says_nothing():
    series, future = panel()
    family = Covariates.decide(series, wishes())
    place = family.columns.index("price+2")
    lead = next(each for each in family.derived if each.name == "price+2")
    built = family.build(Rows.future(future, series.y[-1:], series.end))
    assert np.array_equal(built[:-2, place], future.known_x[2:, 0])
    assert (built[-2:, place] == lead.neutral).all()
    # Neither the last price nor that of the row is carried on.
    assert lead.neutral == pytest.approx(series.known_x[2:, 0].mean())


def test_a_category_that_was_never_seen_has_no_indicator():
    series, future = panel()
    family = Covariates.decide(series, wishes("linear", CovariateSettings(lags=(("shelf", (1,)),))))
    strange = future.known_x.copy()
    strange[:, 2] = UNSEEN
    rows = Rows.future(replace(future, known_x=strange), series.y[-1:], series.end, series.known_x[-1:])
    built = family.build(rows)
    own = [i for i, name in enumerate(family.columns) if "shelf" in name]
    assert np.isfinite(built).all()
    assert not built[1:, own].any()


def test_a_flag_of_missing_values_is_a_column_and_nothing_is_made_of_it():
    series, _ = panel()
    flag = (np.arange(60) % 7 == 0).astype(float)
    flagged = replace(
        series,
        known_x=np.column_stack([series.known_x, flag]),
        known=(*series.known, Covariate.was_missing("price")),
    )
    for style in ("linear", "tree"):
        names = Covariates.decide(flagged, wishes(style)).columns
        assert [name for name in names if "was_missing" in name] == ["was_missing(price)"]
        plain = Covariates.decide(series, wishes(style)).columns
        assert [name for name in names if "was_missing" not in name] == list(plain)


def test_the_rarest_of_very_many_categories_share_the_base(make_series):
    n = 400
    codes = np.concatenate([np.repeat(np.arange(30), 12), np.arange(30, 70)])[:n].astype(float)
    many = Covariate("sku", "category", tuple(f"s{i:02d}" for i in range(70)))
    series = replace(make_series("D", n), known_x=codes[:, None], known=(many,))
    family = Covariates.decide(series, wishes("linear", CovariateSettings()))
    assert len(family.columns) == MOST_CATEGORIES
    built = family.build(Rows.past(series))
    assert not built[codes >= 30].any()
    assert (built.sum(axis=1) <= 1).all()


@pytest.mark.parametrize("learner", [ElasticNet(), LightGBM()])
def test_a_stored_model_reads_its_own_tail_and_forecasts_the_same_bits(learner):
    series, future = panel(120)
    context = FitContext(horizon=8, nonnegative=True, features=FeatureSettings(covariates=ALL))
    parameters = learner.candidates(series, context)[0].parameters
    model = learner.fit(series, parameters, context)
    assert model.frame.plan.known_memory == 4
    assert model.recent_known.shape == (4, 4)
    again = learner.load(unpack(pack(model.state())))
    assert again.frame.plan == FeaturePlan.from_dict(json.loads(json.dumps(model.frame.plan.to_dict())))
    assert np.array_equal(again.predict(future).mean, model.predict(future).mean)
    moved = again.update(series.tail(model.tail))
    assert np.array_equal(moved.predict(future).mean, model.predict(future).mean)


@pytest.mark.parametrize("learner", [ElasticNet(), LightGBM()])
def test_the_first_steps_are_the_same_bits_where_nothing_reads_ahead(learner):
    series, future = panel(120)
    own = replace(ALL, leads=())
    context = FitContext(horizon=8, nonnegative=True, features=FeatureSettings(covariates=own))
    model = learner.fit(series, learner.candidates(series, context)[0].parameters, context)
    four = Future(future.grid, future.ordinals[:4], future.known_x[:4])
    assert np.array_equal(model.predict(four).mean, model.predict(future).mean[:4])


@pytest.mark.parametrize("lags", ["none", "errors"])
def test_arx_keeps_the_covariates_that_its_derived_columns_read(lags):
    series, future = panel(120)
    context = FitContext(horizon=8, nonnegative=True, features=FeatureSettings(covariates=ALL))
    candidate = next(
        c for c in Arx().candidates(series, context) if c.parameters["lags"] == lags and c.uses_known
    )
    model = Arx().fit(series, candidate.parameters, context)
    before = np.concatenate([series.known_x, future.known_x])[116:]
    assert np.array_equal(model.recent_known, before[:4])
    again = Arx().load(unpack(pack(model.state())))
    for moved in (again, again.update(series), again.update(series.tail(again.tail))):
        assert np.array_equal(moved.predict(future).mean, model.predict(future).mean)
    blind = replace(model, recent_known=model.recent_known[:0])
    assert not np.array_equal(blind.predict(future).mean[:1], model.predict(future).mean[:1])


def test_a_relative_level_longer_than_half_the_history_is_left_out():
    series, _ = panel(40)
    long = CovariateSettings(relative=(("price", (20, 21)),), lags=(("price", (30,)),))
    names = Covariates.decide(series, wishes(covariates=long)).columns
    assert [name for name in names if parsed(name)] == ["price/mean20", "price/max20"]


def test_last_weeks_promotion_is_found():
    series, future = panel(150)
    before = np.concatenate([[0.0], series.known_x[:-1, 1]])
    pulled = replace(series, y=series.y * np.exp(-0.7 * before))
    truth = np.exp(5 - future.known_x[:, 0] + 0.4 * future.known_x[:, 1])
    truth *= np.exp(-0.7 * np.concatenate([series.known_x[-1:, 1], future.known_x[:-1, 1]]))
    errors = []
    for own in (CovariateSettings(), CovariateSettings(lags=(("promo", (1,)),))):
        context = FitContext(horizon=8, nonnegative=True, features=FeatureSettings(covariates=own))
        model = ElasticNet().fit(pulled, ElasticNet().candidates(pulled, context)[0].parameters, context)
        errors.append(np.abs(np.log(model.predict(future).median / truth)).mean())
    assert errors[1] < 0.5 * errors[0]
