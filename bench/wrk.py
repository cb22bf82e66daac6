"""Closed-loop load by `wrk`: as many requests as a server answers, on a number of connections, with varied bodies."""

import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from bench.servers import CLIENT_CORE, MeasureError, Server, find_program

CONNECTIONS = 32

_PATIENCE_SECONDS = 60

_VARIED = """local requests, place = {}, 0

function init()
  wrk.headers["Content-Type"] = "application/json"
  for body in io.lines("BODIES") do
    requests[#requests + 1] = wrk.format("POST", "PATH", nil, body)
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end
"""

_REPORT = """
function done(summary, latency)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("\\nfound %d %d %d %d %d %d\\n", summary.requests, summary.duration, errors.status, lost,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of wrk found.

    Attributes
    ----------
    rate : float
        Requests answered a second.
    cpu : float
        Seconds of processor time of the server a request.
    p50, p99 : float
        Seconds from a request to its reply, of half and of 99 % of them.
    """

    rate: float
    cpu: float
    p50: float
    p99: float


def median_load(loads: Sequence[Load]) -> Load:
    """Return the medians of what several runs found."""
    return Load(*(statistics.median(values) for values in zip(*map(astuple, loads), strict=True)))


class Wrk:
    """wrk with one thread on the client's core.

    Parameters
    ----------
    folder : Path
        Where its scripts are written.
    bodies : sequence of bytes
        Posted in turn, JSON without line breaks.
    path : str
        Where to.
    """

    def __init__(self, folder: Path, bodies: Sequence[bytes], path: str = "/predict") -> None:
        self._folder = folder
        lines = folder / "bodies.jsonl"
        lines.write_bytes(b"\n".join(bodies))
        self._predict = self._script("predict", _VARIED.replace("BODIES", str(lines)).replace("PATH", path))
        self._static = self._script("static", "")

    def _script(self, name: str, text: str) -> Path:
        path = self._folder / f"{name}.lua"
        path.write_text(text + _REPORT)
        return path

    def run(self, server: Server, seconds: int, static: bool = False, connections: int = CONNECTIONS) -> Load:
        """Load a server over some connections; `static` sends `GET /` instead of predictions.

        Raises
        ------
        MeasureError
            Where wrk is missing, or a request is answered with an error or not at all.
        """
        command = _command(server, self._static if static else self._predict, connections, seconds)
        server.settle()
        before = server.cpu_seconds()
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _PATIENCE_SECONDS)
        cpu = server.cpu_seconds() - before
        server.settle()
        return parse(done.stdout, cpu)


def _command(server: Server, script: Path, connections: int, seconds: int) -> list[str]:
    pinned = [find_program("taskset", "util-linux"), "-c", str(CLIENT_CORE), find_program("wrk", "wrk")]
    options = f"--threads 1 --connections {connections} --duration {seconds}s --timeout 30s --script {script}"
    return [*pinned, *options.split(), f"http://127.0.0.1:{server.port}/"]


def parse(output: str, cpu: float) -> Load:
    """Read what the script has written.

    Parameters
    ----------
    output : str
        What wrk wrote.
    cpu : float
        Seconds of processor time of the server meanwhile.

    Raises
    ------
    MeasureError
        Where there is no report, no answer, or one that is an error.
    """
    found = [line.split()[1:] for line in output.splitlines() if line.startswith("found ")]
    if len(found) != 1:
        raise MeasureError(f"wrk failed:\n{output[-2000:]}")
    requests, microseconds, refused, lost, p50, p99 = (int(number) for number in found[0])
    if refused or lost or not requests:
        raise MeasureError(f"of {requests} requests {refused} were answered with an error and {lost} were lost")
    return Load(requests / microseconds * 1e6, cpu / requests, p50 / 1e6, p99 / 1e6)
