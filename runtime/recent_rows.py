"""A few of the rows that were predicted lately, in the memory of one worker: what a reload compares models on.

Rows are taken by the clock and not by count. A predictor tells its `observe` of every row anyway; for one call, at most
ten times a second, that is this sample, and between those calls a prediction costs nothing more than without it.
"""

import time
from collections.abc import Callable
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from runtime.predictor import Predictor

SAMPLE_SECONDS = 0.1
"""How long after one call another one is taken at the earliest: 256 single rows reach back 25 s at least."""

MOST_OF_A_CALL = 16
"""Rows of one batch's chunk that are taken at most, evenly spread over it."""

MOST_BYTES = 2**20
"""Memory that rows may take; a model of very many features is compared on fewer rows."""

_ROW_BYTES = 4


class RecentRows:
    """A ring of rows. They are neither written nor sent anywhere, and end with the process.

    Parameters
    ----------
    features : int
        Columns of a row.
    most : int
        Rows that are held at most; 0 takes none.
    clock : callable
        Seconds that rise.
    """

    def __init__(self, features: int, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._ring = np.zeros((min(most, MOST_BYTES // (_ROW_BYTES * features)), features), np.float32)
        self._taken = 0
        self._clock = clock
        self._next = 0.0
        self._lock = Lock()
        self._release: Callable[[], None] | None = None

    def arm(self, predictor: Predictor) -> None:
        """Take rows of the predictor's next call, where it is time; to be called by one thread, again and again."""
        now = self._clock()
        if self._release is not None or now < self._next or not len(self._ring):
            return
        self._next = now + SAMPLE_SECONDS
        plain = predictor.observe

        def release() -> None:
            if predictor.observe is take:  # and has not been told meanwhile that no one observes any more
                predictor.observe = plain
            self._release = None

        def take(rows: NDArray[np.float32], probabilities: NDArray[np.float32]) -> None:
            release()
            self._add(rows)
            plain(rows, probabilities)

        self._release = release
        predictor.observe = take

    def disarm(self) -> None:
        """Let go of the predictor that rows would be taken of."""
        if self._release is not None:
            self._release()

    def rows(self) -> NDArray[np.float32]:
        """Return a copy of the rows that are held, float32 (n, features)."""
        with self._lock:
            return self._ring[: min(self._taken, len(self._ring))].copy()

    def _add(self, rows: NDArray[np.float32]) -> None:
        with self._lock:
            for row in rows[:: -(-len(rows) // MOST_OF_A_CALL)]:
                self._ring[self._taken % len(self._ring)] = row
                self._taken += 1
