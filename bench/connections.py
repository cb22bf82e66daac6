"""Keep-alive connections that carry one request at a time each, polled and never waited for."""

import select
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from bench.http_reply import Head, HeadReader, ReplyError
from bench.servers import MeasureError

CONNECTIONS = 32

LOST = "connection lost"
MALFORMED = "malformed reply"

_PIECE = 1 << 18  # bytes that are received at once
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came for a request.

    Attributes
    ----------
    status : int
        HTTP's status; 0 where no whole reply came.
    body : bytes
        Its body; without a whole reply, what is known of the reason.
    fault : str
        Why there is no whole reply, in a few constant words; empty where there is one.
    head : bytes
        Status line and headers of a reply whose status is not 200.
    """

    status: int
    body: bytes
    fault: str = ""
    head: bytes = field(default=b"", compare=False)


class Transport(Protocol):
    """Connections that carry one request at a time each."""

    connections: int

    def send(self, connection: int, request: bytes) -> None:
        """Send a request."""

    def answered(self) -> Iterable[tuple[int, Reply]]:
        """Return what has come since the last call, by connection, without waiting for any."""


class _Stream:
    """One connection, open or not, and what has come over it."""

    __slots__ = ("head", "received", "socket", "unsent", "waits")

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.received = bytearray()
        self.head: Head | None = None
        self.unsent: bytes | memoryview = b""
        self.waits = False


class Sockets:
    """Connections to one server over TCP.

    A connection that the server has ended is opened again when it is next needed.

    Parameters
    ----------
    host : str
        Name or address.
    port : int
        Where the server listens.
    connections : int
        How many.

    Raises
    ------
    MeasureError
        Where the server cannot be reached.
    """

    def __init__(self, host: str, port: int, connections: int = CONNECTIONS) -> None:
        self.connections = connections
        try:
            # Resolved once, as a caller's pool would: a look-up takes longer than a prediction.
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise MeasureError(f"{host}: {error.strerror}") from None
        self._address = found[0]
        self._name = f"{host}:{port}"
        self._poll = select.epoll()
        self._heads = HeadReader()
        self._streams = [_Stream() for _ in range(connections)]
        self._places: dict[int, int] = {}
        self._faults: list[tuple[int, Reply]] = []
        try:
            for place in range(connections):
                self._open(place)
        except OSError as error:
            self.close()
            raise MeasureError(f"{self._name}: no connection: {error.strerror or error}") from None

    def _open(self, place: int) -> socket.socket:
        family, kind, protocol, _, address = self._address
        stream = socket.socket(family, kind, protocol)
        try:
            stream.settimeout(_CONNECT_SECONDS)
            stream.connect(address)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream.setblocking(False)
        except OSError:
            stream.close()
            raise
        self._streams[place].socket = stream
        self._poll.register(stream, select.EPOLLIN)
        self._places[stream.fileno()] = place
        return stream

    def _shut(self, place: int) -> None:
        state = self._streams[place]
        if state.socket is not None:
            self._poll.unregister(state.socket)
            del self._places[state.socket.fileno()]
            state.socket.close()
        state.socket, state.received, state.head, state.unsent = None, bytearray(), None, b""

    def send(self, connection: int, request: bytes) -> None:
        """Send a request, or as much of it as the socket takes now; `answered` sends the rest."""
        state = self._streams[connection]
        state.waits = True
        try:
            stream = state.socket or self._open(connection)
            sent = stream.send(request)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._fail(connection, LOST, str(error))
            return
        if sent != len(request):
            state.unsent = memoryview(request)[sent:]
            self._poll.modify(stream, select.EPOLLIN | select.EPOLLOUT)

    def _fail(self, place: int, fault: str, reason: str) -> None:
        """End a connection, and give its request up."""
        self._shut(place)
        if self._streams[place].waits:
            self._streams[place].waits = False
            self._faults.append((place, Reply(0, reason.encode(), fault)))

    def answered(self) -> list[tuple[int, Reply]]:
        """Return the replies that have come as a whole, and the faults of requests that have failed."""
        replies = []
        for descriptor, events in self._poll.poll(0):
            place = self._places[descriptor]
            try:
                if events & select.EPOLLOUT:
                    self._send_rest(place)
                if events & ~select.EPOLLOUT:
                    reply = self._receive(place)
                    if reply is not None:
                        replies.append((place, reply))
            except BlockingIOError:
                continue
            except OSError as error:
                self._fail(place, LOST, str(error))
            except ReplyError as error:
                self._fail(place, MALFORMED, str(error))
        if self._faults:
            replies += self._faults
            self._faults = []
        return replies

    def wait(self, seconds: float) -> None:
        """Sleep until something has come, or for some seconds at most."""
        select.select([self._poll], [], [], seconds)

    def _send_rest(self, place: int) -> None:
        state = self._streams[place]
        assert state.socket is not None
        state.unsent = state.unsent[state.socket.send(state.unsent) :]
        if not state.unsent:
            self._poll.modify(state.socket, select.EPOLLIN)

    def _receive(self, place: int) -> Reply | None:
        state = self._streams[place]
        assert state.socket is not None
        piece = state.socket.recv(_PIECE)
        if not piece:
            raise ConnectionResetError("the server closed the connection")
        if not state.waits:
            raise ReplyError(f"bytes that no request asked for: {piece[:80]!r}")
        received: bytes | bytearray = piece
        if state.received:
            state.received += piece
            received = state.received
        head = state.head or self._heads.read(received)
        if head is None or len(received) < head.length:
            state.head = head
            if received is piece:
                state.received = bytearray(piece)
            return None
        if len(received) > head.length:
            raise ReplyError(f"bytes behind the reply: {bytes(received[head.length :][:80])!r}")
        state.received, state.head, state.waits = bytearray(), None, False
        if not head.keep_alive or state.unsent:  # a server may refuse a body before it has read all of it
            self._shut(place)
        refusal = bytes(received[: head.start]) if head.status != 200 else b""
        return Reply(head.status, bytes(received[head.start :]), head=refusal)

    def close(self) -> None:
        """Close all connections."""
        for place in range(self.connections):
            self._shut(place)
        self._poll.close()


def post(
    path: str,
    body: bytes,
    host: str = "localhost",
    kind: str = "application/json",
    accept: str = "",
    token: str = "",
) -> bytes:
    """Return the bytes of a request that posts a body."""
    asked = f"Accept: {accept}\r\n" if accept else ""
    asked += f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n{asked}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
