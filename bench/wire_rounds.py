"""The measurements of the server on the wire, each in rounds in which ours and the peers take turns."""

import http.client
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from bench import agreement, batch_isolation, contenders, open_loop
from bench.contenders import NGINX
from bench.engine_time import Engine
from bench.servers import Contender, MeasureError, Request, Server, started
from bench.wire_figures import POLL_MICROSECONDS, POLL_RATE
from bench.wire_inputs import FOREST, Inputs
from bench.wrk import Load, Wrk, median_load

Samples = dict[str, tuple[list[float], list[float]]]
"""What each round found for a figure, by its key: ours, and the peer's."""

OURS = "Tickline"

_CHECKED_ROWS = 50
_ENGINE_SECONDS = 0.5
_STARTS = 5
_PREDICTIONS = 1_000
_AWAKE_SECONDS = 3
_ISOLATION_SECONDS = 4
"""Long enough for several batches, each of which takes about a second."""


class Rounds:
    """All measurements, and what they found.

    Parameters
    ----------
    folder : Path
        For scripts and configurations.
    seconds : int
        Length of one measurement.
    rounds : int
        How many of each.
    progress : callable
        Is told what is measured next.

    Attributes
    ----------
    samples : dict
        What was found, by the key of the figure.
    servers : dict
        Medians of every server's load, by the model and the server's name.
    engine : dict
        Medians of the engine's own seconds, by the model: of a row and of a batch.
    open_loop : dict
        What the open loop says of itself, by the model, and beside batches.
    """

    def __init__(self, folder: Path, seconds: int, rounds: int, progress: Callable[[str], None]) -> None:
        self._folder = folder
        self._seconds = seconds
        self._rounds = rounds
        self._progress = progress
        self.samples: Samples = {}
        self.servers: dict[str, dict[str, Load]] = {}
        self.engine: dict[str, dict[str, float]] = {}
        self.open_loop: dict[str, dict[str, Any]] = {}

    def measure(self, kind: str, inputs: Inputs) -> None:
        """Measure single predictions and batches of one model."""
        ready = inputs.single(0)
        model = inputs.model
        peers = [contenders.FASTAPI, contenders.GRANIAN, *([contenders.FLASK] if kind == FOREST else [])]
        others = [peer.contender(model, self._folder, ready) for peer in peers]
        engine = Engine(model)
        with ExitStack() as stack:

            def start(contender: Contender) -> Server:
                self._progress(f"{kind}: {contender.name} starts")
                return stack.enter_context(started(contender))

            ours = start(contenders.ours(model))
            servers = [ours, *map(start, [contenders.ours(model, LANE="asgi"), *others])]
            checked = [inputs.single(place) for place in range(_CHECKED_ROWS)]
            for server in servers[1:]:
                agreement.check(ours, server, checked)
            fastapi = servers[2]
            agreement.check(ours, fastapi, [inputs.batches["json"]])
            nginx = start(contenders.nginx(self._folder))
            wrk = Wrk(self._folder, inputs.bodies)
            self._predictions(kind, inputs, [*servers, nginx], engine, wrk)
            self._open_loop(kind, inputs, ours, nginx)
            self._batches(kind, inputs, ours, fastapi, engine)
            if kind == FOREST:
                self._others(inputs, ours, servers[1])

    def _predictions(self, kind: str, inputs: Inputs, servers: list[Server], engine: Engine, wrk: Wrk) -> None:
        """Load the servers in turn; what comes first in one round comes last in the next."""
        loads: dict[str, list[Load]] = {server.contender.name: [] for server in servers}
        engine_seconds = []
        for number in range(self._rounds):
            engine_seconds.append(engine.single(inputs.rows, _ENGINE_SECONDS))
            for server in servers[:: -1 if number % 2 else 1]:
                name = server.contender.name
                self._progress(f"{kind}: /predict, round {number + 1} of {self._rounds}, {name}")
                loads[name].append(wrk.run(server, self._seconds, static=name == NGINX))
        ours = loads[OURS]
        cpu = [load.cpu for load in ours]
        for name in loads.keys() - {OURS}:
            self.samples[f"cpu/{kind}/{name}"] = cpu, [load.cpu for load in loads[name]]
        nginx = loads[NGINX]
        self.samples[f"rate/{kind}"] = [load.rate for load in ours], [load.rate for load in nginx]
        beyond = [own - engine for own, engine in zip(cpu, engine_seconds, strict=True)]
        self.samples[f"beyond/{kind}"] = beyond, [load.cpu for load in nginx]
        self.servers[kind] = {name: median_load(found) for name, found in loads.items()}
        self.engine[kind] = {"row": statistics.median(engine_seconds)}

    def _open_loop(self, kind: str, inputs: Inputs, ours: Server, nginx: Server) -> None:
        """Load ours at half of what it answered in the closed loop, and nginx at the same rate."""
        rate = self.servers[kind][OURS].rate / 2
        outcomes, floor, busy = [], [], []
        for number in range(self._rounds):
            self._progress(f"{kind}: open loop, round {number + 1} of {self._rounds}, {rate:,.0f} requests/s")
            before = ours.cpu_seconds()
            outcomes.append(open_loop.load(ours.port, inputs.bodies, rate, self._seconds))
            busy.append((ours.cpu_seconds() - before) / outcomes[-1].seconds)
            floor.append(open_loop.load(nginx.port, inputs.bodies, rate, self._seconds))
        self.samples[f"floor/{kind}"] = (
            [outcome.percentile(99) for outcome in outcomes],
            [outcome.percentile(99) for outcome in floor],
        )
        for key, loaded in (("open", outcomes), ("stops", floor)):
            self.samples[f"{key}/{kind}"] = (
                [outcome.percentile(99) for outcome in loaded],
                [outcome.percentile(50) for outcome in loaded],
            )
        self.open_loop[kind] = {**_of_itself(outcomes, 2 * rate), "server_busy": statistics.median(busy)}

    def _batches(self, kind: str, inputs: Inputs, ours: Server, fastapi: Server, engine: Engine) -> None:
        """Send batches in all forms to ours, and as JSON to FastAPI."""
        engine_seconds = []
        own: dict[str, list[float]] = defaultdict(list)
        theirs: dict[str, list[float]] = defaultdict(list)
        sizes = {"batch": inputs.batches, "small": inputs.small}
        for number in range(self._rounds):
            self._progress(f"{kind}: batches, round {number + 1} of {self._rounds}")
            engine_seconds.append(engine.batch(inputs.batch_rows, _ENGINE_SECONDS))
            for size, forms in sizes.items():
                for form, request in forms.items():
                    own[f"{size}/{kind}/{form}"].append(batch_cpu(ours, request, self._seconds))
                theirs[size].append(batch_cpu(fastapi, forms["json"], self._seconds))
        for key, found in own.items():
            self.samples[f"{key}/fastapi"] = found, theirs[key.partition("/")[0]]
        for form in inputs.batches:
            self.samples[f"batch/{kind}/{form}/engine"] = own[f"batch/{kind}/{form}"], engine_seconds
        self.engine[kind]["batch"] = statistics.median(engine_seconds)

    def _others(self, inputs: Inputs, ours: Server, asgi: Server) -> None:
        """Send other short requests to both lanes, one after the other."""
        for name, request in inputs.others.items():
            found: tuple[list[float], list[float]] = [], []
            for number in range(self._rounds):
                self._progress(f"{name}, round {number + 1} of {self._rounds}")
                for server, cpu in zip((ours, asgi), found, strict=True):
                    cpu.append(batch_cpu(server, request, self._seconds))
            self.samples[f"lane/{name}"] = found

    def awake(self, inputs: Inputs) -> None:
        """Send predictions at two rates to a server that sleeps between them, and to one that does not; no other runs.

        Even an idle server wakes some times a second, and would have the core of one that does not sleep.
        """
        awake, sleeping = (
            contenders.ours(inputs.model, BUSY_POLL_US=str(POLL_MICROSECONDS)),
            contenders.ours(inputs.model),
        )
        with ExitStack() as stack:
            servers = [stack.enter_context(started(each)) for each in (awake, sleeping)]
            for key, rate in (("low", POLL_RATE), ("half", self.servers[FOREST][OURS].rate / 2)):
                found: dict[int, tuple[list[float], list[float]]] = {50: ([], []), 99: ([], [])}
                for number in range(self._rounds):
                    self._progress(f"awake, round {number + 1} of {self._rounds}, {rate:,.0f} requests/s")
                    for place, server in enumerate(servers):
                        outcome = open_loop.load(server.port, inputs.bodies, rate, _AWAKE_SECONDS)
                        for percent, sides in found.items():
                            sides[place].append(outcome.percentile(percent))
                self.samples |= {f"awake/{key}/p{percent}": sides for percent, sides in found.items()}

    def isolation(self, inputs: Inputs) -> None:
        """Measure single predictions at a low rate, with and without batches beside them, on all cores."""
        self._progress(f"single predictions beside batches, {self._rounds} rounds")
        cores = sorted(os.sched_getaffinity(0))
        with ExitStack() as stack:
            server, other = (stack.enter_context(started(contenders.ours(inputs.model), cores)) for _ in range(2))
            seconds = _ISOLATION_SECONDS
            found = list(batch_isolation.rounds(server, other, inputs.bodies, inputs.large, seconds, self._rounds))
        beside = [one.beside.percentile(99) for one in found]
        self.samples["isolation"] = beside, [one.alone.percentile(99) for one in found]
        self.samples["machine"] = beside, [one.elsewhere.percentile(99) for one in found]
        self.open_loop["isolation"] = _of_itself([one.beside for one in found], self.servers[FOREST][OURS].rate)

    def starts(self, inputs: Inputs) -> None:
        """Measure how soon ours is ready, and what memory it holds when it has predicted."""
        ready, resident = [], []
        for number in range(_STARTS):
            self._progress(f"start {number + 1} of {_STARTS}")
            with started(contenders.ours(inputs.model)) as server:
                ready.append(server.ready_seconds)
                predict(server, inputs)
                resident.append(server.resident_mebibytes())
        self.samples["ready"] = ready, []
        self.samples["resident"] = resident, []


def _of_itself(outcomes: Sequence[open_loop.Outcome], capacity: float) -> dict[str, Any]:
    """Return what an open loop says of itself; it had a fault where most of its rounds had."""
    most = len(outcomes) / 2
    return {
        "rate": outcomes[0].rate,
        "delay": statistics.median(float(np.percentile(outcome.delays, 99)) for outcome in outcomes),
        "client_is_limit": sum(outcome.client_is_limit for outcome in outcomes) > most,
        "overload": sum(outcome.is_overload(capacity) for outcome in outcomes) > most,
    }


def predict(server: Server, inputs: Inputs) -> None:
    """Send a thousand predictions over one connection."""
    connection = server.connect()
    for place in range(_PREDICTIONS):
        inputs.single(place % len(inputs.bodies)).send(connection)
    connection.close()


def batch_cpu(server: Server, request: Request, seconds: float) -> float:
    """Return the seconds of a server's processor time a batch, over batches one after the other for some seconds."""
    connection = server.connect()
    _batch(connection, request)
    server.settle()
    before = server.cpu_seconds()
    deadline, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < deadline:
        _batch(connection, request)
        count += 1
    cpu = server.cpu_seconds() - before
    connection.close()
    return cpu / count


def _batch(connection: http.client.HTTPConnection, request: Request) -> None:
    status, body = request.send(connection)
    if status != 200:
        raise MeasureError(f"a request was answered with {status}: {body[:400]!r}")
