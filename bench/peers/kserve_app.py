"""KServe's Python server and onnxruntime, by the Open Inference Protocol: no gRPC, no lines of log a request."""

import logging
import os
from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid

from bench.peers.plain_predictor import load


class Predictor(Model):
    """Rows in, probabilities out."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.probabilities = load()
        self.ready = True

    async def predict(self, payload: InferRequest, headers: Any = None, response_headers: Any = None) -> InferResponse:
        """Predict one row, or many."""
        found = self.probabilities(np.asarray(payload.inputs[0].as_numpy(), dtype=np.float32))
        output = InferOutput("probabilities", list(found.shape), "FP32", data=found)
        identity = payload.id or generate_uuid()
        return InferResponse(identity, self.name, [output], requested_outputs=payload.request_outputs)


if __name__ == "__main__":
    server = ModelServer(
        http_port=int(os.environ["PEER_PORT"]), workers=1, enable_grpc=False, enable_latency_logging=False
    )
    for name in ("uvicorn.access", "kserve.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
    server.start([Predictor("tickline")])
