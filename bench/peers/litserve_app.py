"""LitServe and onnxruntime: one worker, its fast queue, both on the processor."""

import os
from typing import Any

import litserve

from bench.peers.plain_predictor import answer, load


class Predictor(litserve.LitAPI):
    """Rows in, predictions out."""

    def setup(self, device: str) -> None:
        """Load the model."""
        self.probabilities = load()

    def decode_request(self, request: dict[str, Any]) -> Any:
        """Return the features of a request."""
        return request["features"]

    def predict(self, x: Any) -> dict[str, Any]:
        """Predict one row, or many."""
        return answer(self.probabilities, x)


if __name__ == "__main__":
    server = litserve.LitServer(
        Predictor(api_path="/predict"), accelerator="cpu", workers_per_device=1, timeout=False, fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
