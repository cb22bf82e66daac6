"""The features of many series at once."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from features_fast import _layout as at
from features_fast.bars import Array, Rows, bar_error, bar_of, plain, rows_for
from features_fast.cores import usable_cores
from features_fast.errors import TicklineError
from features_fast.library import FLOAT64, library, workspace

_PIECES = 32
"""Pieces of work a thread: enough that the last ones end together."""


def compute_panel(
    open: ArrayLike,
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    volume: ArrayLike,
    offsets: ArrayLike,
    out: Rows | None = None,
    dtype: DTypeLike = np.float32,
    threads: int | None = None,
) -> Rows:
    """Compute all features of every bar of many tickers, whose series stand one after the other.

    Ticker ``i`` is rows ``offsets[i]`` to ``offsets[i + 1]``, of any length, and its rows are those that ``compute``
    gives for it alone, bit for bit, whatever the number of threads.

    Parameters
    ----------
    open, high, low, close, volume : array_like of float64, shape (bars,)
        As for ``compute``, all tickers joined, each oldest bar first.
    offsets : array_like of int, shape (tickers + 1,)
        Rising from 0 to the number of bars; two equal offsets are a ticker without bars.
    out : ndarray of float32 or float64, shape (bars, 22), optional
        As for ``compute``.
    dtype : float32 or float64
        Type of the rows if ``out`` is not given.
    threads : int, optional
        Threads that share the tickers; by default the cores that this process may use. The interpreter is released.

    Returns
    -------
    ndarray, shape (bars, 22)
        The rows; the first ``WARM_UP`` of every ticker are NaN.

    Raises
    ------
    BarError
        As for ``compute``; the message names the ticker's place and the bar's index within it.
    TicklineError
        If ``offsets``, ``out``, ``dtype`` or ``threads`` is not as described.
    """
    fields = plain(open, high, low, close, volume)
    length = len(fields[3])
    starts = _offsets(offsets, length)
    tickers = len(starts) - 1
    out = rows_for(out, (length, at.COLUMNS), dtype)
    if threads is None:
        threads = usable_cores()
    if threads < 1:
        raise TicklineError(f"threads: expected one or more, not {threads}")
    lengths = np.diff(starts)
    order = _side_by_side(starts[:-1], lengths, apart=out.nbytes > at.CACHED_APART)
    kernel, names, rows = library().panel, tuple(map(id, fields)), id(out)
    index, places = starts.ctypes.data, order.ctypes.data

    # Cut where the rows, not the tickers, are in equal parts; eight tickers stay together if there are enough.
    parts = threads * _PIECES if threads > 1 else 1
    cuts = np.searchsorted(np.cumsum(lengths[order]), np.linspace(0, length, parts + 1)[1:-1])
    if tickers >= 8 * threads:
        cuts &= -8
    pieces = deque(pairwise(np.unique([0, *cuts, tickers]).tolist()))

    def work() -> int:
        lowest = length
        while True:
            try:
                first, last = pieces.popleft()
            except IndexError:
                return lowest
            bad = kernel(workspace.address, *names, rows, FLOAT64, length, index, places, first, last)
            lowest = lowest if bad == at.DONE else min(lowest, bad)

    others = min(threads, len(pieces)) - 1
    if others < 1:
        bad = work()
    else:
        # This thread works too: a new one runs on another core at once, where two would often wait for each other.
        with ThreadPoolExecutor(others) as pool:
            futures = [pool.submit(work) for _ in range(others)]
            bad = min(work(), *(future.result() for future in futures))
    if bad < length:
        raise _impossible(bad, fields, starts)
    return out


def _side_by_side(starts: NDArray[np.int64], lengths: NDArray[np.int64], apart: bool) -> NDArray[np.int64]:
    """Return the order in which eight tickers stand side by side: of like lengths, so that little is left over.

    Rows that go past the caches go there in whole lines, so all eight must begin at the same place of a line: eight
    rows, of either type, are whole lines. What does not fill eight comes last.
    """
    if not apart:
        return np.argsort(-lengths, kind="stable")
    place = starts & 7
    order = np.lexsort((-lengths, place))
    tickers = np.bincount(place, minlength=8)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(tickers) - tickers, tickers)
    whole = rank < np.repeat(tickers & -8, tickers)
    return np.concatenate((order[whole], order[~whole]))


def _offsets(offsets: ArrayLike, length: int) -> NDArray[np.int64]:
    given = np.asarray(offsets)
    if given.ndim != 1 or given.size < 1 or given.dtype.kind not in "iu":
        raise TicklineError(f"offsets: expected integers of one dimension, not {given.dtype} of shape {given.shape}")
    starts = np.ascontiguousarray(given, dtype=np.int64)
    if starts[0] != 0 or starts[-1] != length:
        raise TicklineError(f"offsets: expected to run from 0 to the {length} bars, not {starts[0]} to {starts[-1]}")
    falls = np.flatnonzero(starts[1:] < starts[:-1])
    if falls.size:
        ticker = int(falls[0])
        raise TicklineError(f"offsets: expected to rise, not {starts[ticker]} before {starts[ticker + 1]} ({ticker=})")
    return starts


def _impossible(row: int, fields: tuple[Array, ...], starts: NDArray[np.int64]) -> Exception:
    ticker = int(np.searchsorted(starts, row, side="right")) - 1
    return bar_error(bar_of(fields, row), row - int(starts[ticker]), ticker)
