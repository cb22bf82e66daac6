"""Ray Serve and onnxruntime: one replica that takes requests as they are, MAX_BATCH_SIZE at once; a Ray of its own."""

import asyncio
import os
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from bench.peers.plain_predictor import answer, answers, load

_MOST = int(os.environ.get("MAX_BATCH_SIZE", "1"))
_WAIT_SECONDS = 0.005


class Predictor:
    """Rows in, predictions out."""

    def __init__(self) -> None:
        self.probabilities = load()

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Predict one row, or many."""
        document = await request.json()
        return answer(self.probabilities, document["features"])


class Batching(Predictor):
    """Requests that came together in, their predictions out."""

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Predict one row, or many, with those of other requests."""
        document = await request.json()
        reply: dict[str, Any] = await self.together(document["features"])
        return reply

    @serve.batch(max_batch_size=_MOST, batch_wait_timeout_s=_WAIT_SECONDS)
    async def together(self, features: list[Any]) -> list[dict[str, Any]]:
        """Predict all rows of all requests."""
        return answers(self.probabilities, features)


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(os.environ["PEER_PORT"])},
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )
    deployment = serve.deployment(num_replicas=1, max_ongoing_requests=1000, ray_actor_options={"num_cpus": 1})
    serve.run(deployment(Batching if _MOST > 1 else Predictor).bind(), route_prefix="/predict")
    asyncio.run(asyncio.Event().wait())
