"""The features of a series that grows bar by bar."""

import ctypes
import hashlib
from collections.abc import Sequence
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from features_fast import _layout as at
from features_fast.bars import FIELDS, Rows, bar_error, bar_of, plain, rows_for
from features_fast.errors import BarError, TicklineError
from features_fast.library import FLOAT64, library, new_state
from features_fast.specification import specification_hash

_MARK = b"TICKLINE" + bytes.fromhex(specification_hash())
_CLOSES = slice(at.CLOSE + at.HALO - at.CARRIED_CLOSES, at.CLOSE + at.HALO)
_VOLUMES = slice(at.VOLUME + at.HALO - at.CARRIED, at.VOLUME + at.HALO)
_SAVED = at.SCALARS + at.CARRIED_CLOSES + at.CARRIED


class Stream:
    """Features of one ticker, bar by bar: the rows of ``compute``, bit for bit.

    A stream only ever takes the bar after its newest one. An update holds the interpreter, so that bars which arrive
    from several threads are taken one after the other; which is the next one is for the callers to settle, and
    ``index`` lets the stream check it. Not while another thread is in ``extend``, ``begin`` or ``restore``.

    Parameters
    ----------
    dtype : float32 or float64
        Type of the rows.

    Examples
    --------
    >>> stream = Stream()
    >>> stream.update((10.0, 10.5, 9.9, 10.2, 1e6)) is None
    True
    >>> stream.bars
    1
    """

    __slots__ = ("_row", "_state", "_update")

    def __init__(self, dtype: DTypeLike = np.float32) -> None:
        self._row: Any = rows_for(None, (at.COLUMNS,), dtype)
        self._take(new_state())
        self._clear()

    def _take(self, state: NDArray[np.float64]) -> None:
        self._state = state
        self._update = library().update((state, self._row, float, np.float64, np.dtype(np.float64)))

    @property
    def bars(self) -> int:
        """Number of bars taken so far, which is the index of the next one."""
        return int(self._state[at.COUNT])

    def update(self, bar: Sequence[SupportsFloat], index: int | None = None) -> Rows | None:
        """Take the next bar and compute its features.

        Parameters
        ----------
        bar : sequence of 5 float
            Open, high, low, close and volume.
        index : int, optional
            Index of this bar in its series, to be compared with ``bars``: a repeated, missing or late bar is refused.

        Returns
        -------
        ndarray of shape (22,), or None
            The features, in an array of its own; None during the first ``WARM_UP`` bars.

        Raises
        ------
        BarError
            If no market can produce the bar; the stream is as before and takes another in its place.
        TicklineError
            If ``index`` is not the next one.
        """
        if index is not None and index != self.bars:
            raise TicklineError(f"index: expected bar {self.bars} next, not {index}")
        try:
            result = self._update(*bar)
        except TypeError as error:
            raise self._no_bar(bar) from error
        if result is not self._row and result is not self._state:
            values = self._floats(bar)
            result = self._update(*values)
            if result is not self._row and result is not self._state:
                raise bar_error(values, self.bars)
        if result is self._state:
            return None
        row: Rows = self._row.copy()
        return row

    def _floats(self, bar: Sequence[SupportsFloat]) -> tuple[float, ...]:
        """Return other numbers as the floats that the kernel reads."""
        try:
            values = tuple(value.__float__() for value in bar)
        except AttributeError as error:
            raise self._no_bar(bar) from error
        if len(values) != len(FIELDS):
            raise self._no_bar(bar)
        return values

    def _no_bar(self, bar: object) -> BarError:
        return BarError(f"expected open, high, low, close and volume, not {bar!r}", index=self.bars)

    def extend(
        self,
        open: ArrayLike,
        high: ArrayLike,
        low: ArrayLike,
        close: ArrayLike,
        volume: ArrayLike,
        out: Rows | None = None,
    ) -> Rows:
        """Take many bars at once, a history for instance, and compute their features.

        Parameters
        ----------
        open, high, low, close, volume : array_like of float64, shape (bars,)
            As for ``compute``.
        out : ndarray of float32 or float64, shape (bars, 22), optional
            As for ``compute``.

        Returns
        -------
        ndarray, shape (bars, 22)
            Their rows; NaN during the first ``WARM_UP`` bars of the stream.

        Raises
        ------
        BarError
            As for ``compute``, with the bar's index in the stream; the stream is as before.
        TicklineError
            If ``out`` cannot take the rows.
        """
        state = new_state()
        state[:] = self._state
        rows = self._rows(state, (open, high, low, close, volume), out)
        self._take(state)
        return rows

    def begin(
        self,
        open: ArrayLike,
        high: ArrayLike,
        low: ArrayLike,
        close: ArrayLike,
        volume: ArrayLike,
        out: Rows | None = None,
    ) -> Rows:
        """Forget all bars and take the first ones of another series: as a new stream's `extend`, in less time.

        Raises
        ------
        BarError, TicklineError
            As for `extend`; the stream is then as a new one.
        """
        self._clear()
        try:
            return self._rows(self._state, (open, high, low, close, volume), out)
        except TicklineError:
            self._clear()
            raise

    def _clear(self) -> None:
        self._state.fill(0.0)
        self._state[at.POSITION] = at.HALO

    def _rows(self, state: NDArray[np.float64], bars: tuple[ArrayLike, ...], out: Rows | None) -> Rows:
        """Advance a state by bars; return their rows."""
        fields = plain(*bars)
        length = len(fields[3])
        out = rows_for(out, (length, at.COLUMNS), self._row.dtype)
        offsets = (ctypes.c_int64 * 2)(0, length)
        before = int(state[at.COUNT])
        bad = library().rows(
            state.ctypes.data, *map(id, fields), id(out), FLOAT64, length, ctypes.addressof(offsets), 0, 1, 1
        )
        if bad != at.DONE:
            raise bar_error(bar_of(fields, bad), before + bad)
        return out

    def snapshot(self) -> bytes:
        """Return all that determines the rows to come, in 792 bytes.

        Any process with the same features can restore it, whichever its backend.
        """
        place = int(self._state[at.POSITION]) - at.HALO
        state = np.concatenate(
            [
                self._state[: at.SCALARS],
                self._state[_CLOSES.start + place : _CLOSES.stop + place],
                self._state[_VOLUMES.start + place : _VOLUMES.stop + place],
            ]
        ).tobytes()
        return _MARK + hashlib.sha256(state).digest() + state

    def restore(self, snapshot: bytes) -> None:
        """Continue where a snapshot was taken: the rows to come are the same, bit for bit.

        Raises
        ------
        TicklineError
            If it is not a whole snapshot of a stream of these features; the stream is as before.
        """
        mark, digest = snapshot[: len(_MARK)], snapshot[len(_MARK) : len(_MARK) + 32]
        saved = snapshot[len(_MARK) + 32 :]
        if mark != _MARK:
            raise TicklineError("snapshot: expected one of a stream with these features, not other bytes")
        if hashlib.sha256(saved).digest() != digest:
            raise TicklineError(f"snapshot: expected {8 * _SAVED} intact bytes of state, not these {len(saved)}")
        values = np.frombuffer(saved)
        state = new_state()
        state[: at.SCALARS] = values[: at.SCALARS]
        state[_CLOSES] = values[at.SCALARS : -at.CARRIED]
        state[_VOLUMES] = values[-at.CARRIED :]
        library().resume(state.ctypes.data)
        self._take(state)
