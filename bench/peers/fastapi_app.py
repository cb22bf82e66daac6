"""FastAPI and onnxruntime or scikit-learn: validated models in and out, asynchronous handlers, one thread."""

from datetime import datetime
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from bench.peers.plain_predictor import answer, load

_probabilities = load()

app = FastAPI()


class Row(BaseModel):
    """What `/predict` takes."""

    features: list[float]


class Rows(BaseModel):
    """What `/predict/batch` takes."""

    features: list[list[float]]


class RowPrediction(BaseModel):
    """The prediction of one row of a batch."""

    prediction: int
    prediction_label: str
    probability: float
    probabilities: dict[str, float]


class Prediction(RowPrediction):
    """What `/predict` answers."""

    model_version: str
    timestamp: datetime


class Predictions(BaseModel):
    """What `/predict/batch` answers."""

    predictions: list[RowPrediction]
    count: int
    model_version: str
    timestamp: datetime


@app.post("/predict", response_model=Prediction)
async def predict(row: Row) -> dict[str, Any]:
    """Predict one row."""
    return answer(_probabilities, row.features)


@app.post("/predict/batch", response_model=Predictions)
async def predict_batch(rows: Rows) -> dict[str, Any]:
    """Predict many rows."""
    return answer(_probabilities, rows.features)
