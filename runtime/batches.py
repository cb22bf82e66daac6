"""One batch under way: read, predict and write, chunk by chunk."""

import time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.batch_json import Bad
from runtime.batch_replies import BatchReply
from runtime.drift import MOST_ROWS
from runtime.predictor import Predictor
from runtime.problems import Problem

TURN_SECONDS = 0.01
"""How long one batch may go on while others wait for their turn."""


class BatchBody(Protocol):
    """The rows of a body that arrives piece by piece."""

    @property
    def waiting(self) -> int:
        """Bytes that could be read now."""

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body; raises Problem."""

    def close(self) -> None:
        """Take the body as complete; raises Problem."""

    def read(self, out: NDArray[np.float32]) -> tuple[int, Bad]:
        """Fill `out`, float32 (n, features), with the next rows; return how many, and the bad ones, which are zeros."""


def count_labels(probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return how many rows of probabilities, float32 (rows, classes), are of each class, the first where some tie."""
    rows, classes = probabilities.shape
    if classes == 2:  # ten times as fast
        second = np.count_nonzero(probabilities[:, 1] > probabilities[:, 0])
        return np.array([rows - second, second], np.int64)
    return np.bincount(probabilities.argmax(axis=1), minlength=classes)


class Batch:
    """The rows of one body on their way through a model into a reply. Knows no HTTP; used by one thread at a time.

    Parameters
    ----------
    predictor : Predictor
        The model.
    body : BatchBody
        Where rows come from.
    reply : BatchReply
        Where predictions go.
    fail : bool
        Whether one bad row makes the whole batch fail.
    max_rows : int
        Most rows that are taken.
    """

    def __init__(self, predictor: Predictor, body: BatchBody, reply: BatchReply, fail: bool, max_rows: int) -> None:
        self._predictor = predictor
        self._body = body
        self._reply = reply
        self._fail = fail
        self._max_rows = max_rows
        self._rows = np.empty((min(predictor.chunk_rows, max_rows + 1), predictor.engine.features), np.float32)
        self._read: tuple[int, Bad] | None = None  # rows that were read in a turn and wait for the next one
        self._first_problem: Problem | None = None
        self._count = self._errors = 0
        self._seen: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []  # what is counted once all is answered
        self.labels = np.zeros(predictor.engine.classes, np.int64)
        """Rows of each class that have been predicted."""

    def advance(self) -> bool:
        """Predict rows that have come, for one turn; return whether more of them wait.

        Raises
        ------
        Problem
            Where the body, or a row with `fail`, is refused; 413 where there are too many rows.
        """
        end = time.monotonic() + TURN_SECONDS
        count, bad = self._read or self._next()
        self._read = None
        while count:
            self._predict(self._rows[:count], bad)
            count, bad = self._next()
            if count and time.monotonic() > end:
                self._read = count, bad  # no turn is asked for, and waited for, but where something is left to do
                return True
        return False

    def _next(self) -> tuple[int, Bad]:
        """Read the next chunk."""
        return self._body.read(self._rows[: self._max_rows + 1 - self._count])

    def _predict(self, rows: NDArray[np.float32], bad: Bad) -> None:
        """Predict one chunk."""
        begin = self._count
        self._count += len(rows)
        if self._count > self._max_rows:
            raise Problem(413, f"expected at most {self._max_rows} rows, got at least {self._count}", field="features")
        if bad and self._fail:
            raise bad[0][1]
        probabilities = self._predictor.infer(rows)
        if not np.isfinite(probabilities).all():
            refused = dict(bad)
            for row in np.flatnonzero(~np.isfinite(probabilities).all(axis=1)).tolist():
                detail = "the model's answer to these values is not finite"
                refused.setdefault(row, Problem(422, detail, field=f"features[{begin + row}]"))
                probabilities[row] = 0
            bad = sorted(refused.items())
        if bad:
            self._first_problem = self._first_problem or bad[0][1]
            if self._fail:
                raise self._first_problem
            self._errors += len(bad)
        good, answers = rows, probabilities
        if bad:
            places = [row for row, _ in bad]
            good, answers = np.delete(rows, places, axis=0), np.delete(probabilities, places, axis=0)
        if len(good):
            self.labels += count_labels(answers)
            step = -(-len(good) // MOST_ROWS)  # the rows that drift counts of a chunk
            self._seen.append((good[::step].copy(), answers[::step].copy()))
        self._reply.add(probabilities, bad)

    def conclude(self) -> list[bytes] | None:
        """Go on with a body that is complete, for one turn; return the whole reply, piece by piece, if all is done.

        Raises
        ------
        Problem
            As `advance`; also 422 where there was no row, or none that could be predicted.
        """
        if self.advance():
            return None
        if not self._count:
            raise Problem(422, "expected at least 1 row, got 0", field="features")
        if self._first_problem and self._errors == self._count:
            raise self._first_problem
        for rows, probabilities in self._seen:
            self._predictor.observe(rows, probabilities)
        return self._reply.finish(self._count, self._errors)
