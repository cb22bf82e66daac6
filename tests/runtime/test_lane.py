"""Both lanes answer alike: one conversation, sent to a server of each lane, compared byte for byte."""

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

import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runtime.asgi_lane import AsgiLane
from runtime.lane import FastLane
from tests.runtime.conversations import (
    BARS,
    BATCH,
    BATCHES,
    BINARY_HEAD,
    CONVERSATIONS,
    FORGET,
    HISTORY,
    INFERENCES,
    MATRIX,
    NEXT,
    ROUGH_BATCH,
    ROW,
    ROWS,
    SEED,
    STRANGE_TARGETS,
    TRAILERS,
    UPGRADE,
    bars,
    batch,
    chunked,
    infer,
    post,
    replies,
    symbol,
    tensor,
)
from tests.serving import DEADLINE_SECONDS, RunningServer, running_server

LIMITS = {"MAX_BODY_BYTES": "4096", "MAX_BATCH_ROWS": "50"}
_VARIES = re.compile(
    rb'(?<=\r\ndate: )[^\r]*|(?<="timestamp":")[^"]*|(?<=\r\nx-request-id: )[0-9a-f]{32}(?=\r)', re.IGNORECASE
)


@pytest.fixture(scope="module")
def lanes(forest_path: Path) -> Iterator[tuple[RunningServer, RunningServer]]:
    """Two servers on one model, one a lane."""
    with (
        running_server(forest_path, LANE="fast", **LIMITS) as fast,
        running_server(forest_path, LANE="asgi", **LIMITS) as asgi,
    ):
        yield fast, asgi


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
        last = Counter(statuses(same(lanes, *asked))[-1] for asked in conversations.values())
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
        assert statuses(answer) == [b"200"] * 3 + [b"400"]
        assert not goes_on


def statuses(answer: bytes) -> list[bytes]:
    """Return the statuses of replies."""
    return re.findall(rb"HTTP/1.1 (\d+)", answer)


@pytest.mark.parametrize("target", STRANGE_TARGETS)
def test_a_target_that_is_none_is_refused_in_its_turn(
    lanes: tuple[RunningServer, RunningServer], target: bytes
) -> None:
    pending = bars({"bars": HISTORY}, query=b"?all=true")
    answer = same(lanes, [post(ROW) + pending + post(ROW, b"X-Request-ID: mine", path=target)], 3)
    assert statuses(answer) == [b"200", b"200", b"400"]
    assert b'"predictions"' in answer.split(b"HTTP/1.1 ")[2]
    assert b"\r\nx-request-id: mine\r\n" in answer.split(b"HTTP/1.1 ")[3]
    assert statuses(same(lanes, [post(ROW, path=target)])) == [b"400"]  # also as the first on its connection


@pytest.mark.parametrize("path", [b"/predict", b"/predict/batch"])
@pytest.mark.parametrize("trailer", TRAILERS)
def test_trailers_are_no_headers(lanes: tuple[RunningServer, RunningServer], path: bytes, trailer: bytes) -> None:
    for body in (ROW if path == b"/predict" else BATCH, b"{}"):
        head = post(b"", b"Transfer-Encoding: chunked", path=path, length=False)
        whole = head + chunked(body)
        without = same(lanes, [whole])
        for pieces in ([whole[:-2] + trailer + b"\r\n\r\n"], [whole[:-2], trailer + b"\r\n\r\n"]):
            assert same(lanes, pieces) == without


def test_an_upgrade_is_declined_and_loses_no_request(lanes: tuple[RunningServer, RunningServer]) -> None:
    for name in ("upgrade", "upgrades, pipelined", "an upgrade in chunks", "an upgrade without a body"):
        pieces, count = CONVERSATIONS[name]
        assert statuses(same(lanes, pieces, count)) == [b"200"] * count
    hidden = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"  # a body is no request, also where it looks like one
    assert statuses(same(lanes, [post(b"", *UPGRADE).replace(b": 0", b": %d" % len(hidden)), hidden])) == [b"400"]


requests = st.sampled_from(
    [
        *(post(row) for row in ROWS[:4]),
        post(b'{"features":[1]}'),
        post(ROW, b"Expect: 100-continue"),
        post(b"", b"Transfer-Encoding: chunked", length=False) + chunked(ROW, 50),
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
        post(ROW, *UPGRADE),
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


@pytest.mark.parametrize("lane", ["fast", "asgi"])
def test_empty_lines_keep_no_connection_open(forest_path: Path, lane: str) -> None:
    with running_server(forest_path, LANE=lane, KEEP_ALIVE_SECONDS="1") as server, server.raw() as stream:
        begun = time.monotonic()
        while not select.select([stream], [], [], 0.02)[0]:
            assert time.monotonic() - begun < DEADLINE_SECONDS
            stream.sendall(b"\r\n")


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


@pytest.mark.parametrize("lane", ["fast", "asgi"])
def test_what_follows_the_last_request_of_a_connection_is_not_counted(forest_path: Path, lane: str) -> None:
    def counted(server: RunningServer) -> list[int]:
        text = server.request("GET", "/metrics").body.decode()
        names = r'http_requests_total\{method="POST".*\}', r"predictions_total\{.*\}", "drift_rows"
        return [sum(map(int, re.findall(rf"\n{name} (\d+)", text))) for name in names]

    last, probe = b"Connection: close", b"GET /model/info HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with running_server(forest_path, LANE=lane, DRAIN_SECONDS="600") as server:
        for request, rows in ((post(ROW, last), 1), (batch(BATCH, last), 4), (post(b"{}", last), 0)):
            before = counted(server)
            for more in (post(ROW) * 2, batch(BATCH), probe + post(ROW), post(ROW)[:-9]):
                with server.raw() as stream:
                    stream.sendall(request + more)
                    assert replies(stream, 9).count(b"HTTP/1.1 ") == 1
            assert [now - then for now, then in zip(counted(server), before, strict=True)] == [4, 4 * rows, 4 * rows]
        before = counted(server)
        server.process.terminate()
        server.wait_for_line("draining")
        with server.raw() as stream:
            stream.sendall(post(ROW) * 3)
            answer = replies(stream, 3)
        assert answer.count(b"HTTP/1.1 200 OK") == answer.count(b"connection: close") == 1
        assert [now - then for now, then in zip(counted(server), before, strict=True)] == [1, 1, 1]


def test_uvicorn_is_as_the_lane_expects() -> None:
    assert issubclass(FastLane, HttpToolsProtocol)
    for name in ("on_message_begin", "on_headers_complete", "on_body", "on_message_complete", "shutdown"):
        assert getattr(FastLane, name) is not getattr(HttpToolsProtocol, name)
    for name in ("_start_asgi_task", "timeout_keep_alive_handler"):
        assert getattr(AsgiLane, name) is not getattr(HttpToolsProtocol, name)
    for name in ("send_400_response", "resume_writing", "connection_made", "connection_lost", "on_url", "on_header"):
        assert callable(getattr(HttpToolsProtocol, name))
    assert uvicorn.__version__.startswith("0.54."), "read uvicorn's changes, then allow the release in pyproject.toml"
