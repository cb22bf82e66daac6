"""The open-loop client's accounting, with a clock and connections that a test moves."""

import socket
from itertools import islice

import numpy as np
import pytest

from bench.connections import Reply
from bench.histogram import Latencies
from bench.open_loop import UNANSWERED, Outcome, constant, load, poisson, run
from bench.servers import MeasureError


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

    def answered(self) -> list[tuple[int, Reply]]:
        self._clock.now += self.tick
        ready = [(connection, Reply(200, b"")) for at, connection in self._finished if at <= self._clock.now]
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


def test_a_client_that_sleeps_wakes_when_something_is_due_and_not_before() -> None:
    clock = Clock()
    transport = FakeTransport(clock, connections=4, service=0.0)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds

    outcome = run(transport, [b"a"], rate=10.0, count=6, clock=clock, wait=sleep)
    np.testing.assert_allclose([at for at, _, _ in transport.sent], 100.0 + np.arange(6) / 10, atol=0.0011)
    assert outcome.delays.max() <= 0.0011
    assert len(slept) == 5
    assert sum(slept) == pytest.approx(0.5, abs=0.02)


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


class Watcher:
    """Keeps what it is told, and has something to do whenever it may."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, float, Reply]] = []
        self.spare: list[float] = []

    def reply(self, number: int, latency: float, reply: Reply) -> None:
        self.replies.append((number, latency, reply))

    def idle(self, spare: float) -> bool:
        self.spare.append(spare)
        return True


def test_replies_that_never_come_are_given_up_and_count() -> None:
    clock, watcher = Clock(), Watcher()
    transport = FakeTransport(clock, connections=1, service=1e9)
    outcome = run(transport, [b"x"], rate=10.0, count=3, clock=clock, watcher=watcher, patience=1.0)
    # All three were due before the client lost its patience, though only one of them found a connection.
    assert outcome.unanswered == 3
    np.testing.assert_allclose(outcome.latencies, [1.0, 0.9, 0.8], atol=0.01)
    assert [(number, reply.fault) for number, _, reply in watcher.replies] == [(n, UNANSWERED) for n in range(3)]


def test_a_server_that_dies_ends_the_run_before_its_time() -> None:
    clock = Clock()
    transport = FakeTransport(clock, connections=4, service=0.0, stall=(1.0, 1e9))
    outcome = run(transport, [b"x"], rate=10.0, count=1000, clock=clock, watcher=Watcher(), patience=2.0)
    assert outcome.seconds == pytest.approx(3.0, abs=0.2)
    assert len(outcome.latencies) == pytest.approx(30, abs=2)  # what was due until then, and no more
    assert outcome.unanswered == pytest.approx(20, abs=2)


def test_an_overload_ends_when_its_time_is_over() -> None:
    clock = Clock()
    transport = FakeTransport(clock, connections=4, service=0.1)
    outcome = run(transport, [b"x"], rate=100.0, count=1000, clock=clock, watcher=Watcher(), patience=1.0)
    assert outcome.seconds == pytest.approx(11.0, abs=0.2)
    assert outcome.unanswered == pytest.approx(890, abs=5)


def test_a_watcher_is_told_how_much_time_there_is() -> None:
    clock, watcher = Clock(), Watcher()
    run(FakeTransport(clock, connections=1, service=0.05), [b"x"], rate=5.0, count=4, clock=clock, watcher=watcher)
    assert {spare for spare in watcher.spare if spare <= 0} == {0.0}  # while a reply is awaited
    assert max(watcher.spare) == pytest.approx(0.15, abs=0.01)
    assert [number for number, _, _ in watcher.replies] == [0, 1, 2, 3]


def test_without_a_watcher_another_status_ends_the_run() -> None:
    class Refuses(FakeTransport):
        def answered(self) -> list[tuple[int, Reply]]:
            return [(connection, Reply(503, b"busy")) for connection, _ in super().answered()]

    clock = Clock()
    with pytest.raises(MeasureError, match="expected status 200, got 503: b'busy'"):
        run(Refuses(clock, connections=1, service=0.0), [b"x"], rate=10.0, count=3, clock=clock)


def test_coordinated_omission_does_not_hide_a_stall_from_the_histogram() -> None:
    clock = Clock()
    # One connection, and a stall of a second among ten: a closed loop would have one slow request in ten thousand.
    transport = FakeTransport(clock, connections=1, service=0.0, stall=(5.0, 1.0))
    outcome = run(transport, [b"x"], rate=1000.0, count=10_000, clock=clock)
    summary = Latencies(outcome.latencies).summary()
    assert summary["p50"] < 0.003
    # A tenth of the requests was due in the stall or while its backlog was worked off.
    assert summary["p95"] > 0.4
    assert summary["max"] == pytest.approx(1.0, rel=0.01)


def test_constant_arrivals_are_evenly_spaced() -> None:
    assert list(islice(constant(4.0), 4)) == [0.0, 0.25, 0.5, 0.75]


def test_poisson_arrivals_are_independent_and_reproducible() -> None:
    times = np.array(list(islice(poisson(100.0, seed=3), 20_000)))
    gaps = np.diff(times)
    assert gaps.min() >= 0
    # An exponential distribution's deviation equals its mean, and neighbours do not know of one another.
    assert gaps.mean() == pytest.approx(0.01, rel=0.03)
    assert gaps.std() == pytest.approx(0.01, rel=0.03)
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.03
    assert times.tolist() == list(islice(poisson(100.0, seed=3), 20_000))


@pytest.mark.parametrize("seed", range(5))
def test_the_rate_that_is_answered_is_compared_with_that_which_was_due(seed: int) -> None:
    clock = Clock()
    transport = FakeTransport(clock, connections=9, service=0.0)
    outcome = run(transport, [b"x"], 100.0, 200, clock, poisson(100.0, seed), Watcher())
    # Two hundred independent arrivals are some seconds' hundreds more or fewer; a server that answers all has kept up.
    assert outcome.due == pytest.approx(200 / list(islice(poisson(100.0, seed), 201))[-1])
    assert len(outcome.latencies) / outcome.seconds == pytest.approx(outcome.due, rel=0.03)
    even = run(FakeTransport(clock, 9, 0.0), [b"x"], 100.0, 200, clock, watcher=Watcher())
    assert even.due == pytest.approx(100.0)


def test_a_first_request_is_waited_for_however_late_it_is_due() -> None:
    clock = Clock()
    transport = FakeTransport(clock, connections=1, service=0.0)
    outcome = run(transport, [b"x"], 1.0, 1, clock, iter([50.0, 51.0]), Watcher(), patience=1.0)
    assert len(outcome.latencies) == 1


def test_percentiles_are_those_of_the_latencies() -> None:
    outcome = Outcome(1.0, np.arange(1.0, 102.0), np.zeros(101), 0.0)
    assert (outcome.percentile(50), outcome.percentile(99)) == (51.0, 100.0)


def test_waits_as_long_as_under_full_load_are_an_overload() -> None:
    # 32 connections of which each waits for its reply, and 1,000 replies a second: 32 ms a reply.
    assert not Outcome(500.0, np.full(9, 0.031), np.zeros(9), 0.0).is_overload(capacity=1000.0)
    assert Outcome(500.0, np.full(9, 0.033), np.zeros(9), 0.0).is_overload(capacity=1000.0)


def test_a_load_without_a_server_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(MeasureError, match="no connection"):
        load(port, [b"{}"], 10.0, 0.1)
