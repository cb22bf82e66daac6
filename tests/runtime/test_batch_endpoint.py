"""`/predict/batch` on the wire: every format, one bad row, every refusal, and the connection goes on."""

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from starlette.requests import Request

from bench.in_process import InProcess, TurnLoop, start_application
from features_fast import FEATURE_NAMES
from runtime import batch_endpoint, batches
from runtime.asgi_lane import AsgiLane
from runtime.batch_endpoint import ARROW, NPY, RAW, choose_body, choose_reply
from runtime.bodies import JSON
from runtime.lane import FastLane
from runtime.problems import Problem
from tests.runtime.conftest import load_as_served, random_rows
from tests.runtime.conversations import post as request_bytes
from tests.serving import Connection, Reply, RunningServer, running_server

ROWS = random_rows(40, 22, seed=14)
LABELS = ("DOWN", "UP")


@pytest.fixture
def connection(server: RunningServer) -> Iterator[Connection]:
    with server.connection() as opened:
        yield opened


def saved(rows: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, rows)
    return stream.getvalue()


def arrow(rows: NDArray[Any]) -> bytes:
    columns = {name: np.ascontiguousarray(column) for name, column in zip(FEATURE_NAMES, rows.T, strict=True)}
    batch = pa.record_batch(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def named(rows: NDArray[Any]) -> bytes:
    return json.dumps({"features": [dict(zip(FEATURE_NAMES, row, strict=True)) for row in rows.tolist()]}).encode()


def columns(rows: NDArray[Any]) -> bytes:
    return json.dumps({"columns": dict(zip(FEATURE_NAMES, rows.T.tolist(), strict=True))}).encode()


def listed(rows: NDArray[Any]) -> bytes:
    return json.dumps({"features": rows.tolist()}).encode()


BODIES = {
    "rows": (JSON, listed),
    "named": (JSON, named),
    "columns": (JSON, columns),
    "npy": (NPY, saved),
    "npy float64": (NPY, lambda rows: saved(rows.astype(np.float64))),
    "npy Fortran": (NPY, lambda rows: saved(np.asfortranarray(rows))),
    "raw": (RAW, lambda rows: rows.tobytes()),
    "arrow": (ARROW, arrow),
}


def post(connection: Connection, kind: str, body: bytes, query: str = "", **headers: str) -> Reply:
    return connection.request("POST", f"/predict/batch{query}", body, {"Content-Type": kind, **headers})


def probabilities(reply: Reply) -> NDArray[np.float32]:
    """Return the probabilities of a reply of any format."""
    assert reply.status == 200, reply.body
    kind = reply.headers["content-type"]
    if kind == NPY:
        return np.asarray(np.load(io.BytesIO(reply.body)), np.float32)
    if kind == ARROW:
        rows = pa.ipc.open_stream(reply.body).read_all()["probabilities"].to_pylist()
    elif "predictions" in reply.json():
        rows = [row["probabilities"] for row in reply.json()["predictions"]]
    else:
        values = reply.json()["probabilities"]
        rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return np.array([[row[label] for label in LABELS] for row in rows], np.float32)


REPLIES = {
    "rows": {},
    "columns": {"Accept": f"{JSON};layout=columns"},
    "npy": {"Accept": NPY},
    "arrow": {"Accept": ARROW},
}


@pytest.mark.parametrize("headers", REPLIES.values(), ids=REPLIES.keys())
@pytest.mark.parametrize(("kind", "encode"), BODIES.values(), ids=BODIES.keys())
def test_every_format_answers_the_same_bits(
    connection: Connection, forest_path: Path, kind: str, encode: Any, headers: dict[str, str]
) -> None:
    expected = load_as_served(forest_path).predictor.predict(ROWS)
    assert probabilities(post(connection, kind, encode(ROWS), **headers)).tobytes() == expected.tobytes()


def test_large_batches_are_answered_turn_by_turn(forest_path: Path) -> None:
    rows = random_rows(30_000, 22, seed=15)
    expected = load_as_served(forest_path).predictor.predict(rows)
    with running_server(forest_path) as running, running.connection() as connection:
        for kind, encode in (BODIES["rows"], BODIES["raw"], BODIES["arrow"]):
            reply = post(connection, kind, encode(rows))
            assert reply.json()["count"] == 30_000
            assert probabilities(reply).tobytes() == expected.tobytes()
        counted = connection.request("GET", "/metrics").body.decode().splitlines()
    predictions = [float(line.split()[1]) for line in counted if line.startswith("predictions_total{")]
    assert sum(predictions) == 90_000


@pytest.mark.parametrize("lane", [FastLane, AsgiLane])
def test_a_batch_ends_between_two_turns_where_its_client_may_have_left(
    lane: type[AsgiLane], forest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = TurnLoop()
    application = start_application(forest_path, tmp_path, loop)
    rows = random_rows(2 * application.worker.model.predictor.chunk_rows + 1, 22, seed=16)
    turns: list[object] = []

    async def take_turn(work: Callable[[], object]) -> object:
        turns.append(work())
        client.send_no_more()
        return turns[-1]

    monkeypatch.setattr(application.worker, "run_batch", take_turn)
    monkeypatch.setattr(batches, "TURN_SECONDS", -1.0)
    whole = request_bytes(rows.tobytes(), path=b"/predict/batch").replace(JSON.encode(), RAW.encode())
    client = InProcess(application, lane, loop)
    reply = client.ask(whole)
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b"the client left before the reply" in reply
    assert turns == [None]  # the first of three, and then it was not done


def test_batches_give_way_to_the_event_loop(server: RunningServer, connection: Connection) -> None:
    assert post(connection, RAW, ROWS.tobytes()).status == 200
    threads = Path(f"/proc/{server.process.pid}/task").glob("*/stat")
    niceness = [int(stat.read_text().rpartition(")")[2].split()[16]) for stat in threads]
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert set(niceness) == {usual, min(usual + 10, 19)}


def spoilt(form: str) -> bytes:
    """Return a body in a form, with a NaN in row 3."""
    if form == "rows":
        return listed(ROWS).replace(repr(ROWS[3, 7].item()).encode(), b"NaN", 1)
    if form == "columns":
        return columns(ROWS).replace(repr(ROWS[3, 7].item()).encode(), b"NaN", 1)
    rows = ROWS.copy()
    rows[3, 7] = np.nan
    encoded: bytes = BODIES[form][1](rows)
    return encoded


FIELDS = {form: "features[3][7]" for form in ("rows", "npy", "raw", "arrow")} | {"columns": "columns.RSI[3]"}


@pytest.mark.parametrize("form", FIELDS)
def test_one_bad_row_loses_no_other(connection: Connection, form: str) -> None:
    kind, body = BODIES[form][0], spoilt(form)
    reply = post(connection, kind, body).json()
    error = reply["predictions"].pop(3)["error"]
    assert error["field"] == FIELDS[form]
    assert error["detail"].startswith(f"{FIELDS[form]}: expected a finite number of float32's range, got ")
    assert (reply["count"], reply["errors"]) == (40, 1)
    good = post(connection, RAW, np.delete(ROWS, 3, axis=0).tobytes()).json()
    assert reply["predictions"] == good["predictions"]
    in_columns = post(connection, kind, body, "?layout=columns").json()
    assert in_columns["bad_rows"] == [{"index": 3, "error": error}]
    assert in_columns["prediction"][3] is None
    table = pa.ipc.open_stream(post(connection, kind, body, Accept=ARROW).body).read_all()
    assert table["error"].to_pylist()[3] == error
    assert table["prediction"].null_count == 1


def test_white_space_makes_no_row_too_long(connection: Connection) -> None:
    body = json.dumps({"features": ROWS[:5].tolist()}, separators=(" " * 400 + ",", ":")).encode()
    reply = post(connection, JSON, body).json()
    assert (reply["count"], reply["errors"]) == (5, 0)
    assert reply["predictions"] == post(connection, RAW, ROWS[:5].tobytes()).json()["predictions"]


@pytest.mark.parametrize("form", FIELDS)
def test_one_bad_row_fails_the_whole_where_asked_or_where_it_could_not_be_told(
    connection: Connection, form: str
) -> None:
    kind, body = BODIES[form][0], spoilt(form)
    for refused in (post(connection, kind, body, "?on_error=fail"), post(connection, kind, body, Accept=NPY)):
        check_problem(refused, 422, FIELDS[form])
        assert post(connection, RAW, ROWS.tobytes()).status == 200


REFUSED: dict[str, tuple[str, bytes, str, dict[str, str], int, str | None]] = {
    "all rows bad": (JSON, b'{"features": [[1], null]}', "", {}, 422, "features[0]"),
    "0 rows": (RAW, b"", "", {}, 422, "features"),
    "0 npy rows": (NPY, saved(ROWS[:0]), "", {}, 422, "body"),
    "too many rows": (RAW, np.zeros((51, 22), np.float32).tobytes(), "", {}, 413, "features"),
    "too many npy rows": (NPY, saved(np.zeros((51, 22), np.float32)), "", {}, 413, "body"),
    "too large": (JSON, b'{"features": ' + b" " * 65536 + b"[]}", "", {}, 413, "body"),
    "half a row": (RAW, ROWS.tobytes()[:-2], "", {}, 422, "body"),
    "broken JSON": (JSON, listed(ROWS)[:-5], "", {}, 400, None),
    "broken JSON in a row": (JSON, b'{"features": [[1, 2 3], %b]}' % listed(ROWS[:1])[14:-2], "", {}, 400, None),
    "broken JSON in a long row": (
        *(JSON, b'{"features": [[%b1, 2 3], %b]}' % (b"1, " * 4000, listed(ROWS[:1])[14:-2]), "", {}, 400, None),
    ),
    "no npy": (NPY, listed(ROWS), "", {}, 400, "body"),
    "no stream": (ARROW, listed(ROWS), "", {}, 400, None),
    "compressed": (JSON, listed(ROWS), "", {"Content-Encoding": "gzip"}, 415, "Content-Encoding"),
    "another type": ("text/csv", b"1,2", "", {}, 415, "Content-Type"),
    "another reply": (JSON, listed(ROWS), "", {"Accept": "text/csv, image/*"}, 406, "Accept"),
    "a reply refused": (JSON, listed(ROWS), "", {"Accept": "application/json;q=0"}, 406, "Accept"),
    "another layout": (JSON, listed(ROWS), "?layout=table", {}, 422, "layout"),
    "another way with errors": (JSON, listed(ROWS), "?on_error=ignore", {}, 422, "on_error"),
}


@pytest.mark.parametrize(("kind", "body", "query", "headers", "status", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_is_a_problem_and_the_connection_goes_on(
    connection: Connection, kind: str, body: bytes, query: str, headers: dict[str, str], status: int, field: str | None
) -> None:
    check_problem(post(connection, kind, body, query, **headers), status, field)
    assert post(connection, RAW, ROWS.tobytes()).status == 200


def check_problem(reply: Reply, status: int, field: str | None) -> None:
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json().get("field") == field


def request(query: str = "", **headers: str) -> Request:
    """Return a request with headers."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "query_string": query.encode(), "headers": pairs})


@pytest.mark.parametrize(
    ("accept", "query", "expected"),
    [
        ("*/*", "", (JSON, False)),
        ("application/*", "", (JSON, False)),
        ("text/html, */*;q=0.1", "", (JSON, False)),
        ("application/json;q=0.5, application/x-npy", "", (NPY, False)),
        ("application/json, application/x-npy;q=0.9", "layout=columns", (JSON, True)),
        ("Application/JSON; Layout=columns", "", (JSON, True)),
        ("application/json;q=x, application/vnd.apache.arrow.stream", "", (ARROW, False)),
    ],
)
def test_the_reply_is_what_the_client_likes_best(accept: str, query: str, expected: tuple[str, bool]) -> None:
    assert choose_reply(request(query, accept=accept)) == expected


def test_without_an_accept_or_a_type_all_is_json() -> None:
    assert choose_reply(request()) == (JSON, False)
    assert choose_body(request()) == JSON


def test_without_pyarrow_arrow_is_refused_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_endpoint, "_HAS_ARROW", False)
    with pytest.raises(Problem, match=r"tickline\[arrow\]") as of_body:
        choose_body(request(content_type=ARROW))
    with pytest.raises(Problem, match=r"tickline\[arrow\]") as of_reply:
        choose_reply(request(accept=ARROW))
    assert (of_body.value.status, of_reply.value.status) == (415, 406)
    assert choose_body(request(content_type=NPY)) == NPY
