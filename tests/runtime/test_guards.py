"""Bounds on the wire, alike on both lanes: load, and clients that are slow or leave."""

import re
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

from runtime.short_requests import MOST_BYTES
from tests.runtime.conftest import LANES
from tests.runtime.conversations import ROW, post, replies
from tests.runtime.guarded import BATCH, BEARER, CHUNKS, HEAD, WAITING, ask, rejected, status
from tests.serving import RunningServer, running_server, wait_until


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
def test_a_client_that_stops_in_a_request_is_told_so(impatient: RunningServer, beginning: bytes) -> None:
    before = rejected(impatient, "slow")
    reply = ask(impatient, beginning)
    assert status(reply) == 408
    assert b"\r\nconnection: close\r\n" in reply
    assert rejected(impatient, "slow") == before + 1


def test_a_thousand_slow_clients_stop_no_one(impatient: RunningServer) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(impatient.raw()) for _ in range(1000)]
        for stream in streams:
            stream.sendall(HEAD)
        for _ in range(20):
            assert status(ask(impatient, post(ROW, BEARER))) == 200
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
