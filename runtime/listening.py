"""What a worker listens on, and how it stops to without losing anybody who has come.

A client may send its request as soon as its system has made the connection, which the server's system does without the
server: the connection waits to be accepted, and the request to be read. To close a listening socket resets what waits
there, and so does to close a connection whose request waits. So listening ends in stages: no new connections, accept
those that wait, close, and let them all bring what they have sent. Workers share a listening socket. What waits there
at the end of one of them the others accept; so its first stages are for the end of all.
"""

import asyncio
import ctypes
import select
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

HANDSHAKE_SECONDS = 0.05
"""For how long connections that a client has begun to make are still accepted: the round trip of most."""

ACCEPTING_SECONDS = 1.0
"""How long it takes at most to accept those that wait."""

QUIET_SECONDS = 0.25
"""How long connections are given to bring a request that is under way, as they are told to end by the reply."""

_LOOK_SECONDS = 0.01

# A connection that a client begins now: SYN and not ACK among the flags, which are byte 13 of TCP's header. Dropped, it
# comes again after a second, when somebody else may listen; or is refused then, and nothing of it is lost.
_DROP_BEGINNINGS = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte
        (0x54, 0, 0, 0x12),  # and these two flags
        (0x15, 0, 1, 0x02),  # skip one where it is not SYN alone
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFFFFFF),  # pass
    )
)
_SO_ATTACH_FILTER = 26


class Listening:
    """The listening sockets that a loop is asked for from now on, and the connections that they bring.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        The loop; its `create_server` is replaced until `close`.
    is_last : callable
        Tells whether nobody listens on after this worker.
    handshake_seconds : float or None
        How long a TLS handshake may take, where there is one.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, is_last: Callable[[], bool], handshake_seconds: float | None
    ) -> None:
        self._loop = loop
        self._is_last = is_last
        self._handshake_seconds = handshake_seconds
        self._create = loop.create_server
        self._servers: list[asyncio.Server] = []
        self._connections: WeakSet[Any] = WeakSet()
        loop.create_server = self._listen  # type: ignore[method-assign,assignment]

    async def _listen(self, factory: Callable[[], Any], *arguments: Any, **options: Any) -> asyncio.Server:
        def begin() -> Any:
            protocol = factory()
            self._connections.add(protocol)
            return protocol

        if options.get("ssl") and self._handshake_seconds:  # uvicorn has no setting for it
            options.setdefault("ssl_handshake_timeout", self._handshake_seconds)
        server = await self._create(begin, *arguments, **options)
        self._servers.append(server)
        return server

    async def end(self) -> None:
        """Listen no more, and return when all who have come have had the time to ask."""
        if self._is_last():
            await self._accept_the_rest()
        for server in self._servers:
            server.close()
        await self._pass(QUIET_SECONDS, self._any_open)

    def close(self) -> None:
        """Give the loop back as it was."""
        self._loop.create_server = self._create  # type: ignore[method-assign]

    async def _accept_the_rest(self) -> None:
        waiting = select.poll()
        for server in self._servers:
            for listener in server.sockets:
                drop_beginnings(listener)
                waiting.register(listener.fileno(), select.POLLIN)
        await asyncio.sleep(HANDSHAKE_SECONDS)
        await self._pass(ACCEPTING_SECONDS, lambda: bool(waiting.poll(0)))

    def _any_open(self) -> bool:
        return any(each.transport is None or not each.transport.is_closing() for each in self._connections)

    async def _pass(self, seconds: float, condition: Callable[[], bool]) -> None:
        """Let time pass while a condition holds."""
        end = self._loop.time() + seconds
        while condition() and self._loop.time() < end:
            await asyncio.sleep(_LOOK_SECONDS)


def drop_beginnings(listener: socket.socket) -> None:
    """Let a listening socket make no new connections, and finish those that it makes, where the system can do that."""
    if sys.platform != "linux" or listener.family not in (socket.AF_INET, socket.AF_INET6):
        return
    code = ctypes.create_string_buffer(_DROP_BEGINNINGS, len(_DROP_BEGINNINGS))
    program = struct.pack("@HP", len(_DROP_BEGINNINGS) // 8, ctypes.addressof(code))
    with suppress(OSError):  # a sandbox may have no filters; then some are reset
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
