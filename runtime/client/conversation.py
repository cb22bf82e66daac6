"""How a call goes: what is sent, when it is sent again, and when it has failed. The clients only move the bytes.

A call is tried again where to send it twice changes nothing, the failure is one that passes (no connection, a
connection that was lost, 503 or 429 with `Retry-After`), tries are left, and the pause ends before the deadline. A
reload, which is none of these, is sent once, over a connection of its own.
"""

import math
import os
import random
import re
import ssl
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from numbers import Real
from time import monotonic, time
from typing import Any
from urllib.parse import urlsplit

from runtime.client.calls import Call, Plan, Result
from runtime.client.errors import ClientError, DeadlineError, NoAnswerError, refusal
from runtime.client.http import LostError, Reply, encode_request

RETRIES = 6
"""How often a call is tried again unless a client says otherwise: over 3 to 6 s, in which a server starts again."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds between two tries, doubled each time
_LONGEST_LIMIT = 10**6 - 1  # seconds, of which the server takes the milliseconds in nine digits
_MOST_DIGITS = 6  # of the seconds of a Retry-After
_LONGEST_DATE = 64  # bytes of the date of a Retry-After
_PORTS = {"http": 80, "https": 443}
_WORD = re.compile(r"[!-~]+\Z")


@dataclass(frozen=True, slots=True)
class Exchange:
    """Send a request, over a new connection where `fresh` says so, and return the reply; until a deadline."""

    request: bytes
    fresh: bool
    deadline: float

    def left(self) -> float | None:
        """Return the seconds until the deadline, 0 where it has passed; None where there is none."""
        return None if self.deadline == math.inf else max(self.deadline - monotonic(), 0.0)


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


Conversation = Generator[Exchange | Pause, Any, Result]
"""Is sent a `Reply` for every `Exchange`, or has `LostError` or `OSError` thrown into it."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, and how it is talked to.

    Attributes
    ----------
    host, port, secure : str, int, bool
        Where to connect, and whether by TLS.
    prefix : str
        What stands before every path.
    headers : mapping
        Those of every request.
    retries : int
        How often a call is tried again.
    """

    host: str
    port: int
    secure: bool
    prefix: str
    headers: Mapping[str, str]
    retries: int

    @classmethod
    def at(cls, url: str, token: str | None, retries: int) -> "Server":
        """Return the server at a URL; raises ClientError where that is none."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment or not _WORD.match(url):
            raise ClientError(f"expected http:// or https:// and a host, got {url!r}")
        if token and not _WORD.match(token):
            raise ClientError("token: expected visible ASCII characters, got others, such as the end of a line")
        if not isinstance(retries, int) or retries < 0:
            raise ClientError(f"retries: expected an integer from 0 on, got {retries!r}")
        headers = {"Host": parts.netloc.rpartition("@")[2]}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        secure = parts.scheme == "https"
        return cls(parts.hostname, port or _PORTS[parts.scheme], secure, parts.path.rstrip("/"), headers, retries)

    def converse(self, asked: Call[Result] | Plan[Result], seconds: float) -> "Conversation[Result]":
        """Have a call, or all of a plan, answered within a time; raises ClientError where that is none."""
        seconds = check_timeout(seconds)
        return self._converse(asked, seconds) if isinstance(asked, Call) else self._follow(asked, seconds)

    def _follow(self, plan: Plan[Result], seconds: float) -> "Conversation[Result]":
        deadline, call = monotonic() + seconds, next(plan)
        while True:
            result = yield from self._converse(call, deadline - monotonic())
            try:
                call = plan.send(result)
            except StopIteration as ended:
                whole: Result = ended.value
                return whole

    def _converse(self, call: Call[Result], seconds: float) -> "Conversation[Result]":
        deadline, tries, fresh = monotonic() + seconds, 0, not call.repeatable
        while True:
            left = deadline - monotonic()
            if left <= 0:
                raise too_late(seconds)
            failure: ClientError
            pause: float | None
            try:
                reply = yield Exchange(self._encode(call, left), fresh, deadline)
            except LostError as error:
                if error.stale and not fresh:
                    fresh = True
                    continue
                failure, pause = NoAnswerError(f"{self.host}:{self.port}: {error}"), _back_off(tries)
            except TimeoutError:
                raise too_late(seconds) from None
            except OSError as error:
                failure = NoAnswerError(f"{self.host}:{self.port}: {_reason(error)}")
                pause = None if isinstance(error, ssl.SSLError) else _back_off(tries)
            else:
                if reply.status < 300:
                    return call.read(reply)
                failure, pause = refusal(reply), _asked_pause(reply, tries)
            if pause is None or not call.repeatable or tries == self.retries or monotonic() + pause >= deadline:
                raise failure
            yield Pause(pause)
            tries += 1

    def _encode(self, call: Call[Any], left: float) -> bytes:
        limited = left < math.inf and call.target.startswith("/predict")
        deadline = {"X-Request-Deadline-Ms": str(max(int(1000 * left), 1))} if limited else {}
        return encode_request(
            call.method, self.prefix + call.target, {**self.headers, **call.headers, **deadline}, call.body
        )


def check_timeout(timeout: Any) -> float:
    """Return the seconds that a call may take, infinite where there is no limit; raises ClientError."""
    if not isinstance(timeout, Real) or math.isnan(timeout):
        raise ClientError(f"timeout: expected seconds, or inf for no limit, got {timeout!r}")
    seconds = float(timeout)
    return seconds if seconds <= _LONGEST_LIMIT else math.inf


def too_late(seconds: float) -> DeadlineError:
    """Return the error of a call that took too long."""
    return DeadlineError(f"no answer within {seconds:g} s")


def _back_off(tries: int) -> float:
    """Return a pause that grows with the tries, at random so that clients do not come back together."""
    longest: float = min(_FIRST_PAUSE * 2**tries, _LONGEST_PAUSE)
    return random.uniform(0.5, 1.0) * longest


def _asked_pause(reply: Reply, tries: int) -> float | None:
    """Return the pause that a busy server or a gateway asks for, and longer at random; None where it asks for none."""
    if reply.status not in (429, 503):
        return None
    asked = _asked_seconds(reply.headers.get(b"retry-after", b""), reply.headers.get(b"date", b""))
    return None if asked is None or asked > _LONGEST_LIMIT else asked + _back_off(tries)


def _asked_seconds(asked: bytes, date: bytes) -> float | None:
    """Return the seconds that `Retry-After` asks for: as a number, or until a date by the clock that wrote `Date`."""
    if asked.isdigit():
        return int(asked) if len(asked) <= _MOST_DIGITS else None
    until, now = _seconds_of(asked), _seconds_of(date)
    return None if until is None else max(0.0, until - (time() if now is None else now))


def _seconds_of(date: bytes) -> float | None:
    """Return a date of HTTP, in any of its three forms, as seconds since 1970; None for what is none."""
    if len(date) > _LONGEST_DATE:
        return None
    try:
        parsed = parsedate_to_datetime(date.decode("ascii"))
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return parsed.replace(tzinfo=parsed.tzinfo or UTC).timestamp()  # all of them are in UTC, and one does not say so


def _reason(error: OSError) -> str:
    """Return what the system calls an error; asyncio has words of its own for some."""
    return os.strerror(error.errno) if isinstance(error, ConnectionError) and error.errno else str(error)
