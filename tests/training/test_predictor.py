import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from features_fast import FEATURE_NAMES, specification_hash
from training.dataset import Dataset
from training.defaults import MODEL_TYPES
from training.errors import DataError, ModelError
from training.predictor import StockPredictor

SMALL: dict[str, dict[str, object]] = {
    "random_forest": {"n_estimators": 12, "max_depth": 4},
    "gradient_boosting": {"n_estimators": 8},
    "logistic": {},
}


def fitted(model_type: str, dataset: Dataset, seed: int = 42) -> StockPredictor:
    """Return a small trained model."""
    return StockPredictor(model_type, SMALL[model_type], seed=seed).train(dataset.train.X, dataset.train.y)


def test_defaults() -> None:
    predictor = StockPredictor()
    assert predictor.model_type == "random_forest"
    assert predictor.params == {"n_estimators": 100, "max_depth": 10}
    assert StockPredictor("gradient_boosting").params == {"n_estimators": 100, "max_depth": 3}
    assert StockPredictor("random_forest", {"max_depth": 3}).params == {"n_estimators": 100, "max_depth": 3}


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_predictions_agree_with_probabilities(model_type: str, dataset: Dataset) -> None:
    predictor = fitted(model_type, dataset)
    probabilities = predictor.predict_proba(dataset.test.X)
    assert probabilities.shape == (len(dataset.test.y), 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    predicted = predictor.predict(dataset.test.X)
    assert predicted.dtype == np.int64
    assert_array_equal(predicted, probabilities.argmax(axis=1))
    assert set(predicted) == {0, 1}


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_models_learn_the_structure_of_synthetic_bars(model_type: str, dataset: Dataset) -> None:
    predictor = fitted(model_type, dataset)
    auc = predictor.evaluate(dataset.train.X, dataset.train.y)["roc_auc"]
    assert auc is not None
    assert auc > 0.6


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_same_seed_and_rows_give_the_same_files(model_type: str, dataset: Dataset, tmp_path: Path) -> None:
    for name in ("one", "two"):
        fitted(model_type, dataset).save(tmp_path / name)
    for file in ("model.joblib", "scaler.joblib"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_number_of_cores_does_not_matter(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    models = []
    for cores in (1, 2):
        monkeypatch.setattr(joblib, "cpu_count", lambda cores=cores: cores)
        models.append(fitted("random_forest", dataset))
    assert models[0].predict_proba(dataset.test.X).tobytes() == models[1].predict_proba(dataset.test.X).tobytes()
    assert models[0].classifier.get_params() == models[1].classifier.get_params()


def test_another_seed_gives_another_forest(dataset: Dataset) -> None:
    one, two = (fitted("random_forest", dataset, seed).predict_proba(dataset.test.X) for seed in (1, 2))
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_everything_is_float32(model_type: str, dataset: Dataset) -> None:
    wide = dataset.train.X + np.random.default_rng(0).uniform(-1e-9, 1e-9, dataset.train.X.shape)
    assert wide.dtype == np.float64
    predictor = StockPredictor(model_type, SMALL[model_type]).train(wide, dataset.train.y)
    narrow = StockPredictor(model_type, SMALL[model_type]).train(wide.astype(np.float32), dataset.train.y)
    X = dataset.test.X
    assert_array_equal(predictor.predict_proba(X.astype(np.float64)), narrow.predict_proba(X))
    # The plain estimators, fed float32 rows, are the model: this is what an exporter opens.
    scaled = predictor.scaler.transform(X)
    assert scaled.dtype == np.float32
    assert_array_equal(predictor.classifier.predict_proba(scaled), predictor.predict_proba(X))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_loaded_model_is_the_saved_one(model_type: str, dataset: Dataset, tmp_path: Path) -> None:
    predictor = fitted(model_type, dataset, seed=5)
    predictor.save(tmp_path / "models", version="2.3.4", facts={"data": {"source": "test"}})
    loaded = StockPredictor.load(tmp_path / "models")
    assert loaded.metadata == predictor.metadata
    assert (loaded.model_type, loaded.params, loaded.seed) == (model_type, predictor.params, 5)
    assert loaded.predict_proba(dataset.test.X).tobytes() == predictor.predict_proba(dataset.test.X).tobytes()
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["metadata.json", "model.joblib", "scaler.joblib"]


def test_metadata(dataset: Dataset, tmp_path: Path) -> None:
    fitted("logistic", dataset).save(tmp_path, version="2.3.4", facts={"data": {"source": "test"}})
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    libraries = metadata.pop("libraries")
    assert {"python", "scikit-learn", "numpy"} <= set(libraries)
    assert pd.Timestamp(metadata.pop("created")).tz is not None
    assert metadata == {
        "name": "logistic",
        "version": "2.3.4",
        "params": {"max_iter": 1000},
        "seed": 42,
        "feature_names": list(FEATURE_NAMES),
        "labels": ["DOWN", "UP"],
        "feature_specification": specification_hash(),
        "data": {"source": "test"},
    }


def test_evaluation_reports_all_metrics(dataset: Dataset) -> None:
    metrics = fitted("logistic", dataset).evaluate(dataset.test.X, dataset.test.y)
    assert list(metrics) == ["accuracy", "precision", "recall", "f1", "roc_auc"]
    predicted = fitted("logistic", dataset).predict(dataset.test.X)
    assert metrics["accuracy"] == pytest.approx(np.mean(predicted == dataset.test.y))


def test_unknown_models_parameters_and_seeds_are_refused() -> None:
    with pytest.raises(ModelError, match="model type: expected random_forest, gradient_boosting, logistic, got 'svm'"):
        StockPredictor("svm")
    with pytest.raises(ModelError, match=r"parameter of random_forest: expected .*n_estimators.*, got 'trees'"):
        StockPredictor("random_forest", {"trees": 5})
    with pytest.raises(ModelError, match="got 'random_state'"):
        StockPredictor("random_forest", {"random_state": 5})
    with pytest.raises(ModelError, match="seed: expected 0 to 4294967295, got -1"):
        StockPredictor(seed=-1)


def test_a_value_that_the_classifier_refuses_is_one_line(dataset: Dataset) -> None:
    with pytest.raises(ModelError, match="random_forest cannot be fitted: The 'n_estimators' parameter") as caught:
        StockPredictor("random_forest", {"n_estimators": "many"}).train(dataset.train.X, dataset.train.y)
    assert "\n" not in str(caught.value)


def test_training_rows_are_checked(dataset: Dataset) -> None:
    X, y = dataset.train.X, dataset.train.y
    predictor = StockPredictor("logistic")
    with pytest.raises(DataError, match=r"X: expected shape \(n, 22\) with n > 0, got \(384, 21\)"):
        predictor.train(X[:, :21], y)
    with pytest.raises(DataError, match=r"y: expected shape \(384,\), got \(383,\)"):
        predictor.train(X, y[:-1])
    with pytest.raises(DataError, match=r"y: expected 0 \(DOWN\) and 1 \(UP\), got \[0, 2\]"):
        predictor.train(X, 2 * y)
    with pytest.raises(DataError, match="y: expected both classes, got 384 of class 1 alone"):
        predictor.train(X, np.ones_like(y))


def test_scored_rows_are_checked(dataset: Dataset) -> None:
    predictor = fitted("logistic", dataset)
    rows = dataset.test.X[:3].astype(np.float64)
    for value in (np.nan, np.inf, 1e300):
        rows[1, 7] = value
        with pytest.raises(DataError, match="X, row 1, RSI: expected a finite number, got"):
            predictor.predict(rows)
    with pytest.raises(DataError, match="X: expected rows of 22 numbers: "):
        predictor.predict([["a"] * 22])
    with pytest.raises(DataError, match=r"got \(0, 22\)"):
        predictor.predict(rows[:0])
    frame = pd.DataFrame(dataset.test.X, columns=FEATURE_NAMES)
    assert_array_equal(predictor.predict(frame), predictor.predict(dataset.test.X))
    with pytest.raises(DataError, match="X: expected the columns SMA_5, SMA_10"):
        predictor.predict(frame[list(reversed(FEATURE_NAMES))])


def test_an_untrained_model_neither_predicts_nor_is_stored(dataset: Dataset, tmp_path: Path) -> None:
    predictor = StockPredictor("logistic")
    for use in (predictor.predict, predictor.predict_proba):
        with pytest.raises(ModelError, match="logistic: expected a trained model"):
            use(dataset.test.X)
    with pytest.raises(ModelError, match="logistic: expected a trained model"):
        predictor.save(tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_metadata_without_nan(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="metadata: expected what JSON can hold"):
        fitted("logistic", dataset).save(tmp_path / "models", facts={"metric": float("nan")})
    assert not (tmp_path / "models").exists()


def test_a_directory_that_cannot_be_written(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="file/models: the model cannot be written: "):
        fitted("logistic", dataset).save(tmp_path / "file" / "models")


@pytest.mark.parametrize("file", ["metadata.json", "model.joblib", "scaler.joblib"])
def test_missing_and_damaged_files_are_named(file: str, dataset: Dataset, tmp_path: Path) -> None:
    fitted("logistic", dataset).save(tmp_path)
    content = (tmp_path / file).read_bytes()
    for damaged in (b"", b"nonsense", content[: len(content) // 2]):
        (tmp_path / file).write_bytes(damaged)
        with pytest.raises(ModelError, match=f"{file}: expected "):
            StockPredictor.load(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(ModelError, match=f"{file}: cannot be read: No such file"):
        StockPredictor.load(tmp_path)


def test_a_file_of_another_kind_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    fitted("logistic", dataset).save(tmp_path)
    (tmp_path / "model.joblib").write_bytes((tmp_path / "scaler.joblib").read_bytes())
    with pytest.raises(ModelError, match=r"model\.joblib: expected a LogisticRegression, got StandardScaler"):
        StockPredictor.load(tmp_path)


def test_a_model_of_other_features_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    fitted("logistic", dataset).save(tmp_path)
    path = tmp_path / "metadata.json"
    path.write_text(path.read_text().replace(specification_hash(), "0" * 64))
    with pytest.raises(ModelError, match=f"expected feature_specification {specification_hash()}, got 000"):
        StockPredictor.load(tmp_path)
