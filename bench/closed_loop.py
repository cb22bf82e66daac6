"""Closed-loop load: every connection asks again as soon as it has been answered, to find what a server can do at most.

A latency counts from when its request was sent, and a stall delays the requests that would have come meanwhile: how
long callers wait at a rate of their own is found by `bench.open_loop` alone.
"""

import time
from array import array
from collections.abc import Callable, Sequence

import numpy as np

from bench.connections import Reply, Transport
from bench.open_loop import PATIENCE_SECONDS, UNANSWERED, Outcome, Strict, Watcher

_LONGEST_SLEEP = 0.1  # seconds


def saturate(
    transport: Transport,
    requests: Sequence[bytes],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    watcher: Watcher | None = None,
    patience: float = PATIENCE_SECONDS,
    wait: Callable[[float], None] | None = None,
) -> Outcome:
    """Keep all connections busy for some seconds, and return what was answered.

    Parameters
    ----------
    transport : Transport
        Carries the requests.
    requests : sequence of bytes
        Sent in turn.
    seconds : float
        After which no more are sent.
    clock : callable
        Gives seconds that never go back.
    watcher : Watcher
        Takes the replies; by default `Strict`.
    patience : float
        Seconds without any reply after which all that wait are given up.
    wait : callable
        Sleeps until a reply has come or for some seconds at most; by default the client does not sleep.

    Returns
    -------
    Outcome
        Its rate is that of the replies; its delays are the times between a reply and the next request.
    """
    watcher = watcher or Strict()
    latencies, delays = array("d"), array("d")
    waiting: dict[int, tuple[int, float]] = {}
    start = clock()
    end, last_reply, sent = start + seconds, start, 0
    last, idle, worked = start, 0.0, True
    free = [(connection, start) for connection in range(transport.connections)]
    while True:
        now = clock()
        if not worked:
            idle += now - last
        last, worked = now, False
        for connection, since in free:
            if now >= end:
                break
            transport.send(connection, requests[sent % len(requests)])
            waiting[connection] = sent, now
            delays.append(now - since)
            latencies.append(0.0)
            sent, now, worked = sent + 1, clock(), True
        free = []
        for connection, reply in transport.answered():
            last_reply = clock()
            number, begun = waiting.pop(connection)
            latencies[number] = last_reply - begun
            watcher.reply(number, last_reply - begun, reply)
            free.append((connection, last_reply))
            worked = True
        if not (waiting or free) or (now >= end and not waiting) or (waiting and now > last_reply + patience):
            break
        if not worked:
            worked = watcher.idle(0.0)
        if wait and not worked:
            wait(_LONGEST_SLEEP)
    stop = clock()
    for number, begun in waiting.values():
        latencies[number] = stop - begun
        watcher.reply(number, stop - begun, Reply(0, b"", UNANSWERED))
    answered = sent - len(waiting)
    took = last_reply - start if answered else stop - start
    busy = 1.0 - idle / (stop - start)
    return Outcome(answered / took, np.array(latencies), np.array(delays), busy, took, len(waiting))
