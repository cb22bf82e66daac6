"""How much a worker takes on: what goes beyond it is refused at once, and waits for nothing."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter

from runtime.metrics import Metrics
from runtime.problems import Problem

_RETRY = {"Retry-After": "1"}


class Admission:
    """The work that one worker has under way, and its bounds. To be used by the event loop's thread alone.

    Requests that are no single predictions take at most half of what may be in flight, so that `/predict` keeps the
    other half while batches are refused. The fast lane does not ask: it answers in the turn of the event loop in which
    it reads, so that none of its requests waits, and to refuse one would cost as much.

    Parameters
    ----------
    max_in_flight : int
        Most requests under way.
    max_queued_rows : int
        Most rows of batches under way; a batch alone may have more.
    max_queued_seconds : float
        How long a batch that is under way may have waited for its turn, for another one to be let in.
    metrics : Metrics
        Counts what is refused.
    """

    def __init__(self, max_in_flight: int, max_queued_rows: int, max_queued_seconds: float, metrics: Metrics) -> None:
        self._limit = max_in_flight
        self._bulk_limit = max_in_flight // 2
        self._row_limit = max_queued_rows
        self._longest = max_queued_seconds
        self._metrics = metrics
        self._in_flight = 0
        self._bulk = 0
        self._rows = 0
        self._turns: dict[object, float] = {}  # when each turn that is awaited was asked for, the oldest first
        self._single = _Single(self)

    def _too_many_requests(self) -> Problem:
        self._metrics.rejected("in_flight")
        return Problem(503, "too many requests are under way", headers=_RETRY)

    def single(self) -> AbstractContextManager[None]:
        """Have one request under way; raises Problem with status 503 where it is too much."""
        return self._single

    def _enter(self) -> None:
        if self._in_flight >= self._limit:
            raise self._too_many_requests()
        self._in_flight += 1

    def _leave(self) -> None:
        self._in_flight -= 1

    @contextmanager
    def bulk(self, rows: int) -> Iterator[None]:
        """Have a request of several rows under way; raises Problem with status 503 where it is too much."""
        if self._rows and self._rows + rows > self._row_limit:
            self._metrics.rejected("queued_rows")
            detail = f"{self._rows} rows of batches are under way, {rows} more are too many"
            raise Problem(503, detail, headers=_RETRY)
        waited = perf_counter() - next(iter(self._turns.values())) if self._turns else 0.0
        if waited > self._longest:
            self._metrics.rejected("queued_time")
            raise Problem(503, f"a batch has been waiting for its turn for {waited:.1f} s", headers=_RETRY)
        if self._bulk >= self._bulk_limit:
            raise self._too_many_requests()
        with self.single():
            self._bulk += 1
            self._rows += rows
            try:
                yield
            finally:
                self._bulk -= 1
                self._rows -= rows

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the end of a batch's next turn: turns are taken in the order in which they were asked for."""
        turn = object()
        self._turns[turn] = perf_counter()
        try:
            yield
        finally:
            del self._turns[turn]


class _Single(AbstractContextManager[None]):
    """One request under way. It has no state, so that one object serves all requests."""

    def __init__(self, admission: Admission) -> None:
        self._enter, self._leave = admission._enter, admission._leave

    def __enter__(self) -> None:
        self._enter()

    def __exit__(self, *raised: object) -> None:
        self._leave()


def too_many_connections() -> Problem:
    """Return the problem of a connection beyond what may be open."""
    return Problem(503, "too many connections are open", headers=_RETRY)
