"""Granian's own interface, RSGI, and onnxruntime: no framework, a plain predictor, orjson for JSON."""

from typing import Any

import orjson

from bench.peers.plain_predictor import answer, load

_PATHS = ("/predict", "/predict/batch")
_HEADERS = [("content-type", "application/json")]

_probabilities = load()


async def app(scope: Any, protocol: Any) -> None:
    """Answer `POST /predict` and `POST /predict/batch`."""
    if scope.path not in _PATHS or scope.method != "POST":
        protocol.response_empty(404, [])
        return
    document = orjson.loads(await protocol())
    protocol.response_bytes(200, _HEADERS, orjson.dumps(answer(_probabilities, document["features"])))
