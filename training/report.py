"""What the report shows of a model beside its metrics: the weights of its features, and its calibration."""

import numpy as np
from numpy.typing import NDArray

from training.predictor import StockPredictor

_CALIBRATION_BINS = 10  # groups of rows, at most


def feature_importance(predictor: StockPredictor) -> tuple[NDArray[np.float64], str]:
    """Return how much each feature matters, and what that number is.

    Returns
    -------
    importance : (22,) float64
        Shares that add up to 1. For trees the mean decrease in impurity, for the logistic model the absolute
        coefficient of the standardized feature.
    meaning : str
        Which of the two it is.
    """
    if predictor.model_type == "logistic":
        weights = np.abs(np.asarray(predictor.classifier.coef_[0], dtype=np.float64))
        return weights / (weights.sum() or 1.0), "absolute coefficient of the standardized feature, share of the sum"
    return np.asarray(predictor.classifier.feature_importances_, dtype=np.float64), "mean decrease in impurity, share"


def calibration(
    y: NDArray[np.int64], probability: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return how often UP came in groups of rows of about equal size, by predicted probability.

    Returns
    -------
    predicted, observed, error : (groups,) float64
        Mean predicted probability, share of UP, and half the width of its 95 % interval.
    """
    groups = np.array_split(np.argsort(probability, kind="stable"), min(_CALIBRATION_BINS, len(y)))
    predicted = np.array([probability[rows].mean() for rows in groups])
    observed = np.array([y[rows].mean() for rows in groups])
    error = 1.96 * np.sqrt([y[rows].var() / len(rows) for rows in groups])
    return predicted, observed, np.asarray(error, np.float64)
