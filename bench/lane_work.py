"""A request for a prediction through both lanes, in one process, beside a plain ASGI application under uvicorn."""

import json
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bench.codec_work import plain_reply
from bench.connections import post
from bench.in_process import InProcess, TurnLoop, start_application
from bench.models import FOREST, LOGISTIC, model_file, random_rows
from bench.payloads import json_body
from bench.predictor_work import plain_session
from bench.servers import MeasureError
from bench.work import Work
from runtime.asgi_lane import AsgiLane
from runtime.lane import FastLane

_ROWS = 500


def plain_application(model: Path) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """Return an ASGI application of a few lines: json, numpy, `session.run`, json."""
    session = plain_session(model)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        row = np.array([json.loads(body)["features"]], np.float32)
        reply = plain_reply(session.run(["probabilities"], {"features": row})[0][0].tolist())
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    return application


def lane_work(folder: Path) -> Iterator[Work]:
    """Yield a prediction by the fast lane and by ASGI."""
    requests = [post("/predict", json_body(row)) for row in random_rows(_ROWS, seed=5)]
    for name in (LOGISTIC, FOREST):
        model = model_file(name, folder)
        plain = _connection(plain_application(model), HttpToolsProtocol, TurnLoop(), requests)
        loop = TurnLoop()
        with tempfile.TemporaryDirectory() as board:
            application = start_application(model, Path(board), loop)
        lanes: list[tuple[str, type[HttpToolsProtocol]]] = [("fast lane", FastLane), ("ASGI", AsgiLane)]
        for lane, protocol in lanes:
            ours = _connection(application, protocol, loop, requests)
            yield Work(f"/predict, {name}, {lane}", ours, {"plain ASGI application": plain}, name == LOGISTIC)


def _connection(
    application: Callable[..., Awaitable[None]],
    protocol: type[HttpToolsProtocol],
    loop: TurnLoop,
    requests: list[bytes],
) -> Callable[[], bytes]:
    connection = InProcess(application, protocol, loop)
    reply = connection.ask(requests[0])
    if not reply.startswith(b"HTTP/1.1 200 OK"):  # a refusal is quick, and would pass for an improvement
        raise MeasureError(f"expected a prediction, got {reply!r}")
    turn = cycle(requests).__next__
    return lambda: connection.ask(turn())
