"""Ids and deadlines on the wire, alike on both lanes: each request has its own."""

import re
from pathlib import Path

import pytest

from tests.runtime.conftest import LANES
from tests.runtime.conversations import ROW, chunked, post, replies
from tests.runtime.guarded import BATCH, BEARER, WAITING, ask, rejected, status
from tests.serving import RunningServer, running_server


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
    ],
)
@pytest.mark.parametrize("path", [b"/predict", b"/predict/batch"])
def test_what_is_not_read_to_its_end_keeps_its_id(
    guarded: RunningServer, path: bytes, request_bytes: bytes, expected: int
) -> None:
    expect_its_id(guarded, path, request_bytes, expected)


@pytest.mark.parametrize("path", [b"/predict", b"/predict/batch"])
def test_what_stops_before_its_end_keeps_its_id(impatient: RunningServer, path: bytes) -> None:
    expect_its_id(impatient, path, post(ROW, BEARER, b"X-Request-ID: mine")[:-1], 408)


def expect_its_id(server: RunningServer, path: bytes, request_bytes: bytes, expected: int) -> None:
    """Send a request with an id behind one with another; each reply must have that of its own."""
    request = request_bytes.replace(b"/predict", path, 1)
    with server.raw() as stream:
        stream.sendall(post(ROW, BEARER, b"X-Request-ID: before") + request)
        answers = replies(stream, 2)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"%d" % expected]
    assert re.findall(rb"\r\nx-request-id: (.*?)\r\n", answers) == [b"before", b"mine"]


def test_a_line_that_is_no_request_has_not_the_id_of_the_one_before(guarded: RunningServer) -> None:
    for lines, expected in ((b"\x00\r\n\r\n", b"400"), (b"get / HTTP/1.1\r\n\r\n", b"501")):
        with guarded.raw() as stream:
            stream.sendall(post(ROW, BEARER, b"X-Request-ID: before") + lines)
            answers = replies(stream, 2)
        assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", expected]
        assert answers.count(b"x-request-id") == 1


def test_a_deadline_that_has_passed_is_a_504_and_no_prediction(guarded: RunningServer) -> None:
    before = rejected(guarded, "deadline")
    for path, body in ((b"/predict", ROW), (b"/predict/batch", BATCH)):
        assert status(ask(guarded, post(body, BEARER, b"X-Request-Deadline-Ms: 60000", path=path))) == 200
        assert status(ask(guarded, post(body, BEARER, b"X-Request-Deadline-Ms: soon", path=path))) == 400
        late = post(body, BEARER, b"X-Request-Deadline-Ms: 0", path=path)
        assert status(ask(guarded, late)) == 504
    assert rejected(guarded, "deadline") == before + 2


@pytest.mark.parametrize("lane", LANES)
def test_a_body_that_is_slower_than_its_deadline_is_not_waited_for(lane: str, forest_path: Path) -> None:
    deadline = b"X-Request-Deadline-Ms: 50"
    chunks = post(b"", deadline, b"Transfer-Encoding: chunked", length=False) + chunked(ROW, 9)
    requests = [chunks, *(post(BATCH, deadline, path=path) for path in (b"/predict/batch", WAITING))]
    with running_server(forest_path, LANE=lane) as server:
        for late in (post(ROW, deadline), *requests):
            with server.raw() as stream:
                stream.sendall(post(ROW) + late[:-1])
                answers = replies(stream, 2)
                assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"504"]
                assert b"connection: close" not in answers
                stream.sendall(late[-1:] + post(ROW))
                assert status(replies(stream, 1)) == 200
        assert rejected(server, "deadline") == 4
        assert rejected(server, "slow") == 0


def test_a_pipelined_request_has_not_the_deadline_and_the_id_of_the_one_before(guarded: RunningServer) -> None:
    late = post(BATCH, BEARER, b"X-Request-Deadline-Ms: 0", b"X-Request-ID: late", path=WAITING)
    rest = [post(BATCH, BEARER, path=WAITING), post(ROW, BEARER, path=b"/predict?")]
    with guarded.raw() as stream:
        stream.sendall(late + b"".join(rest))
        answers = replies(stream, 3)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"504", b"200", b"200"]
    assert answers.count(b"x-request-id") == 1
