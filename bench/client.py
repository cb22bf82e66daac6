"""What the clients add to a request: ``python -m bench.client`` measures, and writes the figures of docs/client.md.

All ways ask one server, in turn, a round each, over connections that stay open. Waiting is what the caller sees; work
is the processor time of the client's own process, the server's not counted.
"""

import argparse
import asyncio
import http.client
import json
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pandas as pd

from bench import machine
from bench.contenders import ours
from bench.models import LOGISTIC, model_file, random_rows
from bench.servers import started
from runtime.client import AsyncClient, Client

RESULTS = Path(__file__).parent / "results" / "client.json"
PAGE = Path(__file__).parents[1] / "docs" / "client.md"
ROWS = 10_000

_BEGIN, _END = "<!-- figures -->\n", "<!-- end of figures -->"
_JSON = {"Content-Type": "application/json"}
_ROUNDS, _CALLS = 15, 200

Way = Callable[[int], None]
"""Asks so many times."""


def _ways(port: int, open_ones: ExitStack) -> tuple[dict[str, Way], dict[str, Way]]:
    """Return the ways to predict one row, and those to predict a batch."""
    url = f"http://127.0.0.1:{port}"
    row, rows = random_rows(1, seed=3)[0], random_rows(ROWS, seed=4)
    client = open_ones.enter_context(Client(url))
    frame = pd.DataFrame(rows, columns=list(client.model_info().feature_names))
    plain = open_ones.enter_context(httpx.Client())
    stream = open_ones.enter_context(socket.create_connection(("127.0.0.1", port)))
    stdlib = http.client.HTTPConnection("127.0.0.1", port)
    open_ones.callback(stdlib.close)
    loop = open_ones.enter_context(asyncio.Runner())
    awaited = AsyncClient(url)
    open_ones.callback(lambda: loop.run(awaited.close()))
    body = json.dumps({"features": row.tolist()}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body

    def by_socket(calls: int) -> None:
        for _ in range(calls):
            stream.sendall(request)
            if not stream.recv(65536).startswith(b"HTTP/1.1 200"):
                raise RuntimeError("the server refuses the row")

    def by_http_client(calls: int) -> None:
        for _ in range(calls):
            stdlib.request("POST", "/predict", json.dumps({"features": row.tolist()}), _JSON)
            json.loads(stdlib.getresponse().read())

    def by_httpx(calls: int) -> None:
        for _ in range(calls):
            plain.post(f"{url}/predict", json={"features": row.tolist()}).json()

    async def await_calls(calls: int) -> None:
        for _ in range(calls):
            await awaited.predict(row)

    def repeat(call: Callable[[], Any]) -> Way:
        def ask(calls: int) -> None:
            for _ in range(calls):
                call()

        return ask

    single = {
        "bare socket, bytes made before": by_socket,
        "`Client.predict`": repeat(lambda: client.predict(row)),
        "`AsyncClient.predict`": lambda calls: loop.run(await_calls(calls)),
        "http.client and json": by_http_client,
        "httpx": by_httpx,
    }
    batch = {
        "`predict_probabilities`, raw": repeat(lambda: client.predict_probabilities(rows, raw=True)),
        "`predict_probabilities`, .npy": repeat(lambda: client.predict_probabilities(rows)),
        "`predict_batch`, .npy there, columns back": repeat(lambda: client.predict_batch(rows)),
        "`predict_batch`, a DataFrame there and back": repeat(lambda: client.predict_batch(frame).to_frame()),
        "httpx, JSON both ways": repeat(
            lambda: plain.post(f"{url}/predict/batch", json={"features": rows.tolist()}, timeout=60).json()
        ),
    }
    return single, batch


def measure(rounds: int = _ROUNDS, calls: int = _CALLS) -> dict[str, Any]:
    """Return the medians over rounds, in seconds a call, of waiting and work."""
    made = machine.describe("python -m bench.client", (*machine.PACKAGES, "httpx"))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as open_ones:
        model = model_file(LOGISTIC, Path(folder))
        server = open_ones.enter_context(started(ours(model)))
        single, batch = _ways(server.port, open_ones)
        return {"made": made, "row": _rounds(single, rounds, calls), "batch": _rounds(batch, max(rounds // 3, 1), 1)}


def _rounds(ways: dict[str, Way], rounds: int, calls: int) -> dict[str, dict[str, float]]:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for way in ways.values():
        way(calls)
    for _ in range(rounds):
        for name, way in ways.items():
            waited, worked = time.perf_counter(), time.process_time()
            way(calls)
            found[name].append(((time.perf_counter() - waited) / calls, (time.process_time() - worked) / calls))
    return {
        name: {
            "wait": float(f"{median(wait for wait, _ in times):.4g}"),
            "work": float(f"{median(work for _, work in times):.4g}"),
        }
        for name, times in found.items()
    }


def render(results: dict[str, Any]) -> str:
    """Return the figures as tables."""
    made = results["made"]
    bare = next(iter(results["row"].values()))["work"]
    lines = ["| one row | wait, us | work, us | work beyond the bare socket, us |", "|---|---|---|---|"]
    for name, found in results["row"].items():
        wait, work = 1e6 * found["wait"], 1e6 * found["work"]
        lines.append(f"| {name} | {wait:.0f} | {work:.0f} | {work - 1e6 * bare:.0f} |")
    lines += ["", f"| {ROWS:,} rows | wait, ms | work, ms |", "|---|---|---|"]
    for name, found in results["batch"].items():
        lines.append(f"| {name} | {1e3 * found['wait']:.1f} | {1e3 * found['work']:.1f} |")
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    lines += [
        "",
        f"`{made['command']}`, {made['date'][:10]}: {made['cores']} cores of {made['processor']}, load {made['load']} "
        f"before the start, Python {made['python']}, {versions}. Medians of {_ROUNDS} rounds of {_CALLS} calls, "
        f"of batches {_ROUNDS // 3} calls, all ways in turn; the server shares the cores.",
    ]
    return "\n".join(lines) + "\n"


def write_page(results: dict[str, Any]) -> None:
    """Put the figures into the page."""
    text = PAGE.read_text()
    before, after = text.partition(_BEGIN)[0], text.partition(_END)[2]
    PAGE.write_text(before + _BEGIN + render(results) + _END + after)


def main(arguments: list[str]) -> int:
    """Measure, and write results and page."""
    parser = argparse.ArgumentParser(prog="python -m bench.client", description="Measure what the clients add.")
    parser.add_argument("--render", action="store_true", help="write the page from results that are there")
    if not parser.parse_args(arguments).render:
        RESULTS.write_text(json.dumps(measure(), indent=1) + "\n")
    write_page(json.loads(RESULTS.read_text()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
