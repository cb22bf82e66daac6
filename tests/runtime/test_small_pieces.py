"""Large bodies: whole and in order whatever surrounds them, and never more than a small piece at a time."""

import asyncio
import io
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import uvloop
from numpy.typing import NDArray

from runtime.asgi_lane import GATHERED_BYTES
from runtime.small_pieces import LARGE, PIECE_BYTES, SmallPieces
from tests.runtime.conftest import random_rows
from tests.serving import DEADLINE_SECONDS, running_server, self_signed

ROWS = random_rows(20_000, 22, seed=5)
SMALL = LARGE // ROWS.itemsize // 22  # rows of a body that is not large
WHOLE = GATHERED_BYTES // ROWS.itemsize // 22  # rows of a body that the application still gets as one
SINGLE = json.dumps({"features": ROWS[0].tolist()}).encode()

Dial = Callable[[], AbstractContextManager[socket.socket]]


@pytest.fixture(scope="module", params=["fast", "asgi", "fast over TLS"])
def dial(request: pytest.FixtureRequest, forest_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dial]:
    """What opens a connection to a server of each lane, or to one whose connections are encrypted."""
    lane, _, encrypted = request.param.partition(" over ")
    files = {}
    if encrypted:
        certificate, key = self_signed(tmp_path_factory.mktemp("tls"))
        files = {"TLS_CERT_FILE": str(certificate), "TLS_KEY_FILE": str(key)}
        trusting = ssl.create_default_context(cafile=certificate)
    with running_server(forest_path, LANE=lane, **files) as server:

        def dialled() -> AbstractContextManager[socket.socket]:
            plain = socket.create_connection(("127.0.0.1", server.port), DEADLINE_SECONDS)
            return trusting.wrap_socket(plain, server_hostname="127.0.0.1") if encrypted else plain

        yield dialled


def batch(rows: NDArray[np.float32], chunk: int = 0) -> bytes:
    """Return the bytes of a request with raw rows, in chunks of a size where one is given."""
    head = b"POST /predict/batch HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-npy\r\n"
    head += b"Content-Type: application/octet-stream\r\n"
    body = rows.tobytes()
    if not chunk:
        return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
    parts = [body[start : start + chunk] for start in range(0, len(body), chunk)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


def single() -> bytes:
    """Return the bytes of a request with one row."""
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(SINGLE), SINGLE)


def reply(stream: io.BufferedIOBase, status: int = 200) -> bytes:
    """Read the body of one reply with a status."""
    assert b" %d " % status in stream.readline()
    length = 0
    while (line := stream.readline().lower()) != b"\r\n":
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return stream.read(length)


def probabilities(body: bytes) -> NDArray[np.float32]:
    """Return what a reply in NumPy's format holds."""
    found: NDArray[np.float32] = np.load(io.BytesIO(body))
    return found


@pytest.fixture(scope="module")
def expected(dial: Dial) -> NDArray[np.float32]:
    """The predictions of all rows, by bodies none of which is large."""
    found = []
    with dial() as connection, connection.makefile("rb") as stream:
        for start in range(0, len(ROWS), SMALL):
            connection.sendall(batch(ROWS[start : start + SMALL]))
            found.append(probabilities(reply(stream)))
    return np.concatenate(found)


@pytest.mark.parametrize("chunk", [0, 1000, LARGE, 5 * PIECE_BYTES])
def test_large_bodies_and_others_take_turns_on_one_connection(
    dial: Dial, expected: NDArray[np.float32], chunk: int
) -> None:
    with dial() as connection, connection.makefile("rb") as stream:
        for rows in (len(ROWS), SMALL, SMALL + 1, 1, WHOLE, WHOLE + 1, len(ROWS) // 2):
            requests = batch(ROWS[:rows], chunk) + single() + batch(ROWS[-rows:], chunk) + single()
            connection.sendall(requests)  # the replies are far smaller than what waits in a socket
            found = [reply(stream) for _ in range(4)]
            assert np.array_equal(probabilities(found[0]), expected[:rows])
            assert np.array_equal(probabilities(found[2]), expected[-rows:])
            assert json.loads(found[1])["prediction_label"] in ("DOWN", "UP")
            assert json.loads(found[1])["probabilities"] == json.loads(found[3])["probabilities"]


def test_a_client_that_leaves_within_a_large_body_is_forgotten(dial: Dial, expected: NDArray[np.float32]) -> None:
    for rows in 10 * [ROWS, ROWS[:WHOLE]]:
        with dial() as connection:
            connection.sendall(batch(rows)[: 10 * PIECE_BYTES])
    with dial() as connection, connection.makefile("rb") as stream:
        connection.sendall(batch(ROWS[:SMALL]))
        assert np.array_equal(probabilities(reply(stream)), expected[:SMALL])


@pytest.mark.parametrize("lane", ["fast", "asgi"])
def test_bodies_that_are_refused_are_not_kept(forest_path: Path, lane: str) -> None:
    """They may come as slowly as any, on as many connections as may be open."""
    body = bytes(GATHERED_BYTES)
    with running_server(forest_path, LANE=lane) as server, ExitStack() as open_ones:

        def most_resident() -> int:
            status = Path(f"/proc/{server.process.pid}/status").read_text()
            return int(status.partition("VmHWM:")[2].split()[0]) << 10

        clients = [
            open_ones.enter_context(socket.create_connection(("127.0.0.1", server.port), DEADLINE_SECONDS))
            for _ in range(64)
        ]
        streams = [open_ones.enter_context(client.makefile("rb")) for client in clients]
        for client, stream in zip(clients, streams, strict=True):
            client.sendall(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
            reply(stream, 404)
        before = most_resident()
        for client in clients:
            client.sendall(body[1:])
        for client, stream in zip(clients, streams, strict=True):
            client.sendall(body[:1] + b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            reply(stream)
        assert most_resident() - before < len(clients) * len(body) // 4


class _Recorder(asyncio.Protocol):
    """Changes to small pieces after the first piece, and notes what it is told."""

    def __init__(self, done: "asyncio.Future[None]") -> None:
        self.pieces: list[bytes] = []
        self.told: list[str] = []
        self.done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by descent

    def data_received(self, data: bytes) -> None:
        if not self.pieces:
            self._transport.set_protocol(SmallPieces(self))
        self.pieces.append(data)

    def eof_received(self) -> bool:
        self.told.append("eof")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.done.set_result(None)


def test_pieces_are_small_and_the_rest_is_handed_on() -> None:
    body = ROWS.tobytes()

    async def receive() -> _Recorder:
        loop = asyncio.get_running_loop()
        recorder = _Recorder(loop.create_future())
        server = await loop.create_server(lambda: recorder, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS) as client:
            await asyncio.to_thread(client.sendall, body)
        await asyncio.wait_for(recorder.done, DEADLINE_SECONDS)
        server.close()
        return recorder

    recorder = uvloop.run(receive())
    assert b"".join(recorder.pieces) == body
    assert max(map(len, recorder.pieces[1:])) <= PIECE_BYTES
    assert recorder.told == ["eof", "lost"]
