"""scikit-learn's trees on the common frame: one tree, a forest, extremely random trees, boosted trees.

Fitted trees become the plain arrays of `trees.py`. scikit-learn reads features in single precision,
so these do too; a threshold is rounded down to single precision, which moves no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from many_models.learners.base import FitContext, State
from many_models.learners.guards import library, require_time
from many_models.learners.regression import Lesson, Regression
from many_models.learners.table import learner_info
from many_models.learners.trees import Trees
from many_models.panel.series import Floats


@dataclass(frozen=True)
class Forest:
    """Trees that read their features in single precision."""

    kind: ClassVar[str] = "regression_forest"

    trees: Trees

    @property
    def reads(self) -> npt.NDArray[np.int64]:
        """The positions of the columns that have a say."""
        return self.trees.reads

    def predict(self, x: Floats) -> Floats:
        """The sum over trees for rows [n, c] -> [n]."""
        return self.trees.predict(x.astype(np.float32).astype(np.float64))

    def state(self) -> State:
        """The trees as plain arrays."""
        return self.trees.state()

    @classmethod
    def load(cls, state: State) -> Self:
        """The forest that gave this state."""
        return cls(Trees.load(state))


def trees_of(fitted: Sequence[Any], share: float, constant: float | None = None) -> Trees:
    """scikit-learn's fitted trees (`tree_`) as arrays: `constant` plus `share` of each tree's answer."""
    leaves, feature, threshold, left, right, missing, value = ([] for _ in range(7))
    for tree in fitted:
        split = tree.children_left >= 0
        # Splits and leaves are numbered apart, in the order of the nodes: children come after parents.
        number = np.where(split, np.cumsum(split) - 1, np.cumsum(~split) - 1 + int(split.sum()))
        leaves.append(int((~split).sum()))
        feature.append(tree.feature[split])
        threshold.append(_rounded_down(tree.threshold[split]))
        left.append(number[tree.children_left[split]])
        right.append(number[tree.children_right[split]])
        missing.append(tree.missing_go_to_left[split].astype(np.bool_))
        value.append(tree.value.ravel()[~split] * share)
    if constant is not None:
        leaves.append(1)
        value.append(np.array([constant]))
    return Trees(
        np.array(leaves, dtype=np.int64),
        np.concatenate(feature).astype(np.int64),
        np.concatenate(threshold),
        np.concatenate(missing),
        np.concatenate(left).astype(np.int64),
        np.concatenate(right).astype(np.int64),
        np.concatenate(value),
    )


def _rounded_down(threshold: Floats) -> Floats:
    """The largest number in single precision that is not above each threshold."""
    single = threshold.astype(np.float32)
    above = single.astype(np.float64) > threshold
    return np.where(above, np.nextafter(single, np.float32(-np.inf)), single).astype(np.float64)


LEAVES = 16
"""Of one tree at most: what a model costs to store grows with it."""
FEWEST_IN_LEAF = 4
TREES = 20
ROUNDS = 40
ROUND_LEAVES = 8
RATE = 0.12
COLUMN_SHARE = 0.5
"""Columns that each split of a forest looks at."""
ROW_SHARE, BOOSTED_SHARE = 0.5, 0.3
"""Rows of each boosted tree, and columns of each of its splits: without, 120 weeks are learned by heart."""


class TreeRegression(Regression):
    """A regression of scikit-learn that is made of trees."""

    style = "tree"
    kind = Forest.kind

    def learn(self, lesson: Lesson, context: FitContext) -> Forest:
        """The trees, at fixed settings."""
        require_time(context.deadline)
        x = lesson.x if lesson.x.shape[1] else np.zeros((len(lesson.z), 1))
        with library():
            return Forest(self.grow(x, lesson.z, context.seed % 2**31, lesson.weight).single())

    def grow(self, x: Floats, z: Floats, seed: int, weight: Floats | None) -> Trees:
        """Trees for `z` [n] on `x` [n, c], whose rows count `weight` [n] (None: alike)."""
        raise NotImplementedError

    def load_core(self, state: State) -> Forest:
        """The trees that gave this state."""
        return Forest.load(state)


class DecisionTree(TreeRegression):
    """One regression tree."""

    info = learner_info("decision_tree")

    def grow(self, x: Floats, z: Floats, seed: int, weight: Floats | None) -> Trees:
        """The tree with the largest drops of the squared error first."""
        from sklearn.tree import DecisionTreeRegressor

        model = DecisionTreeRegressor(
            max_leaf_nodes=LEAVES, min_samples_leaf=2 * FEWEST_IN_LEAF, random_state=seed
        ).fit(x, z, sample_weight=weight)
        return trees_of([model.tree_], 1.0)


class RandomForest(TreeRegression):
    """The mean of trees on bootstrap samples."""

    info = learner_info("random_forest")

    def grow(self, x: Floats, z: Floats, seed: int, weight: Floats | None) -> Trees:
        """Trees on samples of the rows, each split on some of the columns."""
        from sklearn.ensemble import RandomForestRegressor

        model = RandomForestRegressor(
            TREES, max_leaf_nodes=LEAVES, min_samples_leaf=FEWEST_IN_LEAF, max_features=COLUMN_SHARE,
            random_state=seed,
        ).fit(x, z, sample_weight=weight)  # fmt: skip
        return trees_of([tree.tree_ for tree in model.estimators_], 1.0 / TREES)


class ExtraTrees(TreeRegression):
    """The mean of trees with random thresholds."""

    info = learner_info("extra_trees")

    def grow(self, x: Floats, z: Floats, seed: int, weight: Floats | None) -> Trees:
        """Trees on all rows, each split at the best of a few random thresholds."""
        from sklearn.ensemble import ExtraTreesRegressor

        model = ExtraTreesRegressor(
            TREES, max_leaf_nodes=LEAVES, min_samples_leaf=FEWEST_IN_LEAF, max_features=COLUMN_SHARE,
            random_state=seed,
        ).fit(x, z, sample_weight=weight)  # fmt: skip
        return trees_of([tree.tree_ for tree in model.estimators_], 1.0 / TREES)


class GradientBoosting(TreeRegression):
    """Boosted trees of scikit-learn."""

    info = learner_info("gradient_boosting")

    def grow(self, x: Floats, z: Floats, seed: int, weight: Floats | None) -> Trees:
        """Small trees, each on what the ones before left."""
        from sklearn.ensemble import GradientBoostingRegressor

        model = GradientBoostingRegressor(
            n_estimators=ROUNDS, learning_rate=RATE, max_leaf_nodes=ROUND_LEAVES, max_depth=None,
            min_samples_leaf=2 * FEWEST_IN_LEAF, subsample=ROW_SHARE, max_features=BOOSTED_SHARE,
            random_state=seed,
        ).fit(x, z, sample_weight=weight)  # fmt: skip
        return trees_of(
            [tree.tree_ for tree in model.estimators_.ravel()],
            RATE,
            float(np.ravel(model.init_.constant_)[0]),
        )
