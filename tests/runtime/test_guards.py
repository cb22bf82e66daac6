"""Bounds and doors on the wire, alike on both lanes: load, slow and hostile clients, tokens, deadlines, ids."""

import json
import re
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from runtime.short_requests import MOST_BYTES
from tests.runtime.conversations import ROW, ROWS, chunked, post, replies
from tests.runtime.test_server import start_and_fail
from tests.serving import DEADLINE_SECONDS, RunningServer, free_port, running_server, self_signed, wait_until

BATCH = b'{"features":[' + ROW[12:-1] + b"]}"
WAITING = b"/predict/batch?on_error=fail"
"""A batch that takes its turn, however small it is: the application answers it."""

LANES = ("fast", "asgi")
TOKENS = "first-token,second.token~=="


@pytest.fixture(scope="module", params=LANES)
def guarded(request: pytest.FixtureRequest, forest_path: Path) -> Iterator[RunningServer]:
    """A server with every door shut and small bounds."""
    with running_server(
        forest_path,
        LANE=request.param,
        PREDICT_TOKENS=TOKENS,
        RELOAD_TOKEN="admin",
        MAX_BODY_BYTES="65536",
        MAX_HEADER_BYTES="4096",
        HEADER_SECONDS="1",
        BODY_SECONDS="1",
    ) as running:
        yield running


def ask(server: RunningServer, *pieces: bytes) -> bytes:
    """Send bytes over a connection of its own and return the first reply, or nothing."""
    with server.raw() as stream:
        for piece in pieces:
            try:
                stream.sendall(piece)
            except OSError:  # the server has answered and closed
                break
        return replies(stream, 1)


def status(reply: bytes) -> int:
    return int(reply[9:12])


def rejected(server: RunningServer, reason: str) -> float:
    text = server.request("GET", "/metrics").body.decode()
    found = re.search(rf'^requests_rejected_total{{reason="{reason}"}} (\S+)$', text, re.MULTILINE)
    assert found
    return float(found[1])


BEARER = b"Authorization: Bearer first-token"


def test_predictions_are_for_those_who_have_a_token(guarded: RunningServer) -> None:
    for scheme in (b"Bearer first-token", b"bearer second.token~=="):
        for _ in range(3):  # the second and third time the head is known
            assert status(ask(guarded, post(ROW, b"Authorization: " + scheme))) == 200
    for wrong in (b"Bearer", b"Bearer first", b"Bearer first-token1", b"Basic first-token", b"first-token", b""):
        reply = ask(guarded, post(ROW, b"Authorization: " + wrong))
        assert status(reply) == 401
        assert b"\r\nwww-authenticate: Bearer\r\n" in reply
        assert b"first" not in reply
    for path in ("/", "/predict/demo", "/model/info", "/openapi.json", "/v2", "/v2/models/random_forest"):
        assert guarded.request("GET", path).status == 401
        assert guarded.request("GET", path).headers["www-authenticate"] == "Bearer"
    for bulk in (b"/predict/batch", b"/predict/bars", b"/v2/models/random_forest/infer"):
        assert status(ask(guarded, post(BATCH, path=bulk))) == 401
    for path in ("/health", "/health/live", "/health/ready", "/v2/health/ready", "/metrics"):
        assert guarded.request("GET", path).status == 200
    assert status(ask(guarded, post(BATCH, BEARER, path=b"/predict/batch"))) == 200


def test_a_token_for_predictions_is_none_for_reloads(guarded: RunningServer) -> None:
    assert guarded.request("POST", "/reload", b"", Authorization="Bearer first-token").status == 401
    assert guarded.request("POST", "/reload", b"", Authorization="Bearer admin").status == 200
    assert status(ask(guarded, post(ROW, b"Authorization: Bearer admin"))) == 401


def test_no_token_and_no_payload_is_logged(forest_path: Path) -> None:
    with running_server(
        forest_path, PREDICT_TOKENS=TOKENS, RELOAD_TOKEN="admin", ACCESS_LOG="1", LOG_LEVEL="DEBUG", LOG_FORMAT="json"
    ) as server:
        secret = b'{"features":[12345.678]}'
        assert status(ask(server, post(ROW, BEARER, b"X-Request-ID: good-1"))) == 200
        assert status(ask(server, post(secret, BEARER, path=b"/predict?key=query-secret"))) == 422
        assert status(ask(server, post(secret, b"Authorization: Bearer wrong-token"))) == 401
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.log]
    logged = [line for line in lines if line["logger"] == "tickline.access" and line["path"] == "/predict"]
    assert [line["status"] for line in logged] == [200, 422, 401]
    assert logged[0]["request_id"] == "good-1"
    assert len({line["request_id"] for line in logged}) == 3
    whole = "".join(server.log)
    for word in ("first-token", "wrong-token", "admin", "12345.678", "query-secret"):
        assert word not in whole


@pytest.mark.parametrize("lane", LANES)
def test_tokens_are_read_again_when_their_file_changes(lane: str, forest_path: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# who may ask\nold-token\n\n")
    with running_server(forest_path, LANE=lane, PREDICT_TOKEN_FILE=str(file)) as server:
        old, new = (post(ROW, b"Authorization: Bearer " + token) for token in (b"old-token", b"new-token"))
        with server.raw() as stream:
            for _ in range(3):
                stream.sendall(old)
                assert status(replies(stream, 1)) == 200
            assert status(ask(server, new)) == 401
            file.write_text("new-token\n")
            assert server.request("POST", "/reload", b"").status == 200
            stream.sendall(old)
            assert status(replies(stream, 1)) == 401
        assert status(ask(server, new)) == 200
        file.write_text("no token at all\n")
        server.wait_for_line("the tokens that were read before hold on")
        assert status(ask(server, new)) == 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"PREDICT_TOKENS": "has space"}, "PREDICT_TOKENS: token 1 is none"),
        ({"PREDICT_TOKEN_FILE": "/nowhere"}, "PREDICT_TOKEN_FILE /nowhere: cannot be read: No such file"),
        ({"RELOAD_TOKEN_FILE": "/dev/null"}, "RELOAD_TOKEN_FILE /dev/null: cannot be read: expected a file of"),
        ({"PREDICT_TOKEN_FILE": "/dev/zero"}, "PREDICT_TOKEN_FILE /dev/zero: cannot be read: expected a file of bytes"),
        ({"RELOAD_TOKEN_FILE": "/dev"}, "RELOAD_TOKEN_FILE /dev: cannot be read: Is a directory"),
        ({"TLS_CERT_FILE": "/nowhere"}, "TLS_KEY_FILE: expected a path, because TLS_CERT_FILE is set"),
        ({"TLS_CERT_FILE": "/nowhere", "TLS_KEY_FILE": "/nowhere"}, "TLS_CERT_FILE /nowhere: cannot be read: No such"),
        ({"TLS_CERT_FILE": __file__, "TLS_KEY_FILE": "/dev/zero"}, "TLS_KEY_FILE /dev/zero: cannot be read: expected"),
        ({"TLS_CERT_FILE": __file__, "TLS_KEY_FILE": __file__}, f"TLS_CERT_FILE {__file__}, TLS_KEY_FILE {__file__}:"),
    ],
)
def test_it_does_not_start_with_secrets_that_cannot_be_used(
    settings: dict[str, str], message: str, forest_path: Path
) -> None:
    code, error = start_and_fail(MODEL_PATH=str(forest_path), **settings)
    assert code == 1
    assert error.startswith(f"tickline: {message}")
    assert error.count("\n") == 1
    assert "has space" not in error


def test_ids_are_returned_where_they_are_safe_and_replaced_where_not(guarded: RunningServer) -> None:
    for path, body in ((b"/predict", ROW), (b"/predict/batch", BATCH), (b"/predict", b"{}")):
        reply = ask(guarded, post(body, BEARER, b"X-Request-ID: a.B-9_:/+=", path=path))
        assert b"\r\nx-request-id: a.B-9_:/+=\r\n" in reply
        for bad in (b"a b", b"a\tb", b'a"', b"\xff", b"x" * 129, b""):
            found = re.search(
                rb"\r\nx-request-id: ([^\r]*)\r\n", ask(guarded, post(body, BEARER, b"X-Request-ID: " + bad))
            )
            assert found
            assert re.fullmatch(rb"[0-9a-f]{32}", found[1])
        assert b"x-request-id" not in ask(guarded, post(body, BEARER, path=path))


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (post(ROW, BEARER, b"X-Request-ID: mine", b"Host: other"), 400),
        (post(ROW, BEARER, b"X-Request-ID: mine", b"X: \x00"), 400),
        (post(ROW, BEARER, b"X-Request-ID: mine", *(b"X: 1" for _ in range(100))), 431),
        (post(ROW, BEARER, b"X-Request-ID: mine", b"Transfer-Encoding: gzip", length=False), 501),
        (post(b"x", BEARER, b"X-Request-ID: mine", b"Transfer-Encoding: chunked", length=False), 400),
        (post(b"1\r\n{\r\nx", BEARER, b"X-Request-ID: mine", b"Transfer-Encoding: chunked", length=False), 400),
        (post(ROW, BEARER, b"X-Request-ID: mine")[:-1], 408),
    ],
)
@pytest.mark.parametrize("path", [b"/predict", b"/predict/batch"])
def test_what_is_not_read_to_its_end_keeps_its_id(
    guarded: RunningServer, path: bytes, request_bytes: bytes, expected: int
) -> None:
    request = request_bytes.replace(b"/predict", path, 1)
    with guarded.raw() as stream:
        stream.sendall(post(ROW, BEARER, b"X-Request-ID: before") + request)
        answers = replies(stream, 2)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"%d" % expected]
    assert re.findall(rb"\r\nx-request-id: (.*?)\r\n", answers) == [b"before", b"mine"]


def test_a_line_that_is_no_request_has_not_the_id_of_the_one_before(guarded: RunningServer) -> None:
    for lines in (b"\x00\r\n\r\n", b"get / HTTP/1.1\r\n\r\n"):
        with guarded.raw() as stream:
            stream.sendall(post(ROW, BEARER, b"X-Request-ID: before") + lines)
            answers = replies(stream, 2)
        assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"400"]
        assert answers.count(b"x-request-id") == 1


def test_a_deadline_that_has_passed_is_a_504_and_no_prediction(guarded: RunningServer) -> None:
    before = rejected(guarded, "deadline")
    for path, body in ((b"/predict", ROW), (b"/predict/batch", BATCH)):
        assert status(ask(guarded, post(body, BEARER, b"X-Request-Deadline-Ms: 60000", path=path))) == 200
        assert status(ask(guarded, post(body, BEARER, b"X-Request-Deadline-Ms: soon", path=path))) == 400
        late = post(body, BEARER, b"X-Request-Deadline-Ms: 0", path=path)
        assert status(ask(guarded, late)) == 504
    assert rejected(guarded, "deadline") == before + 2


def test_a_pipelined_request_has_not_the_deadline_and_the_id_of_the_one_before(guarded: RunningServer) -> None:
    late = post(BATCH, BEARER, b"X-Request-Deadline-Ms: 0", b"X-Request-ID: late", path=WAITING)
    rest = [post(BATCH, BEARER, path=WAITING), post(ROW, BEARER, path=b"/predict?")]
    with guarded.raw() as stream:
        stream.sendall(late + b"".join(rest))
        answers = replies(stream, 3)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"504", b"200", b"200"]
    assert answers.count(b"x-request-id") == 1


def test_a_client_that_leaves_behind_several_requests_is_no_error(guarded: RunningServer) -> None:
    rows = b'{"features":[' + b",".join([ROW[12:-1]] * 100) + b"]}"
    for _ in range(20):
        with guarded.raw() as stream:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # to close is to reset
            stream.sendall(post(rows, BEARER, path=WAITING) * 3)
            guarded.request("GET", "/health/live")  # it has read them

    def idle() -> bool:
        return "\nrequests_in_flight 1.0\n" in guarded.request("GET", "/metrics").body.decode()

    wait_until(idle, "nothing but this scrape is under way", guarded.process)
    assert "Traceback" not in "".join(guarded.log)


HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
CHUNKS = HEAD + b"Content-Type: application/json\r\n" + BEARER + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
HOSTS = (
    b"",
    b"a_b.c:5000",
    b"127.0.0.1:",
    b"[::1]:80",
    b"[::ffff:1.2.3.4]",
    b"[v1.a:b]",
    b"%41b",
    b"a,b;c=d!~",
    b":80",
)
NO_HOSTS = (
    *(b"a b", b"a/b", b"user@a", b"a?b", b"a#b", b"<a>", b'"a"', b"a\\b", b"a^b", b"\xe9", b"a\tb", b"%4", b"%zz"),
    *(b"::1", b"[::1", b"[]", b"[g]", b"[::1]x", b"a:b", b"a:80:80"),
)
HOSTILE = {
    "many headers": (post(ROW, BEARER, *(b"X: 1" for _ in range(100))), 431),
    "a large header": (post(ROW, BEARER, b"X: " + b"a" * 5000), 431),
    "a large header name": (post(ROW, BEARER, b"X" * 5000 + b": 1"), 431),
    "a large target": (post(ROW, BEARER, path=b"/predict?" + b"a" * 5000), 431),
    "headers without end": (HEAD + b"X: 1\r\n" * 100_000, 431),
    "one header without end": (HEAD + b"X: " + b"a" * 600_000, 431),
    "a long body": (HEAD + BEARER + b"\r\nContent-Length: 65537\r\n\r\n", 413),
    "no host": (post(ROW, BEARER).replace(b"Host: localhost\r\n", b""), 400),
    "two hosts": (post(ROW, BEARER, b"Host: other"), 400),
    **{f"the host {host!r}": (post(ROW, BEARER).replace(b"localhost", host), 400) for host in NO_HOSTS},
    "a host that is none, of a batch": (post(ROW, BEARER, path=b"/predict/batch").replace(b"localhost", b"a/b"), 400),
    "a host that is none, by HTTP/1.0": (b"GET /health HTTP/1.0\r\nHost: a b\r\n\r\n", 400),
    "a method that nobody knows": (post(ROW, BEARER).replace(b"POST", b"BREW-TEA"), 501),
    "a method that begins as one": (post(ROW, BEARER).replace(b"POST", b"POSTS"), 501),
    "a method in small letters": (post(ROW, BEARER).replace(b"POST", b"post"), 501),
    "a method that is no token": (post(ROW, BEARER).replace(b"POST", b"P(ST"), 400),
    "a method without a target": (b"BREW\r\n\r\n", 400),
    "two equal lengths": (post(ROW, BEARER, b"Content-Length: %d" % len(ROW)), 400),
    "a list of lengths": (post(b"", BEARER, b"Content-Length: 1, 1", length=False), 400),
    "a length with a sign": (post(b"", BEARER, b"Content-Length: +1", length=False), 400),
    "a length of many digits": (post(b"", BEARER, b"Content-Length: " + b"0" * 3000, length=False), 400),
    "a batch's length of many digits": (
        post(b"", BEARER, b"Content-Length: " + b"0" * 3000, length=False, path=b"/predict/batch"),
        400,
    ),
    "a length beyond 64 bits": (post(b"", BEARER, b"Content-Length: 18446744073709551617", length=False), 400),
    "length, then chunked": (post(ROW, BEARER, b"Transfer-Encoding: chunked"), 400),
    "chunked, then length": (CHUNKS.replace(b"chunked\r\n", b"chunked\r\nContent-Length: 3\r\n") + b"0\r\n\r\n", 400),
    "chunked twice": (CHUNKS.replace(b": chunked", b": chunked, chunked") + b"0\r\n\r\n", 400),
    "chunked, then another": (CHUNKS.replace(b": chunked", b": chunked, gzip") + b"0\r\n\r\n", 400),
    "gzip, then chunked": (CHUNKS.replace(b": chunked", b": gzip, chunked") + b"0\r\n\r\n", 501),
    "identity": (CHUNKS.replace(b": chunked", b": identity"), 501),
    "not quite chunked": (CHUNKS.replace(b": chunked", b": xchunked"), 501),
    "chunked by HTTP/1.0": (CHUNKS.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n", 400),
    "CONNECT": (post(ROW, BEARER).replace(b"POST", b"CONNECT"), 501),
    "a port beyond 16 bits": (post(ROW, BEARER, path=b"http://x:99999/"), 400),
    "HTTP/0.9": (b"GET /health\r\n\r\n", 505),
    "HTTP/1.2": (HEAD.replace(b"1.1", b"1.2") + b"\r\n", 400),
    "a folded length": (post(b"", BEARER, b"Content-Length:\r\n 1", length=False), 400),
    "a bare line feed": (HEAD.replace(b"\r\n", b"\n") + b"\n", 400),
    "a bare line feed after a header": (HEAD + b"X: 1\nContent-Length: 1\r\n\r\nx", 400),
    "a bare carriage return": (HEAD + b"X: 1\rY: 2\r\n\r\n", 400),
    "a tab before the colon": (HEAD + b"Content-Length\t: 1\r\n\r\nx", 400),
    "a NUL in a header": (HEAD + b"X: a\x00b\r\n\r\n", 400),
    "a chunk with a sign": (CHUNKS + b"-1\r\nx\r\n0\r\n\r\n", 400),
    "a chunk by 0x": (CHUNKS + b"0x1\r\nx\r\n0\r\n\r\n", 400),
    "a chunk with a space": (CHUNKS + b"1 \r\nx\r\n0\r\n\r\n", 400),
    "a chunk beyond 64 bits": (CHUNKS + b"1" + b"0" * 16 + b"\r\nx", 400),
    "a chunk ended by a line feed": (CHUNKS + b"1\nx\n0\n\n", 400),
    "a chunk with more than its size": (CHUNKS + b"1\r\nxy\r\n0\r\n\r\n", 400),
    "a length as a trailer": (CHUNKS + b"1\r\nx\r\n0\r\nContent-Length: 5\r\n\r\n", 400),
}


@pytest.mark.parametrize(("request_bytes", "expected"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_hostile_is_refused_and_its_connection_ends(
    guarded: RunningServer, request_bytes: bytes, expected: int
) -> None:
    with guarded.raw() as stream:
        for start in range(0, len(request_bytes), 8192):
            try:
                stream.sendall(request_bytes[start : start + 8192])
            except OSError:  # the server has answered and closed
                break
        reply = replies(stream, 1)
        assert status(reply) == expected
        if expected != 413:
            assert b"\r\nconnection: close\r\n" in reply
            assert stream.recv(1) == b""
    assert guarded.request("GET", "/health/live").status == 200


@pytest.mark.parametrize("host", HOSTS)
def test_any_host_that_may_be_one_is_served(guarded: RunningServer, host: bytes) -> None:
    for path, body in ((b"/predict", ROW), (b"/predict/batch", BATCH), (WAITING, BATCH)):
        assert status(ask(guarded, post(body, BEARER, path=path).replace(b"localhost", host))) == 200


def test_a_method_that_is_known_and_not_allowed_is_a_405(guarded: RunningServer) -> None:
    for method in (b"PROPFIND", b"TRACE", b"QUERY", b"M-SEARCH", b"GET"):
        reply = ask(guarded, post(ROW, BEARER).replace(b"POST", method))
        assert status(reply) == 405
        assert b"\r\nallow: POST\r\n" in reply


@pytest.mark.parametrize("flood", [b"1;" + b"a" * 4000 + b"\r\nx\r\n", b"0\r\n" + b"X: 1\r\n" * 1000])
def test_chunks_that_are_nearly_all_frame_are_refused(guarded: RunningServer, flood: bytes) -> None:
    # Each piece is sent when the server has read the one before: what is bounded is what it reads beside content.
    with guarded.raw() as stream:
        stream.sendall(CHUNKS)
        stream.sendall(b"1\r\n{\r\n")
        sent = 0
        while not select.select([stream], [], [], 0.01)[0]:
            assert sent < 2**21, "the server reads on"
            try:
                stream.sendall(flood if not sent or flood[:1] == b"1" else b"X: 1\r\n" * 1000)
            except OSError:
                return
            sent += len(flood)
        assert stream.recv(1 << 16)[9:12] == b"400"


def test_small_chunks_are_no_flood(guarded: RunningServer) -> None:
    whole = chunked(ROW, *(1 for _ in ROW))
    with guarded.raw() as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.sendall(CHUNKS)
        for start in range(0, len(whole), 6):
            stream.sendall(whole[start : start + 6])
        assert status(replies(stream, 1)) == 200


@pytest.mark.parametrize(
    "beginning",
    [
        HEAD[:9],
        HEAD + b"X: ",
        post(ROW, BEARER)[:-1],
        CHUNKS + b"5\r\n",
        post(BATCH, BEARER, path=b"/predict/batch")[:-1],
    ],
    ids=["request line", "headers", "body", "chunk", "batch"],
)
def test_a_client_that_stops_in_a_request_is_told_so(guarded: RunningServer, beginning: bytes) -> None:
    before = rejected(guarded, "slow")
    reply = ask(guarded, beginning)
    assert status(reply) == 408
    assert b"\r\nconnection: close\r\n" in reply
    assert rejected(guarded, "slow") == before + 1


def test_a_thousand_slow_clients_stop_no_one(guarded: RunningServer) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(guarded.raw()) for _ in range(1000)]
        for stream in streams:
            stream.sendall(HEAD)
        for _ in range(20):
            assert status(ask(guarded, post(ROW, BEARER))) == 200
        for stream in streams:
            assert status(replies(stream, 1)) == 408


@pytest.mark.parametrize("lane", LANES)
def test_connections_are_capped(lane: str, forest_path: Path) -> None:
    with running_server(forest_path, LANE=lane, MAX_CONNECTIONS="3") as server, ExitStack() as stack:
        streams = [stack.enter_context(server.raw()) for _ in range(3)]
        for stream in streams:
            stream.sendall(post(ROW))
            assert status(replies(stream, 1)) == 200
        refused = ask(server, post(ROW))
        assert status(refused) == 503
        assert b"\r\nretry-after: 1\r\n" in refused
        streams[0].close()
        wait_until(lambda: server.request("GET", "/health/live").status == 200, "a connection is free")
        assert rejected(server, "connections") >= 1


@pytest.mark.parametrize("lane", LANES)
def test_excess_is_refused_at_once_and_predictions_go_on(lane: str, forest_path: Path) -> None:
    bounds = {"MAX_IN_FLIGHT": "6", "MAX_QUEUED_ROWS": "100", "MAX_BATCH_ROWS": "90"}
    batch = post(BATCH + b" " * 15_000, path=WAITING)  # as long as 86 rows
    with running_server(forest_path, LANE=lane, **bounds) as server, ExitStack() as stack:
        held = stack.enter_context(server.raw())
        held.sendall(batch[:-1])  # under way until its last byte comes
        wait_until(lambda: b"requests_in_flight 2.0" in server.request("GET", "/metrics").body, "it is under way")
        for path in (WAITING, b"/v2/models/random_forest/infer"):
            refused = ask(server, batch.replace(WAITING, path))
            assert status(refused) == 503
            assert b"\r\nretry-after: 1\r\n" in refused
        assert rejected(server, "queued_rows") == 2
        small = post(BATCH, path=WAITING)
        more = [stack.enter_context(server.raw()) for _ in range(2)]
        for stream in more:
            stream.sendall(small[:-1])
        wait_until(lambda: b"requests_in_flight 4.0" in server.request("GET", "/metrics").body, "half is taken")
        assert status(ask(server, small)) == 503
        assert rejected(server, "in_flight") == 1
        for _ in range(20):
            assert status(ask(server, post(ROW))) == 200
        held.sendall(batch[-1:])
        assert status(replies(held, 1)) == 200
        for stream in more:
            stream.sendall(small[-1:])
            assert status(replies(stream, 1)) == 200
        assert status(ask(server, batch)) == 200


@pytest.mark.parametrize("lane", LANES)
def test_a_refused_batch_leaves_its_connection_in_order(lane: str, forest_path: Path) -> None:
    batch, identity = post(BATCH + b" " * 15_000, path=WAITING), b"X-Request-ID: mine-7\r\n"
    known = batch.replace(b"Host:", identity + b"Host:", 1)
    with running_server(forest_path, LANE=lane, MAX_QUEUED_ROWS="100") as server, ExitStack() as stack:
        held, stream = (stack.enter_context(server.raw()) for _ in range(2))
        held.sendall(batch[:-1])
        wait_until(lambda: b"requests_in_flight 2.0" in server.request("GET", "/metrics").body, "it is under way")
        stream.sendall(post(ROW) + batch + post(ROW) + known + post(ROW))
        found = replies(stream, 5)
        assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"200", b"503", b"200", b"503", b"200"]
        assert found.count(b"x-request-id: mine-7\r\n") == 1
        assert found.count(b"\r\nretry-after: 1\r\n") == 2
        stream.sendall(batch[:-9_000])
        stream.sendall(batch[-9_000:])
        assert status(replies(stream, 1)) == 503
        assert rejected(server, "queued_rows") == 3
        line = b'http_requests_total{method="POST",route="/predict/batch",status="503"} 3.0'
        metrics = server.request("GET", "/metrics").body
        assert line in metrics
        assert b"requests_in_flight 2.0" in metrics
        held.sendall(batch[-1:])
        assert status(replies(held, 1)) == 200
        wait_until(lambda: b"requests_in_flight 1.0" in server.request("GET", "/metrics").body, "it is done")
        stream.sendall(batch)
        assert status(replies(stream, 1)) == 200


def test_a_small_batch_does_not_wait_for_longer_ones(forest_path: Path) -> None:
    found = []
    for lane in LANES:
        with running_server(forest_path, LANE=lane, MAX_QUEUED_ROWS="100") as server, server.raw() as held:
            held.sendall(post(BATCH + b" " * 15_000, path=WAITING)[:-1])
            wait_until(lambda: b"requests_in_flight 2.0" in server.request("GET", "/metrics").body, "it is under way")
            long = BATCH + b" " * MOST_BYTES
            found.append([status(ask(server, post(body, path=b"/predict/batch"))) for body in (BATCH, long)])
    assert found == [[200, 503], [200, 503]]


def test_both_lanes_refuse_a_batch_alike(forest_path: Path) -> None:
    batch, found = post(BATCH + b" " * 15_000, path=WAITING), []
    for lane in LANES:
        with running_server(forest_path, LANE=lane, MAX_QUEUED_ROWS="100") as server, server.raw() as held:
            held.sendall(batch[:-1])
            wait_until(lambda: b"requests_in_flight 2.0" in server.request("GET", "/metrics").body, "it is under way")
            found.append(re.sub(rb"date: [^\r]*", b"", ask(server, batch)))
    assert found[0].startswith(b"HTTP/1.1 503 ")
    assert found[0] == found[1]


def test_metrics_have_a_port_of_their_own(forest_path: Path) -> None:
    port = free_port()
    with running_server(forest_path, METRICS_PORT=str(port)) as server:
        assert status(ask(server, post(ROW))) == 200
        assert server.request("GET", "/metrics").status == 404
        server.port, port = port, server.port
        assert server.request("GET", "/metrics").status == 200
        assert server.request("GET", "/health/ready").status == 200
        for _ in range(2):
            assert status(ask(server, post(ROW))) == 404


@pytest.mark.parametrize("lane", LANES)
def test_all_is_served_over_tls(lane: str, forest_path: Path, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    files = {"TLS_CERT_FILE": str(certificate), "TLS_KEY_FILE": str(key)}
    with running_server(forest_path, LANE=lane, **files) as server:
        with server.connection() as client:
            for row in ROWS * 3:
                assert client.post("/predict", row).json()["prediction_label"] in ("DOWN", "UP")
        assert ask(server, post(ROW)) == b""  # no word without TLS
        assert server.stop() == 0


@pytest.mark.parametrize("lane", LANES)
def test_an_idle_client_over_tls_does_not_hold_up_a_stop(lane: str, forest_path: Path, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    files = {"TLS_CERT_FILE": str(certificate), "TLS_KEY_FILE": str(key)}
    with (
        running_server(forest_path, LANE=lane, GRACE_SECONDS="10", **files) as server,
        server.connection() as idle,
    ):
        assert idle.post("/predict", ROW).status == 200
        assert server.stop() == 0
        server.wait_for_line("Finished server process")
    assert not any("graceful shutdown exceeded" in line for line in server.log)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("lane", LANES)
def test_a_stop_is_unready_first_and_answers_meanwhile(lane: str, workers: str, forest_path: Path) -> None:
    with (
        running_server(forest_path, LANE=lane, WORKERS=workers, DRAIN_SECONDS="2") as server,
        server.connection() as kept,
    ):
        assert kept.post("/predict", ROW).headers.get("connection") is None

        def all_say(words: str) -> bool:
            return sum(words in line for line in server.log) == int(workers)

        wait_until(lambda: all_say("certificate verified"), "every worker serves")
        server.process.terminate()
        wait_until(lambda: all_say("draining: unready"), "every worker is unready")
        assert server.request("GET", "/health/ready").status == 503
        for _ in range(5):
            with server.connection() as fresh:
                answer = fresh.post("/predict", ROW)
                assert (answer.status, answer.headers["connection"]) == (200, "close")
        last = kept.post("/predict", ROW)
        assert (last.status, last.headers["connection"]) == (200, "close")
        assert server.process.wait(DEADLINE_SECONDS) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 1)


def test_a_second_signal_cuts_the_drain_short(forest_path: Path) -> None:
    with running_server(forest_path, DRAIN_SECONDS="600") as server:
        server.process.terminate()
        server.wait_for_line("draining: unready")
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < DEADLINE_SECONDS
