"""Which requests of several rows the fast lane answers itself, and how."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.in_process import InProcess, TurnLoop, start_application
from bench.payloads import npy_body
from runtime.application import Application
from runtime.asgi_lane import AsgiLane
from runtime.batch_endpoint import ARROW, NPY, RAW
from runtime.bodies import JSON
from runtime.lane import FastLane
from runtime.model import load_model
from runtime.predictor import MOMENT_SECONDS
from runtime.short_requests import BATCH, MOST_BYTES, short_request
from runtime.worker import Worker
from tests.bars import columns
from tests.runtime.conftest import random_rows
from tests.runtime.conversations import ROW, post

ROWS = random_rows(30, 22, seed=9)
PATH, MODEL = BATCH.encode(), b"/v2/models/random_forest/infer"
BARS, SYMBOL = b"/predict/bars", b"/symbols/ABC/bars"


def rows_body(rows: NDArray[np.float32]) -> bytes:
    return json.dumps({"features": rows.tolist()}).encode()


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
def test_plain_heads_of_short_batches_are_taken(
    connection: InProcess, worker: Worker, kind: str, accept: str, answer: str
) -> None:
    found = short_request(worker, PATH, head(kind, 880, accept=accept), 880)
    assert found is not None
    assert found.route == BATCH
    body = npy_body(ROWS) if kind == NPY else ROWS.tobytes() if kind == RAW else rows_body(ROWS)
    reply = found.answer(worker, body, 0)
    assert reply is not None
    assert reply.kind == answer


@pytest.mark.parametrize("length", [{}, {"inference-header-content-length": "300"}])
def test_plain_heads_of_short_inferences_are_taken(worker: Worker, length: dict[str, str]) -> None:
    found = short_request(worker, MODEL, head(RAW if length else JSON, 880, **length), 880)
    assert found is not None
    assert found.route == "/v2/models/{model_name}/infer"


@pytest.mark.parametrize(("path", "route"), [(BARS, "/predict/bars"), (SYMBOL, "/symbols/{ticker}/bars")])
def test_plain_heads_of_bars_are_taken(worker: Worker, path: bytes, route: str) -> None:
    found = short_request(worker, path, head(JSON, 8_800), 8_800)
    assert found is not None
    assert found.route == route


@pytest.mark.parametrize("path", [PATH, MODEL, BARS, SYMBOL])
@pytest.mark.parametrize(
    "headers",
    [
        head(ARROW, 880),
        head("text/csv", 880),
        {b"content-length": b"880"},
        {**head(JSON, 880), b"content-encoding": b"gzip"},
        head(JSON, MOST_BYTES + 1),
    ],
)
def test_all_else_is_left_to_the_application(worker: Worker, path: bytes, headers: dict[bytes, bytes]) -> None:
    assert short_request(worker, path, headers, int(headers[b"content-length"])) is None


@pytest.mark.parametrize("accept", [ARROW, "text/html", "*/*" + " " * 300])
def test_a_reply_that_needs_thought_is_left_to_the_application(worker: Worker, accept: str) -> None:
    assert short_request(worker, PATH, head(JSON, 880, accept=accept), 880) is None


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (b"/v2/models/another/infer", {}),
        (MODEL + b"?x=1", {}),
        (MODEL.replace(b"/infer", b"/versions/1/infer"), {}),
        (PATH + b"?on_error=fail", {}),
        (PATH + b"/", {}),
        (BARS + b"?all=true", {}),
        (BARS, {"content-type": RAW}),
        (SYMBOL, {"content-type": RAW}),
        (b"/symbols/A%42C/bars", {}),
        (b"/symbols/ABC", {}),
        (MODEL, {"content-type": NPY}),
        (MODEL, {"inference-header-content-length": "-1"}),
        (MODEL, {"inference-header-content-length": "1" * 16}),
    ],
)
def test_other_targets_are_left_to_the_application(worker: Worker, path: bytes, more: dict[str, str]) -> None:
    headers = head(JSON, 880) | {name.encode(): value.encode() for name, value in more.items()}
    assert short_request(worker, path, headers, 880) is None


def test_rows_that_would_hold_up_others_are_left_to_the_application(worker: Worker) -> None:
    predictor: Any = worker.model.predictor
    predictor.row_seconds = MOMENT_SECONDS / 10.5
    assert short_request(worker, PATH, head(RAW, 880), 880)
    assert short_request(worker, PATH, head(RAW, 968), 968) is None


def request(body: bytes, kind: str) -> bytes:
    return b"POST /predict/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        kind.encode(),
        len(body),
        body,
    )


def test_predictions_are_those_of_rows_alone(connection: InProcess, worker: Worker) -> None:
    alone = np.array([worker.model.predictor.predict_few(row[None])[0].copy() for row in ROWS])
    for body, kind in ((rows_body(ROWS), JSON), (ROWS.tobytes(), RAW)):
        reply = json.loads(connection.ask(request(body, kind)).partition(b"\r\n\r\n")[2])
        assert reply["count"] == len(ROWS)
        found = [
            [entry["probabilities"][label] for label in worker.model.card.labels] for entry in reply["predictions"]
        ]
        assert np.array_equal(np.array(found, np.float32), alone)


@pytest.mark.parametrize("whole", [request(ROWS.tobytes(), RAW), post(ROW)], ids=["batch", "row"])
@pytest.mark.parametrize("lane", [FastLane, AsgiLane])
def test_an_error_that_no_one_expects_is_a_500_and_a_line_in_the_log(
    lane: type[AsgiLane],
    whole: bytes,
    application: Application,
    loop: TurnLoop,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = application.worker

    def broken(*rows: object) -> None:
        raise RuntimeError("the engine broke")

    async def run_here(work: Callable[[], object]) -> object:
        return work()  # there is no event loop that waits for a thread

    connection = InProcess(application, lane, loop)
    monkeypatch.setattr(worker, "run_batch", run_here)
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        for name in ("predict", "predict_one"):
            patch.setattr(worker.model.predictor.engine, name, broken)
        reply = connection.ask(whole)
    assert reply.startswith(b"HTTP/1.1 500 ")
    assert b"engine broke" not in reply
    assert b"connection: close" not in reply
    assert caplog.text.count("RuntimeError: the engine broke") == 1
    assert re.match(rb"HTTP/1.1 200 ", connection.ask(whole))


def test_rows_are_observed_once_and_where_they_are_answered_alone(
    application: Application, loop: TurnLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, engine = application.worker.model.predictor, application.worker.model.predictor.engine
    finite, finite_one, told = engine.predict, engine.predict_one, list[int]()

    def rough(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        probabilities = finite(rows)
        probabilities[-1] = np.nan
        return probabilities

    async def run_here(work: Callable[[], object]) -> object:
        return work()  # there is no event loop that waits for a thread

    def body(rows: NDArray[np.float32]) -> bytes:
        tensor = {"name": "features", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
        return json.dumps({"inputs": [tensor]}).encode()

    asked = {
        request(body(ROWS[:3]), JSON).replace(PATH, MODEL): 3,
        request(body(ROWS[:1]), JSON).replace(PATH, MODEL): 1,
        request(json.dumps({"bars": columns(0, 60)}).encode(), JSON).replace(PATH, b"/predict/bars"): 1,
        request(json.dumps({"bars": columns(0, 60)}).encode(), JSON).replace(PATH, b"/predict/bars?all=true"): 11,
        request(json.dumps({"features": ROWS[0].tolist()}).encode(), JSON).replace(PATH, b"/predict"): 1,
    }
    monkeypatch.setattr(application.worker, "run_batch", run_here)
    monkeypatch.setattr(predictor, "observe", lambda rows, probabilities: told.append(len(rows)))
    for protocol in (FastLane, AsgiLane):
        for whole, count in asked.items():
            assert InProcess(application, protocol, loop).ask(whole).startswith(b"HTTP/1.1 200 ")
            assert told == [count]
            told.clear()
            with monkeypatch.context() as patch:
                patch.setattr(engine, "predict", rough)
                patch.setattr(engine, "predict_one", lambda: finite_one() * np.float32(np.nan))
                reply = InProcess(application, protocol, loop).ask(whole)
            assert reply[9:12] in (b"422", b"400")
            assert b"not finite" in reply
            assert not told


def test_a_head_that_is_known_asks_the_model_that_is_served_now(
    connection: InProcess, worker: Worker, second_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensor = {"name": "features", "shape": [1, 22], "datatype": "FP32", "data": ROWS[0].tolist()}
    whole = request(json.dumps({"inputs": [tensor]}).encode(), JSON).replace(PATH, MODEL)
    first, again = (json.loads(connection.ask(whole).partition(b"\r\n\r\n")[2]) for _ in range(2))
    assert first == again
    assert len(worker.known_heads.short) == 1
    monkeypatch.setattr(worker._holder, "model", load_model(second_path, 1))
    later = json.loads(connection.ask(whole).partition(b"\r\n\r\n")[2])
    assert (first["model_version"], later["model_version"]) == ("1.0.0", "2.0.0")
    worker.model.name = b"another"
    worker.known_heads.clear()
    assert connection.ask(whole).startswith(b"HTTP/1.1 200 ")  # the application knows it by its card
    assert not worker.known_heads.short
