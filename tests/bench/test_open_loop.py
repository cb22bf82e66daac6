"""The open-loop client's accounting, with a clock and connections that a test moves."""

import socket
import threading
from collections.abc import Iterable

import numpy as np
import pytest

from bench.open_loop import Outcome, Sockets, is_complete, load, post, run
from bench.servers import MeasureError

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Clock:
    """Seconds that pass only when someone lets them."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeTransport:
    """A server that takes a constant time for each request, one after the other, and stalls once.

    Looking for replies lets a tick pass, and sending costs what a test says.
    """

    def __init__(self, clock: Clock, connections: int, service: float, stall: tuple[float, float] = (0.0, 0.0)) -> None:
        self.connections = connections
        self.sent: list[tuple[float, int, bytes]] = []
        self.tick = 0.001
        self.cost = 0.0
        self._clock = clock
        self._service = service
        self._stall = clock.now + stall[0], clock.now + stall[0] + stall[1]
        self._idle_from = 0.0
        self._finished: list[tuple[float, int]] = []

    def send(self, connection: int, request: bytes) -> None:
        assert all(busy != connection for _, busy in self._finished), "the connection waits for a reply"
        self._clock.now += self.cost
        self.sent.append((self._clock.now, connection, request))
        begin = max(self._clock.now, self._idle_from)
        if self._stall[0] <= begin < self._stall[1]:
            begin = self._stall[1]
        self._idle_from = begin + self._service
        self._finished.append((self._idle_from, connection))

    def answered(self) -> Iterable[int]:
        self._clock.now += self.tick
        ready = [connection for at, connection in self._finished if at <= self._clock.now]
        self._finished = [(at, connection) for at, connection in self._finished if at > self._clock.now]
        return ready


def test_requests_leave_at_a_fixed_rate_in_turn() -> None:
    clock = Clock()
    transport = FakeTransport(clock, connections=4, service=0.0)
    outcome = run(transport, [b"a", b"b", b"c"], rate=10.0, count=6, clock=clock)
    assert [request for _, _, request in transport.sent] == [b"a", b"b", b"c", b"a", b"b", b"c"]
    np.testing.assert_allclose([at for at, _, _ in transport.sent], 100.0 + np.arange(6) / 10, atol=0.0011)
    assert outcome.latencies.max() <= 0.0021
    assert outcome.delays.max() <= 0.0011


def test_a_stall_is_seen_by_all_that_were_due_meanwhile() -> None:
    clock = Clock()
    transport = FakeTransport(clock, connections=64, service=0.0, stall=(1.0, 0.5))
    outcome = run(transport, [b"x"], rate=100.0, count=300, clock=clock)
    # 50 requests fell into the stall of half a second: the first waited for all of it, the last for next to nothing.
    assert np.count_nonzero(outcome.latencies > 0.005) == pytest.approx(50, abs=2)
    assert outcome.latencies.max() == pytest.approx(0.5, abs=0.005)
    assert outcome.latencies.sum() == pytest.approx(0.5 * 0.5 / 2 * 100, rel=0.15)


def test_waiting_for_a_connection_counts_as_latency_and_not_as_the_clients_delay() -> None:
    clock = Clock()
    transport = FakeTransport(clock, connections=1, service=0.05)
    outcome = run(transport, [b"x"], rate=100.0, count=20, clock=clock)
    # Each request takes five times as long as there is between two of them, so each is later by four times as much.
    np.testing.assert_allclose(np.diff(outcome.latencies), 0.04, atol=0.004)
    assert outcome.delays.max() <= 0.0031
    assert not outcome.client_is_limit


def test_a_slow_client_says_that_it_is_the_limit() -> None:
    clock = Clock()
    transport = FakeTransport(clock, connections=4, service=0.0)
    transport.tick = 0.2
    assert run(transport, [b"x"], rate=10.0, count=20, clock=clock).client_is_limit


def test_a_client_without_time_to_spare_says_that_it_is_the_limit() -> None:
    clock = Clock()
    transport = FakeTransport(clock, connections=2, service=0.0)
    transport.cost = 0.02
    outcome = run(transport, [b"x"], rate=100.0, count=200, clock=clock)
    # It falls behind by as much again as it sends, yet sends over each connection soon after that became free.
    assert outcome.latencies.max() > 1.0
    assert outcome.delays.max() < 0.1
    assert outcome.client_is_limit


def test_replies_that_never_come_end_the_run() -> None:
    clock = Clock()
    transport = FakeTransport(clock, connections=1, service=1e9)
    with pytest.raises(MeasureError, match="3 of 3 requests were not answered"):
        run(transport, [b"x"], rate=10.0, count=3, clock=clock)


def test_percentiles_are_those_of_the_latencies() -> None:
    outcome = Outcome(1.0, np.arange(1.0, 102.0), np.zeros(101), 0.0)
    assert (outcome.percentile(50), outcome.percentile(99)) == (51.0, 100.0)


def test_waits_as_long_as_under_full_load_are_an_overload() -> None:
    # 32 connections of which each waits for its reply, and 1,000 replies a second: 32 ms a reply.
    assert not Outcome(500.0, np.full(9, 0.031), np.zeros(9), 0.0).is_overload(capacity=1000.0)
    assert Outcome(500.0, np.full(9, 0.033), np.zeros(9), 0.0).is_overload(capacity=1000.0)


def test_a_reply_is_complete_with_its_last_byte() -> None:
    assert [is_complete(REPLY[:length]) for length in range(len(REPLY) + 1)] == [False] * len(REPLY) + [True]


def test_another_status_is_no_reply() -> None:
    with pytest.raises(MeasureError, match="expected status 200"):
        is_complete(REPLY.replace(b"200 OK", b"503 Busy"))


def serve(listener: socket.socket, whole: bytes, replies: int) -> None:
    """Answer requests of one connection with replies that come in two pieces."""
    stream, _ = listener.accept()
    with stream:
        received = b""
        for number in range(1, replies + 1):
            while received.count(whole) < number:
                received += stream.recv(1 << 16)
            stream.sendall(REPLY[:20])
            stream.sendall(REPLY[20:])


def test_sockets_carry_requests_and_put_replies_together() -> None:
    request = post("/predict", b"{}")
    assert request.endswith(b"Content-Length: 2\r\n\r\n{}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener, request, 3))
        server.start()
        transport = Sockets(listener.getsockname()[1], connections=1)
        try:
            assert len(run(transport, [request], rate=1000.0, count=3).latencies) == 3
            server.join()
            with pytest.raises(MeasureError, match="closed a connection"):
                run(transport, [request], rate=1000.0, count=1)
        finally:
            transport.close()


def test_a_load_without_a_server_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        load(port, [b"{}"], 10.0, 0.1)
