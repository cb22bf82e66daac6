"""A server on loopback that does what a test says: answers, closes, or keeps silent."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup"
"""What `metrics` takes for an answer."""

OK_BEFORE_CLOSE = OK.replace(b"\r\n\r\n", b"\r\nX-Then: close\r\n\r\n")
"""The same, after which the server closes the connection without having said so."""

CLOSE = b""
"""In place of a reply: close the connection."""

SILENCE = b"silence"
"""In place of a reply: none, for as long as the client stays."""


def reply(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Return a reply."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Scripted:
    """The server, with the heads of the requests that came and the number of connections."""

    def __init__(self, listener: socket.socket, script: Sequence[bytes]) -> None:
        self._listener, self.script = listener, list(script)
        self.requests: list[bytes] = []
        self.connections = 0
        self._connection: socket.socket | None = None
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def serve(self) -> None:
        """Serve one connection after the other, until the listener is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._connection = connection
            with connection:
                self._answer(connection)

    def stop(self) -> None:
        """Take no more, and leave the connection that is open."""
        self._listener.shutdown(socket.SHUT_RDWR)
        with suppress(OSError, AttributeError):  # it is closed already, or there was none
            self._connection.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]

    def _answer(self, connection: socket.socket) -> None:
        while self.script:
            request = b""
            while b"\r\n\r\n" not in request:
                piece = connection.recv(65536)
                if not piece:
                    return
                request += piece
            self.requests.append(request)
            action = self.script.pop(0)
            if action == SILENCE:
                connection.recv(1)  # returns when the client has gone
                return
            if action == CLOSE:
                return
            connection.sendall(action)
            if action == OK_BEFORE_CLOSE or not action.startswith(b"HTTP/1.1") or action.endswith(b"half"):
                return


@contextmanager
def scripted(*script: bytes) -> Iterator[Scripted]:
    """Run a server that answers each request by the next entry; after the last one it closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Scripted(listener, script)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join(60)
            assert not thread.is_alive()
