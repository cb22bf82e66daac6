"""Connections over real sockets: replies put together, faults told apart, connections opened again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench.connections import LOST, MALFORMED, Reply, Sockets, post
from bench.servers import MeasureError
from tests.bench.loopback import loopback, reply
from tests.serving import wait_until


@contextmanager
def connected(answer: Callable[[bytes, bytes], bytes | None], connections: int = 1) -> Iterator[Sockets]:
    with loopback(answer) as port:
        sockets = Sockets("127.0.0.1", port, connections)
        try:
            yield sockets
        finally:
            sockets.close()


def ask(sockets: Sockets, request: bytes, connection: int = 0) -> Reply:
    """Send a request and wait for what comes."""
    found: list[tuple[int, Reply]] = []
    sockets.send(connection, request)

    def arrived() -> bool:
        found.extend(sockets.answered())
        return bool(found)

    wait_until(arrived, "a reply")
    ((where, answer),) = found
    assert where == connection
    return answer


def test_a_request_has_all_that_http_needs() -> None:
    request = post("/x", b"{}", "host:1", accept="a/b")
    head = b"POST /x HTTP/1.1\r\nHost: host:1\r\nContent-Type: application/json\r\nAccept: a/b\r\nContent-Length: 2"
    assert request == head + b"\r\n\r\n{}"


def test_every_connection_gets_its_own_reply() -> None:
    with connected(lambda line, body: reply(body[::-1]), connections=3) as sockets:
        for connection in (0, 2, 1, 0):
            body = b"number %d" % connection
            assert ask(sockets, post("/", body), connection) == Reply(200, body[::-1])


def test_requests_and_replies_larger_than_any_buffer_come_through() -> None:
    body = bytes(range(256)) * 8_000
    with connected(lambda line, body: reply(body[::-1])) as sockets:
        assert ask(sockets, post("/", body)).body == body[::-1]
        assert ask(sockets, post("/", b"small")).body == b"llams"


def test_a_status_is_told() -> None:
    with connected(lambda line, body: reply(b"no", b"503 Busy")) as sockets:
        assert ask(sockets, post("/", b"")) == Reply(503, b"no")


def test_a_connection_that_the_server_ends_is_opened_again() -> None:
    answers = iter([reply(b"1", more=b"Connection: close\r\n"), None, reply(b"3")])
    with connected(lambda line, body: next(answers)) as sockets:
        assert ask(sockets, post("/", b"")) == Reply(200, b"1")
        assert ask(sockets, post("/", b"")).fault == LOST
        assert ask(sockets, post("/", b"")) == Reply(200, b"3")


@pytest.mark.parametrize("answer", [b"hello\r\n\r\n", reply(b"") + b"more", reply(b"").replace(b"Content", b"Kontent")])
def test_what_is_no_reply_is_a_fault_of_its_own(answer: bytes) -> None:
    with connected(lambda line, body: answer) as sockets:
        assert ask(sockets, post("/", b"")).fault == MALFORMED


def test_a_server_that_has_gone_is_a_fault_of_each_request() -> None:
    with loopback(lambda line, body: reply(b"")) as port:
        sockets = Sockets("127.0.0.1", port, 1)
        assert ask(sockets, post("/", b"")).status == 200
    try:
        for _ in range(2):
            assert ask(sockets, post("/", b"")).fault == LOST
    finally:
        sockets.close()


def test_names_are_resolved() -> None:
    with loopback(lambda line, body: reply(b"")) as port:
        sockets = Sockets("localhost", port, 1)
        assert ask(sockets, post("/", b"")).status == 200
        sockets.close()


def test_no_server_is_refused_at_once(closed_port: int) -> None:
    with pytest.raises(MeasureError, match=r"127\.0\.0\.1:\d+: no connection: Connection refused"):
        Sockets("127.0.0.1", closed_port, 2)
