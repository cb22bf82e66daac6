"""Both clients where a connection, a try or the time comes to its end, against a server that fails on purpose."""

import asyncio
import errno
import gc
import math
import socket
import ssl
from typing import Any

import numpy as np
import pytest
import uvloop

from runtime.client import (
    AsyncClient,
    ClientError,
    DeadlineError,
    NoAnswerError,
    RefusedError,
    calls,
)
from runtime.client.conversation import RETRIES, Pause, Server
from runtime.client.http import LostError, Reply
from tests.runtime.client.conftest import url
from tests.runtime.client.scripted import CLOSE, OK, OK_BEFORE_CLOSE, SILENCE, reply, scripted
from tests.serving import RunningServer

BUSY = reply(503, b'{"detail":"too much"}', Retry_After="0")


def test_connections_stay_open(ask: Any) -> None:
    with scripted(OK, OK, OK) as server:
        client = ask(server.url)
        assert [client.metrics() for _ in range(3)] == ["up"] * 3
        assert server.connections == 1


def test_a_connection_that_was_closed_while_idle_costs_no_try(ask: Any) -> None:
    with scripted(OK_BEFORE_CLOSE, OK) as server:
        client = ask(server.url, retries=0)
        assert [client.metrics(), client.metrics()] == ["up", "up"]
        assert server.connections == 2


@pytest.mark.parametrize("failure", [BUSY, reply(429, Retry_After="0"), CLOSE, b"SSH-2.0-nothing\r\n\r\n"])
def test_what_passes_is_tried_again(failure: bytes, ask: Any) -> None:
    with scripted(failure, OK) as server:
        assert ask(server.url, retries=1).metrics() == "up"
        assert len(server.requests) == 2


def test_half_a_reply_is_none(ask: Any) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    with scripted(half) as server, pytest.raises(NoAnswerError, match="closed before a reply"):
        ask(server.url, retries=0).metrics()


def test_tries_come_to_an_end(ask: Any) -> None:
    with scripted(BUSY, BUSY, BUSY) as server:
        with pytest.raises(RefusedError, match="503: too much"):
            ask(server.url, retries=2).metrics()
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    "failure",
    [
        *(reply(500), reply(503), reply(429), reply(422, b"{}"), reply(502, Retry_After="0")),
        *(reply(503, Retry_After="Thu, 01 Jan"), reply(503, Retry_After="0" * 5000)),
    ],
)
def test_what_does_not_pass_is_not_tried_again(failure: bytes, ask: Any) -> None:
    with scripted(failure, OK) as server:
        with pytest.raises(RefusedError):
            ask(server.url).metrics()
        assert len(server.requests) == 1


def test_no_pause_goes_past_the_deadline(ask: Any) -> None:
    with scripted(reply(503, Retry_After="3600"), OK) as server:
        with pytest.raises(RefusedError):
            ask(server.url, timeout=30).metrics()
        assert len(server.requests) == 1


def pauses(failure: Exception | Reply, seconds: float = math.inf, retries: int = RETRIES) -> list[float]:
    """Return the seconds between the tries of a call that fails again and again, which nobody waits for."""
    conversation = Server.at("http://x", None, retries).converse(calls.metrics(), seconds)
    found, step = [], next(conversation)
    try:
        while True:
            if isinstance(step, Pause):
                found.append(step.seconds)
                step = next(conversation)
            elif isinstance(failure, Exception):
                step = conversation.throw(failure)
            else:
                step = conversation.send(failure)
    except ClientError:
        return found


def test_pauses_grow_at_random_and_outlast_a_restart() -> None:
    lost = [pauses(LostError("gone")) for _ in range(50)]
    assert len({tuple(each) for each in lost}) == len(lost)
    longest = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]
    for each in lost:
        assert all(most / 2 <= pause <= most for pause, most in zip(each, longest, strict=True))
        assert 3 < sum(each) < 7
    assert 4.9 * 10 / 2 < sum(pauses(LostError("gone"), retries=16)[6:]) <= 5 * 10
    assert pauses(LostError("gone"), seconds=0.04) == []
    assert len(pauses(LostError("gone"), seconds=1.2)) in (4, 5)  # nobody waits, so that all of it is left each time
    for status in (503, 429):
        busy = Reply(status=status, headers={b"retry-after": b"7"}, complete=True)
        asked = pauses(busy)
        assert all(7 + most / 2 <= pause <= 7 + most for pause, most in zip(asked, longest, strict=True))
        assert pauses(busy, seconds=7.04) == []


@pytest.mark.parametrize(
    ("asked", "date", "least"),
    [
        (b"Sun, 06 Nov 1994 08:49:44 GMT", b"Sun, 06 Nov 1994 08:49:37 GMT", 7),
        (b"Sunday, 06-Nov-94 08:49:44 GMT", b"Sun, 06 Nov 1994 08:49:37 GMT", 7),
        (b"Sun Nov  6 08:49:44 1994", b"Sun, 06 Nov 1994 08:49:37 GMT", 7),
        (b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 08:49:44 GMT", 0),  # it has passed
        (b"Sun, 06 Nov 1994 08:49:37 GMT", b"", 0),  # by our own clock
        (b"Sun, 06 Nov 1994 08:49:37 GMT", b"today", 0),
    ],
)
def test_a_date_is_waited_for_by_the_clock_that_wrote_it(asked: bytes, date: bytes, least: float) -> None:
    busy = Reply(status=503, headers={b"retry-after": asked, b"date": date}, complete=True)
    first, *_ = found = pauses(busy)
    assert len(found) == RETRIES
    assert least + 0.05 <= first <= least + 0.1
    assert pauses(busy, seconds=least + 0.04) == []


@pytest.mark.parametrize(
    "asked", [b"Sun, 06 Nov", b"tomorrow", b"\xff", b"-1", b"1.5", b"Sun, 06 Nov 1994 99:49:37 GMT"]
)
def test_what_is_no_date_asks_for_nothing(asked: bytes) -> None:
    assert pauses(Reply(status=503, headers={b"retry-after": asked}, complete=True)) == []


def test_a_far_date_is_not_waited_for() -> None:
    far = Reply(status=503, headers={b"retry-after": b"Fri, 31 Dec 9999 23:59:59 GMT"}, complete=True)
    assert pauses(far) == []


def test_only_what_may_pass_is_waited_for() -> None:
    assert len(pauses(ConnectionRefusedError(errno.ECONNREFUSED, "refused"))) == RETRIES
    assert len(pauses(socket.gaierror(socket.EAI_NONAME, "no such host"))) == RETRIES  # a Service that has no pod yet
    assert pauses(ssl.SSLCertVerificationError("not trusted")) == []


@pytest.mark.parametrize("seconds", [math.inf, 1e300, 10**12, np.float32(30)])
def test_a_timeout_may_be_none_or_very_long(seconds: float, ask: Any) -> None:
    prediction = b'{"prediction":1,"prediction_label":"UP","probability":1.0,"probabilities":{"UP":1.0},'
    answer = reply(200, prediction + b'"model_version":"1","timestamp":"2026-01-15T10:30:00Z"}')
    with scripted(answer, answer) as server:
        client = ask(server.url, timeout=seconds)
        assert client.predict([0.0]).label == client.predict([0.0], timeout=seconds).label == "UP"
        assert {b"X-Request-Deadline-Ms" in request for request in server.requests} == {seconds < 1e6}


def test_the_longest_timeout_is_one_that_the_server_takes(ask: Any, roomy: RunningServer) -> None:
    assert ask(url(roomy), timeout=999_999).predict([0.0] * 22).label in ("DOWN", "UP")


@pytest.mark.parametrize("wrong", [math.nan, None, "10", [10]])
def test_what_is_no_timeout_is_refused(wrong: Any, ask: Any) -> None:
    with pytest.raises(ClientError, match="timeout: expected seconds, or inf for no limit, got "):
        ask("http://127.0.0.1:1", timeout=wrong)
    if wrong is not None:  # which stands for the client's own
        with pytest.raises(ClientError, match="timeout: expected seconds"):
            ask("http://127.0.0.1:1").metrics(timeout=wrong)


@pytest.mark.parametrize("wrong", [-1, 1.5, None, "3"])
def test_what_is_no_number_of_retries_is_refused(wrong: Any, ask: Any) -> None:
    with pytest.raises(ClientError, match="retries: expected an integer from 0 on, got "):
        ask("http://127.0.0.1:1", retries=wrong)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Python's own word at the end of the first loop
@pytest.mark.parametrize("first", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("second", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_event_loop_after_another_has_connections_of_its_own(first: Any, second: Any) -> None:
    with scripted(*[OK] * 5) as server:
        client = AsyncClient(server.url)
        with asyncio.Runner(loop_factory=first) as runner:
            assert runner.run(client.metrics()) == runner.run(client.metrics()) == "up"
        with asyncio.Runner(loop_factory=second) as runner:
            assert runner.run(client.metrics()) == runner.run(client.metrics()) == "up"
        with asyncio.Runner(loop_factory=first) as runner:
            runner.run(client.close())
            assert runner.run(client.metrics()) == "up"
            runner.run(client.close())
        assert server.connections == 3
    gc.collect()


@pytest.mark.parametrize(("failure", "error"), [(BUSY, RefusedError), (CLOSE, NoAnswerError)])
def test_a_reload_is_sent_once(failure: bytes, error: type[ClientError], ask: Any) -> None:
    with scripted(failure, OK) as server:
        with pytest.raises(error):
            ask(server.url).reload()
        assert len(server.requests) == 1


def test_a_call_ends_at_its_deadline_which_the_server_knows(ask: Any) -> None:
    with scripted(SILENCE) as server:
        with pytest.raises(DeadlineError, match=r"no answer within 0\.2 s"):
            ask(server.url).predict([0.0], timeout=0.2)
        head = server.requests[0].decode()
        told = int(head.partition("X-Request-Deadline-Ms: ")[2].split()[0])
        assert 0 < told <= 200
    with (
        scripted(reply(504, b'{"detail":"too late"}')) as server,
        pytest.raises(DeadlineError, match="504: too late"),
    ):
        ask(server.url).metrics()
    with pytest.raises(DeadlineError):
        ask("http://127.0.0.1:1").metrics(timeout=0)
