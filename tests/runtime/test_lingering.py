"""The end of a connection on the wire, alike on both lanes: a client reads its reply, whatever it still sends."""

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from runtime.lingering import LINGER_BYTES
from tests.bars import FIELDS, arrays
from tests.runtime.conversations import ROW, chunked, post
from tests.serving import DEADLINE_SECONDS, RunningServer, running_server, self_signed, wait_until

LANES = ("fast", "asgi")
BOUNDS = {"MAX_BODY_BYTES": "65536", "MAX_HEADER_BYTES": "4096", "HEADER_SECONDS": "1", "BODY_SECONDS": "1"}
MORE = b"x" * 2**22
"""Far more than what a socket holds that nobody reads: to send all of it, the server has to take it."""


@pytest.fixture(scope="module", params=LANES)
def server(request: pytest.FixtureRequest, forest_path: Path) -> Iterator[RunningServer]:
    """A server with small bounds."""
    with running_server(forest_path, LANE=request.param, **BOUNDS) as running:
        yield running


def whole_reply(stream: socket.socket) -> bytes:
    """Read until the server sends no more; a reset fails."""
    stream.settimeout(DEADLINE_SECONDS)
    received = b""
    while piece := stream.recv(1 << 16):
        received += piece
    return received


LONG = post(b"", b"Content-Length: 99999999", length=False)
BROKEN_CHUNK = post(b"", b"Transfer-Encoding: chunked", length=False) + b"x"
REFUSED = {
    "a head that is too large": (post(ROW, b"X: " + b"a" * 5000), 431),
    "no HTTP": (b"\0", 400),
    "a method that nobody knows": (post(ROW).replace(b"POST", b"BREW-TEA"), 501),
    "no host": (post(ROW, path=b"/predict").replace(b"localhost", b"a b"), 400),
    "a broken chunk": (BROKEN_CHUNK, 400),
    "a broken chunk of a batch": (BROKEN_CHUNK.replace(b"/predict", b"/predict/batch"), 400),
    "a body that is too large": (LONG, 413),
    "a body that is too large, then close": (LONG.replace(b"Host", b"Connection: close\r\nHost"), 413),
    "a body that is too large, by HTTP/1.0": (LONG.replace(b"HTTP/1.1", b"HTTP/1.0"), 413),
    "a batch that is too large": (LONG.replace(b"/predict", b"/predict/batch"), 413),
    "no such route": (LONG.replace(b"/predict", b"/nowhere"), 404),
    "more behind the last request": (post(ROW, b"Connection: close"), 200),
    "more behind the last request, by HTTP/1.0": (post(ROW).replace(b"HTTP/1.1", b"HTTP/1.0"), 200),
    "more behind the last batch": (
        post(b'{"features":[' + ROW[12:-1] + b"]}", b"Connection: close", path=b"/predict/batch?on_error=fail"),
        200,
    ),
}


@pytest.mark.parametrize(("request_bytes", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_a_client_that_sends_on_reads_its_reply(server: RunningServer, request_bytes: bytes, status: int) -> None:
    with server.raw() as stream:
        stream.sendall(request_bytes + MORE)
        reply = whole_reply(stream)
    assert reply.startswith(b"HTTP/1.1 %d " % status)
    assert reply.count(b"HTTP/1.1 ") == 1
    assert server.request("GET", "/health/live").status == 200


def test_replies_before_a_refusal_are_read_too(server: RunningServer) -> None:
    batch = post(b'{"features":[' + ROW[12:-1] + b"]}", path=b"/predict/batch?on_error=fail")
    with server.raw() as stream:
        stream.sendall(post(ROW) + batch + post(ROW) + b"\0" + MORE)
        assert whole_reply(stream).count(b"HTTP/1.1 200 ") == 3


def test_a_client_that_stops_and_sends_on_reads_why(server: RunningServer) -> None:
    for stopped in (post(ROW)[:9], post(ROW)[:-1], chunked(ROW)[:9]):
        with server.raw() as stream:
            stream.sendall(stopped)
            reply = stream.recv(1 << 16)
            stream.sendall(MORE)
            assert (reply + whole_reply(stream)).startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 "))


GET = b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n"
BATCH = b'{"features":[' + ROW[12:-1] + b"]}"
TURN = post(BATCH, path=b"/predict/batch?on_error=fail")
SLOW = post(ROW, path=b"/predict?")  # by way of the application
ASKED = {
    "a row": (post(ROW), [200]),
    "rows": (post(ROW) * 5, [200] * 5),
    "rows by the application": (SLOW * 5, [200] * 5),
    "a short batch": (post(BATCH, path=b"/predict/batch"), [200]),
    "a batch that takes its turn": (TURN, [200]),
    "a page": (GET, [200]),
    "a mixture": (post(ROW) + TURN + post(ROW) + GET + SLOW, [200] * 5),
    "the last request of a connection": (post(ROW, b"Connection: close", path=b"/predict?"), [200]),
    "what is refused behind others": (TURN + post(ROW) + b"\0", [200, 200, 400]),
    "half a head": (b"POST /pre", []),
    "half a body": (post(ROW)[:-1], []),
    "half a body behind a row": (post(ROW) + post(ROW)[:-1], [200]),
    "half a batch": (TURN[:-1], []),
    "half a chunk": (BROKEN_CHUNK[:-1] + b"5\r\n{", []),
    "nothing": (b"", []),
}


@pytest.mark.parametrize(("asked", "statuses"), ASKED.values(), ids=ASKED.keys())
def test_what_was_asked_to_its_end_is_answered_where_a_client_sends_no_more(
    server: RunningServer, asked: bytes, statuses: list[int]
) -> None:
    with server.raw() as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)  # so that the end comes with what is before it
        stream.sendall(asked)
        stream.shutdown(socket.SHUT_WR)
        answers = whole_reply(stream)
    assert [int(code) for code in re.findall(rb"HTTP/1.1 (\d+)", answers)] == statuses


@pytest.mark.parametrize("lane", LANES)
def test_over_tls_a_client_that_sends_on_reads_its_reply_and_a_goodbye(
    lane: str, forest_path: Path, tmp_path: Path
) -> None:
    certificate, key = self_signed(tmp_path)
    files = {"TLS_CERT_FILE": str(certificate), "TLS_KEY_FILE": str(key)}
    trusting = ssl.create_default_context(cafile=certificate)
    with running_server(forest_path, LANE=lane, **BOUNDS, **files) as server:
        for name, (request_bytes, status) in REFUSED.items():
            with (
                server.raw() as plain,
                trusting.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as stream,
            ):
                stream.sendall(request_bytes + MORE)
                reply = whole_reply(stream)
            assert reply.startswith(b"HTTP/1.1 %d " % status), name
        assert "Traceback" not in "".join(server.log)


@pytest.mark.parametrize("lane", LANES)
def test_one_connection_too_many_reads_why(lane: str, forest_path: Path) -> None:
    with running_server(forest_path, LANE=lane, MAX_CONNECTIONS="2") as server, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(server.raw())
        with server.raw() as stream:
            stream.sendall(post(ROW) + MORE)
            assert whole_reply(stream).startswith(b"HTTP/1.1 503 ")
        assert server.stop() == 0


def ends(stream: socket.socket, piece: bytes) -> bool:
    """Tell whether the server has let go of a connection: what is sent to it is answered with a reset."""
    try:
        stream.sendall(piece)
    except OSError:
        return True
    return False


def test_it_ends_after_a_while_and_after_so_many_bytes(server: RunningServer) -> None:
    for piece in (b"x", b"x" * (LINGER_BYTES // 4)):
        with server.raw() as stream:
            stream.sendall(b"\0")
            assert whole_reply(stream).startswith(b"HTTP/1.1 400 ")
            wait_until(partial(ends, stream, piece), "the connection is closed", server.process)


@pytest.mark.parametrize("lane", LANES)
def test_it_holds_up_no_stop(lane: str, forest_path: Path) -> None:
    with running_server(forest_path, LANE=lane, GRACE_SECONDS="30") as server, ExitStack() as stack:
        streams = [stack.enter_context(server.raw()) for _ in range(5)]
        for stream in streams:
            stream.sendall(b"\0")
            assert whole_reply(stream).startswith(b"HTTP/1.1 400 ")
        assert server.stop() == 0
        assert not any("graceful shutdown exceeded" in line for line in server.log)
        assert all(ends(stream, b"x") or ends(stream, b"x") for stream in streams)


@pytest.mark.parametrize("lane", LANES)
def test_it_takes_a_place_until_it_ends(lane: str, forest_path: Path) -> None:
    with running_server(forest_path, LANE=lane, MAX_CONNECTIONS="2") as server, ExitStack() as stack:
        stack.enter_context(server.raw())
        lingering = stack.enter_context(server.raw())
        lingering.sendall(b"\0")
        assert whole_reply(lingering).startswith(b"HTTP/1.1 400 ")
        assert server.request("GET", "/health/live").status == 503
        lingering.close()
        wait_until(lambda: server.request("GET", "/health/live").status == 200, "its place is free", server.process)


@pytest.mark.parametrize("lane", LANES)
def test_a_client_that_takes_nothing_of_its_last_reply_is_dropped(lane: str, forest_path: Path) -> None:
    bars = {name: np.tile(values, 40).tolist() for name, values in zip(FIELDS, arrays(0, 1000), strict=True)}
    body = json.dumps({"bars": bars}).encode()  # its reply has some megabytes, and is written at once
    asked = post(body, b"Connection: close", path=b"/predict/bars?all=true")
    with running_server(forest_path, LANE=lane, KEEP_ALIVE_SECONDS="1") as server, server.raw() as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.sendall(asked)
        line = b'requests_rejected_total{reason="slow"} 1.0'
        wait_until(lambda: line in server.request("GET", "/metrics").body, "it is dropped", server.process)
