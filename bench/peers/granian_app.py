"""Granian's own interface, RSGI, and onnxruntime: no framework, a plain predictor, orjson for JSON."""

import os
from datetime import UTC, datetime
from typing import Any

import numpy as np
import onnxruntime
import orjson

_LABELS = ("DOWN", "UP")
_HEADERS = [("content-type", "application/json")]

_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = 1
_session = onnxruntime.InferenceSession(os.environ["MODEL_FILE"], _options, providers=["CPUExecutionProvider"])


def _predict(row: list[float]) -> dict[str, Any]:
    features = np.array([row], dtype=np.float32)
    probabilities = _session.run(["probabilities"], {"features": features})[0][0].tolist()
    index = probabilities.index(max(probabilities))
    return {
        "prediction": index,
        "prediction_label": _LABELS[index],
        "probability": probabilities[index],
        "probabilities": dict(zip(_LABELS, probabilities, strict=True)),
        "model_version": "1.0.0",
        "timestamp": datetime.now(UTC),
    }


async def app(scope: Any, protocol: Any) -> None:
    """Answer `POST /predict`."""
    if scope.path != "/predict" or scope.method != "POST":
        protocol.response_empty(404, [])
        return
    document = orjson.loads(await protocol())
    protocol.response_bytes(200, _HEADERS, orjson.dumps(_predict(document["features"])))
