"""Open-loop load: requests are due at times of their own, whether or not earlier ones have been answered.

The latency of a request counts from the moment when it was due, not from when it was sent. So a stall of the server is
seen by every request that was due meanwhile, as by callers who do not wait for one another. The client never sleeps,
because a timer's delay would be counted as the server's, unless it must leave its core to others; it says how late it
was itself.
"""

import gc
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count as numbers
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.connections import CONNECTIONS, Reply, Sockets, Transport, post
from bench.servers import MeasureError

LIMIT = 0.2
"""Share of the 99th percentile that the client's own delay may have; beyond it the client is the limit."""
BUSY = 0.9
"""Share of the time that the client may be at work; beyond it the client is the limit."""
PATIENCE_SECONDS = 10.0
"""How long the client waits for replies."""

UNANSWERED = "no reply"

_LONGEST_SLEEP = 0.1  # seconds


class Watcher(Protocol):
    """Who looks at the replies."""

    def reply(self, number: int, latency: float, reply: Reply) -> None:
        """Take the reply to a request, by its number and with its seconds; must be quick."""

    def idle(self, spare: float) -> bool:
        """Do a piece of work that takes no longer than some seconds, and tell whether there was any.

        Without a second to spare, because replies are awaited, it may still do what takes some microseconds.
        """


class Strict:
    """Takes replies with status 200 and no others."""

    def reply(self, number: int, latency: float, reply: Reply) -> None:
        """Raise MeasureError where a reply is none, or has another status."""
        if reply.status != 200:
            raise MeasureError(f"expected status 200, got {reply.status or reply.fault}: {reply.body[:200]!r}")

    def idle(self, spare: float) -> bool:
        """Do nothing."""
        return False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a load found.

    Attributes
    ----------
    rate : float
        Requests due a second.
    latencies : ndarray
        Seconds from when each request was due until its reply had come, or until it was given up, float64 (requests,).
    delays : ndarray
        Seconds by which the client sent each request later than it could have, float64 (requests,): after it was due
        and a connection was free.
    busy : float
        Share of the time in which the client sent, received or checked, rather than looked for something to do.
    seconds : float
        How long it took until the last reply.
    unanswered : int
        Requests without a reply at the end.
    due : float
        Requests that came due a second, which independent arrivals make more or fewer than the rate; 0 in a closed
        loop.
    """

    rate: float
    latencies: NDArray[np.float64]
    delays: NDArray[np.float64]
    busy: float
    seconds: float = field(default=0.0)
    unanswered: int = field(default=0)
    due: float = field(default=0.0)

    def percentile(self, percent: float) -> float:
        """Return a percentile of the latencies."""
        return float(np.percentile(self.latencies, percent))

    @property
    def client_is_limit(self) -> bool:
        """Whether the client's own delays are a good part of what it measured, or it had no time to spare."""
        return self.busy > BUSY or bool(np.percentile(self.delays, 99) > LIMIT * self.percentile(99))

    def is_overload(self, capacity: float) -> bool:
        """Tell whether requests waited as long as they do in a closed loop that asks for all of the capacity.

        Parameters
        ----------
        capacity : float
            Requests a second that as many connections in a closed loop were answered.
        """
        return self.percentile(50) > CONNECTIONS / capacity


def constant(rate: float) -> Iterator[float]:
    """Yield seconds after the start, evenly spaced."""
    return (number / rate for number in numbers())


def poisson(rate: float, seed: int = 0) -> Iterator[float]:
    """Yield seconds after the start of independent arrivals: the time between two is exponentially distributed."""
    random, last = np.random.default_rng(seed), 0.0
    while True:
        times = last + np.cumsum(random.exponential(1.0 / rate, 4096))
        last = times[-1]
        yield from times.tolist()


def run(
    transport: Transport,
    requests: Sequence[bytes],
    rate: float,
    count: int,
    clock: Callable[[], float] = time.perf_counter,
    arrivals: Iterator[float] | None = None,
    watcher: Watcher | None = None,
    patience: float = PATIENCE_SECONDS,
    wait: Callable[[float], None] | None = None,
) -> Outcome:
    """Send requests when they are due, and return when each has been answered.

    Parameters
    ----------
    transport : Transport
        Carries them. A request that is due while all connections wait for replies is sent when one is free; its
        latency counts from when it was due all the same.
    requests : sequence of bytes
        Sent in turn.
    rate : float
        Requests a second.
    count : int
        How many.
    clock : callable
        Gives seconds that never go back.
    arrivals : iterator of float
        When they are due, in seconds after the start; evenly spaced by default.
    watcher : Watcher
        Takes the replies; by default `Strict`.
    patience : float
        Seconds without any reply, or after the last request was due, after which all that wait are given up.
    wait : callable
        Sleeps until a reply has come or for some seconds at most; by default the client does not sleep.
    """
    arrivals, watcher = arrivals or constant(rate), watcher or Strict()
    latencies, delays = np.zeros(count), np.zeros(count)
    free = deque(range(transport.connections))
    free_since = [0.0] * transport.connections
    waiting: dict[int, tuple[int, float]] = {}
    start = clock()
    deadline, last_reply = start + count / rate + patience, start
    sent = done = 0
    due = start + next(arrivals)
    last, idle, worked = start, 0.0, True
    while done < count:
        now = clock()
        if not worked:
            idle += now - last
        last, worked = now, False
        while sent < count and free and now >= due:
            connection = free.popleft()
            delays[sent] = now - max(due, free_since[connection])
            transport.send(connection, requests[sent % len(requests)])
            if not waiting:
                last_reply = now
            waiting[connection] = sent, due
            sent, due = sent + 1, start + next(arrivals)
            now, worked = clock(), True
        for connection, reply in transport.answered():
            last_reply = clock()
            number, was_due = waiting.pop(connection)
            latencies[number] = latency = last_reply - was_due
            watcher.reply(number, latency, reply)
            free_since[connection] = last_reply
            free.append(connection)
            done += 1
            worked = True
        if (now > deadline and sent) or (waiting and now > last_reply + patience):
            break
        if not worked:
            worked = watcher.idle(0.0 if waiting else due - now)
        if wait and not worked:
            wait(max(0.0, due - clock()) if sent < count and free else _LONGEST_SLEEP)
    end = clock()
    while sent < count and due <= end:
        waiting[-1 - sent] = sent, due  # it is due, and has found no connection
        sent, due = sent + 1, start + next(arrivals)
    for number, was_due in waiting.values():
        latencies[number] = end - was_due
        watcher.reply(number, end - was_due, Reply(0, b"", UNANSWERED))
    busy = 1.0 - idle / (end - start)
    came = sent / (due - start)  # the next one that is not sent ends the time of the last one
    return Outcome(rate, latencies[:sent], delays[:sent], busy, end - start, len(waiting), came)


@contextmanager
def no_collection() -> Iterator[None]:
    """Run the block without garbage collection, which would delay what is due."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def load(port: int, bodies: Sequence[bytes], rate: float, seconds: float, sleeps: bool = False) -> Outcome:
    """Post bodies to `/predict` on loopback at a fixed rate for a time, and have all of them answered.

    Parameters
    ----------
    port : int
        Where the server listens.
    bodies : sequence of bytes
        Sent in turn.
    rate : float
        Requests a second.
    seconds : float
        How long.
    sleeps : bool
        Whether the client leaves its core to others while nothing is due.

    Raises
    ------
    MeasureError
        Where the server cannot be reached, or a request is answered with an error or not at all.
    """
    requests = [post("/predict", body) for body in bodies]
    transport = Sockets("127.0.0.1", port)
    try:
        with no_collection():
            wait = transport.wait if sleeps else None
            outcome = run(transport, requests, rate, max(1, int(rate * seconds)), wait=wait)
        if outcome.unanswered:
            raise MeasureError(f"{outcome.unanswered} of {len(outcome.latencies)} requests were not answered")
        return outcome
    finally:
        transport.close()
