"""Single predictions that arrive in one turn of the event loop, predicted together.

Nothing waits for company: a turn reads what the sockets already hold, and at its end all rows go through the engine at
once. A row that is alone goes alone. Under load this spares most of the engine's fixed cost a call, and the replies are
written one after the other, so that a client is woken once and not for each of them.
"""

import asyncio
import logging
from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol

import numpy as np

from runtime.problems import Problem

if TYPE_CHECKING:
    from runtime.worker import Worker

logger = logging.getLogger("tickline")

_FOLD_SECONDS = 0.1  # how long stages may wait to be counted

LIMIT = 64
"""Most rows that are predicted together: they take less time than one chunk of a batch."""


class Caller(Protocol):
    """Who asked for a prediction."""

    def answer(self, reply: bytes, keep_alive: bool) -> None:
        """Take the reply."""

    def refuse(self, problem: Problem, keep_alive: bool) -> None:
        """Take a problem instead."""


class Coalescer:
    """Collects rows during a turn of the event loop and answers them at its end.

    Callers are answered in the order in which they asked. To be used by the event loop's thread alone.

    Parameters
    ----------
    worker : Worker
        Gives the model and counts the predictions.
    loop : asyncio.AbstractEventLoop
        The loop whose turns count.
    """

    def __init__(self, worker: "Worker", loop: asyncio.AbstractEventLoop) -> None:
        self._worker = worker
        self._loop = loop
        self._rows = np.zeros((LIMIT, len(worker.model.card.feature_names)), np.float32)
        self._places = list(self._rows)
        self._waiting: list[tuple[Caller, int, int, bool]] = []
        self._limit = 1

    def ask(self, body: bytes, caller: Caller, started: int, keep_alive: bool) -> None:
        """Decode the body of a single prediction, whose answer goes to the caller later in this turn.

        Parameters
        ----------
        body : bytes
            JSON as `/predict` takes it.
        caller : Caller
            Who gets the answer.
        started : int
            When the request began, by `perf_counter_ns`.
        keep_alive : bool
            Handed back with the answer.

        Raises
        ------
        Problem
            Where the body is refused; then the caller gets no other answer.
        """
        waiting = self._waiting
        count = len(waiting)
        self._worker.model.decode_row(body, self._places[count])
        waiting.append((caller, started, perf_counter_ns(), keep_alive))
        if count + 1 >= self._limit:
            self.flush()
        elif not count:
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Answer all who wait."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        model = self._worker.model
        self._limit = LIMIT if model.predictor.steady else 1
        replies: list[tuple[int, bytes] | Problem]
        rows = self._rows[: len(waiting)]
        begun = inferred = perf_counter_ns()
        try:
            probabilities = model.predictor.predict_few(rows)
            inferred = perf_counter_ns()
            replies = model.replies.rows(probabilities)
        except Exception:
            logger.exception("a prediction failed")
            problem = Problem(500, "an unexpected error; the server's log has the details")
            replies = [problem] * len(waiting)
        refused = False
        for (caller, _, _, keep_alive), reply in zip(waiting, replies, strict=True):
            if isinstance(reply, Problem):
                refused = True
                caller.refuse(reply, keep_alive)
            else:
                caller.answer(reply[1], keep_alive)
        if not refused:
            model.predictor.observe(rows, probabilities)
        elif answered := [index for index, reply in enumerate(replies) if not isinstance(reply, Problem)]:
            model.predictor.observe(rows[answered], probabilities[answered])
        self._count(waiting, replies, begun, inferred)
        if busy_poll := self._worker.busy_poll:
            busy_poll.stay(inferred)

    def _count(
        self,
        waiting: list[tuple[Caller, int, int, bool]],
        replies: list[tuple[int, bytes] | Problem],
        begun: int,
        inferred: int,
    ) -> None:
        """Count requests one by one, and note their stages."""
        now = perf_counter_ns()
        metrics = self._worker.metrics
        starts = parses = 0
        for (_, started, parsed, _), reply in zip(waiting, replies, strict=True):
            starts += started
            parses += parsed
            if isinstance(reply, Problem):
                metrics.refused_row(reply.status, now - started)
            else:
                metrics.predicted_row(reply[0], now - started)
        count = len(waiting)
        if metrics.staged(count, parses - starts, begun * count - parses, inferred - begun, now - inferred):
            self._loop.call_later(_FOLD_SECONDS, metrics.fold)
