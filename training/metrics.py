"""How good predictions are, and how good they would be without any skill."""

import math

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from features_fast import FEATURE_NAMES

Metrics = dict[str, float | None]
"""Accuracy, precision, recall, F1 and ROC AUC of UP by name; None where one is not defined."""

_RETURN_1D = FEATURE_NAMES.index("Return_1d")


def classification_metrics(y: NDArray[np.int64], predicted: NDArray[np.int64], score: NDArray[np.floating]) -> Metrics:
    """Return the metrics of predictions of UP.

    Parameters
    ----------
    y : (n,) int64
        What happened: 1 (UP) or 0 (DOWN).
    predicted : (n,) int64
        What was predicted.
    score : (n,) float
        Rank of each row for the ROC curve, such as the probability of UP.

    Returns
    -------
    dict
        ``accuracy``, ``precision``, ``recall``, ``f1``, ``roc_auc``, each 0 to 1. None where it is not defined:
        precision without a predicted UP, recall without an UP, F1 without either, ROC AUC with a single class.
    """
    return {
        "accuracy": float(np.mean(y == predicted)),
        "precision": _defined(precision_score(y, predicted, zero_division=np.nan)),
        "recall": _defined(recall_score(y, predicted, zero_division=np.nan)),
        "f1": _defined(f1_score(y, predicted, zero_division=np.nan)),
        "roc_auc": float(roc_auc_score(y, score)) if len(np.unique(y)) == 2 else None,
    }


def baseline_predictions(y_train: NDArray[np.int64], X: NDArray[np.float32]) -> dict[str, NDArray[np.int64]]:
    """Return what forecasts without a model say of each row.

    Parameters
    ----------
    y_train : (m,) int64
        The training targets.
    X : (n, 22) float32
        Features of the rows to forecast.

    Returns
    -------
    dict of (n,) int64
        ``majority_class``: the more frequent training target. ``persistence``: the next bar moves as this one did, UP
        where its one-day return is positive.
    """
    majority = int(2 * y_train.sum() >= len(y_train))
    return {
        "majority_class": np.full(len(X), majority, dtype=np.int64),
        "persistence": (X[:, _RETURN_1D] > 0).astype(np.int64),
    }


def baseline_probabilities(
    X_train: NDArray[np.float32], y_train: NDArray[np.int64], X: NDArray[np.float32]
) -> dict[str, NDArray[np.float64]]:
    """Return the probability of UP that forecasts without a model give each row.

    Parameters
    ----------
    X_train : (m, 22) float32
    y_train : (m,) int64
        The training rows.
    X : (n, 22) float32
        Features of the rows to forecast.

    Returns
    -------
    dict of (n,) float64
        ``majority_class``: how often UP came in training. ``persistence``: how often it came in training after a bar
        that moved as this one did. Both with one imagined row of each class, so that nothing is certain.
    """
    moved_up, rows_up = X_train[:, _RETURN_1D] > 0, X[:, _RETURN_1D] > 0
    after_up, after_down = (_rate(y_train[moved_up == moved]) for moved in (True, False))
    return {
        "majority_class": np.full(len(X), _rate(y_train)),
        "persistence": np.where(rows_up, after_up, after_down),
    }


def accuracy_gain(
    y: NDArray[np.int64], predicted: NDArray[np.int64], baseline: NDArray[np.int64]
) -> tuple[float, float]:
    """Return by how much predictions are more accurate than a baseline on the same rows, and the standard error of it.

    The error is that of the mean of paired differences: rows on which both are right or both are wrong say nothing.
    """
    difference = (y == predicted).astype(np.float64) - (y == baseline)
    return float(difference.mean()), float(difference.std() / math.sqrt(len(difference)))


def certain_gain(gain: float, error: float) -> float:
    """Return the lower end of the 95 % interval of what `accuracy_gain` says: beyond 0, a model shows skill."""
    return gain - 1.96 * error


def _rate(y: NDArray[np.int64]) -> float:
    """Return the share of UP, with one imagined row of each class."""
    return float((y.sum() + 1) / (len(y) + 2))


def _defined(value: float) -> float | None:
    """Return None for NaN, which JSON does not have."""
    return None if math.isnan(value) else float(value)
