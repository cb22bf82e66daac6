"""Flask and scikit-learn's own model from its joblib files."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from flask import Flask, request

_LABELS = ("DOWN", "UP")
_FOLDER = Path(os.environ["MODEL_FOLDER"])

_scaler = joblib.load(_FOLDER / "scaler.joblib")
_classifier = joblib.load(_FOLDER / "model.joblib")
_classifier.set_params(n_jobs=1)  # threads cost a single row more than they save

app = Flask(__name__)


@app.post("/predict")
def predict() -> dict[str, Any]:
    """Predict one row."""
    features = np.array([request.get_json()["features"]], dtype=np.float32)
    probabilities = _classifier.predict_proba(_scaler.transform(features))[0].tolist()
    index = probabilities.index(max(probabilities))
    return {
        "prediction": index,
        "prediction_label": _LABELS[index],
        "probability": probabilities[index],
        "probabilities": dict(zip(_LABELS, probabilities, strict=True)),
        "model_version": "1.0.0",
        "timestamp": datetime.now(UTC).isoformat(),
    }
