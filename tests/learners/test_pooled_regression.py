"""What pooled regressions do of their own: columns joined by name, key columns, the group's movement."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from many_models.features.group import Group
from many_models.features.rows import Rows
from many_models.learners.base import Deadline, FitContext
from many_models.learners.linear import Centred, ridge
from many_models.learners.listing import used_features
from many_models.learners.pooled import Asked, GroupSeries, PooledMember, value_weights
from many_models.learners.pooled_frame import Aligned, shared_keys
from many_models.learners.regression import elastic_net
from many_models.learners.table import learner_info, pooled_learner, pooled_names
from many_models.panel.series import Covariate, Future


def test_covariates_are_joined_by_name_and_categories_recoded():
    one = (Covariate("price"), Covariate("aisle", "category", ("b", "c")))
    other = (Covariate("aisle", "category", ("a", "b")), Covariate("advert", "boolean"))
    tables = [np.array([[2.0, 0.0], [4.0, 1.0]]), np.array([[0.0, 1.0], [np.nan, np.nan]])]
    aligned = Aligned.of([one, other], tables)
    assert [c.name for c in aligned.covariates] == ["price", "aisle", "advert"]
    assert aligned.covariates[1].categories == ("a", "b", "c")
    assert aligned.read(one, tables[0]).tolist() == [[2.0, 1.0, 0.0], [4.0, 2.0, 0.0]]
    assert aligned.read(other, tables[1]).tolist() == [[3.0, 0.0, 1.0], [3.0, -1.0, 0.0]]
    assert Aligned.from_list(aligned.to_list()) == aligned


def test_key_columns_that_series_share_are_read():
    names = ['[1,"a"]', '[1,"b"]', '[2,"a"]']
    assert shared_keys(names) == (("1", "2"), ("a", "b"))
    assert shared_keys(['["x"]', '["y"]']) == ((),)
    assert shared_keys(["no key"]) == ()


def test_the_movement_of_a_group_is_read_up_to_the_cutoff(make_series):
    series = make_series(np.arange(30.0))
    family = Group((), series.start, tuple(np.arange(30.0) ** 2))
    rows = Rows.training(series, series.y, np.array([1, 3]), np.array([20, 20]), 0)
    assert family.build(rows).tolist() == [
        [19.0**2 - 18**2, 19**2 - 15.0**2],
        [17.0**2 - 16**2, 17**2 - 13**2],
    ]
    assert np.array_equal(family.since(series.start + 17).build(rows), family.build(rows))
    later = replace(family, means=(*family.means[:20], *([1e9] * 10)))
    assert np.array_equal(later.build(rows), family.build(rows))


def test_the_columns_of_a_pooled_model_are_listed(make_series, quarterly):
    context = FitContext(horizon=4, season=4, nonnegative=True)
    group = [GroupSeries(f'["s{i}"]', make_series(quarterly(40, i)), context) for i in range(4)]
    learner = pooled_learner("lightgbm")
    model = learner.fit_pooled(group, learner.pooled_candidates(group)[0].parameters, 1, Deadline())
    one = group[0]
    member = PooledMember(model, model.own(one.name, one.series), one.series)
    listed = {used.feature.name: used.feature for used in used_features(member, one.series)}
    assert listed["last0"].family == "recent"
    assert listed["series"].sources == ("series",)
    assert listed["size"].family == "group"


def test_a_row_that_counts_twice_is_a_row_that_is_there_twice():
    """The oracle of weights: repeat the rows, and forget the weights."""
    rng = np.random.default_rng(2)
    x, times = rng.normal(0, 1, (40, 3)), rng.integers(1, 4, 40)
    z = x @ [1.0, -2.0, 0.5] + np.where(times > 1, 1.0, -1.0) * x[:, 0] + rng.normal(0, 0.1, 40)
    again, weight = np.repeat(np.arange(40), times), times / times.mean()
    one, other = ridge(x, z, (0.1,), weight), ridge(x[again], z[again], (0.1,))
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-9)
    assert one.intercept == pytest.approx(other.intercept, rel=1e-9)
    cores = elastic_net(x, z, 40, True, weight), elastic_net(x[again], z[again], 40)
    np.testing.assert_allclose(cores[0].slope, cores[1].slope, rtol=1e-3)
    np.testing.assert_allclose(Centred.of(x, z, True, np.ones(40)).x, Centred.of(x, z).x, rtol=1e-12)


def test_how_much_values_count_is_shared_out_among_those_of_a_series(make_series):
    y, context = make_series(np.ones(9)), FitContext(4)
    group = [GroupSeries(f"s{weight}", y, context, weight) for weight in (1.0, 3.0, np.nan)]
    found = value_weights(group, np.array([0, 0, 1, 2]))
    np.testing.assert_allclose(found, np.array([0.5, 0.5, 3.0, 2.0]) / 1.5)
    assert value_weights([replace(one, weight=None) for one in group], np.array([0, 1])) is None
    assert value_weights([replace(one, weight=0.0) for one in group], np.array([0, 1])) is None


WEIGHED = [n for n in pooled_names() if n != "knn" and all(map(find_spec, learner_info(n).requires))]


@pytest.mark.parametrize("name", WEIGHED)
def test_a_group_goes_as_those_of_its_series_that_count(name, make_series):
    """Some series repeat their last change, as many others take it back."""
    rng = np.random.default_rng(4)
    group = []
    for place in range(12):
        change = np.cumprod(np.full(48, 1.0 if place % 2 else -1.0)) * 2.0
        y = make_series(100 + np.cumsum(change + rng.normal(0, 0.3, 48)))
        group.append(GroupSeries(f"s{place:02d}", y, FitContext(1)))

    def errors(heavy):
        each = [replace(one, weight=1.0 if place % 2 == heavy else 1e-3) for place, one in enumerate(group)]
        settings = dict(pooled_learner(name).pooled_candidates(each)[0].parameters)
        if name == "tcn":
            settings |= {"epochs": 2, "batches": 6}
        model = pooled_learner(name).fit_pooled(each, settings, 3, Deadline())
        ordinals = [one.series.end + np.array([1]) for one in group]
        asked = [
            Asked(one.series, model.own(one.name, one.series), Future(one.series.grid, at, np.empty((1, 0))))
            for one, at in zip(group, ordinals, strict=True)
        ]
        change = [f.median[0] - one.series.y[-1] for f, one in zip(model.predict(asked), group, strict=True)]
        return np.abs(np.array(change)[::2] + 2.0).mean(), np.abs(np.array(change)[1::2] - 2.0).mean()

    flipping, rising = errors(0), errors(1)
    assert not np.isclose(flipping, rising).all()
    assert flipping[0] - flipping[1] < rising[0] - rising[1]
