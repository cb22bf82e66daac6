"""HTTP/1.1 without sockets: requests as bytes, and replies from the bytes that come."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import httptools


class LostError(Exception):
    """A connection ended before a whole reply had come.

    Attributes
    ----------
    stale : bool
        The connection had been kept open, and not one byte came: the server had closed it while it was idle.
    """

    def __init__(self, reason: str, stale: bool = False) -> None:
        super().__init__(reason)
        self.stale = stale


@dataclass(slots=True)
class Reply:
    """A reply that grows while its bytes come; the members that are named `on_` are httptools'."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    complete: bool = False
    keeps_alive: bool = False
    _pieces: list[bytes] = field(default_factory=list)
    _parser: httptools.HttpResponseParser | None = None

    def __post_init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)

    @property
    def body(self) -> bytes:
        """The body as far as it has come."""
        if len(self._pieces) != 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]

    def feed(self, data: bytes) -> None:
        """Take bytes of the connection; raises LostError where they are no HTTP."""
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise LostError(f"expected a reply of HTTP/1.1: {error}") from None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.headers[name.lower()] = value

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Take the end."""
        assert self._parser is not None
        self.status = self._parser.get_status_code()
        self.keeps_alive = self._parser.should_keep_alive()
        self.complete = self.status >= 200
        self._parser = None if self.complete else self._parser  # no circle is left for the collector


def encode_request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a request as bytes; a body has its length."""
    length = f"Content-Length: {len(body)}\r\n" if body or method != "GET" else ""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}{length}\r\n".encode("latin-1") + body
