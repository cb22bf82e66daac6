"""FastAPI and onnxruntime: validated models in and out, an asynchronous handler, one thread."""

import os
from datetime import UTC, datetime

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

_LABELS = ("DOWN", "UP")

_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = 1
_session = onnxruntime.InferenceSession(os.environ["MODEL_FILE"], _options, providers=["CPUExecutionProvider"])

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


def _probabilities(rows: list[list[float]]) -> list[list[float]]:
    features = np.array(rows, dtype=np.float32)
    answer: list[list[float]] = _session.run(["probabilities"], {"features": features})[0].tolist()
    return answer


@app.post("/predict")
async def predict(row: Row) -> Prediction:
    """Predict one row."""
    (probabilities,) = _probabilities([row.features])
    index = probabilities.index(max(probabilities))
    return Prediction(
        prediction=index,
        prediction_label=_LABELS[index],
        probability=probabilities[index],
        probabilities=dict(zip(_LABELS, probabilities, strict=True)),
        model_version="1.0.0",
        timestamp=datetime.now(UTC),
    )


@app.post("/predict/batch")
async def predict_batch(rows: Rows) -> Predictions:
    """Predict many rows."""
    predictions = []
    for probabilities in _probabilities(rows.features):
        index = probabilities.index(max(probabilities))
        predictions.append(
            RowPrediction(
                prediction=index,
                prediction_label=_LABELS[index],
                probability=probabilities[index],
                probabilities=dict(zip(_LABELS, probabilities, strict=True)),
            )
        )
    return Predictions(
        predictions=predictions, count=len(predictions), model_version="1.0.0", timestamp=datetime.now(UTC)
    )
