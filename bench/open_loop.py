"""Open-loop load: requests are due at a fixed rate, whether or not earlier ones have been answered.

The latency of a request counts from the moment when it was due, not from when it was sent. So a stall of the server is
seen by every request that was due meanwhile, as by callers who do not wait for one another. The client never sleeps,
because a timer's delay would be counted as the server's; it says how late it was itself.
"""

import gc
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.servers import MeasureError

CONNECTIONS = 32
LIMIT = 0.2
"""Share of the 99th percentile that the client's own delay may have; beyond it the client is the limit."""
BUSY = 0.9
"""Share of the time that the client may be at work; beyond it the client is the limit."""

_PATIENCE_SECONDS = 10.0
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Transport(Protocol):
    """Connections that carry one request at a time each."""

    connections: int

    def send(self, connection: int, request: bytes) -> None:
        """Send a request."""

    def answered(self) -> Iterable[int]:
        """Return the connections whose replies have arrived since the last call, without waiting for any."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an open loop found.

    Attributes
    ----------
    rate : float
        Requests due a second.
    latencies : ndarray
        Seconds from when each request was due until its reply had come, float64 (requests,).
    delays : ndarray
        Seconds by which the client sent each request later than it could have, float64 (requests,): after it was due
        and a connection was free.
    busy : float
        Share of the time in which the client sent or received, rather than looked for something to do.
    """

    rate: float
    latencies: NDArray[np.float64]
    delays: NDArray[np.float64]
    busy: float

    def percentile(self, percent: float) -> float:
        """Return a percentile of the latencies."""
        return float(np.percentile(self.latencies, percent))

    @property
    def client_is_limit(self) -> bool:
        """Whether the client's own delays are a good part of what it measured, or it had no time to spare."""
        return self.busy > BUSY or bool(np.percentile(self.delays, 99) > LIMIT * self.percentile(99))

    def is_overload(self, capacity: float) -> bool:
        """Tell whether requests waited as long as they do in a closed loop that asks for all of the capacity.

        Parameters
        ----------
        capacity : float
            Requests a second that as many connections in a closed loop were answered.
        """
        return self.percentile(50) > CONNECTIONS / capacity


def run(
    transport: Transport,
    requests: Sequence[bytes],
    rate: float,
    count: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Outcome:
    """Send requests at a fixed rate and return when each has been answered.

    Parameters
    ----------
    transport : Transport
        Carries them. A request that is due while all connections wait for replies is sent when one is free; its
        latency counts from when it was due all the same.
    requests : sequence of bytes
        Sent in turn.
    rate : float
        Requests a second.
    count : int
        How many.
    clock : callable
        Gives seconds that never go back.

    Raises
    ------
    MeasureError
        Where replies stay out for ten seconds after the last request was due.
    """
    latencies, delays = np.zeros(count), np.zeros(count)
    free = deque(range(transport.connections))
    free_since = [0.0] * transport.connections
    due_of = [0.0] * transport.connections
    number_of = [0] * transport.connections
    start = clock()
    sent = done = 0
    last, idle, worked = start, 0.0, True
    while done < count:
        now = clock()
        if not worked:
            idle += now - last
        last, worked = now, False
        while sent < count and free and now >= (due := start + sent / rate):
            connection = free.popleft()
            due_of[connection], number_of[connection] = due, sent
            delays[sent] = now - max(due, free_since[connection])
            transport.send(connection, requests[sent % len(requests)])
            sent += 1
            now, worked = clock(), True
        for connection in transport.answered():
            arrived = clock()
            latencies[number_of[connection]] = arrived - due_of[connection]
            free_since[connection] = arrived
            free.append(connection)
            done += 1
            worked = True
        if now > start + count / rate + _PATIENCE_SECONDS:
            raise MeasureError(f"{count - done} of {count} requests were not answered")
    return Outcome(rate, latencies, delays, 1.0 - idle / (clock() - start))


class Sockets:
    """Keep-alive connections over loopback.

    Parameters
    ----------
    port : int
        Where the server listens.
    connections : int
        How many.
    """

    def __init__(self, port: int, connections: int = CONNECTIONS) -> None:
        self.connections = connections
        self._poll = select.epoll()
        self._streams: list[socket.socket] = []
        self._received: list[bytes] = [b""] * connections
        self._places: dict[int, int] = {}
        for place in range(connections):
            stream = socket.create_connection(("127.0.0.1", port))
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream.setblocking(False)
            self._poll.register(stream, select.EPOLLIN)
            self._streams.append(stream)
            self._places[stream.fileno()] = place

    def send(self, connection: int, request: bytes) -> None:
        """Send a request, which is far smaller than a socket's buffer."""
        if self._streams[connection].send(request) != len(request):
            raise MeasureError("a socket took a part of a request")

    def answered(self) -> list[int]:
        """Return the connections whose replies have arrived."""
        complete = []
        for descriptor, _ in self._poll.poll(0):
            place = self._places[descriptor]
            piece = self._streams[place].recv(1 << 16)
            if not piece:
                raise MeasureError("the server closed a connection")
            reply = self._received[place] + piece
            if is_complete(reply):
                complete.append(place)
                reply = b""
            self._received[place] = reply
        return complete

    def close(self) -> None:
        """Close all connections."""
        self._poll.close()
        for stream in self._streams:
            stream.close()


def is_complete(reply: bytes) -> bool:
    """Tell whether a reply has come to its end; raises MeasureError where it is none with status 200."""
    if len(reply) < 12:
        return False
    if reply[9:12] != b"200":
        raise MeasureError(f"expected status 200, got {reply[:200]!r}")
    end = reply.find(_HEAD_END)
    if end < 0:
        return False
    head = reply[:end].lower()
    place = head.find(_LENGTH) + len(_LENGTH)
    return len(reply) - end - len(_HEAD_END) >= int(head[place:].split(b"\r", 1)[0])


def post(path: str, body: bytes) -> bytes:
    """Return the bytes of a request that posts JSON."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + _HEAD_END + body


def load(port: int, bodies: Sequence[bytes], rate: float, seconds: float) -> Outcome:
    """Post bodies to `/predict` at a fixed rate for a time."""
    requests = [post("/predict", body) for body in bodies]
    transport = Sockets(port)
    gc.disable()  # a collection would delay what is due
    try:
        return run(transport, requests, rate, max(1, int(rate * seconds)))
    finally:
        gc.enable()
        transport.close()
