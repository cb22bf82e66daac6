"""The closed loop's accounting, with the clock and the server of the open loop's tests."""

import numpy as np
import pytest

from bench.closed_loop import saturate
from bench.open_loop import UNANSWERED
from tests.bench.test_open_loop import Clock, FakeTransport, Watcher


def test_all_connections_are_kept_busy_until_the_end() -> None:
    clock, watcher = Clock(), Watcher()
    transport = FakeTransport(clock, connections=4, service=0.01)
    outcome = saturate(transport, [b"a", b"b"], 2.0, clock, watcher)
    # One after the other by the server, so that each of the four waits for the three before it.
    assert outcome.rate == pytest.approx(100, rel=0.05)
    assert np.median(outcome.latencies) == pytest.approx(0.04, abs=0.005)
    assert [request for _, _, request in transport.sent[:4]] == [b"a", b"b", b"a", b"b"]
    assert len(watcher.replies) == len(outcome.latencies) == len(transport.sent)
    assert transport.sent[-1][0] < 102.0


def test_a_stall_is_seen_by_those_alone_who_wait() -> None:
    clock = Clock()
    transport = FakeTransport(clock, connections=2, service=0.001, stall=(0.5, 0.5))
    outcome = saturate(transport, [b"x"], 2.0, clock)
    assert np.count_nonzero(outcome.latencies > 0.1) <= 2


def test_what_is_never_answered_counts() -> None:
    clock, watcher = Clock(), Watcher()
    transport = FakeTransport(clock, connections=3, service=1e9)
    outcome = saturate(transport, [b"x"], 0.5, clock, watcher, patience=1.0)
    assert outcome.unanswered == 3
    assert outcome.rate == 0
    assert {reply.fault for _, _, reply in watcher.replies} == {UNANSWERED}


def test_a_client_without_time_to_spare_says_so() -> None:
    clock = Clock()
    transport = FakeTransport(clock, connections=2, service=0.0)
    transport.cost, transport.tick = 0.01, 0.0001
    assert saturate(transport, [b"x"], 2.0, clock).client_is_limit
