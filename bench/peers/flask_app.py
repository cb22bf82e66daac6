"""Flask and scikit-learn's own model from its joblib files."""

from typing import Any

from flask import Flask, request

from bench.peers.plain_predictor import answer, load

_probabilities = load()

app = Flask(__name__)


@app.post("/predict")
@app.post("/predict/batch")
def predict() -> dict[str, Any]:
    """Predict one row, or many."""
    return answer(_probabilities, request.get_json()["features"])
