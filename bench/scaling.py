"""How cost grows with workers, connections, batches, models and features: ``python -m bench.scaling [--only SECTION]``.

Each section takes less than a minute and is written down by itself, so that they can be measured apart.
"""

import argparse
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import contenders, dialects, machine, scaling_models
from bench.dialects import Form
from bench.engine_models import SWEEP, Spec
from bench.engine_time import Engine, timed
from bench.other_work import OtherWork, wait_for_quiet
from bench.outputs import output_file, write_output
from bench.peer_environments import ROOT
from bench.scaling_models import WIDTHS
from bench.servers import CLIENT_CORE, SERVER_CORE, MeasureError, Server, started
from bench.wire_inputs import FOREST, Inputs, kept_inputs
from bench.wire_rounds import batch_cpu
from bench.wrk import Wrk, median_load
from runtime.compiled.engine import CompiledEngine
from runtime.compiled.lowering import read_program

RESULTS = ROOT / "bench" / "results" / "scaling.json"
CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
BATCHES = (1, 10, 100, 1_000, 10_000, 100_000)
WORKERS = (1, 2)
TREES = tuple(spec for spec in SWEEP if spec.depth == 10)
LOGISTIC = Spec("logistic")

_ROUNDS = 2
_SECONDS = 1
_BATCH_SECONDS = 0.4
_PATIENCE_SECONDS = 8
_ENGINE_SECONDS = 0.05
_ENGINE_ROWS = 1_000

Point = dict[str, Any]


class Scaling:
    """The sections, on models in a folder.

    Parameters
    ----------
    folder : Path
        Where models are made, or kept from before.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def connections(self) -> Iterator[Point]:
        """One worker on one core, the client on another, over more and more connections."""
        inputs = self._inputs()
        with self._serving(inputs.model) as server, tempfile.TemporaryDirectory() as folder:
            wrk = Wrk(Path(folder), inputs.bodies)
            for count in CONNECTIONS:
                loads = [wrk.run(server, _SECONDS, connections=count) for _ in range(_ROUNDS)]
                yield {"connections": count, **asdict(median_load(loads))}

    def workers(self) -> Iterator[Point]:
        """One worker and two, which share both cores with the client."""
        inputs = self._inputs()
        cores = sorted({SERVER_CORE, CLIENT_CORE})
        for count in WORKERS:
            with self._serving(inputs.model, count, cores) as server, tempfile.TemporaryDirectory() as folder:
                wrk = Wrk(Path(folder), inputs.bodies)
                loads = [wrk.run(server, _SECONDS, connections=64) for _ in range(_ROUNDS)]
                yield {"workers": count, "memory": server.all_mebibytes(), **asdict(median_load(loads))}

    def batches(self) -> Iterator[Point]:
        """Batches of more and more rows over one connection, in all forms: seconds of processor time a row."""
        inputs = self._inputs()
        rows = np.tile(inputs.batch_rows, (-(-max(BATCHES) // len(inputs.batch_rows)), 1))
        forms: tuple[Form, ...] = dialects.own(binary=True).batches
        with self._serving(inputs.model, MAX_BODY_BYTES=str(1 << 28), MAX_BATCH_ROWS=str(max(BATCHES))) as server:
            for count in BATCHES:
                point: Point = {"rows": count}
                for form in forms:
                    request = form.request(rows[:count])
                    point[form.name] = batch_cpu(server, request, _BATCH_SECONDS) / count
                yield point

    def models(self) -> Iterator[Point]:
        """Single predictions of larger and larger forests, and of a linear model."""
        bodies = scaling_models.bodies()
        for spec in (LOGISTIC, *TREES):
            path = scaling_models.model_file(spec, self._folder)
            with self._serving(path.parent) as server, tempfile.TemporaryDirectory() as folder:
                load = Wrk(Path(folder), bodies).run(server, _SECONDS)
                yield {"name": spec.name, "trees": spec.trees, "memory": server.all_mebibytes(), **asdict(load)}

    def features(self) -> Iterator[Point]:
        """Rows of more and more features, in the engines alone: ours, and onnxruntime."""
        for kind in ("logistic", "forest"):
            for width in WIDTHS:
                path = scaling_models.wide_graph(kind, width, self._folder)
                rows = scaling_models.wide_rows(width, _ENGINE_ROWS)
                yield {"kind": kind, "features": width, **_engine_seconds(path, rows)}

    def message(self) -> Iterator[Point]:
        """The bytes of a request and of its reply."""
        inputs = self._inputs()
        with self._serving(inputs.model) as server:
            sizes = np.array([_bytes(server, body) for body in inputs.bodies])
        yield dict(zip(("request", "reply"), sizes.mean(axis=0).tolist(), strict=True))

    def _inputs(self) -> Inputs:
        return kept_inputs(FOREST, self._folder)

    @contextmanager
    def _serving(
        self, model: Path, workers: int = 1, cores: Sequence[int] = (SERVER_CORE,), **settings: str
    ) -> Iterator[Server]:
        contender = contenders.ours(model, workers=workers)
        environ = {**contender.environ, **settings}
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {CLIENT_CORE})
        try:
            with started(replace(contender, environ=environ), cores) as server:
                yield server
        finally:
            os.sched_setaffinity(0, before)


SECTIONS: dict[str, Callable[[Scaling], Iterator[Point]]] = {
    "connections": Scaling.connections,
    "workers": Scaling.workers,
    "batches": Scaling.batches,
    "models": Scaling.models,
    "features": Scaling.features,
    "message": Scaling.message,
}


def _engine_seconds(path: Path, rows: dialects.Rows) -> Point:
    """Return the seconds of one row, alone and among a thousand, of ours and of onnxruntime."""
    engine = CompiledEngine(read_program(path.read_bytes()), {})
    row, predict = engine.row, engine.predict_one

    def one_by_one() -> None:
        for values in rows:
            row[0] = values
            predict()

    theirs = Engine(path.parent)
    return {
        "single": timed(one_by_one, _ENGINE_SECONDS) / len(rows),
        "batch": timed(lambda: engine.predict(rows), _ENGINE_SECONDS) / len(rows),
        "onnxruntime single": theirs.single(rows, _ENGINE_SECONDS),
        "onnxruntime batch": theirs.batch(rows, _ENGINE_SECONDS) / len(rows),
    }


def _bytes(server: Server, body: bytes) -> tuple[int, int]:
    """Send a prediction as a plain client does, and return the bytes of the request and of the reply."""
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: {len(body)}\r\n"
    request = f"{head}Content-Type: application/json\r\nConnection: close\r\n\r\n".encode() + body
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(request)
        reply = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    return len(request), len(reply)


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Measure one section on models in a folder; raises MeasureError."""
    scaling = Scaling(folder)
    made = machine.describe(f"python -m bench.scaling --only {name}")
    points = []
    wait_for_quiet(_PATIENCE_SECONDS)
    others = OtherWork()
    for point in SECTIONS[name](scaling):
        points.append(point)
        sys.stderr.write(f"{name}: {', '.join(f'{key} {value}' for key, value in list(point.items())[:2])}\n")
    # The servers have ended: their time is that of children of this process.
    return {"made": made, "other_work": round(others.share(), 3), "points": points}


def main(arguments: list[str]) -> int:
    """Measure sections, and write the results."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scaling",
        description="Measure how cost grows. Needs the Debian package wrk, and two cores.",
        epilog="example: python -m bench.scaling --only connections --only batches",
    )
    parser.add_argument("--only", action="append", choices=SECTIONS, help="this section; may be repeated")
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="keep models there, or take those from there")
    parser.add_argument("--results", type=output_file, default=RESULTS, help="(default: bench/results/scaling.json)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by an exception, which stops the servers
    known = json.loads(options.results.read_text()) if options.results.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.only or SECTIONS:
            try:
                known[name] = measure(name, options.models or Path(scratch))
            except MeasureError as error:
                sys.stderr.write(f"{error}\n")
                return 1
            write_output(options.results, json.dumps(known, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
