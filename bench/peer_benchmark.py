"""Every peer beside ours, one after the other: ``python -m bench.peer_benchmark [--only KEY]``.

Each peer and ours run at the same time on one core, the client on another one, and are loaded in turn. What is found of
one peer takes the place of what was found of it before, so that peers can be measured apart.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine, peer_rounds
from bench.arguments import count
from bench.contenders import NGINX, PEERS, Peer
from bench.outputs import output_file, write_output
from bench.peer_environments import OURS, ROOT, environment, installed_mebibytes, versions
from bench.servers import CLIENT_CORE, SERVER_CORE, MeasureError, find_program
from bench.wire_inputs import FOREST, Inputs, kept_inputs

RESULTS = ROOT / "bench" / "results" / "peers.json"
CEILING = "nginx"

Results = dict[str, Any]


class Benchmark:
    """The peers that are asked for, measured on one model.

    Parameters
    ----------
    seconds, rounds : int
        Length of one load, and how often each server is loaded.
    results : Path
        Where what is found is kept; what is there of other peers stays, if the machine is the same.
    """

    def __init__(self, seconds: int, rounds: int, results: Path) -> None:
        self._seconds = seconds
        self._rounds = rounds
        self._results = results
        self._begin = time.perf_counter()

    def run(self, keys: Sequence[str], folder: Path | None) -> list[str]:
        """Measure peers, and nginx, by their keys; return those that could not be measured.

        Raises
        ------
        MeasureError
            Where something is missing that all of them need.
        """
        _check_machine()
        with tempfile.TemporaryDirectory() as scratch:
            self._progress("train and export, where no model is kept")
            inputs = kept_inputs(FOREST, folder or Path(scratch))
            self._keep_sizes()
            return [key for key in keys if not self._measure(key, inputs)]

    def _measure(self, key: str, inputs: Inputs) -> bool:
        """Measure one peer, write down what was found or why nothing was, and tell which."""
        peer = next((peer for peer in PEERS if peer.key == key), None)
        made = machine.describe(f"python -m bench.peer_benchmark --seconds {self._seconds} --rounds {self._rounds}")
        entry = {"made": made, **_facts(peer)}
        cores = os.sched_getaffinity(0)
        try:
            if peer:
                self._progress(f"environment of {peer.name}")
                environment(peer.environment)
                entry["size"] = installed_mebibytes(peer.environment)
            os.sched_setaffinity(0, {CLIENT_CORE})
            entry |= peer_rounds.measure(peer, inputs, self._seconds, self._rounds, self._progress)
        except MeasureError as error:
            entry["failed"] = str(error)
            self._progress(f"{entry['name']} was not measured: {error}")
        finally:
            os.sched_setaffinity(0, cores)
        found = self._known()
        found["servers"][key] = entry
        self._write(found)
        return "failed" not in entry

    def _keep_sizes(self) -> None:
        found = self._known()
        found["size"] = installed_mebibytes(OURS)
        self._write(found)

    def _known(self) -> Results:
        """Return what was found on this kind of machine before; older results do not say of which generation it was."""
        known: Results = json.loads(self._results.read_text()) if self._results.exists() else {}
        if known.get("processor") != machine.processor():
            return {"processor": machine.processor(), "servers": {}}
        here = machine.identity()
        servers = {key: entry for key, entry in known["servers"].items() if entry["made"].get("identity", here) == here}
        return {**known, "servers": servers}

    def _write(self, found: Results) -> None:
        order = [CEILING, *(peer.key for peer in PEERS)]
        found["servers"] = {key: found["servers"][key] for key in order if key in found["servers"]}
        write_output(self._results, json.dumps(found, indent=1) + "\n")

    def _progress(self, what: str) -> None:
        sys.stderr.write(f"{time.perf_counter() - self._begin:4.0f} s  {what}\n")


def _facts(peer: Peer | None) -> dict[str, Any]:
    if peer is None:
        return {"name": NGINX, "model": "", "advice": "one process, its reply from memory", "versions": {}}
    return {
        "name": peer.name,
        "model": peer.model,
        "advice": peer.advice,
        "versions": versions(peer.environment, peer.packages),
    }


def _check_machine() -> None:
    cores = os.sched_getaffinity(0)
    if not {SERVER_CORE, CLIENT_CORE} <= cores:
        raise MeasureError(f"expected cores {SERVER_CORE} and {CLIENT_CORE}, got {sorted(cores)}")
    for program, package in (("wrk", "wrk"), ("nginx", "nginx"), ("taskset", "util-linux")):
        find_program(program, package)


def main(arguments: list[str]) -> int:
    """Measure, and write the results; exit status 1 where a peer could not be measured."""
    keys = [CEILING, *(peer.key for peer in PEERS)]
    parser = argparse.ArgumentParser(
        prog="python -m bench.peer_benchmark",
        description="Measure every peer beside ours. Needs the Debian packages wrk and nginx, and two cores.",
        epilog="example: python -m bench.peer_benchmark --only robyn --only litserve",
    )
    parser.add_argument("--only", action="append", choices=keys, metavar="KEY", help=f"of {', '.join(keys)}")
    parser.add_argument("--seconds", type=count, default=1, help="length of one load (default: 1)")
    parser.add_argument("--rounds", type=count, default=3, help="how often each server is loaded (default: 3)")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="keep the model there, or take the one from there")
    parser.add_argument("--results", type=output_file, default=RESULTS, help="(default: bench/results/peers.json)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by an exception, which stops the servers
    try:
        failed = Benchmark(options.seconds, options.rounds, options.results).run(options.only or keys, options.model)
    except MeasureError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if failed:
        sys.stderr.write(f"not measured: {', '.join(failed)}; the results say why\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
