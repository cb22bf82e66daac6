"""What the report shows of a model: weights that are shares, and groups that hold every row once."""

import numpy as np
import pytest

from training.dataset import Dataset
from training.defaults import MODEL_TYPES
from training.predictor import StockPredictor
from training.report import calibration, feature_importance


def train(model_type: str, dataset: Dataset) -> StockPredictor:
    """Return a small trained model."""
    params = {} if model_type == "logistic" else {"n_estimators": 5}
    return StockPredictor(model_type, params).train(dataset.train.X, dataset.train.y)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_importance_is_a_share_of_each_feature(model_type: str, dataset: Dataset) -> None:
    importance, meaning = feature_importance(train(model_type, dataset))
    assert importance.shape == (22,)
    assert importance.min() >= 0
    assert importance.sum() == pytest.approx(1)
    assert ("coefficient" if model_type == "logistic" else "impurity") in meaning


def test_importance_finds_the_feature_that_decides(dataset: Dataset) -> None:
    X = np.random.default_rng(0).normal(size=(400, 22)).astype(np.float32)
    for model_type in MODEL_TYPES:
        predictor = StockPredictor(model_type).train(X, (X[:, 9] > 0).astype(np.int64))
        assert feature_importance(predictor)[0].argmax() == 9


def test_calibration_groups_hold_every_row_once() -> None:
    random = np.random.default_rng(0)
    probability = random.random(1003)
    y = (random.random(1003) < probability).astype(np.int64)
    predicted, observed, error = calibration(y, probability)
    order = np.argsort(probability, kind="stable")
    for group, rows in enumerate(np.array_split(order, 10)):
        share = y[rows].mean()
        assert predicted[group] == pytest.approx(probability[rows].mean())
        assert observed[group] == pytest.approx(share)
        assert error[group] == pytest.approx(1.96 * np.sqrt(share * (1 - share) / len(rows)))
    assert np.all(np.abs(predicted - observed) < 2 * error)
