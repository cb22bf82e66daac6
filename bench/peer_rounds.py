"""One server beside ours: both started, checked for equal answers, and loaded in turn."""

import http.client
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import agreement, contenders, dialects
from bench.contenders import Peer
from bench.dialects import Dialect, Form, Rows
from bench.other_work import OtherWork, wait_for_quiet
from bench.servers import Contender, MeasureError, Request, Server, started
from bench.wire_figures import Sense, compare
from bench.wire_inputs import Inputs
from bench.wrk import Load, Wrk, median_load

CONNECTIONS = (1, 32)
OURS = dialects.own(binary=True)

_CHECKED_ROWS = 50
_BATCH_SECONDS = 0.5
_WARM_UP_SECONDS = 1
_PATIENCE_SECONDS = 3
_RATIOS = ("cpu", "p50", "p99")


class Side:
    """A running server, and what was found of it.

    Parameters
    ----------
    server : Server
        The server.
    dialect : Dialect
        How it is asked; None is a server that answers `GET /` alone.
    inputs : Inputs
        What is sent to it.
    folder : Path
        For scripts; it is made.

    Attributes
    ----------
    loads : dict
        One load a round, by the number of connections.
    """

    def __init__(self, server: Server, dialect: Dialect | None, inputs: Inputs, folder: Path) -> None:
        folder.mkdir()
        self.server = server
        self.name = server.contender.name
        self.loads: dict[int, list[Load]] = {count: [] for count in CONNECTIONS}
        self._forms = dialect.batches if dialect else ()
        self._static = dialect is None
        self._batch_rows = inputs.batch_rows
        self._batches: dict[str, list[float]] = {form.name: [] for form in self._forms}
        self._memory = 0.0
        requests = [dialect.single.request(row[None]) for row in inputs.rows] if dialect else [Request("/")]
        self._wrk = Wrk(folder, [request.body for request in requests], requests[0].path)

    def warm_up(self) -> None:
        """Load it for a second, and see what memory it then holds."""
        self._wrk.run(self.server, _WARM_UP_SECONDS, self._static)
        self._memory = self.server.all_mebibytes()

    def load(self, seconds: int) -> None:
        """Load it with single predictions, for some seconds over each number of connections."""
        for connections, found in self.loads.items():
            found.append(self._wrk.run(self.server, seconds, self._static, connections))

    def batch(self) -> None:
        """Send batches in all of its forms."""
        for form in self._forms:
            request = form.request(self._batch_rows)
            rate = batches_per_second(self.server, request, _BATCH_SECONDS)
            self._batches[form.name].append(rate * len(self._batch_rows))

    def summary(self) -> dict[str, Any]:
        """Return medians: seconds until ready, mebibytes, loads by connections, rows a second by form of batch."""
        return {
            "ready": self.server.ready_seconds,
            "memory": self._memory,
            "loads": {str(count): asdict(median_load(found)) for count, found in self.loads.items()},
            "batches": {form: statistics.median(found) for form, found in self._batches.items()},
        }


def measure(
    peer: Peer | None, inputs: Inputs, seconds: int, rounds: int, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Measure a peer, or nginx where there is none, in turn with ours.

    Parameters
    ----------
    peer : Peer
        Whose environment is there.
    inputs : Inputs
        What is sent to both.
    seconds : int
        Length of one load.
    rounds : int
        How often each is loaded.
    progress : callable
        Is told what is done next.

    Returns
    -------
    dict
        Medians of both, the ratios of the rounds, and the share of the machine that other processes took meanwhile.

    Raises
    ------
    MeasureError
        Where the peer does not start, or answers otherwise than ours.
    """
    with tempfile.TemporaryDirectory() as name, _both(peer, inputs, Path(name), progress) as (ours, theirs):
        for side in (ours, theirs):
            side.warm_up()
        shares = []
        for number in range(rounds):
            progress(f"{theirs.name}: round {number + 1} of {rounds}")
            wait_for_quiet(_PATIENCE_SECONDS)
            others = OtherWork(lambda: ours.server.cpu_seconds() + theirs.server.cpu_seconds())
            for side in (ours, theirs)[:: -1 if number % 2 else 1]:  # who comes first in one comes last in the next
                side.load(seconds)
                side.batch()
            shares.append(others.share())
        return {
            "peer": theirs.summary(),
            "ours": ours.summary(),
            "ratios": _ratios(ours, theirs),
            "other_work": round(statistics.median(shares), 3),
        }


@contextmanager
def _both(
    peer: Peer | None, inputs: Inputs, folder: Path, progress: Callable[[str], None]
) -> Iterator[tuple[Side, Side]]:
    """Have ours and a peer run, with equal answers."""
    own_folder = folder / "peer"
    own_folder.mkdir()
    contender = _contender(peer, inputs, own_folder)
    progress(f"{contender.name} starts")
    with started(contenders.ours(inputs.model)) as own, started(contender) as other:
        dialect = peer.dialect if peer else None
        if dialect:
            progress(f"{contender.name}: equal answers?")
            _check(own, other, dialect, inputs)
        yield Side(own, OURS, inputs, folder / "ours"), Side(other, dialect, inputs, folder / "theirs")


def _contender(peer: Peer | None, inputs: Inputs, folder: Path) -> Contender:
    if peer is None:
        return contenders.nginx(folder)
    return peer.contender(inputs.model, folder, peer.dialect.single.request(inputs.rows[:1]))


def _check(ours: Server, peer: Server, dialect: Dialect, inputs: Inputs) -> None:
    """Compare the answers to single rows and to batches in all forms of both; raises MeasureError."""
    for row in inputs.rows[:_CHECKED_ROWS]:
        expected = _ask(ours, OURS.single, row[None])
        agreement.check_probabilities(expected, _ask(peer, dialect.single, row[None]), peer.contender.name)
    expected = _ask(ours, OURS.batches[0], inputs.batch_rows)
    for server, forms in ((ours, OURS.batches), (peer, dialect.batches)):
        for form in forms:
            name = f"{server.contender.name}, {form.name}"
            agreement.check_probabilities(expected, _ask(server, form, inputs.batch_rows), name)


def _ask(server: Server, form: Form, rows: Rows) -> dialects.Probabilities:
    connection = server.connect()
    try:
        return form.read(_answer(connection, form.request(rows)), len(rows))
    finally:
        connection.close()


def batches_per_second(server: Server, request: Request, seconds: float) -> float:
    """Send one batch after the other over one connection, for some seconds and twice at least; raises MeasureError."""
    connection = server.connect()
    try:
        _answer(connection, request)
        begin, count = time.perf_counter(), 0
        while count < 2 or time.perf_counter() < begin + seconds:
            _answer(connection, request)
            count += 1
        return count / (time.perf_counter() - begin)
    finally:
        connection.close()


def _answer(connection: http.client.HTTPConnection, request: Request) -> bytes:
    status, reply = request.send(connection)
    if status != 200:
        raise MeasureError(f"{request.path} was answered with {status}: {reply[:400]!r}")
    return reply


def _ratios(ours: Side, theirs: Side) -> dict[str, Any]:
    """Return how many times less ours takes, by figure and number of connections."""
    return {
        f"{figure}/{count}": asdict(
            compare(
                Sense.TIMES_LESS,
                [getattr(load, figure) for load in ours.loads[count]],
                [getattr(load, figure) for load in theirs.loads[count]],
            )
        )
        for count in CONNECTIONS
        for figure in _RATIOS
    }
