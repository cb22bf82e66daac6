"""Data and fitted classifiers that the tests of the export share."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

MODEL_TYPES = ("random_forest", "gradient_boosting", "logistic")

_FEATURES = 22


@cache
def market() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return 3,000 noisy rows of 22 features on scales from prices to returns, and their targets 0 and 1."""
    rng = np.random.default_rng(7)
    scale = np.geomspace(1e-3, 1e3, _FEATURES)
    rows = rng.normal(size=(3000, _FEATURES)) * scale + 3 * scale * (np.arange(_FEATURES) % 2)
    signal = (rows / scale)[:, :4].sum(axis=1) + rng.normal(scale=3, size=len(rows))
    return rows.astype(np.float32), (signal > np.median(signal)).astype(np.int64)


@cache
def three_classes() -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Return 600 rows of 5 features and targets of three classes by name."""
    rng = np.random.default_rng(11)
    centers = rng.normal(scale=1.5, size=(3, 5))
    targets = rng.integers(0, 3, 600)
    rows = (centers[targets] + rng.normal(size=(600, 5))) * np.array([1, 100, 0.01, 10, 1])
    return rows.astype(np.float32), np.array(["down", "flat", "up"])[targets]


@cache
def fitted(model_type: str) -> Pipeline:
    """Return one of Tickline's three models with its default parameters, fitted on the first 2,000 rows."""
    rows, targets = market()
    classifiers: dict[str, Any] = {
        "random_forest": RandomForestClassifier(n_estimators=100, max_depth=10, random_state=1),
        "gradient_boosting": GradientBoostingClassifier(n_estimators=100, max_depth=3, random_state=1),
        "logistic": LogisticRegression(max_iter=1000),
    }
    return make_pipeline(StandardScaler(), classifiers[model_type]).fit(rows[:2000], targets[:2000])
