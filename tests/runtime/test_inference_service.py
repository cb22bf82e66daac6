"""Where inferences run: a single row never waits behind a batch."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.inference_protocol import OUTPUTS, Answer, Inference
from runtime.inference_service import SMALL_BYTES, infer
from runtime.metrics import Metrics
from runtime.model import Model, load_model
from runtime.worker import Worker
from tests.runtime.conftest import random_rows


class Recorder(Worker):
    """A worker that records what it does off the event loop."""

    def __init__(self) -> None:
        self.off_the_loop: list[str] = []
        self.counted: dict[int, int] = {}
        self.metrics = Counter(self.counted)

    async def run_batch(self, work: Callable[[], Any]) -> Any:
        """Do the work, and record what it made."""
        made = work()
        self.off_the_loop.append("decoded" if isinstance(made, Inference) else "answered")
        return made


class Counter(Metrics):
    """Counts predictions in a dictionary."""

    def __init__(self, counted: dict[int, int]) -> None:
        self._counted = counted

    def predicted(self, label: int, count: int = 1) -> None:
        """Count predictions of a class."""
        self._counted[label] = self._counted.get(label, 0) + count


@pytest.fixture(scope="module")
def model(forest_path: Path) -> Model:
    return load_model(forest_path, threads=1)


@pytest.mark.parametrize(
    ("rows", "size", "off_the_loop"),
    [
        (1, 200, []),
        (1, SMALL_BYTES, []),
        (2, 300, ["answered"]),
        (1, SMALL_BYTES + 1, ["decoded"]),
        (500, SMALL_BYTES + 1, ["decoded", "answered"]),
    ],
)
def test_only_small_work_is_done_on_the_event_loop(model: Model, rows: int, size: int, off_the_loop: list[str]) -> None:
    worker = Recorder()
    inference = Inference(random_rows(rows, 22, seed=31), None, dict.fromkeys(OUTPUTS, True))

    def encode(decoded: Inference, answer: Answer) -> bytes:
        assert decoded is inference
        return answer.raw("prediction")

    reply = asyncio.run(infer(worker, model, size, lambda: inference, encode))
    assert worker.off_the_loop == off_the_loop
    assert reply == model.predictor.predict(inference.rows).argmax(axis=1).astype(np.int64).tobytes()
    assert worker.counted == dict(enumerate(np.bincount(np.frombuffer(reply, np.int64), minlength=2).tolist()))
