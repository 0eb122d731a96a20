"""What pooled regressions do of their own: columns joined by name, key columns, the group's movement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from many_models.features.group import Group
from many_models.features.rows import Rows
from many_models.learners.base import Deadline, FitContext
from many_models.learners.listing import used_features
from many_models.learners.pooled import GroupSeries, PooledMember
from many_models.learners.pooled_frame import Aligned, shared_keys
from many_models.learners.table import pooled_learner
from many_models.panel.series import Covariate


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
