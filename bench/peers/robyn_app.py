"""Robyn and onnxruntime: a router in Rust, an asynchronous handler, orjson for JSON."""

import os

import orjson
from robyn import Headers, Request, Response, Robyn

from bench.peers.plain_predictor import answer, load

_HEADERS = Headers({"content-type": "application/json"})

_probabilities = load()

app = Robyn(__file__)


async def predict(request: Request) -> Response:
    """Predict one row, or many."""
    document = orjson.loads(request.body)
    return Response(200, _HEADERS, orjson.dumps(answer(_probabilities, document["features"])))


app.post("/predict")(predict)
app.post("/predict/batch")(predict)

if __name__ == "__main__":
    app.start(host="127.0.0.1", port=int(os.environ["PEER_PORT"]))
