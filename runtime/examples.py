"""Requests that work on a model: what its home page and its API description show."""

from datetime import date, timedelta
from typing import Any

import msgspec

from runtime.inference_protocol import INPUT
from runtime.model import Model
from runtime.replies import ReplyWriter

BARS = [[price, price + 2, price - 1, price + 1, 1000] for price in (10 + 7 * day % 11 for day in range(50))]
"""As few bars as a prediction takes: open, high, low, close and volume."""

CSV_BARS = "\n".join(
    [
        "Date,Open,High,Low,Close,Volume",
        *(f"{date(2026, 1, 1) + timedelta(day)},{','.join(map(str, bar))}" for day, bar in enumerate(BARS)),
    ]
)
"""The same as a file."""

TICKER = "DEMO"


def example_row(model: Model) -> list[float]:
    """Return the row that the model file brings, in few digits."""
    return [float(f"{value:.6g}") for value in model.predictor.example]


def example_bodies(model: Model) -> dict[tuple[str, str], dict[str, Any]]:
    """Return JSON bodies by method and path, the plainest one where there are several."""
    row = example_row(model)
    tensor = {"name": INPUT, "shape": [1, len(row)], "datatype": "FP32", "data": row}
    inference = {"inputs": [tensor]}
    return {
        ("POST", "/predict"): {"features": row},
        ("POST", "/predict/batch"): {"features": [row, row]},
        ("POST", "/predict/bars"): {"bars": BARS},
        ("PUT", "/symbols/{ticker}/bars"): {"bars": BARS},
        ("POST", "/symbols/{ticker}/bars"): {"bar": BARS[0]},
        ("POST", "/v2/models/{model_name}/infer"): inference,
        ("POST", "/v2/models/{model_name}/versions/{model_version}/infer"): inference,
    }


def example_reply(model: Model) -> dict[str, Any]:
    """Return the model's own reply to its example, from any thread, and counted nowhere."""
    row = model.predictor.example[None]
    _, reply = ReplyWriter(model.card).one(model.predictor.engine.predict(row)[0])
    answer: dict[str, Any] = msgspec.json.decode(reply)
    return answer
