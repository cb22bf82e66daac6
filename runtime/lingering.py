"""The end of a connection whose client may still be sending.

To close a socket in which something is left unread resets it, and the client's system then throws away what of the
reply has not been read. So a connection ends in stages (RFC 9112, 9.6): after its last reply it is half closed, and
what still comes is read and dropped, for a bounded time and a bounded number of bytes.
"""

import asyncio
from collections.abc import Callable
from time import monotonic

from runtime.small_pieces import PIECE_BYTES

LINGER_SECONDS = 2.0
"""How long a connection stays half closed at most, from when the system has all of the reply."""

LINGER_BYTES = 2**24
"""Bytes that are read and dropped meanwhile at most: to do that takes some milliseconds."""

# One for all connections: what is in it is never looked at.
_BUFFER = memoryview(bytearray(PIECE_BYTES))


class Lingering(asyncio.BufferedProtocol, asyncio.Transport):
    """Stands between a connection that is over and its socket: a protocol to the one, a closing transport to the other.

    Parameters
    ----------
    transport : asyncio.Transport
        Can be half closed.
    protocol : asyncio.Protocol
        Is told when the connection is lost.
    loop : asyncio.AbstractEventLoop
        The loop of both.
    patience_seconds : float
        How long the client may take nothing of its reply.
    gave_up : callable
        Called where it has taken nothing for as long.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.Protocol,
        loop: asyncio.AbstractEventLoop,
        patience_seconds: float,
        gave_up: Callable[[], None],
    ) -> None:
        super().__init__()
        self._transport = transport
        self._protocol = protocol
        self._loop = loop
        self._patience = patience_seconds
        self._gave_up = gave_up
        self._dropped = 0
        self._unsent, self._moved = transport.get_write_buffer_size(), monotonic()
        transport.set_protocol(self)
        transport.resume_reading()
        transport.write_eof()  # after what has been written
        self._timer = loop.call_later(LINGER_SECONDS, self._look)

    def _look(self) -> None:
        """Close what has lingered long enough, or drop a client that does not read its reply."""
        unsent, now = self._transport.get_write_buffer_size(), monotonic()
        if not unsent and not self._unsent:
            self._transport.close()
            return
        if unsent != self._unsent:
            self._unsent, self._moved = unsent, now
        elif now - self._moved >= self._patience:
            self._gave_up()
            self._transport.abort()
            return
        self._timer = self._loop.call_later(LINGER_SECONDS, self._look)

    # As a protocol
    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next piece goes."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Drop a piece, and let the event loop turn to others before the next one."""
        self._dropped += nbytes
        if self._dropped > LINGER_BYTES:
            self._transport.abort()
        elif nbytes == PIECE_BYTES:
            self._transport.pause_reading()
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand on that the connection is gone."""
        self._timer.cancel()
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand on that the client does not read."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Hand on that the client reads again."""
        self._protocol.resume_writing()

    # As a transport
    def is_closing(self) -> bool:
        """Nothing is written any more."""
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write nothing, as a transport that is closing."""

    def close(self) -> None:
        """Close now, when all is sent."""
        self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Go on dropping what comes."""

    def get_write_buffer_size(self) -> int:
        """Return bytes of the reply that the system has not taken."""
        return self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Go on dropping what comes."""

    def resume_reading(self) -> None:
        """Go on dropping what comes."""
