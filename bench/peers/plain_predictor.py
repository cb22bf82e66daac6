"""What a service of a few lines does with features: a plain call of a model, a reply of dicts. Peers share it."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LABELS = ("DOWN", "UP")
_VERSION = "1.0.0"

Rows = NDArray[np.float32]
Probabilities = Callable[[Rows], Any]
"""From rows (n, features) to probabilities (n, classes)."""


def load() -> Probabilities:
    """Return the model of the folder MODEL_FOLDER: by onnxruntime, or by scikit-learn where MODEL_KIND is joblib."""
    folder = Path(os.environ["MODEL_FOLDER"])
    return _joblib(folder) if os.environ["MODEL_KIND"] == "joblib" else _onnx(folder)


def _onnx(folder: Path) -> Probabilities:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(["probabilities"], {"features": rows})[0]


def _joblib(folder: Path) -> Probabilities:
    import joblib

    scaler = joblib.load(folder / "scaler.joblib")
    classifier = joblib.load(folder / "model.joblib")
    if hasattr(classifier, "n_jobs"):
        classifier.set_params(n_jobs=1)  # threads cost a single row more than they save
    return lambda rows: classifier.predict_proba(scaler.transform(rows))


def answer(probabilities: Probabilities, features: list[Any]) -> dict[str, Any]:
    """Return the reply to one row of features, or to a batch of rows."""
    return answers(probabilities, [features])[0]


def answers(probabilities: Probabilities, requests: list[list[Any]]) -> list[dict[str, Any]]:
    """Return the replies to requests that came together, by one call of the model."""
    asked = [features if isinstance(features[0], list) else [features] for features in requests]
    predictions = iter(_predictions(probabilities, [row for rows in asked for row in rows]))
    replies: list[dict[str, Any]] = []
    for features, rows in zip(requests, asked, strict=True):
        found = list(islice(predictions, len(rows)))
        single = rows is not features
        replies.append({**(found[0] if single else {"predictions": found, "count": len(found)}), **_stamp()})
    return replies


def _predictions(probabilities: Probabilities, rows: list[list[float]]) -> list[dict[str, Any]]:
    found = []
    for row in probabilities(np.array(rows, dtype=np.float32)).tolist():
        index = row.index(max(row))
        found.append(
            {
                "prediction": index,
                "prediction_label": _LABELS[index],
                "probability": row[index],
                "probabilities": dict(zip(_LABELS, row, strict=True)),
            }
        )
    return found


def _stamp() -> dict[str, str]:
    return {"model_version": _VERSION, "timestamp": datetime.now(UTC).isoformat()}
