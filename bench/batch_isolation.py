"""Latency of `/predict` with and without large batches beside it: ``python -m bench.batch_isolation MODEL``.

This process sends single predictions at a fixed rate, whether or not earlier ones have been answered, and measures each
from the moment when it was due. Another process sends one batch of 100,000 rows after the other: to the same server, or
to a second one that shares nothing with the first but the cores. What the second costs is the machine's part, which no
server can take away; what the same server costs beyond that is the server's own. The three kinds take turns. Servers,
client and sender share all cores, as their owner's programs would; the client sleeps while nothing is due, and goes
first when something is, where the system allows that.
"""

import argparse
import http.client
import io
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import contenders, open_loop
from bench.arguments import count
from bench.servers import MeasureError, Request, Server, started

WIDTH = 22
BATCH_ROWS = 100_000
BODIES = 500
RATE = 500.0

_POLL_SECONDS = 0.01
_PATIENCE_SECONDS = 60.0
_BATCH = "/predict/batch"


@dataclass(frozen=True, slots=True)
class Round:
    """What one round found.

    Attributes
    ----------
    alone, beside, elsewhere : Outcome
        Single predictions without batches, beside batches of the same server, and beside those of the other one.
    rows : float
        Rows of batches that the same server predicted a second meanwhile.
    """

    alone: open_loop.Outcome
    beside: open_loop.Outcome
    elsewhere: open_loop.Outcome
    rows: float


def random_rows(count: int, seed: int) -> NDArray[np.float32]:
    """Return rows of different scales, float32 (count, WIDTH)."""
    scales = np.geomspace(0.01, 1000, WIDTH)
    return (np.random.default_rng(seed).normal(size=(count, WIDTH)) * scales).astype(np.float32)


def large_batch(form: str) -> Request:
    """Return a request with a large batch, as json or npy."""
    rows = random_rows(BATCH_ROWS, seed=1)
    if form == "json":
        return Request(_BATCH, json.dumps({"features": rows.tolist()}).encode(), {"Content-Type": "application/json"})
    stream = io.BytesIO()
    np.save(stream, rows)
    kind = "application/x-npy"
    return Request(_BATCH, stream.getvalue(), {"Content-Type": kind, "Accept": kind})


def _send_batches(port: int, request: Request, wanted: Any, answered: Any) -> None:
    """Send batches while they are wanted, and count the answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while wanted.wait():
        status, _ = request.send(connection)
        if status != 200:
            raise SystemExit(f"a batch was answered with {status}")
        with answered.get_lock():
            answered.value += 1


class _Sender:
    """The process that sends batches.

    Parameters
    ----------
    server : Server
        Where to.
    request : Request
        A batch.
    """

    def __init__(self, server: Server, request: Request) -> None:
        context = multiprocessing.get_context("spawn")
        self._server = server
        self._wanted, self._answered = context.Event(), context.Value("q", 0)
        arguments = server.port, request, self._wanted, self._answered
        self._process = context.Process(target=_send_batches, args=arguments, daemon=True)
        self._process.start()

    @property
    def answered(self) -> int:
        """Batches that were answered so far; raises MeasureError where none can follow."""
        if not self._process.is_alive():
            raise MeasureError("the sender of batches has ended; the server refused one, or closed its connection")
        count: int = self._answered.value
        return count

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Have batches sent, from the first answer on and until the server is done with the last one."""
        before, deadline = self.answered, time.perf_counter() + _PATIENCE_SECONDS
        self._wanted.set()
        try:
            while self.answered == before:
                if time.perf_counter() > deadline:
                    raise MeasureError(f"no batch was answered within {_PATIENCE_SECONDS:g} s")
                time.sleep(_POLL_SECONDS)
            yield
        finally:
            self._wanted.clear()
        self._server.settle()

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()


def rounds(
    server: Server,
    other: Server,
    bodies: Sequence[bytes],
    batch: Request,
    seconds: float,
    count: int,
    rate: float = RATE,
) -> Iterator[Round]:
    """Measure single predictions with and without batches beside them, in turn.

    Parameters
    ----------
    server, other : Server
        Two servers of the same kind that may use all cores; the first gets the single predictions.
    bodies : sequence of bytes
        Single predictions.
    batch : Request
        A batch.
    seconds : float
        Length of one measurement.
    count : int
        How many rounds.
    rate : float
        Single predictions a second.
    """

    def single() -> open_loop.Outcome:
        with _first_in_line():
            return open_loop.load(server.port, bodies, rate, seconds, sleeps=True)

    with ExitStack() as stack:
        own, others = (stack.enter_context(closing(_Sender(each, batch))) for each in (server, other))
        for _ in range(count):
            alone = single()
            with own.sending():
                begin = own.answered
                beside = single()
                rows = (own.answered - begin) * BATCH_ROWS / seconds
            with others.sending():
                elsewhere = single()
            yield Round(alone, beside, elsewhere, rows)


@contextmanager
def _first_in_line() -> Iterator[None]:
    """Have this process run before others as soon as it has something to do, where that is permitted.

    It is at work for less than a tenth of the time, and what it waits for a core would be counted as the server's.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _cells(found: Sequence[Round]) -> Iterator[str]:
    """Yield the medians of the rounds."""
    sides = [(one.alone, one.beside, one.elsewhere) for one in found]
    middle, high = (np.array([[side.percentile(p) for side in three] for three in sides]) for p in (50, 99))
    alone, beside, elsewhere = np.median(high, axis=0)
    for seconds in (np.median(middle[:, 0]), alone, np.median(middle[:, 1]), beside, elsewhere):
        yield f"{1e6 * seconds:,.0f} us"
    yield f"{np.median(high[:, 1] / high[:, 0]):.2f}"
    yield f"{np.median(high[:, 1] / high[:, 2]):.2f}"
    yield f"{np.median([one.rows for one in found]):,.0f}"


def main(arguments: list[str]) -> int:
    """Print one line a form of body."""
    parser = argparse.ArgumentParser(prog="python -m bench.batch_isolation", description=__doc__)
    parser.add_argument("model", type=Path, help="model file, or the folder that holds it")
    parser.add_argument("--rate", type=float, default=RATE, help="predictions a second (default: 500)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement (default: 4)")
    parser.add_argument("--rounds", type=count, default=5, help="measurements of each kind (default: 5)")
    options = parser.parse_args(arguments)
    bodies = [json.dumps({"features": row.tolist()}).encode() for row in random_rows(BODIES, seed=2)]
    sys.stdout.write("| batch | alone p50 | alone p99 | beside p50 | beside p99 | beside another server's p99 | ")
    sys.stdout.write("beside / alone | beside / another's | batch rows/s |\n|---|---|---|---|---|---|---|---|---|\n")
    try:
        with ExitStack() as stack:
            server, other = (
                stack.enter_context(started(contenders.ours(options.model), sorted(os.sched_getaffinity(0))))
                for _ in range(2)
            )
            open_loop.load(server.port, bodies, options.rate, 1.0, sleeps=True)
            for form in ("json", "npy"):
                batch = large_batch(form)
                found = list(rounds(server, other, bodies, batch, options.seconds, options.rounds, options.rate))
                sys.stdout.write(f"| {form} | {' | '.join(_cells(found))} |\n")
    except MeasureError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
