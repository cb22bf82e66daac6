"""The promise of the whole path: what is served over HTTP is what scikit-learn says, by either engine."""

import json
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline, make_pipeline

from runtime.artifact import model_file
from runtime.engines import ONNXRUNTIME
from runtime.model import load_model
from runtime.predictor import Predictor
from tests.nudged import nudged_rows
from tests.serving import Connection, running_server

NUDGED_ROWS = 60_000
BATCH_ROWS = 5_000


def served(connection: Connection, rows: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return labels and probabilities of rows as `/predict/batch` answers them."""
    predictions = []
    for start in range(0, len(rows), BATCH_ROWS):
        reply = connection.post("/predict/batch", {"features": rows[start : start + BATCH_ROWS].tolist()})
        assert reply.status == 200, reply.body
        predictions += json.loads(reply.body)["predictions"]
    labels = np.array([prediction["prediction"] for prediction in predictions], np.int64)
    return labels, np.array([list(prediction["probabilities"].values()) for prediction in predictions])


def answered(predictor: Predictor, rows: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return labels and probabilities of rows as an engine answers them without a server."""
    probabilities = predictor.predict(rows)
    return probabilities.argmax(axis=1), probabilities


@pytest.mark.parametrize("model_type", ["random_forest", "gradient_boosting", "logistic"])
def test_served_labels_equal_scikit_learn(model_type: str, sp500_model: Callable[[str], Path]) -> None:
    folder = sp500_model(model_type)
    pipeline: Pipeline = make_pipeline(joblib.load(folder / "scaler.joblib"), joblib.load(folder / "model.joblib"))
    test_rows = np.load(folder / "datasets.npz")["X_test"]
    nudged = nudged_rows(pipeline, test_rows, NUDGED_ROWS, seed=11)
    assert len(test_rows) > 700
    assert len(nudged) == NUDGED_ROWS
    onnxruntime = load_model(model_file(folder), threads=1, wish=ONNXRUNTIME).predictor
    with running_server(folder, ENGINE="compiled") as server, server.connection() as connection:
        for rows in (test_rows, nudged):
            expected = pipeline.predict_proba(rows)
            certain = np.abs(expected[:, 1] - 0.5) > 1e-6 if model_type == "logistic" else np.full(len(rows), True)
            for labels, probabilities in (served(connection, rows), answered(onnxruntime, rows)):
                flips = (labels != expected.argmax(axis=1)) & certain
                assert not flips.any(), f"{flips.sum()} labels flip"
                assert np.abs(probabilities - expected).max() < 1e-5
        for row, expected_row in zip(test_rows[:100], pipeline.predict_proba(test_rows[:100]), strict=True):
            answer = connection.post("/predict", {"features": row.tolist()}).json()
            assert answer["prediction"] == expected_row.argmax()
