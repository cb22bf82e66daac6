"""Large bodies in small pieces, so that other connections wait for no more than one of them."""

import asyncio

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

LARGE = HIGH_WATER_LIMIT
"""Bytes of a body after which the rest is read in small pieces."""

PIECE_BYTES = HIGH_WATER_LIMIT + 2**12
"""Largest piece. Above uvicorn's mark, so that it pauses the connection and the event loop turns to others after each;
below it, the loop would go on reading while pieces are full."""

# One for all connections: what is in it is copied before the event loop reads again.
_BUFFER = memoryview(bytearray(PIECE_BYTES))


class SmallPieces(asyncio.BufferedProtocol):
    """Stands before the protocol of a connection while a large body arrives.

    Left to itself, the event loop reads 256 kB at once, and hands that on through three copies while everyone else
    waits. Pieces that stay in the processor's nearer caches cost no more in sum.

    Parameters
    ----------
    protocol : asyncio.Protocol
        What gets the pieces, and is told everything else.
    """

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next piece goes."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Hand a piece on."""
        self._protocol.data_received(bytes(_BUFFER[:nbytes]))

    def eof_received(self) -> bool | None:
        """Hand on that no more comes."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand on that the connection is gone."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand on that the client does not read."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Hand on that the client reads again."""
        self._protocol.resume_writing()
