"""LitServe and onnxruntime: one worker, its fast queue, both on the processor; MAX_BATCH_SIZE requests at once."""

import os
from typing import Any

import litserve

from bench.peers.plain_predictor import answer, answers, load

_WAIT_SECONDS = 0.005


class Predictor(litserve.LitAPI):
    """Rows in, predictions out."""

    def setup(self, device: str) -> None:
        """Load the model."""
        self.probabilities = load()

    def decode_request(self, request: dict[str, Any]) -> Any:
        """Return the features of a request."""
        return request["features"]

    def predict(self, x: Any) -> Any:
        """Predict one row, or many."""
        return answer(self.probabilities, x)


class Batching(Predictor):
    """Requests that came together in, their predictions out."""

    def batch(self, inputs: list[Any]) -> list[Any]:
        """Return the features of all requests as they are: some bring one row, and some many."""
        return inputs

    def predict(self, x: Any) -> Any:
        """Predict all rows of all requests."""
        return answers(self.probabilities, x)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return a reply a request."""
        return output


if __name__ == "__main__":
    most = int(os.environ.get("MAX_BATCH_SIZE", "1"))
    predictor = (
        Batching(max_batch_size=most, batch_timeout=_WAIT_SECONDS, api_path="/predict")
        if most > 1
        else Predictor(api_path="/predict")
    )
    server = litserve.LitServer(predictor, accelerator="cpu", workers_per_device=1, timeout=False, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
