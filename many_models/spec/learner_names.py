"""The names of the learners that a configuration may name."""

from __future__ import annotations

LEARNER_NAMES: tuple[str, ...] = (
    "naive",
    "seasonal_naive",
    "drift",
    "average",
    "seasonal_average",
    "croston",
    "sba",
    "tsb",
    "adida",
    "imapa",
    "ets",
    "theta",
    "ces",
    "mstl",
    "mfles",
    "arima",
    "arx",
    "auto_arima",
    "arima_pmdarima",
    "prophet",
    "elastic_net",
    "lightgbm",
    "lasso_lars",
    "sgd",
    "knn",
    "decision_tree",
    "random_forest",
    "extra_trees",
    "gradient_boosting",
    "xgboost",
    "tcn",
)
"""Held equal to the table of learners by a test, since the configuration may not import learners."""
