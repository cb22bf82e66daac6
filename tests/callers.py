"""Clients that predict without an end over connections to known workers, and notice when one is lost."""

import re
import threading
from collections import Counter
from http.client import HTTPConnection, HTTPException

from tests.serving import DEADLINE_SECONDS

SINGLE = ("/predict", b'{"features": [%b]}' % b",".join([b"0.5"] * 22))
"""Path and body of a prediction."""


def dial(address: str, port: int) -> HTTPConnection:
    """Return an open connection; that the server has closed it is a failure, not a reason for another."""
    opened = HTTPConnection(address, port, timeout=DEADLINE_SECONDS)
    opened.connect()
    opened.auto_open = 0
    return opened


def own_port(opened: HTTPConnection) -> int:
    """Return the client's port of an open connection."""
    port: int = opened.sock.getsockname()[1]
    return port


class Caller:
    """A thread that predicts over a connection from now on, until it fails or is ended.

    Parameters
    ----------
    opened : HTTPConnection
        The connection, which is closed at the end.
    worker : int
        The process behind it.
    request : tuple
        Path and body of what is asked; the reply names its model's version.
    pause : float
        Seconds between a reply and the next request.
    """

    def __init__(
        self, opened: HTTPConnection, worker: int, request: tuple[str, bytes] = SINGLE, pause: float = 0.0
    ) -> None:
        self.worker = worker
        self.replies: Counter[str] = Counter()
        self.failure = ""
        self._opened = opened
        self._request = request
        self._pause = pause
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._call)
        self._thread.start()

    def _call(self) -> None:
        try:
            while not self._ended.wait(self._pause):
                self._opened.request("POST", *self._request, {"Content-Type": "application/json"})
                reply = self._opened.getresponse()
                content = reply.read()
                served = set(re.findall(rb'"model_version":"([^"]+)"', content))
                if reply.status != 200 or len(served) != 1:
                    raise HTTPException(f"{reply.status}: {content!r}")
                self.replies[served.pop().decode()] += 1
        except (OSError, HTTPException) as error:
            self.failure = repr(error)

    def end(self) -> None:
        """Send no more, and close."""
        self._ended.set()
        self._thread.join()
        self._opened.close()
