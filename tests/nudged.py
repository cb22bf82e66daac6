"""Rows where a model's answer is about to change: on split thresholds or decision boundaries, and one step beside."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler


def nudged_rows(model: Pipeline, rows: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """Move real rows onto the places where a model changes its mind.

    For tree ensembles, one feature of each row is put onto a threshold that a fitted tree splits this feature at,
    mapped back through the scaler in float64 and rounded to float32, or one float32 step below or above it, in
    turn. For a linear model, one feature is put where the decision function of the row is zero, or one step beside.

    Parameters
    ----------
    model : Pipeline
        A fitted `StandardScaler`, then a forest, gradient boosting or a logistic regression of two classes.
    rows : (n, features) float32 array
        Real rows to start from.
    count : int
        How many nudged rows to make.
    seed : int
        Same seed, same rows.

    Returns
    -------
    (count, features) float32 array
    """
    scaler, classifier = model[0], model[-1]
    if not isinstance(scaler, StandardScaler):
        raise TypeError(f"expected a StandardScaler first, got {type(scaler).__name__}")
    rng = np.random.default_rng(seed)
    nudged = rows[rng.integers(0, len(rows), count)].copy()
    if hasattr(classifier, "estimators_"):
        features, thresholds = _splits(classifier)
        chosen = rng.integers(0, len(features), count)
        columns, scaled = features[chosen], thresholds[chosen]
    else:
        weights = classifier.coef_[0].astype(np.float64)
        columns = rng.choice(np.flatnonzero(weights), count)
        decision = scaler.transform(nudged.astype(np.float64)) @ weights + classifier.intercept_[0]
        index = np.arange(count)
        scaled = scaler.transform(nudged.astype(np.float64))[index, columns] - decision / weights[columns]
    values = (scaled * scaler.scale_[columns] + scaler.mean_[columns]).astype(np.float32)
    step = np.arange(count) % 3
    values = np.where(step == 1, np.nextafter(values, np.float32(-np.inf)), values)
    values = np.where(step == 2, np.nextafter(values, np.float32(np.inf)), values)
    nudged[np.arange(count), columns] = values
    return nudged


def _splits(ensemble: Any) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the feature and the threshold, in scaled units, of every split of an ensemble."""
    trees = [estimator.tree_ for estimator in np.asarray(ensemble.estimators_, object).ravel()]
    features = np.concatenate([tree.feature for tree in trees])
    thresholds = np.concatenate([tree.threshold for tree in trees])
    splits = features >= 0
    return features[splits], thresholds[splits]
