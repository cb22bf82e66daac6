"""What tests of a guarded server share: how they ask it, and what they ask."""

import re

from tests.runtime.conversations import ROW, replies
from tests.serving import RunningServer

BATCH = b'{"features":[' + ROW[12:-1] + b"]}"
WAITING = b"/predict/batch?on_error=fail"
"""A batch that takes its turn, however small it is: the application answers it."""
BEARER = b"Authorization: Bearer first-token"
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
CHUNKS = HEAD + b"Content-Type: application/json\r\n" + BEARER + b"\r\nTransfer-Encoding: chunked\r\n\r\n"


def ask(server: RunningServer, *pieces: bytes) -> bytes:
    """Send bytes over a connection of its own and return the first reply, or nothing."""
    with server.raw() as stream:
        for piece in pieces:
            try:
                stream.sendall(piece)
            except OSError:  # the server has answered and closed
                break
        return replies(stream, 1)


def status(reply: bytes) -> int:
    return int(reply[9:12])


def rejected(server: RunningServer, reason: str) -> float:
    text = server.request("GET", "/metrics").body.decode()
    found = re.search(rf'^requests_rejected_total{{reason="{reason}"}} (\S+)$', text, re.MULTILINE)
    assert found
    return float(found[1])
