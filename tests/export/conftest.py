"""A model directory as training leaves it."""

import json
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tests.export.samples import three_classes


@pytest.fixture
def model_directory(tmp_path: Path) -> Path:
    """Return a directory with a trained model of three classes and five features."""
    rows, targets = three_classes()
    scaler = StandardScaler().fit(rows[:400])
    classifier = LogisticRegression().fit(scaler.transform(rows[:400]), targets[:400])
    directory = tmp_path / "models"
    directory.mkdir()
    joblib.dump(scaler, directory / "scaler.joblib")
    joblib.dump(classifier, directory / "model.joblib")
    np.savez(directory / "datasets.npz", X_train=rows[:400], X_validation=rows[400:500], X_test=rows[500:])
    metadata = {
        "name": "logistic",
        "version": "1.4.0",
        "feature_names": list("abcde"),
        "labels": ["down", "flat", "up"],
        "libraries": {"pandas": "3.0.0"},
        "seed": 42,
        "params": {"max_iter": 1000},
    }
    (directory / "metadata.json").write_text(json.dumps(metadata))
    return directory
