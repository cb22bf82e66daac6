"""How long an answer is worth waiting for: `X-Request-Deadline-Ms`.

A client that gives up after a time says so, and no inference is spent on an answer that nobody reads. The time counts
from the first byte of the request, so that neither side needs the other's clock. What is late is a 504, as gRPC's
DEADLINE_EXCEEDED is over HTTP, and no 503: a 503 invites to try again, which after a deadline helps no one.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from time import perf_counter_ns
from typing import TypeVar

from runtime.problems import Problem

HEADER = "X-Request-Deadline-Ms"

_DEADLINE: ContextVar[int | None] = ContextVar("deadline", default=None)
_DIGITS = re.compile(rb"[0-9]{1,9}")

_Result = TypeVar("_Result")


def parse_deadline(value: bytes, started: int) -> int | None:
    """Return the moment, by `perf_counter_ns`, until which an answer is awaited; None where there is no such moment.

    Parameters
    ----------
    value : bytes
        Milliseconds, as the header gives them.
    started : int
        When the request began, by `perf_counter_ns`.
    """
    return started + int(value) * 1_000_000 if _DIGITS.fullmatch(value) else None


def set_deadline(value: bytes, started: int) -> None:
    """Let all that this task still does be in time for a deadline; raises Problem, 400 where it is malformed."""
    deadline = parse_deadline(value, started)
    if deadline is None:
        received = value.decode("latin-1")
        raise Problem(400, f"expected milliseconds, a whole number below 10**9, got {received!r}", field=HEADER)
    _DEADLINE.set(deadline)


def set_time_left(seconds: float) -> None:
    """Let all that this task still does be done within a time."""
    _DEADLINE.set(perf_counter_ns() + int(seconds * 1e9))


def check_deadline() -> None:
    """Go on while an answer is still awaited; raises Problem with status 504."""
    _check(_DEADLINE.get())


def in_time(work: Callable[[], _Result]) -> Callable[[], _Result]:
    """Return the work with a check before it, to be done later and in another thread, where there is a deadline."""
    deadline = _DEADLINE.get()
    if deadline is None:
        return work

    def checked() -> _Result:
        _check(deadline)
        return work()

    return checked


async def await_in_time(coming: Awaitable[_Result]) -> _Result:
    """Await what others bring, such as a piece of a body, while an answer is; raises Problem with status 504."""
    deadline = _DEADLINE.get()
    if deadline is None:
        return await coming
    try:
        async with asyncio.timeout((deadline - perf_counter_ns()) / 1e9):
            return await coming
    except TimeoutError:
        raise late() from None


def _check(deadline: int | None) -> None:
    if deadline is not None and perf_counter_ns() > deadline:
        raise late()


def late() -> Problem:
    """Return the problem of a request whose deadline has passed."""
    return Problem(504, "the deadline passed before the prediction was made", field=HEADER)
