from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from training.dataset import Dataset
from training.defaults import MODEL_TYPES
from training.predictor import StockPredictor
from training.report import feature_importance, write_report

PICTURES = ["calibration.png", "confusion.png", "feature_importance.png", "roc.png"]


def train(model_type: str, dataset: Dataset) -> StockPredictor:
    """Return a small trained model."""
    params = {} if model_type == "logistic" else {"n_estimators": 5}
    return StockPredictor(model_type, params).train(dataset.train.X, dataset.train.y)


def test_four_pictures_that_show_something(dataset: Dataset, tmp_path: Path) -> None:
    write_report(tmp_path / "report", train("random_forest", dataset), dataset)
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == PICTURES
    for name in PICTURES:
        pixels = imread(tmp_path / "report" / name)
        assert min(pixels.shape[:2]) >= 600
        assert pixels.std() > 0.05


def test_every_picture_shows_the_model(dataset: Dataset, tmp_path: Path) -> None:
    for model_type in ("random_forest", "gradient_boosting"):
        write_report(tmp_path / model_type, train(model_type, dataset), dataset)
    for name in PICTURES:
        one, other = (imread(tmp_path / model_type / name) for model_type in ("random_forest", "gradient_boosting"))
        # Below the title, which names the model type.
        assert not np.array_equal(one[80:], other[80:])


def test_a_test_part_of_one_class_can_be_drawn(dataset: Dataset, tmp_path: Path) -> None:
    flat = replace(dataset, test=replace(dataset.test, y=np.zeros_like(dataset.test.y)))
    write_report(tmp_path, train("logistic", dataset), flat)
    assert sorted(path.name for path in tmp_path.iterdir()) == PICTURES


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
