import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from training.dataset import Dataset
from training.errors import DataError, ModelError
from training.predictor import StockPredictor
from training.workflow import train_model

FILES = {
    "model.joblib",
    "scaler.joblib",
    "metadata.json",
    "datasets.npz",
    "report/index.html",
}


def files(directory: Path) -> set[str]:
    """Return the relative path of every file below a directory."""
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def trained(bars: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return the directory and the metadata of one run."""
    path = tmp_path_factory.mktemp("trained") / "models"
    return path, train_model(bars, path, source="test", model_type="logistic", version="3.0.0")


def test_a_run_writes_everything_and_nothing_else(trained: tuple[Path, dict[str, Any]]) -> None:
    path, metadata = trained
    assert files(path.parent) == {f"models/{name}" for name in FILES}
    assert json.loads((path / "metadata.json").read_text()) == metadata


def test_metadata_says_what_was_trained_on_what(trained: tuple[Path, dict[str, Any]], bars: pd.DataFrame) -> None:
    metadata = trained[1]
    assert metadata["version"] == "3.0.0"
    assert len(metadata["data"]["sha256"]) == 64
    assert metadata["data"] == {
        "sha256": metadata["data"]["sha256"],
        "source": "test",
        "tickers": ["SYNTH"],
        "bars": 600,
        "first_date": "2010-01-04",
        "last_date": "2012-04-20",
    }
    assert [part["rows"] for part in metadata["split"].values()] == [384, 82, 82]
    assert metadata["split"]["test"] == {"rows": 82, "first_date": "2011-12-28", "last_date": "2012-04-19"}


def test_metadata_holds_the_metrics_beside_both_baselines(
    trained: tuple[Path, dict[str, Any]], dataset: Dataset
) -> None:
    path, metadata = trained
    predictor = StockPredictor.load(path)
    assert metadata["metrics"]["test"] == predictor.evaluate(dataset.test.X, dataset.test.y)
    for part in ("validation", "test"):
        assert set(metadata["baselines"][part]) == {"majority_class", "persistence"}
        majority = metadata["baselines"][part]["majority_class"]
        assert majority["roc_auc"] == 0.5
        accuracies = {name: metrics["accuracy"] for name, metrics in metadata["baselines"][part].items()}
        skill = metadata["skill"][part]
        assert skill["baseline"] == max(accuracies, key=lambda name: accuracies[name])
        expected = metadata["metrics"][part]["accuracy"] - max(accuracies.values())
        assert skill["accuracy_gain"] == pytest.approx(expected)
        assert skill["standard_error"] > 0


def test_the_stored_rows_are_the_rows_of_the_model(trained: tuple[Path, dict[str, Any]], dataset: Dataset) -> None:
    with np.load(trained[0] / "datasets.npz") as arrays:
        assert arrays["X_train"].tobytes() == dataset.train.X.tobytes()
        assert arrays["y_test"].tobytes() == dataset.test.y.tobytes()


def test_the_digest_covers_the_last_volume(
    trained: tuple[Path, dict[str, Any]], bars: pd.DataFrame, tmp_path: Path
) -> None:
    changed = bars.assign(Volume=bars["Volume"] + (bars.index == 599))
    other = train_model(changed, tmp_path / "models", source="test", model_type="logistic")
    assert other["data"]["sha256"] != trained[1]["data"]["sha256"]


def test_a_time_of_day_is_kept_and_stages_are_announced(bars: pd.DataFrame, tmp_path: Path) -> None:
    later = bars.assign(Date=bars["Date"] + pd.Timedelta(hours=5))
    stages: list[str] = []
    path = tmp_path / "models"
    metadata = train_model(later, path, source="test", model_type="logistic", on_stage=stages.append)
    assert metadata["data"]["first_date"] == "2010-01-04T05:00:00"
    assert stages == ["features", "fit", "evaluation", "report"]


@pytest.mark.parametrize("written", ["training.workflow.write_page", "numpy.savez", "joblib.dump"])
def test_a_failed_run_leaves_the_old_model(
    written: str, bars: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "models"
    old = train_model(bars, path, source="test", model_type="logistic")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", f"{path}/.staging.hidden/file")

    monkeypatch.setattr(written, fail)
    with pytest.raises(ModelError, match=f"^{path}: the model cannot be written: No space left on device$"):
        train_model(bars, path, source="test", model_type="gradient_boosting", params={"n_estimators": 3})
    assert StockPredictor.load(path).metadata == old
    assert files(tmp_path) == {f"models/{name}" for name in FILES}


def test_a_refused_run_writes_nothing(bars: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few bars to train"):
        train_model(bars.iloc[:100], tmp_path / "models", source="test")
    with pytest.raises(ModelError, match="model type"):
        train_model(bars, tmp_path / "models", source="test", model_type="svm")
    assert files(tmp_path) == set()
