"""A strict reader of HTTP/1.1 replies: one reply at a time, of a known length, and nothing behind it."""

from dataclasses import dataclass

_HEAD_END = b"\r\n\r\n"
_HEAD_LIMIT = 1 << 16
_KEPT_HEADS = 1024


class ReplyError(Exception):
    """What came is no reply that this reader takes."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a reply says.

    Attributes
    ----------
    status : int
        Its status.
    length : int
        Bytes of the whole reply, head included.
    start : int
        Where the body begins.
    keep_alive : bool
        Whether the connection may be used again.
    """

    status: int
    length: int
    start: int
    keep_alive: bool


class HeadReader:
    """Reads heads, and remembers them: a server's heads differ by date and length alone."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def read(self, received: bytes | bytearray) -> Head | None:
        """Return the head of a reply, None where it has not yet come as a whole.

        Raises
        ------
        ReplyError
            Where it is malformed, or its length is not stated by `Content-Length` alone.
        """
        end = received.find(_HEAD_END)
        if end < 0:
            if len(received) > _HEAD_LIMIT:
                raise ReplyError(f"a head of more than {_HEAD_LIMIT} bytes")
            return None
        text = bytes(received[:end])
        head = self._known.get(text)
        if head is None:
            if len(self._known) >= _KEPT_HEADS:
                self._known.clear()
            head = self._known[text] = parse_head(text)
        return head


def parse_head(text: bytes) -> Head:
    """Read a head without its empty line; raises ReplyError."""
    first, *lines = text.split(b"\r\n")
    version, _, rest = first.partition(b" ")
    status = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not status.isdigit() or len(status) < 3 or rest[3:4] not in b" ":
        raise ReplyError(f"expected a status line, got {first[:80]!r}")
    length, keep_alive = None, version == b"HTTP/1.1"
    for line in lines:
        name, colon, value = line.partition(b":")
        name, value = name.lower(), value.strip().lower()
        if not colon or not name or name != name.strip():
            raise ReplyError(f"expected a header, got {line[:80]!r}")
        if name == b"content-length":
            if not value.isdigit() or length not in (None, int(value)):
                raise ReplyError(f"expected one length, got {line[:80]!r}")
            length = int(value)
        elif name == b"transfer-encoding":
            raise ReplyError(f"expected a reply with Content-Length, got {line[:80]!r}")
        elif name == b"connection":
            keep_alive = b"close" not in value and (keep_alive or b"keep-alive" in value)
    if length is None:
        raise ReplyError("the reply states no Content-Length")
    start = len(text) + len(_HEAD_END)
    return Head(int(status), start + length, start, keep_alive)
