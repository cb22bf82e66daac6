"""Both lanes answer alike: one conversation, sent to a server of each lane, compared byte for byte."""

import io
import json
import re
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from features_fast import WARM_UP
from runtime.asgi_lane import AsgiLane
from runtime.lane import FastLane
from tests.bars import columns
from tests.runtime.conftest import random_rows
from tests.serving import DEADLINE_SECONDS, RunningServer, running_server

LIMITS = {"MAX_BODY_BYTES": "4096", "MAX_BATCH_ROWS": "50"}
ROWS = [json.dumps({"features": row.tolist()}).encode() for row in random_rows(20, 22, seed=3)]
_VARIES = re.compile(rb'(?<=\r\ndate: )[^\r]*|(?<="timestamp":")[^"]*', re.IGNORECASE)


@pytest.fixture(scope="module")
def lanes(forest_path: Path) -> Iterator[tuple[RunningServer, RunningServer]]:
    """Two servers on one model, one a lane."""
    with (
        running_server(forest_path, LANE="fast", **LIMITS) as fast,
        running_server(forest_path, LANE="asgi", **LIMITS) as asgi,
    ):
        yield fast, asgi


def post(body: bytes, *headers: bytes, path: bytes = b"/predict", length: bool = True) -> bytes:
    """Return the bytes of a request."""
    lines = [b"POST %b HTTP/1.1" % path, b"Host: localhost", b"Content-Type: application/json", *headers]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(body: bytes, *sizes: int) -> bytes:
    """Return a body in chunks."""
    parts, start = [], 0
    for size in (*sizes, len(body)):
        part = body[start : start + size]
        start += size
        if part:
            parts.append(b"%x\r\n%b\r\n" % (len(part), part))
    return b"".join(parts) + b"0\r\n\r\n"


def replies(stream: socket.socket, count: int) -> bytes:
    """Read a number of replies, or what comes until the server ends the connection."""
    stream.settimeout(DEADLINE_SECONDS)
    received, parsed = bytearray(), 0
    while count:
        end = received.find(b"\r\n\r\n", parsed)
        if end >= 0:
            head = received[parsed:end]
            length = re.search(rb"(?i)content-length: (\d+)", head)
            end += 4 + (int(length[1]) if length else 0)
            if end <= len(received):
                parsed = end
                count -= not head.startswith(b"HTTP/1.1 100")
                continue
        try:
            data = stream.recv(1 << 20)
        except ConnectionResetError:
            break
        if not data:
            break
        received += data
    return bytes(received)


def converse(server: RunningServer, pieces: list[bytes], count: int) -> tuple[bytes, bool]:
    """Send the pieces one by one; return all replies without what varies, and whether the connection goes on."""
    with server.raw() as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            try:
                stream.sendall(piece)
            except OSError:  # the server has ended the connection
                break
        received = replies(stream, count)
        goes_on = not select.select([stream], [], [], 0)[0] and still_answers(stream)
    return _VARIES.sub(b"", received), goes_on


def still_answers(stream: socket.socket) -> bool:
    """Tell whether one more request on the connection is answered."""
    try:
        stream.sendall(post(ROWS[0]))
        return b" 200 OK" in replies(stream, 1)
    except OSError:
        return False


def same(lanes: tuple[RunningServer, RunningServer], pieces: list[bytes], count: int = 1) -> bytes:
    """Check that both lanes answer a conversation alike, and return the answer."""
    fast, asgi = (converse(server, pieces, count) for server in lanes)
    assert fast == asgi
    return fast[0]


ROW = ROWS[0]
MATRIX = random_rows(20, 22, seed=3)
MATRIX_FILE = io.BytesIO()
np.save(MATRIX_FILE, MATRIX)
BATCH = json.dumps({"features": MATRIX[:4].tolist()}).encode()


def batch(body: bytes, *headers: bytes, kind: bytes = b"application/json", query: bytes = b"") -> bytes:
    """Return the bytes of a request for a batch."""
    return post(body, *headers, path=b"/predict/batch" + query).replace(b"application/json", kind, 1)


ROUGH_BATCH = json.dumps({"features": [MATRIX[0].tolist(), [1.0], MATRIX[1].tolist(), "row"]}).encode()
NPY, RAW = b"application/x-npy", b"application/octet-stream"
BATCHES = {
    "batch": ([batch(BATCH)], 1),
    "batch of one": ([batch(BATCH.partition(b"]")[0] + b"]]}")], 1),
    "batch in columns": ([batch(json.dumps({"columns": {}}).encode())], 1),
    "batch, reply in columns": ([batch(BATCH, b"Accept: application/json;layout=columns")], 1),
    "batch, reply as .npy": ([batch(BATCH, b"Accept: application/x-npy")], 1),
    "batch, any reply": ([batch(BATCH, b"Accept: text/html, */*;q=0.5")], 1),
    "batch, no such reply": ([batch(BATCH, b"Accept: text/html")], 1),
    "batch as .npy": ([batch(MATRIX_FILE.getvalue(), kind=NPY)], 1),
    "batch as .npy, too short": ([batch(MATRIX_FILE.getvalue()[:-1], kind=NPY)], 1),
    "batch as .npy, both ways": ([batch(MATRIX_FILE.getvalue(), b"Accept: application/x-npy", kind=NPY)], 1),
    "raw batch": ([batch(MATRIX.tobytes(), kind=RAW)], 1),
    "raw batch with NaN": ([batch(MATRIX[:2].tobytes() + b"\xff" * 88, kind=RAW)], 1),
    "raw batch, half a row": ([batch(MATRIX[:2].tobytes()[:-44], kind=RAW)], 1),
    "batch in Arrow": ([batch(b"rubbish", kind=b"application/vnd.apache.arrow.stream")], 1),
    "batch with bad rows": ([batch(ROUGH_BATCH)], 1),
    "batch with bad rows as .npy": ([batch(ROUGH_BATCH, b"Accept: application/x-npy")], 1),
    "batch that fails": ([batch(ROUGH_BATCH, query=b"?on_error=fail")], 1),
    "batch of bad rows": ([batch(b'{"features":[[1],[2]]}')], 1),
    "batch without rows": ([batch(b'{"features":[]}')], 1),
    "batch with more members": ([batch(BATCH[:-1] + b',"more":1}')], 1),
    "batch that is broken": ([batch(BATCH[:-1])], 1),
    "batch that goes on": ([batch(BATCH + b"]")], 1),
    "empty batch": ([batch(b"")], 1),
    "too many rows": ([batch(np.resize(MATRIX, (46, 22)).tobytes() + b"\0" * 40, kind=RAW)], 1),
    "batch that is too large": ([batch(BATCH + b" " * 4096)], 1),
    "batches, pipelined": ([batch(BATCH) + post(ROW) * 2 + batch(MATRIX.tobytes(), kind=RAW) + post(ROW)], 5),
    "batch behind rows": ([post(ROW) * 3 + batch(BATCH)], 4),
    "batch behind the application": ([b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" + batch(BATCH) + post(ROW)], 3),
    "batch byte by byte": ([bytes([byte]) for byte in batch(MATRIX[:2].tobytes(), kind=RAW)], 1),
    "batch in chunks": (
        [batch(b"", b"Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"") + chunked(BATCH, 9, 90)],
        1,
    ),
    "batch, then close": ([batch(BATCH, b"Connection: close")], 1),
    "batch with an id": ([batch(BATCH, b"X-Request-ID: mine-7")], 1),
    "batch with a deadline": ([batch(BATCH, b"X-Request-Deadline-Ms: 60000")], 1),
    "batch expects 100-continue": ([batch(BATCH, b"Expect: 100-continue")], 1),
    "compressed batch": ([batch(BATCH, b"Content-Encoding: gzip")], 1),
    "batch of no known type": ([batch(BATCH, kind=b"text/csv")], 1),
    "batch with two types": ([batch(BATCH, b"Content-Type: text/csv")], 1),
}

MODEL = b"/v2/models/random_forest/infer"
TENSOR = {"name": "features", "shape": [2, 22], "datatype": "FP32", "data": MATRIX[:2].tolist()}
BINARY = {**TENSOR, "parameters": {"binary_data_size": 176}}
del BINARY["data"]
BINARY_HEAD = json.dumps({"inputs": [BINARY], "id": "mine"}).encode()
ALL_BINARY = json.dumps({"inputs": [BINARY], "parameters": {"binary_data_output": True}}).encode()


def infer(body: bytes, *headers: bytes, path: bytes = MODEL, json_length: int = 0) -> bytes:
    """Return the bytes of a request of the Open Inference Protocol."""
    if json_length:
        headers = (*headers, b"Inference-Header-Content-Length: %d" % json_length)
    whole = post(body, *headers, path=path)
    return whole.replace(b"application/json", b"application/octet-stream", 1) if json_length else whole


def tensor(**changed: object) -> bytes:
    """Return a request of the protocol in JSON."""
    return json.dumps({"inputs": [{**TENSOR, **changed}]}).encode()


INFERENCES = {
    "inference": ([infer(tensor())], 1),
    "inference of integers": ([infer(tensor(datatype="INT64", data=[1] * 44))], 1),
    "inference with an output": ([infer(tensor()[:-1] + b',"outputs":[{"name":"label"}]}')], 1),
    "inference, binary": ([infer(BINARY_HEAD + MATRIX[:2].tobytes(), json_length=len(BINARY_HEAD))], 1),
    "inference, binary both ways": ([infer(ALL_BINARY + MATRIX[:2].tobytes(), json_length=len(ALL_BINARY))], 1),
    "inference, binary and too short": ([infer(BINARY_HEAD + MATRIX[:1].tobytes(), json_length=len(BINARY_HEAD))], 1),
    "inference, a length beyond the body": ([infer(BINARY_HEAD, json_length=9_999)], 1),
    "inference, a length that is none": ([infer(tensor(), b"Inference-Header-Content-Length: x")], 1),
    "inference by another model": ([infer(tensor(), path=b"/v2/models/another/infer")], 1),
    "inference by a version": ([infer(tensor(), path=b"/v2/models/random_forest/versions/none/infer")], 1),
    "inference with a query": ([infer(tensor(), path=MODEL + b"?x=1")], 1),
    "inference of another shape": ([infer(tensor(shape=[1, 22]))], 1),
    "inference of NaN": ([infer(tensor(data=[float("nan")] * 44))], 1),
    "inference that is broken": ([infer(tensor()[:-1])], 1),
    "inferences, pipelined": ([infer(tensor()) + post(ROW) * 2 + batch(BATCH) + infer(b"{}") + post(ROW)], 6),
    "inference, then close": ([infer(tensor(), b"Connection: close", b"X-Request-ID: mine")], 1),
}

HISTORY = {
    name: values if name == "date" else [round(value, 2) for value in values]
    for name, values in columns(0, WARM_UP + 1).items()
}
NEXT = {"open": 100.0, "high": 102.5, "low": 99.0, "close": 101.5, "volume": 5e5, "date": "2026-01-05"}


def bars(document: object, *headers: bytes, query: bytes = b"") -> bytes:
    """Return the bytes of a request with bars."""
    return post(json.dumps(document).encode(), *headers, path=b"/predict/bars" + query)


def symbol(document: object, method: bytes = b"POST", path: bytes = b"/symbols/ABC/bars") -> bytes:
    """Return the bytes of a request for a symbol."""
    body = b"" if document is None else json.dumps(document).encode()
    return post(body, path=path).replace(b"POST", method, 1)


SEED, FORGET = symbol({"bars": HISTORY}, b"PUT"), symbol(None, b"DELETE", b"/symbols/ABC")
BARS = {
    "bars": ([bars({"bars": HISTORY})], 1),
    "bars as rows": ([bars({"bars": [list(row) for row in zip(*HISTORY.values(), strict=True)]})], 1),
    "bars, too few": ([bars({"bars": {name: values[1:] for name, values in HISTORY.items()}})], 1),
    "bars, one impossible": ([bars({"bars": {**HISTORY, "close": [-1.0] * (WARM_UP + 1)}})], 1),
    "bars of tickers": ([bars({"tickers": {"ABC": HISTORY}})], 1),
    "all bars": ([bars({"bars": HISTORY}, query=b"?all=true")], 1),
    "bars of no such form": ([bars([1, 2])], 1),
    "bars, pipelined": ([bars({"bars": HISTORY}) + post(ROW) + batch(BATCH) + bars({}) + post(ROW)], 5),
    "a symbol": (
        [
            SEED,
            symbol({"bar": NEXT}),
            symbol({"bar": NEXT}),
            symbol({"bar": {**NEXT, "date": None}}) + post(ROW),
            FORGET,
        ],
        6,
    ),
    "a symbol's impossible bar": ([SEED, symbol({"bar": {**NEXT, "low": 200.0}}), symbol({"bar": NEXT}), FORGET], 4),
    "a symbol that is not held": ([symbol({"bar": NEXT})], 1),
    "a symbol's escaped name": ([symbol({"bar": NEXT}, path=b"/symbols/A%42C/bars")], 1),
    "a symbol of no such name": ([symbol({"bar": NEXT}, path=b"/symbols/.ABC/bars")], 1),
}

CONVERSATIONS = {
    **BATCHES,
    **INFERENCES,
    **BARS,
    "plain": ([post(ROW)], 1),
    "one after the other": ([post(row) for row in ROWS], 20),
    "pipelined": ([b"".join(post(row) for row in ROWS)], 20),
    "pipelined with other routes": (
        [post(ROW) + b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" + post(ROWS[1]) + post(b"{}") + post(ROWS[2])],
        5,
    ),
    "pipelined behind a batch": (
        [batch(BATCH, query=b"?on_error=entry") + post(ROW) * 3],
        4,
    ),
    "byte by byte": ([bytes([byte]) for byte in post(ROW)], 1),
    "body apart": ([post(ROW)[: -len(ROW)], ROW], 1),
    "chunked": ([post(b"", b"Transfer-Encoding: chunked", length=False) + chunked(ROW, 1, 10, 100)], 1),
    "chunked in pieces": (
        [post(b"", b"Transfer-Encoding: chunked", length=False), chunked(ROW, 7)[:20], chunked(ROW, 7)[20:]],
        1,
    ),
    "chunked and too large": (
        [post(b"", b"Transfer-Encoding: chunked", length=False) + chunked(ROW + b" " * 5000, 3000)],
        1,
    ),
    "expect 100-continue": ([post(ROW, b"Expect: 100-continue")], 1),
    "connection close": ([post(ROW, b"Connection: close")], 1),
    "close, then more": ([post(ROW, b"Connection: close") + post(ROW)], 2),
    "keep-alive": ([post(ROW, b"Connection: keep-alive")], 1),
    "HTTP/1.0": ([post(ROW).replace(b"HTTP/1.1", b"HTTP/1.0")], 1),
    "HTTP/1.0 keep-alive": ([post(ROW, b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")], 1),
    "HTTP/2 preface": ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 1),
    "upgrade": ([post(ROW, b"Connection: Upgrade", b"Upgrade: websocket")], 1),
    "header names in capitals": ([post(ROW).replace(b"Content-Type", b"CONTENT-TYPE")], 1),
    "charset": ([post(ROW).replace(b"application/json", b"application/json; charset=utf-8")], 1),
    "another charset": ([post(ROW).replace(b"application/json", b'application/json; charset="ascii"')], 1),
    "no content type": ([post(ROW).replace(b"Content-Type: application/json\r\n", b"")], 1),
    "wrong content type": ([post(ROW).replace(b"application/json", b"text/plain")], 1),
    "two content types": ([post(ROW, b"Content-Type: text/plain")], 1),
    "compressed": ([post(ROW, b"Content-Encoding: gzip")], 1),
    "not compressed, it says": ([post(ROW, b"Content-Encoding: identity")], 1),
    "query": ([post(ROW, path=b"/predict?x=1")], 1),
    "fragment": ([post(ROW, path=b"/predict#x")], 1),
    "escaped path": ([post(ROW, path=b"/predic%74")], 1),
    "trailing slash": ([post(ROW, path=b"/predict/")], 1),
    "absolute form": ([post(ROW, path=b"http://localhost/predict")], 1),
    "GET": ([post(ROW).replace(b"POST", b"GET")], 1),
    "empty body": ([post(b"")], 1),
    "no length": ([post(b"", length=False)], 1),
    "broken JSON": ([post(ROW[:-1])], 1),
    "NaN": ([post(b'{"features":[NaN]}')], 1),
    "too large": ([post(ROW + b" " * 5000)], 1),
    "two lengths": ([post(ROW, b"Content-Length: 5")], 1),
    "length and chunked": ([post(ROW, b"Transfer-Encoding: chunked")], 1),
    "bad chunk": ([post(b"", b"Transfer-Encoding: chunked", length=False) + b"zz\r\n"], 1),
    "two ids": ([post(ROW, b"X-Request-ID: one", b"X-Request-ID: two") + batch(BATCH, b"X-Request-ID: three")], 2),
    "a length of thousands of digits": ([post(ROW).replace(b"Length: ", b"Length: " + b"0" * 5000)], 1),
    "a batch's length of thousands of digits": ([batch(BATCH).replace(b"Length: ", b"Length: " + b"0" * 5000)], 1),
    "negative length": ([post(b"").replace(b"Length: 0", b"Length: -1")], 1),
    "folded header": ([post(ROW, b"X-A: 1\r\n  2")], 1),
    "space before the colon": ([post(ROW, b"X-A : 1")], 1),
    "no HTTP": ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20], 1),
    "empty lines first": ([b"\r\n\r\n" + post(ROW)], 1),
    "many headers": ([post(ROW, *(b"X-%d: %d" % (i, i) for i in range(80)))], 1),
}


@pytest.mark.parametrize(("pieces", "count"), CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_both_lanes_answer_alike(lanes: tuple[RunningServer, RunningServer], pieces: list[bytes], count: int) -> None:
    assert same(lanes, pieces, count)


@pytest.mark.parametrize(("pieces", "count"), CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_a_head_that_is_known_changes_no_answer(
    lanes: tuple[RunningServer, RunningServer], pieces: list[bytes], count: int
) -> None:
    plain, fast = post(ROW), lanes[0]
    before, _ = converse(fast, [plain], 1)
    alone, goes_on = converse(fast, pieces, count)
    assert converse(fast, [plain, plain, *pieces], count + 2) == (before * 2 + alone, goes_on)


SHORT = {name: asked for name, asked in {**BATCHES, **INFERENCES, **BARS}.items() if len(asked[0]) == 1}


@pytest.mark.parametrize(("pieces", "count"), SHORT.values(), ids=SHORT.keys())
def test_a_short_request_is_answered_alike_again_and_again(
    lanes: tuple[RunningServer, RunningServer], pieces: list[bytes], count: int
) -> None:
    (whole,), (fast, _) = pieces, lanes
    alone, goes_on = converse(fast, [whole], count)
    if goes_on:
        assert converse(fast, [whole] * 3, 3 * count) == (alone * 3, True)
    other = whole.replace(b"Host: localhost", b"Host: another-1", 1)  # as long, and another head
    cut = whole.index(b"\r\n\r\n") + 9
    assert same(lanes, [whole, whole[:cut], whole[cut:], other, whole], 4 * count)


def test_a_known_head_is_known_by_every_byte_and_by_the_length_that_follows(
    lanes: tuple[RunningServer, RunningServer],
) -> None:
    plain = post(ROW, b"X-Turn: 1")
    head, body = plain[: -len(ROW)], plain[-len(ROW) :]
    for again in (
        [plain + plain],
        [head, body],
        [head + body[:9], body[9:]],
        [plain + plain[:9], plain[9:]],
        [plain[:9], plain[9:]],
        [plain + b"\r\n\r\n", plain],
        [plain.replace(b"Turn: 1", b"Turn: 2")],
        [plain.replace(b"HTTP/1.1", b"HTTP/1.0")],
        [plain.replace(b"X-Turn: 1", b"Expect: 100-continue")],
        [plain.replace(b"X-Turn: 1", b"Connection: close"), plain],
        [plain.replace(b"X-Turn: 1", b"Connection: Upgrade\r\nUpgrade: h2c")],
        [head + b"{" + b" " * (len(body) - 1), plain],
        [head + b'{"features":[1]}' + b" " * (len(body) - 16), plain],
    ):
        assert same(lanes, [plain, plain, *again], 2 + b"".join(again).count(b"POST"))


def test_the_comparison_sees_real_answers(lanes: tuple[RunningServer, RunningServer]) -> None:
    answer = same(lanes, [b"".join(post(row) for row in ROWS)], len(ROWS))
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == len(ROWS)
    assert answer.count(b'"prediction_label":') == len(ROWS)
    assert b"connection: close" not in answer
    assert b"connection: close" in same(lanes, [post(ROW, b"Connection: close")])
    assert b"HTTP/1.1 100 Continue" in same(lanes, [post(ROW, b"Expect: 100-continue")])
    assert b"HTTP/1.1 400 Bad Request" in same(lanes, [b"rubbish\r\n\r\n"])
    for conversations, expected in (
        (BATCHES, {b"200", b"400", b"406", b"413", b"415", b"422"}),
        (INFERENCES, {b"200", b"400", b"404"}),
        (BARS, {b"200", b"204", b"404", b"422"}),
    ):
        last = Counter(re.findall(rb"HTTP/1.1 (\d+)", same(lanes, *asked))[-1] for asked in conversations.values())
        assert set(last) == expected
        assert last[b"200"] >= len(conversations) / 3


def test_a_length_beyond_the_limit_is_refused_before_the_body_comes(lanes: tuple[RunningServer, RunningServer]) -> None:
    answers = []
    for server in lanes:
        with server.raw() as stream:
            stream.sendall(post(b"").replace(b"Length: 0", b"Length: 99999999"))
            answers.append(_VARIES.sub(b"", replies(stream, 1)))
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"HTTP/1.1 413 ")


def test_what_is_no_http_costs_no_answer_before_it(lanes: tuple[RunningServer, RunningServer]) -> None:
    for lane in lanes:
        answer, goes_on = converse(lane, [post(ROW) * 3 + b"\x00\x01\x02 rubbish\r\n\r\n"], 4)
        assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200"] * 3 + [b"400"]
        assert not goes_on


requests = st.sampled_from(
    [
        *(post(row) for row in ROWS[:4]),
        post(b'{"features":[1]}'),
        post(ROW, b"Expect: 100-continue"),
        post(b"", b"Transfer-Encoding: chunked", length=False) + chunked(ROW, 50),
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
        *(batch(BATCH, query=query) for query in (b"", b"?on_error=entry")),
        batch(ROUGH_BATCH),
        bars({"bars": HISTORY}),
        infer(tensor()),
        infer(BINARY_HEAD + MATRIX[:2].tobytes(), json_length=len(BINARY_HEAD)),
    ]
)


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(requests, min_size=1, max_size=6), st.lists(st.integers(0, 2000), max_size=6))
def test_any_mixture_cut_anywhere_is_answered_alike(
    lanes: tuple[RunningServer, RunningServer], mixture: list[bytes], cuts: list[int]
) -> None:
    whole = b"".join(mixture)
    edges = sorted({0, *(cut for cut in cuts if cut < len(whole)), len(whole)})
    pieces = [whole[start:end] for start, end in pairwise(edges)]
    assert same(lanes, pieces, len(mixture)).count(b"HTTP/1.1 ") >= len(mixture)


def test_replies_keep_the_order_of_requests(lanes: tuple[RunningServer, RunningServer]) -> None:
    fast, _ = lanes
    expected = [fast.request("POST", "/predict", row).json()["probabilities"] for row in ROWS]
    with fast.raw() as stream:
        stream.sendall(b"".join(post(row) for row in ROWS))
        answered = replies(stream, len(ROWS))
    found = [json.loads(body)["probabilities"] for body in re.findall(rb'\{"prediction".*?\}\}?(?:,[^}]*)\}', answered)]
    assert found == expected


def test_an_idle_connection_is_closed_and_a_used_one_is_not(forest_path: Path) -> None:
    with running_server(forest_path, KEEP_ALIVE_SECONDS="1") as server, server.raw() as used, ExitStack() as stack:
        for request in (post(ROW), b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"):  # from now on its head is known
            used.sendall(request)
            replies(used, 1)
        idle = stack.enter_context(server.raw())
        idle.settimeout(DEADLINE_SECONDS)
        begun = time.monotonic()
        readable: list[socket.socket] = []
        while idle not in readable:  # use one connection for as long as the other one lasts
            assert time.monotonic() - begun < DEADLINE_SECONDS
            used.sendall(post(ROW))
            assert b" 200 OK" in replies(used, 1)
            readable = select.select([idle], [], [], 0.01)[0]
        assert idle.recv(1) == b""
        assert still_answers(used)


def test_a_connection_is_idle_from_its_reply_on(forest_path: Path) -> None:
    limits = {"KEEP_ALIVE_SECONDS": "2", "HEADER_SECONDS": "2", "BODY_SECONDS": "2"}
    with running_server(forest_path, **limits) as server, server.raw() as stream:
        whole = batch(BATCH, query=b"?on_error=fail")
        stream.sendall(whole[:-1])
        assert not select.select([stream], [], [], 1.0)[0]
        before = time.monotonic()
        stream.sendall(whole[-1:])
        replies(stream, 1)
        stream.settimeout(DEADLINE_SECONDS)
        assert stream.recv(1) == b""
        assert time.monotonic() - before >= 2.0


@pytest.mark.parametrize("lane", [0, 1])
def test_a_client_that_reads_nothing_is_not_read_from(lanes: tuple[RunningServer, RunningServer], lane: int) -> None:
    server = lanes[lane]
    burst = b"".join(post(row) for row in ROWS)
    with server.raw() as stream:
        stream.setblocking(False)
        sent = 0
        while select.select([], [stream], [], 2.0)[1]:  # until the buffers of both sides are full
            sent += stream.send(burst[sent % len(burst) :])
            assert sent < 2**26, "the server reads on, whatever piles up"
        assert server.request("POST", "/predict", ROWS[0]).status == 200
        asked = sent // len(burst) * len(ROWS)
        stream.setblocking(True)
        assert replies(stream, asked).count(b"HTTP/1.1 200 OK") >= asked


def test_a_stop_loses_no_request_that_has_begun(forest_path: Path) -> None:
    with running_server(forest_path) as server, server.raw() as stream:
        whole = post(ROW)
        stream.sendall(whole[:-10])
        server.request("GET", "/health/live")  # the first part has been read when this is answered
        server.process.terminate()
        server.wait_for_line("Shutting down|Waiting for connections")
        stream.sendall(whole[-10:])
        answer = replies(stream, 1)
        assert b" 200 OK" in answer
        assert b"connection: close" in answer


def test_the_access_log_is_the_same(forest_path: Path) -> None:
    lines = []
    for lane in ("fast", "asgi"):
        with running_server(forest_path, LANE=lane, ACCESS_LOG="1") as server:
            assert server.request("POST", "/predict", ROWS[0]).status == 200
            lines.append(
                server.wait_for_line(r'INFO (tickline.access: 127.0.0.1:)\d+ (200) \S+ms ("POST /predict")').groups()
            )
    assert lines[0] == lines[1]


def test_both_lanes_count_alike(lanes: tuple[RunningServer, RunningServer]) -> None:
    def counts(server: RunningServer) -> dict[str, float]:
        text = server.request("GET", "/metrics").body.decode()
        found = re.findall(
            r"^((?:http_requests|predictions)_total\{.*\}|http_\w+_count\{.*\}) (\S+)$", text, re.MULTILINE
        )
        return {name: float(value) for name, value in found if re.search("/predict|predictions|/infer|/symbols", name)}

    before = [counts(server) for server in lanes]
    several = [batch(BATCH), batch(ROUGH_BATCH), batch(b"[]"), infer(tensor()), infer(b"[]"), bars({"bars": HISTORY})]
    several += [SEED, symbol({"bar": NEXT}), FORGET]
    mixture = [*(post(row) for row in ROWS), *several, post(b"{}")]
    same(lanes, mixture, len(mixture))
    fast, asgi = (
        {name: value - old.get(name, 0) for name, value in counts(server).items() if value != old.get(name, 0)}
        for server, old in zip(lanes, before, strict=True)
    )
    assert fast == asgi
    predicted = sum(value for name, value in fast.items() if name.startswith("predictions_total"))
    assert predicted == len(ROWS) + 4 + 2 + 2 + 3 + 1
    for route in ("/v2/models/{model_name}/infer", "/predict/bars", "/symbols/{ticker}/bars"):
        assert fast[f'http_requests_total{{method="POST",route="{route}",status="200"}}'] == 1
    assert fast['http_requests_total{method="POST",route="/predict/batch",status="200"}'] == 2
    assert 'http_requests_total{method="POST",route="/predict",status="422"}' in fast


def test_uvicorn_is_as_the_lane_expects() -> None:
    assert issubclass(FastLane, HttpToolsProtocol)
    for name in ("on_message_begin", "on_headers_complete", "on_body", "on_message_complete", "shutdown"):
        assert getattr(FastLane, name) is not getattr(HttpToolsProtocol, name)
    for name in ("_start_asgi_task", "timeout_keep_alive_handler"):
        assert getattr(AsgiLane, name) is not getattr(HttpToolsProtocol, name)
    for name in ("send_400_response", "resume_writing", "connection_made", "connection_lost", "on_url", "on_header"):
        assert callable(getattr(HttpToolsProtocol, name))
    assert uvicorn.__version__.startswith("0.54."), "read uvicorn's changes, then allow the release in pyproject.toml"
