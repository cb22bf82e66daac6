"""Requests for predictions at a fixed rate, counted by who sends them."""

import socket
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

_ROW = b'{"features":[' + b",".join([b"0.5"] * 22) + b"]}"
_HEAD = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
_REQUEST = f"{_HEAD}{len(_ROW)}\r\n\r\n".encode() + _ROW
_TURN_SECONDS = 0.01


class Paced:
    """Sends to several servers in turn, one connection each, from a thread.

    Parameters
    ----------
    ports : sequence of int
        Where the servers listen on loopback.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._streams: dict[int, socket.socket] = {}
        self.rate = 0.0
        self._answered = [0]
        self._times = [time.time()]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def answered_between(self, start: float, end: float) -> int:
        """Return how many requests were answered between two times."""
        first, last = (self._answered[bisect_right(self._times, moment) - 1] for moment in (start, end))
        return last - first

    def _run(self) -> None:
        due, sent, answered, last = 0.0, 0, 0, time.monotonic()
        while not self._ended.wait(_TURN_SECONDS):
            now = time.monotonic()
            due, last = due + self.rate * (now - last), now
            while due >= 1.0:
                due -= 1.0
                answered += self._send(self._ports[sent % len(self._ports)])
                sent += 1
            self._answered.append(answered)
            self._times.append(time.time())

    def _send(self, port: int) -> int:
        """Send one request, and return how many were answered: a killed worker takes its connections with it."""
        try:
            if port not in self._streams:
                self._streams[port] = socket.create_connection(("127.0.0.1", port), 10.0)
            stream = self._streams[port]
            stream.sendall(_REQUEST)
            reply = stream.recv(65536)
        except OSError:
            reply = b""
        if not reply:
            with suppress(KeyError):
                self._streams.pop(port).close()
            return 0
        assert reply.startswith(b"HTTP/1.1 200"), reply
        return 1

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send while the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join()
            for stream in self._streams.values():
                stream.close()
