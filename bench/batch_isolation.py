"""Latency of `/predict` with and without large batches beside it: ``python -m bench.batch_isolation MODEL``.

One process sends single predictions at a fixed rate, whether or not earlier ones have been answered, and measures each
from the moment when it was due. Another one sends one batch of 100,000 rows after the other. Rounds with and without
batches take turns.
"""

import argparse
import http.client
import io
import json
import multiprocessing
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.serving import running_server

WIDTH = 22
BATCH_ROWS = 100_000
CONNECTIONS = 8
BODIES = 500
_HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def random_rows(count: int, seed: int) -> NDArray[np.float32]:
    """Return rows of different scales, float32 (count, WIDTH)."""
    scales = np.geomspace(0.01, 1000, WIDTH)
    return (np.random.default_rng(seed).normal(size=(count, WIDTH)) * scales).astype(np.float32)


def batch_body(form: str) -> tuple[bytes, dict[str, str]]:
    """Return the body of a large batch and its headers."""
    rows = random_rows(BATCH_ROWS, seed=1)
    if form == "json":
        return json.dumps({"features": rows.tolist()}).encode(), {"Content-Type": "application/json"}
    stream = io.BytesIO()
    np.save(stream, rows)
    kind = "application/x-npy"
    return stream.getvalue(), {"Content-Type": kind, "Accept": kind}


def send_batches(port: int, form: str, wanted: Any, answered: Any) -> None:
    """Send batches while they are wanted, and count the answers."""
    body, headers = batch_body(form)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while wanted.wait():
        connection.request("POST", "/predict/batch", body, headers)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise SystemExit(f"a batch was answered with {response.status}")
        with answered.get_lock():
            answered.value += 1


def measure(port: int, rate: float, seconds: float) -> NDArray[np.float64]:
    """Return the latencies in seconds of predictions at a fixed rate."""
    requests = []
    for row in random_rows(BODIES, seed=2):
        body = json.dumps({"features": row.tolist()}).encode()
        requests.append(_HEAD % len(body) + body)
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    due_times: dict[socket.socket, deque[float]] = {stream: deque() for stream in sockets}
    latencies: list[float] = []
    start, sent, count = time.perf_counter() + 0.05, 0, int(rate * seconds)
    while len(latencies) < count:
        due = start + sent / rate
        now = time.perf_counter()
        if sent < count and now >= due:
            stream = sockets[sent % CONNECTIONS]
            stream.sendall(requests[sent % BODIES])
            due_times[stream].append(due)
            sent += 1
            continue
        ready, _, _ = select.select(sockets, [], [], due - now if sent < count else 10.0)
        for stream in ready:
            replies = stream.recv(1 << 16).count(b"HTTP/1.1 200 ")
            arrived = time.perf_counter()
            latencies += [arrived - due_times[stream].popleft() for _ in range(replies)]
    for stream in sockets:
        stream.close()
    return np.array(latencies)


@contextmanager
def batches(wanted: Any, answered: Any) -> Iterator[None]:
    """Have batches sent, from the first answer on and until the last one has come."""
    before = answered.value
    wanted.set()
    while answered.value == before:
        time.sleep(0.01)
    yield
    wanted.clear()
    time.sleep(2.0)


def compare(
    port: int, form: str, rate: float, seconds: float, rounds: int
) -> list[tuple[NDArray[np.float64], NDArray[np.float64], float]]:
    """Return the latencies without and with batches of every round."""
    wanted, answered = multiprocessing.Event(), multiprocessing.Value("q", 0)
    sender = multiprocessing.Process(target=send_batches, args=(port, form, wanted, answered), daemon=True)
    sender.start()
    found = []
    for _ in range(rounds):
        alone = measure(port, rate, seconds)
        with batches(wanted, answered):
            begin = answered.value
            beside = measure(port, rate, seconds)
            rows = (answered.value - begin) * BATCH_ROWS / seconds
        found.append((alone, beside, rows))
    sender.terminate()
    sender.join()
    return found


def main(arguments: list[str]) -> int:
    """Print one line a form of body."""
    parser = argparse.ArgumentParser(prog="python -m bench.batch_isolation", description=__doc__)
    parser.add_argument("model", type=Path, help="model file, or the folder that holds it")
    parser.add_argument("--rate", type=float, default=500.0, help="predictions a second (default: 500)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement (default: 4)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each kind (default: 5)")
    options = parser.parse_args(arguments)
    sys.stdout.write("| batch | alone p50 | alone p99 | beside p50 | beside p99 | p99 ratio | batch rows/s |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|\n")
    with running_server(options.model) as server:
        measure(server.port, options.rate, 1.0)
        for form in ("json", "npy"):
            found = compare(server.port, form, options.rate, options.seconds, options.rounds)
            percentiles = np.array(
                [[*np.percentile(alone, [50, 99]), *np.percentile(beside, [50, 99])] for alone, beside, _ in found]
            )
            cells = [f"{1e6 * value:,.0f} us" for value in np.median(percentiles, axis=0)]
            ratio = np.median(percentiles[:, 3] / percentiles[:, 1])
            rows = np.median([rate for _, _, rate in found])
            sys.stdout.write(f"| {form} | {' | '.join(cells)} | {ratio:.2f} | {rows:,.0f} |\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
