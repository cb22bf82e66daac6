"""The stop of a server on the wire: unready first, and held up by no client."""

import socket
import time
from pathlib import Path

import pytest

from tests.runtime.conftest import LANES
from tests.runtime.conversations import ROW
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
