"""What of a batch the fast lane answers itself."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.in_process import InProcess, TurnLoop, start_application
from runtime.application import Application
from runtime.batch_endpoint import ARROW, NPY, RAW
from runtime.bodies import JSON
from runtime.lane import FastLane
from runtime.predictor import MOMENT_SECONDS
from runtime.small_batches import MOST_BYTES, SmallBatch, small_batch
from runtime.worker import Worker
from tests.runtime.conftest import random_rows

ROWS = random_rows(30, 22, seed=9)


@pytest.fixture
def loop() -> TurnLoop:
    return TurnLoop()


@pytest.fixture
def application(forest_path: Path, tmp_path: Path, loop: TurnLoop) -> Application:
    return start_application(forest_path, tmp_path, loop)


@pytest.fixture
def worker(application: Application) -> Worker:
    return application.worker


@pytest.fixture
def connection(application: Application, loop: TurnLoop) -> InProcess:
    return InProcess(application, FastLane, loop)


def head(kind: str, length: int, **more: str) -> dict[bytes, bytes]:
    headers = {"content-type": kind, "content-length": str(length), **more}
    return {name.encode(): value.encode() for name, value in headers.items()}


@pytest.mark.parametrize("kind", [JSON, f"{JSON}; charset=utf-8", NPY, RAW])
@pytest.mark.parametrize(("accept", "answer"), [("*/*", JSON), (NPY, NPY), (f"text/html, {JSON};q=0.1", JSON)])
def test_plain_heads_of_small_batches_are_taken(worker: Worker, kind: str, accept: str, answer: str) -> None:
    found = small_batch(worker, head(kind, 880, accept=accept), 880)
    assert found == SmallBatch(kind.partition(";")[0], answer, False)


@pytest.mark.parametrize(
    "headers",
    [
        head(ARROW, 880),
        head(JSON, 880, accept=ARROW),
        head(JSON, 880, accept="text/html"),
        head(JSON, 880, accept="*/*" + " " * 300),
        head("text/csv", 880),
        {b"content-length": b"880"},
        {**head(JSON, 880), b"content-encoding": b"gzip"},
        head(JSON, MOST_BYTES + 1),
    ],
)
def test_all_else_is_left_to_the_application(worker: Worker, headers: dict[bytes, bytes]) -> None:
    assert small_batch(worker, headers, int(headers[b"content-length"])) is None


def test_rows_that_would_hold_up_others_are_left_to_the_application(worker: Worker) -> None:
    predictor: Any = worker.model.predictor
    predictor.row_seconds = MOMENT_SECONDS / 10.5
    assert small_batch(worker, head(RAW, 880), 880)
    assert small_batch(worker, head(RAW, 968), 968) is None


def request(body: bytes, kind: str) -> bytes:
    return b"POST /predict/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        kind.encode(),
        len(body),
        body,
    )


def test_predictions_are_those_of_rows_alone(connection: InProcess, worker: Worker) -> None:
    alone = np.array([worker.model.predictor.predict_few(row[None])[0].copy() for row in ROWS])
    for body, kind in ((json.dumps({"features": ROWS.tolist()}).encode(), JSON), (ROWS.tobytes(), RAW)):
        reply = json.loads(connection.ask(request(body, kind)).partition(b"\r\n\r\n")[2])
        assert reply["count"] == len(ROWS)
        found = [
            [entry["probabilities"][label] for label in worker.model.card.labels] for entry in reply["predictions"]
        ]
        assert np.array_equal(np.array(found, np.float32), alone)


def test_an_error_that_no_one_expects_is_a_500_and_a_line_in_the_log(
    connection: InProcess, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(rows: object) -> None:
        raise RuntimeError("the engine broke")

    async def run_here(work: Callable[[], object]) -> object:
        return work()  # there is no event loop that waits for a thread

    whole = request(ROWS.tobytes(), RAW)
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(worker.model.predictor.engine, "predict", broken)
        patch.setattr(worker, "run_batch", run_here)
        reply = connection.ask(whole)
    assert reply.startswith(b"HTTP/1.1 500 ")
    assert b"engine broke" not in reply
    assert "the engine broke" in caplog.text
    assert re.match(rb"HTTP/1.1 200 ", connection.ask(whole))
