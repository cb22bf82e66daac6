"""A long load with faults: ``python -m bench.soak [--seconds S] [--share P]``, or ``make soak``.

A server with two workers gets every form of request at a share of its capacity, bad input among it. Meanwhile its model
is replaced and reloaded again and again, and its workers are killed one after the other. Every reply is checked: it has
to be wholly that of one of the two models, or the refusal that bad input deserves. What was under way on a connection
of a killed worker, and what a worker that has just started refuses with `Retry-After`, is sent once more; whatever is
not answered then is lost. bench/results/soak.json keeps the figures.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import machine, processes
from bench.closed_loop import saturate
from bench.connections import LOST, Reply, Sockets
from bench.contenders import ours
from bench.open_loop import no_collection, poisson, run
from bench.overload import RETRY_AFTER
from bench.servers import MeasureError, Request, Server, started
from bench.soak_requests import BAD, Sample, make_samples
from bench.wire_inputs import FOREST, make_inputs

RESULTS = Path(__file__).parent / "results" / "soak.json"

WORKERS = 2
SHARE = 0.8
_SAMPLES = 400
_CONNECTIONS = 32
_CAPACITY_SECONDS = 2.0
_KILL_WINDOW_SECONDS = 2.0
"""How long after a worker was killed a lost connection is the kill's."""
_RELOAD_SECONDS, _KILL_SECONDS = 2.0, 7.0
_READY_SECONDS = 30.0


class Traffic:
    """Takes the replies of a load and checks them, and knows which requests need to be sent again.

    Parameters
    ----------
    samples : sequence of Sample
        What is sent in turn.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        self._waiting: deque[tuple[int, Reply]] = deque()
        self.answered: Counter[str] = Counter()
        self.again: list[Sample] = []
        self.refused = 0
        self.lost_at: list[float] = []
        self.faults: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def reply(self, number: int, latency: float, reply: Reply) -> None:
        """Keep a reply."""
        if reply.fault == LOST:
            self.lost_at.append(time.monotonic())
            self.again.append(self._samples[number % len(self._samples)])
        else:
            self._waiting.append((number, reply))

    def idle(self, spare: float) -> bool:
        """Check a reply."""
        if not self._waiting:
            return False
        number, reply = self._waiting.popleft()
        self.judge(self._samples[number % len(self._samples)], reply)
        return True

    def judge(self, sample: Sample, reply: Reply) -> None:
        """Check a reply now."""
        if reply.status == 503 and RETRY_AFTER in reply.head.lower():
            self.refused += 1
            self.again.append(sample)
        elif fault := sample.check(reply):
            kind = f"{sample.form}: {fault.partition(':')[0]}"
            self.faults[kind] += 1
            self.examples.setdefault(kind, fault[:400])
        else:
            self.answered[sample.form] += 1

    def close(self) -> None:
        """Check all that wait."""
        while self.idle(1.0):
            pass


class Faults:
    """Reloads the model and kills workers from a thread, until the block is left.

    Parameters
    ----------
    server : Server
        The supervisor of several workers.
    served : Path
        The model file that it loads.
    models : sequence of Path
        The files that take turns in its place.
    reload_seconds, kill_seconds : float
        Between two reloads, and between two kills.
    """

    def __init__(
        self, server: Server, served: Path, models: Sequence[Path], reload_seconds: float, kill_seconds: float
    ) -> None:
        self._server, self._served, self._models = server, served, models
        self._reload_seconds, self._kill_seconds = reload_seconds, kill_seconds
        self.reloads: Counter[str] = Counter()
        self.refusals: list[str] = []
        self.killed_at: list[float] = []
        self.replaced = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Faults":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        next_reload, next_kill, number = time.monotonic(), time.monotonic() + self._kill_seconds / 2, 0
        while not self._ended.wait(0.05):
            now = time.monotonic()
            if now >= next_kill:
                self._kill(number)
                next_kill = time.monotonic() + self._kill_seconds
            elif now >= next_reload:
                self._reload(self._models[number % len(self._models)])
                next_reload, number = time.monotonic() + self._reload_seconds, number + 1

    def _kill(self, number: int) -> None:
        """Kill one worker, and wait until there is another one in its place, also where the load ends meanwhile."""
        before = workers(self._server)
        victim = before[number % len(before)]
        os.kill(victim, signal.SIGKILL)
        self.killed_at.append(time.monotonic())
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            time.sleep(0.05)
            if victim not in (now := workers(self._server)) and len(now) == len(before) and self._all_ready():
                self.replaced += 1
                return

    def _all_ready(self) -> bool:
        try:
            status, body = self._server.ask(Request("/metrics"))
        except OSError:
            return False
        return status == 200 and f"workers_ready {WORKERS}.0".encode() in body

    def _reload(self, model: Path) -> None:
        """Put a model file in place of the served one, and have it loaded."""
        temporary = self._served.with_suffix(".new")
        shutil.copy(model, temporary)
        os.replace(temporary, self._served)
        try:
            status, body = self._server.ask(Request("/reload", b"{}", {"Content-Type": "application/json"}))
        except OSError as error:
            status, body = 0, str(error).encode()
        self.reloads["done" if status == 200 else "refused"] += 1
        if status != 200:
            self.refusals.append(f"{status}: {body[:200].decode(errors='replace')}")


def workers(server: Server) -> list[int]:
    """Return the worker processes of a supervisor."""
    found = []
    for process in map(processes.parse, processes.states()):
        if process.parent == server.process.pid:
            try:
                command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            except OSError:
                continue
            if b"spawn_main" in command:
                found.append(process.pid)
    return sorted(found)


def resident_mebibytes(server: Server) -> float:
    """Return the resident memory of all workers."""
    total = 0
    for process in workers(server):
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return total / 1024


def soak(
    server: Server,
    served: Path,
    models: Sequence[Path],
    rows: NDArray[np.float32],
    seconds: float,
    share: float = SHARE,
    reload_seconds: float = _RELOAD_SECONDS,
    kill_seconds: float = _KILL_SECONDS,
) -> dict[str, Any]:
    """Load a server for some seconds, with faults, and return the figures.

    Parameters
    ----------
    server : Server
        A supervisor with `WORKERS` workers.
    served : Path
        The model file that it loads; is replaced.
    models : sequence of Path
        The files that take turns in its place.
    rows : ndarray
        What is sent, float32 (n, features).
    seconds : float
        How long.
    share : float
        Of the capacity, which a closed loop finds first.
    reload_seconds, kill_seconds : float
        Between two reloads, and between two kills.
    """
    samples = make_samples(models, rows, _SAMPLES)
    requests = [sample.request for sample in samples]
    traffic = Traffic(samples)
    transport = Sockets("127.0.0.1", server.port, _CONNECTIONS)
    try:
        capacity = saturate(transport, requests, _CAPACITY_SECONDS, watcher=traffic).rate
    finally:
        transport.close()
    traffic.close()
    before, begin = resident_mebibytes(server), time.monotonic()
    transport = Sockets("127.0.0.1", server.port, _CONNECTIONS)
    rate = share * capacity
    try:
        with no_collection(), Faults(server, served, models, reload_seconds, kill_seconds) as faults:
            outcome = run(
                *(transport, requests, rate, round(rate * seconds)),
                arrivals=poisson(rate),
                watcher=traffic,
                wait=transport.wait,
            )
    finally:
        transport.close()
    traffic.close()
    killed = np.array(faults.killed_at)
    unexplained = sum(
        not ((killed <= moment) & (moment <= killed + _KILL_WINDOW_SECONDS)).any() for moment in traffic.lost_at
    )
    lost = _send_again(server, traffic)
    return {
        "seconds": round(time.monotonic() - begin, 1),
        "capacity": round(capacity),
        "rate": round(rate),
        "requests": sum(traffic.answered.values()) + sum(traffic.faults.values()) + lost,
        "answered": dict(sorted(traffic.answered.items())),
        "bad_inputs": traffic.answered[BAD],
        "wrong": sum(traffic.faults.values()),
        "examples": traffic.examples,
        "sent_again": {"connection lost": len(traffic.lost_at), "503 with Retry-After": traffic.refused},
        "lost_without_kill": unexplained,
        "lost": lost,
        "killed": len(killed),
        "replaced": faults.replaced,
        "reloads": faults.reloads["done"],
        "reloads_refused": faults.refusals,
        "latency": {f"p{share}": float(np.percentile(outcome.latencies, share)) for share in (50, 99)},
        "resident_mebibytes": [round(before), round(resident_mebibytes(server))],
    }


def _send_again(server: Server, traffic: Traffic) -> int:
    """Send once more what was under way on lost connections or refused; return how many stay without an answer."""
    lost = 0
    for sample in traffic.again:
        transport = Sockets("127.0.0.1", server.port, 1)
        try:
            again = Traffic([sample])
            run(transport, [sample.request], 1000.0, 1, watcher=again)
            again.close()
        finally:
            transport.close()
        lost += bool(again.again)
        traffic.answered += again.answered
        traffic.faults += again.faults
    return lost


def faults_of(found: dict[str, Any]) -> list[str]:
    """Return what a soak found that must not be, in words."""
    reasons = [
        (found["wrong"], f"{found['wrong']} replies were wrong: {found['examples']}"),
        (found["lost"], f"{found['lost']} requests were lost"),
        (found["lost_without_kill"], f"{found['lost_without_kill']} connections were lost and no worker was killed"),
        (found["killed"] != found["replaced"], f"{found['replaced']} of {found['killed']} workers were replaced"),
        (found["reloads_refused"], f"reloads were refused: {found['reloads_refused'][:3]}"),
        (not found["reloads"], "nothing was reloaded"),
    ]
    return [reason for failed, reason in reasons if failed]


def main(arguments: list[str]) -> int:
    """Soak a server, print the figures and keep them."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="Load a server for long, with faults.")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default: 600)")
    parser.add_argument("--share", type=float, default=SHARE, help="share of the capacity (default: 0.8)")
    options = parser.parse_args(arguments)
    made = machine.describe(f"python -m bench.soak --seconds {options.seconds:g} --share {options.share:g}")
    try:
        with tempfile.TemporaryDirectory() as folder:
            first = make_inputs(FOREST, Path(folder) / "first")
            second = make_inputs(FOREST, Path(folder) / "second", "--seed", "7")
            models = [inputs.model / "model.onnx" for inputs in (first, second)]
            served = Path(folder) / "model.onnx"
            shutil.copy(models[0], served)
            contender = ours(served, workers=WORKERS)
            with started(contender, sorted(os.sched_getaffinity(0))) as server:
                found = soak(server, served, models, first.batch_rows, options.seconds, options.share)
    except MeasureError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    RESULTS.write_text(json.dumps({"made": made, **found}, indent=1) + "\n")
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    faults = faults_of(found)
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
