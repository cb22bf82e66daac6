"""Rows with their probabilities, and the engine that fills them in from a buffer that stays in the caches."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.predictor import Predictor
from runtime.scoring.cells import NO_TIME, Column, text
from runtime.scoring.reading import Block, Rejects

BUFFER_ROWS = 8192
"""Rows of features between their computation and their prediction: 700 kB, which a core's own cache holds."""

_LONG_SPAN = 64  # rows


@dataclass
class Scored:
    """What a block of rows came to.

    Attributes
    ----------
    rows : ndarray of int64
        Numbers of the rows that are scored.
    probabilities : ndarray of float32, shape (classes, rows)
        Their probabilities, a class after the other as a file keeps them.
    times : ndarray of int64 or None
        Their dates, in microseconds since 1970.
    codes : ndarray of int32 or None
        Places of their tickers in `tickers`.
    tickers : pyarrow array of str
        The names.
    warm_up : int
        Rows without features, because their series had begun less than 50 bars before.
    rejects : Rejects
        Rows that are not scored because something in them is wrong.
    """

    rows: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    times: NDArray[np.int64] | None
    codes: NDArray[np.int32] | None
    tickers: Column
    warm_up: int = 0
    rejects: Rejects = field(default_factory=list)


class Filler:
    """Predicts rows of features as they come, and puts the probabilities where they belong.

    The buffer is filled from its end: the rows of a series' warm-up stand before its others, are not taken, and the
    next series is written over them.

    Parameters
    ----------
    predictor : Predictor
        The model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._buffer = np.empty((BUFFER_ROWS, len(predictor.card.feature_names)), np.float32)
        self._free = BUFFER_ROWS
        self._targets: list[tuple[int, int, Any]] = []
        self._out = np.empty((len(predictor.card.labels), 0), np.float32)

    def begin(self, rows: int) -> None:
        """Begin a block of so many rows."""
        self._out = np.empty((len(self._out), rows), np.float32)

    @property
    def capacity(self) -> int:
        """The most rows that `room` can have."""
        return len(self._buffer)

    def room(self, least: int = 1) -> NDArray[np.float32]:
        """Return the free rows of the buffer, so many at least; the last ones are to be filled first."""
        if self._free < least:
            self._predict()
        return self._buffer[: self._free]

    def take(self, count: int, target: Any) -> None:
        """Take the last rows of the room as filled; their probabilities go to `target`, an index of the block."""
        if count:
            self._targets.append((self._free - count, self._free, target))
            self._free -= count

    def finish(self) -> NDArray[np.float32]:
        """Return the probabilities of the block, (classes, rows); those of rows that were not taken mean nothing."""
        self._predict()
        return self._out

    def _predict(self) -> None:
        first, self._free = self._free, len(self._buffer)
        if self._targets:
            probabilities = self._predictor.predict(self._buffer[first:]).T
            for start, stop, target in self._targets:
                self._out[:, target] = probabilities[:, start - first : stop - first]
        self._targets.clear()


def check_labels(block: Block, rejects: Rejects) -> tuple[NDArray[np.int64] | None, NDArray[np.bool_]]:
    """Return the dates of a block, and which rows have what they need of date and ticker; others become rejects."""
    good = np.ones(len(block.rows), np.bool_)
    found = block.times() if "Date" in block.columns else None
    if found is not None and (wrong := found == NO_TIME).any():
        good &= ~wrong
        form = block.form.dates
        what = "expected an ISO 8601 date such as 2026-01-15"
        if form is not None:
            what = f"expected a date like the others, {form}"
        for row in np.flatnonzero(wrong).tolist():
            cell = text(block.columns["Date"], row)
            rejects.append((int(block.rows[row]), f"Date: {what}, got {cell}"))
    if len(block.codes) and (wrong := good & (block.codes < 0)).any():
        good &= ~wrong
        rejects += ((int(row), "Ticker: expected a name, got an empty cell") for row in block.rows[wrong])
    return found, good


def keep(
    block: Block,
    kept: NDArray[np.bool_],
    probabilities: NDArray[np.float32],
    found: NDArray[np.int64] | None,
    warm_up: int,
    rejects: Rejects,
) -> Scored:
    """Return what a block came to, of which some rows are scored, if the model's answer to them is finite."""
    if not (finite := np.isfinite(probabilities).all(axis=0) | ~kept).all():
        rejects += ((int(row), "expected a finite answer of the model, got none") for row in block.rows[~finite])
        kept &= finite
    codes = block.codes if len(block.codes) else None
    rows = block.rows
    if not kept.all():
        edges = np.flatnonzero(np.diff(kept, prepend=False, append=False)).tolist()
        spans = [slice(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
        few = spans if len(spans) * _LONG_SPAN < len(kept) else None

        def left(values: NDArray[Any]) -> NDArray[Any]:
            # Long spans are copied faster whole.
            return np.concatenate([values[..., span] for span in few], axis=-1) if few else values[..., kept]

        rows, probabilities = left(rows), left(probabilities)
        found = None if found is None else left(found)
        codes = None if codes is None else left(codes)
    return Scored(rows, probabilities, found, codes, block.tickers, warm_up, rejects)
