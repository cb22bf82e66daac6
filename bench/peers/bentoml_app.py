"""BentoML and onnxruntime: one service with one worker."""

from typing import Any

import bentoml

from bench.peers.plain_predictor import answer, load


@bentoml.service(
    workers=1,
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    tracing={"exporter_type": None},
)
class Predictor:
    """Rows in, predictions out."""

    def __init__(self) -> None:
        self.probabilities = load()

    @bentoml.api(route="/predict")
    async def predict(self, features: list[float]) -> dict[str, Any]:
        """Predict one row."""
        return answer(self.probabilities, features)

    @bentoml.api(route="/predict/batch")
    async def predict_batch(self, features: list[list[float]]) -> dict[str, Any]:
        """Predict many rows."""
        return answer(self.probabilities, features)
