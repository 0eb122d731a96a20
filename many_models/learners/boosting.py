"""XGBoost on the common frame: an extra (`pip install many-models[xgboost]`).

Fitted trees become the plain arrays of `trees.py`, so that a stored model needs no XGBoost. It reads
features in single precision and goes left below a threshold; the largest number below it stands here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from many_models.errors import LearnerError
from many_models.learners.forests import TreeRegression
from many_models.learners.table import learner_info
from many_models.learners.trees import Trees
from many_models.panel.series import Floats

ROUNDS = 60
BOOSTING: dict[str, Any] = {
    "objective": "reg:squarederror",
    "base_score": 0.0,
    "eta": 0.1,
    "tree_method": "hist",
    "grow_policy": "lossguide",
    "max_leaves": 8,
    "max_depth": 0,
    "max_bin": 63,
    "min_child_weight": 5,
    # Rows of each tree and columns of each split: without, 120 weeks are learned by heart.
    "subsample": 0.5,
    "colsample_bynode": 0.3,
    "nthread": 1,
    "verbosity": 0,
}


class XGBoost(TreeRegression):
    """Boosted trees of XGBoost."""

    info = learner_info("xgboost")

    def grow(self, x: Floats, z: Floats, seed: int, weight: Floats | None) -> Trees:
        """Small trees, each on what the ones before left.

        Raises
        ------
        LearnerError
            NOT_INSTALLED, where XGBoost is not there.
        """
        try:
            import xgboost
        except ImportError:
            raise LearnerError("NOT_INSTALLED", "pip install 'many-models[xgboost]'") from None
        # The answers are brought to zero, since XGBoost tells its base score in six digits alone.
        middle = float(z.mean())
        booster = xgboost.train({**BOOSTING, "seed": seed}, xgboost.DMatrix(x, z - middle, weight), ROUNDS)
        document = json.loads(bytes(booster.save_raw("json")))
        return trees_of(document["learner"]["gradient_booster"]["model"]["trees"], middle)


def trees_of(grown: Sequence[Mapping[str, Any]], constant: float) -> Trees:
    """The trees of an XGBoost model without categories, and a constant, as arrays."""
    leaves, feature, threshold, left, right, missing, value = ([] for _ in range(7))
    for tree in grown:
        first, second = (np.array(tree[f"{side}_children"], dtype=np.int64) for side in ("left", "right"))
        conditions = np.array(tree["split_conditions"], dtype=np.float32)
        split = first >= 0
        # Splits and leaves are numbered apart, in the order of the nodes: children come after parents.
        number = np.where(split, np.cumsum(split) - 1, np.cumsum(~split) - 1 + int(split.sum()))
        leaves.append(int((~split).sum()))
        feature.append(np.array(tree["split_indices"], dtype=np.int64)[split])
        threshold.append(np.nextafter(conditions[split], np.float32(-np.inf)).astype(np.float64))
        left.append(number[first[split]])
        right.append(number[second[split]])
        missing.append(np.array(tree["default_left"], dtype=np.bool_)[split])
        value.append(conditions[~split].astype(np.float64))
    return Trees(
        np.array([*leaves, 1], dtype=np.int64),
        np.concatenate(feature),
        np.concatenate(threshold),
        np.concatenate(missing),
        np.concatenate(left),
        np.concatenate(right),
        np.concatenate([*value, [constant]]),
    )
