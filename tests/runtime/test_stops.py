"""The stop of a server on the wire: unready first, and held up by no client."""

import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.callers import dial
from tests.runtime.conftest import LANES
from tests.runtime.conversations import ROW, post, replies
from tests.runtime.test_four_workers import worker_behind
from tests.runtime.test_rollout import all_ready, board_of, processes
from tests.serving import DEADLINE_SECONDS, running_server, self_signed, wait_until


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


@contextmanager
def told_to_stop_while_it_sleeps(process: int) -> Iterator[None]:
    """Let a process see all at once: what the block does, and SIGTERM."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
        os.kill(process, signal.SIGTERM)
    finally:
        os.kill(process, signal.SIGCONT)


def last_answers(streams: Sequence[socket.socket]) -> list[bytes]:
    """Return the status that connections bring before they end; a reset fails."""
    answers = []
    for stream in streams:
        stream.settimeout(DEADLINE_SECONDS)
        answers.append(b"")
        while piece := stream.recv(1 << 16):
            answers[-1] += piece
    return [answer[9:12] for answer in answers]


@pytest.mark.parametrize("lane", LANES)
def test_whoever_has_come_when_a_server_is_told_to_stop_is_answered(lane: str, forest_path: Path) -> None:
    request = post(ROW)
    with running_server(forest_path, LANE=lane) as server, ExitStack() as opened:
        address = ("127.0.0.1", server.port)
        silent, kept = ([opened.enter_context(socket.create_connection(address)) for _ in range(8)] for _ in range(2))
        for stream in kept:
            stream.sendall(request)
            assert replies(stream, 1)[9:12] == b"200"
        with told_to_stop_while_it_sleeps(server.process.pid):
            waiting = [opened.enter_context(socket.create_connection(address)) for _ in range(30)]
            for stream in (*silent, *kept, *waiting):
                stream.sendall(request)
        everyone = [*silent, *kept, *waiting]
        assert last_answers(everyone) == [b"200"] * len(everyone)
        assert server.process.wait(DEADLINE_SECONDS) == 0


def test_whoever_has_come_to_one_of_two_workers_that_is_told_to_stop_is_answered(model_path: Path) -> None:
    with all_ready(model_path, 2) as server, ExitStack() as opened:
        board = board_of(model_path)
        victim = processes(board)[0]
        waiting: list[socket.socket] = []
        while len(waiting) < 8:  # which this worker has accepted, and not its sibling
            connection = dial("127.0.0.1", server.port)
            opened.callback(connection.close)
            if worker_behind(board, server.port, connection) == victim:
                waiting.append(connection.sock)
        with told_to_stop_while_it_sleeps(victim):
            for stream in waiting:
                stream.sendall(post(ROW))
        assert last_answers(waiting) == [b"200"] * len(waiting)
        wait_until(lambda: victim not in processes(board) and len(processes(board)) == 2, "it is replaced")


def test_an_idle_client_is_ended_and_not_reset(forest_path: Path) -> None:
    with running_server(forest_path) as server, server.raw() as silent, server.raw() as kept:
        kept.sendall(post(ROW))
        assert replies(kept, 1)[9:12] == b"200"
        assert server.stop() == 0
        assert (silent.recv(1), kept.recv(1)) == (b"", b"")
