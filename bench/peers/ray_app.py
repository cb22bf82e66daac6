"""Ray Serve and onnxruntime: one replica that takes requests as they are, on a Ray of its own."""

import asyncio
import os
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from bench.peers.plain_predictor import answer, load


class Predictor:
    """Rows in, predictions out."""

    def __init__(self) -> None:
        self.probabilities = load()

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Predict one row, or many."""
        document = await request.json()
        return answer(self.probabilities, document["features"])


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(os.environ["PEER_PORT"])},
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )
    deployment = serve.deployment(num_replicas=1, max_ongoing_requests=1000, ray_actor_options={"num_cpus": 1})
    serve.run(deployment(Predictor).bind(), route_prefix="/predict")
    asyncio.run(asyncio.Event().wait())
