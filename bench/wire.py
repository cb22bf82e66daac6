"""The server on the wire against its peers: ``python -m bench.wire [--seconds S] [--rounds N]``."""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.arguments import count
from bench.contenders import FASTAPI, FLASK, GRANIAN
from bench.machine import processor
from bench.outputs import output_file, write_output
from bench.peer_environments import environment, versions
from bench.servers import CLIENT_CORE, SERVER_CORE, MeasureError, find_program
from bench.wire_figures import FIGURES, compare
from bench.wire_inputs import FOREST, LOGISTIC, make_inputs
from bench.wire_rounds import Rounds
from bench.wire_table import render

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "wire.json"
TABLE = ROOT / "docs" / "serving-benchmark.md"

_PEERS = (FASTAPI, GRANIAN, FLASK)


def measure(seconds: int, rounds: int) -> dict[str, Any]:
    """Measure everything, and return the medians as they are written to JSON.

    Raises
    ------
    MeasureError
        Where something is missing, fails, or answers otherwise than it should.
    """
    begin = time.perf_counter()

    def progress(what: str) -> None:
        sys.stderr.write(f"{time.perf_counter() - begin:4.0f} s  {what}\n")

    cores = os.sched_getaffinity(0)
    if not {SERVER_CORE, CLIENT_CORE} <= cores:
        raise MeasureError(f"expected cores {SERVER_CORE} and {CLIENT_CORE}, got {sorted(cores)}")
    for program, package in (("wrk", "wrk"), ("nginx", "nginx"), ("taskset", "util-linux")):
        find_program(program, package)
    for peer in _PEERS:
        progress(f"environment of {peer.name}")
        environment(peer.key)
    made = _description(seconds, rounds)
    with tempfile.TemporaryDirectory() as folder:
        inputs = {}
        for kind in (LOGISTIC, FOREST):
            progress(f"{kind}: train and export")
            inputs[kind] = make_inputs(kind, Path(folder))
        os.sched_setaffinity(0, {CLIENT_CORE})
        try:
            found = Rounds(Path(folder), seconds, rounds, progress)
            found.starts(inputs[FOREST])
            for kind in inputs:
                found.measure(kind, inputs[kind])
            found.awake(inputs[FOREST])
        finally:
            os.sched_setaffinity(0, cores)
        found.isolation(inputs[FOREST])
    progress("done")
    return {
        "made": made,
        "figures": {figure.key: asdict(compare(figure.sense, *found.samples[figure.key])) for figure in FIGURES},
        "servers": {
            kind: {name: asdict(load) for name, load in loads.items()} for kind, loads in found.servers.items()
        },
        "engine": found.engine,
        "open_loop": found.open_loop,
    }


def _description(seconds: int, rounds: int) -> dict[str, Any]:
    """Return what a reader needs to judge the figures, or to measure them again."""
    own = {name: version(name) for name in ("onnxruntime", "numpy", "uvicorn", "uvloop", "httptools")}
    peers = {name: pin for peer in _PEERS for name, pin in versions(peer.key, peer.packages).items()}
    return {
        "command": f"python -m bench.wire --seconds {seconds} --rounds {rounds}",
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "seconds": seconds,
        "rounds": rounds,
        "versions": own | peers,
    }


def main(arguments: list[str]) -> int:
    """Write the results and the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.wire", description="Measure the server against its peers.")
    parser.add_argument("--seconds", type=count, default=3, help="length of one measurement (default: 3)")
    parser.add_argument("--rounds", type=count, default=3, help="measurements of each kind (default: 3)")
    parser.add_argument(
        "--output", type=output_file, default=TABLE, help="the table (default: docs/serving-benchmark.md)"
    )
    parser.add_argument(
        "--results", type=output_file, default=RESULTS, help="the medians (default: bench/results/wire.json)"
    )
    parser.add_argument("--render", action="store_true", help="write the table from results that are there")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by an exception, which stops the servers
    if not options.render:
        try:
            results = measure(options.seconds, options.rounds)
        except MeasureError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        write_output(options.results, json.dumps(results, indent=1) + "\n")
    write_output(options.output, render(json.loads(options.results.read_text())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
