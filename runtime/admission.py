"""How much a worker takes on: what goes beyond it is refused at once, and waits for nothing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from time import perf_counter
from typing import TypeVar

from runtime.metrics import Metrics
from runtime.problems import Problem

_RETRY = {"Retry-After": "1"}

_WEIGHT = 1 / 16
"""What the newest turn counts for in the pace of the last ones."""

_LET_IN = 0.5
"""Share of the longest wait up to which batches are let in: the rest is for turns that take longer than the last ones,
so that hardly any batch is refused after it has waited."""

_FIRST: ContextVar[bool] = ContextVar("first", default=False)
"""Whether the next turn that a task asks for is the first one of its request."""

_Result = TypeVar("_Result")


class Admission:
    """The work that one worker has under way, and its bounds. To be used by the event loop's thread alone.

    Requests that are no single predictions take at most half of what may be in flight, so that `/predict` keeps the
    other half while batches are refused. The fast lane does not ask for its predictions: it answers in the turn of the
    event loop in which it reads, so that none of its requests waits, and to refuse one would cost as much.

    How long a batch would wait is known before it is let in: a turn for each that is under way, those whose bodies
    still arrive included, at the pace of the last turns. Were the oldest who waits to decide alone, a queue could be
    let in within that time which takes many times as long to be done. Where turns become slower meanwhile, a batch
    that has waited too long is refused when its first turn comes, because fewer answers still would come in time.

    Parameters
    ----------
    max_in_flight : int
        Most requests under way.
    max_queued_rows : int
        Most rows of batches under way; a batch alone may have more.
    max_queued_seconds : float
        How long a batch may wait for its first turn.
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
        self._pace = 0.0  # seconds that a turn takes, of the last ones
        self._turned = 0.0  # when the last one ended
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

    @property
    def busy(self) -> bool:
        """Whether a request of several rows is under way; where none is, none is refused."""
        return self._bulk > 0

    def refuse_bulk(self, rows: int) -> Problem | None:
        """Return why a request of several rows is too much now, with status 503, and count it; None where it is not."""
        if self._rows and self._rows + rows > self._row_limit:
            self._metrics.rejected("queued_rows")
            detail = f"{self._rows} rows of batches are under way, {rows} more are too many"
            return Problem(503, detail, headers=_RETRY)
        wait = self._wait() if self._turns else 0.0
        if wait > _LET_IN * self._longest:
            return self._too_long(wait)
        if self._bulk >= self._bulk_limit:
            return self._too_many_requests()
        return None

    def _wait(self) -> float:
        """Return for how long a batch would wait for its turn, or the oldest one has waited."""
        return max(perf_counter() - next(iter(self._turns.values())), self._bulk * self._pace)

    @contextmanager
    def bulk(self, rows: int) -> Iterator[None]:
        """Have a request of several rows under way; raises Problem with status 503 where it is too much."""
        problem = self.refuse_bulk(rows)
        if problem:
            raise problem
        with self.single():
            self._bulk += 1
            self._rows += rows
            _FIRST.set(True)
            try:
                yield
            finally:
                self._bulk -= 1
                self._rows -= rows

    @contextmanager
    def turn(self) -> Iterator[Callable[[Callable[[], _Result]], Callable[[], _Result]]]:
        """Wait for the end of a batch's next turn: turns are taken in the order in which they were asked for.

        The block gets what guards the work, to be done later and in another thread: it is not done where it is the
        first of its request and has waited for others for too long; then the block ends with a Problem of status 503.
        """
        turn, bounded = object(), _FIRST.get() and bool(self._turns)
        _FIRST.set(False)
        asked = self._turns[turn] = perf_counter()

        def guard(work: Callable[[], _Result]) -> Callable[[], _Result]:
            def guarded() -> _Result:
                if bounded and perf_counter() - asked > self._longest:
                    raise _LateError
                return work()

            return guarded

        try:
            yield guard
        except _LateError:
            raise self._too_long(perf_counter() - asked) from None
        finally:
            del self._turns[turn]
            now = perf_counter()
            self._pace += _WEIGHT * (now - max(asked, self._turned) - self._pace)
            self._turned = now

    def _too_long(self, wait: float) -> Problem:
        self._metrics.rejected("queued_time")
        return Problem(503, f"batches wait for {wait:.1f} s for their turn", headers=_RETRY)


class _LateError(Exception):
    """A turn has come too late."""


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
