"""Drift: how far the rows of the last hour are from those that the model was trained on, in constant memory.

No row is kept. Each worker counts in shared memory how many values of every feature, and of the score, fall into the
bins of the training rows, in two tables that take turns: one for this half of the window, one for the half before.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from runtime.baseline import BINS, Baseline, count
from runtime.codec import CODEC, Codec

MOST_COLUMNS = 129
"""128 features and the score; a model with more of them is watched in the first 128."""

MOST_ROWS = 64
"""Rows of a batch's chunk that are counted at most, evenly spread over it."""

LEAST_ROWS = 200
"""Rows below which nothing is said: the index of so few varies by more than a tenth on its own."""

_IDENTITY, _TABLES = 0, 1
_TABLE = 1 + MOST_COLUMNS * BINS  # the half of the window that it is for, and the counts

WORDS = _TABLES + 2 * _TABLE
"""Words of a worker's counts."""

_SMALLEST_SHARE = 1e-4  # an empty bin must not make the index infinite


class Drift:
    """What one worker counts for one model.

    Parameters
    ----------
    words : memoryview
        `WORDS` words of shared memory; what they hold of the same baseline is kept.
    baseline : Baseline
        The model's.
    window_seconds : float
        How far back the counts reach: a half of it at least.
    codec : Codec or None
        The kernels; without them NumPy counts.
    clock : callable
        Seconds, the same for all workers.
    """

    def __init__(
        self,
        words: memoryview,
        baseline: Baseline,
        window_seconds: float,
        codec: Codec | None = CODEC,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._words = np.frombuffer(words, np.int64)
        self._edges = watched_columns(baseline.edge_matrix)
        if self._words[_IDENTITY] != baseline.identity:
            self._words[:] = 0
            self._words[_IDENTITY] = baseline.identity
        self._half = window_seconds / 2
        self._codec = codec
        self._clock = clock
        self._lock = Lock()
        self._until = 0.0

    def observe(self, rows: NDArray[np.float32], probabilities: NDArray[np.float32]) -> None:
        """Count rows, float32 (n, features), and their probabilities, float32 (n, classes)."""
        if self._clock() >= self._until:
            self._begin_half()
        if self._count is None or self._count(rows, probabilities) is not rows:
            step = -(-len(rows) // MOST_ROWS)
            features = len(self._edges) - 1
            seen = np.column_stack([rows[::step, :features], probabilities[::step, -1]])
            self._counts += count(seen, self._edges)

    def _begin_half(self) -> None:
        """Count into the table of this half of the window."""
        with self._lock:
            half = int(self._clock() // self._half)
            start = _TABLES + half % 2 * _TABLE
            table = self._words[start : start + _TABLE]
            if table[0] != half:
                table[:] = 0
                table[0] = half
            columns = len(self._edges)
            self._counts = table[1 : 1 + columns * BINS].reshape(columns, BINS)
            bound = np.ndarray, np.dtype(np.float32), self._edges, self._counts
            self._count = self._codec.observe(bound) if self._codec else None
            self._until = (half + 1) * self._half


def collect(slots: Iterable[memoryview], baseline: Baseline, window_seconds: float, now: float) -> NDArray[np.int64]:
    """Return the counts of the window over all workers, int64 (columns, BINS), from their words."""
    columns = min(len(baseline.edge_matrix), MOST_COLUMNS)
    total = np.zeros((columns, BINS), np.int64)
    half = int(now // (window_seconds / 2))
    for slot in slots:
        words = np.frombuffer(slot, np.int64)
        if words[_IDENTITY] != baseline.identity:
            continue
        for table in words[_TABLES:].reshape(2, _TABLE):
            if table[0] in (half, half - 1):
                total += table[1 : 1 + columns * BINS].reshape(columns, BINS)
    return total


def watched(names: Sequence[str]) -> Sequence[str]:
    """Return the features that are watched, of a model's features."""
    return names[: MOST_COLUMNS - 1]


def watched_columns(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows of a baseline's matrix, one a column, that are watched: those of `watched` and the score's."""
    if len(matrix) <= MOST_COLUMNS:
        return matrix
    return np.concatenate([matrix[: MOST_COLUMNS - 1], matrix[-1:]])


def stability_index(counts: NDArray[np.int64], baseline: Baseline) -> NDArray[np.float64]:
    """Return the population stability index of each watched column: the sum over bins of (a - e) ln(a / e).

    Rule of thumb: below 0.1 nothing moved, above 0.25 much did (Siddiqi, Credit Risk Scorecards, 2006). `a` is the
    share of the values now, `e` that of the training rows, neither below 0.0001.

    Parameters
    ----------
    counts : ndarray
        Values in each bin, int64 (columns, BINS), as `collect` returns them.
    baseline : Baseline
        The model's.

    Returns
    -------
    ndarray
        Indices, float64 (columns,).
    """
    shares = watched_columns(baseline.share_matrix)
    rows = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    actual = np.maximum(counts / rows, _SMALLEST_SHARE)
    expected = np.maximum(shares.astype(np.float64), _SMALLEST_SHARE)
    index: NDArray[np.float64] = ((actual - expected) * np.log(actual / expected)).sum(axis=1)
    return index
