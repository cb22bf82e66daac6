"""The kernels: one step from bars to features, compiled from this one source just in time and ahead of time.

Every function works on raw pointers: ``s`` is the state (``_layout``), ``p`` the place of the first bar of the block in
it, ``k`` the bars in the block. Values over a window are pure functions of the bars in that window, added in a fixed
order, so that a bar's features do not depend on how the series was cut into blocks, and LLVM may compute four bars at
once. A loop computes few arrays, since LLVM gives up on a loop with many.
"""

from collections.abc import Callable, MutableSequence
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types

from features_fast import _layout as at
from features_fast._vectors import address, doubles, singles, store_tile, words
from features_fast.specification import WARM_UP

FLAGS: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "boundscheck": False}
"""How every kernel is compiled. Fast math would drop NaN and reorder sums, and the two backends would differ."""

Floats = MutableSequence[float]
Words = MutableSequence[int]
F = TypeVar("F", bound=Callable[..., Any])


# numba's own annotations know neither pointers nor the options that leave out wrappers.
_njit: Any = numba.njit
_pointer: Any = types.CPointer

_INT, _DOUBLE, _VOID = types.int64, types.float64, types.void
_DOUBLES, _SINGLES, _WORDS = _pointer(_DOUBLE), _pointer(types.float32), _pointer(_INT)


def _part(*signatures: Any) -> Callable[[F], F]:
    """Compile a part of a kernel, for these signatures and no others."""

    def compiled(function: F) -> F:
        part: F = _njit(list(signatures), no_cpython_wrapper=True, no_cfunc_wrapper=True, **FLAGS)(function)
        return part

    return compiled


_STEADY = 34
"""From this bar on every recursive average has its seed."""


@_part(types.boolean(*(_DOUBLE,) * 5))
def _possible(o: float, h: float, low: float, c: float, v: float) -> bool:
    return (
        (o >= at.PRICE_MIN)
        & (o <= at.PRICE_MAX)
        & (h >= low)
        & (h <= at.PRICE_MAX)
        & (low >= at.PRICE_MIN)
        & (c >= at.PRICE_MIN)
        & (c <= at.PRICE_MAX)
        & (v >= 0.0)
        & (v <= at.VOLUME_MAX)
    )


@_part(_INT(_DOUBLES, _INT, *(_DOUBLES,) * 5, _INT, _INT))
def _load(
    s: Floats, p: int, opens: Floats, highs: Floats, lows: Floats, closes: Floats, volumes: Floats, start: int, k: int
) -> int:
    """Copy a block of bars into the state; return the index of the first impossible one, or ``k``."""
    impossible = 0
    for i in range(k):
        o, h, low, c, v = opens[start + i], highs[start + i], lows[start + i], closes[start + i], volumes[start + i]
        impossible += 0 if _possible(o, h, low, c, v) else 1
        s[at.OPEN + i] = o
        s[at.HIGH + i] = h
        s[at.LOW + i] = low
        s[at.CLOSE + p + i] = c
        s[at.VOLUME + p + i] = v
    if impossible == 0:
        return k
    i = 0
    while _possible(opens[start + i], highs[start + i], lows[start + i], closes[start + i], volumes[start + i]):
        i += 1
    return i


@_part(_DOUBLE(_DOUBLE, _DOUBLE, *(_INT,) * 3))
def _seed(average: float, x: float, t: int, first: int, n: int) -> float:
    """Sum ``n`` values from bar ``first`` on and divide the last sum: the mean that seeds a recursive average."""
    if t < first:
        return 0.0
    total = average + x if t > first else x
    return total / n if t == first + n - 1 else total


@_part(_VOID(_DOUBLES, *(_INT,) * 3))
def _recur(s: Floats, p: int, k: int, t: int) -> None:
    """Advance the averages that depend on all earlier bars. They wait for each other only through the signal line."""
    ema_5, ema_10, ema_20 = s[at.EMA_5], s[at.EMA_10], s[at.EMA_20]
    ema_12, ema_26, signal = s[at.EMA_12], s[at.EMA_26], s[at.SIGNAL]
    gain, loss = s[at.GAIN], s[at.LOSS]
    seeding = min(max(_STEADY - t, 0), k)
    for i in range(seeding):
        bar = t + i
        c = s[at.CLOSE + p + i]
        change = c - s[at.CLOSE + p + i - 1]
        up = (change if change > 0.0 else 0.0) + at.STILL
        down = (-change if change < 0.0 else 0.0) + at.STILL
        ema_5 = _seed(ema_5, c, bar, 0, 5) if bar < 5 else ema_5 + (2.0 / 6.0) * (c - ema_5)
        ema_10 = _seed(ema_10, c, bar, 0, 10) if bar < 10 else ema_10 + (2.0 / 11.0) * (c - ema_10)
        ema_20 = _seed(ema_20, c, bar, 0, 20) if bar < 20 else ema_20 + (2.0 / 21.0) * (c - ema_20)
        ema_12 = _seed(ema_12, c, bar, 14, 12) if bar < 26 else ema_12 + (2.0 / 13.0) * (c - ema_12)
        ema_26 = _seed(ema_26, c, bar, 0, 26) if bar < 26 else ema_26 + (2.0 / 27.0) * (c - ema_26)
        signal = _seed(signal, ema_12 - ema_26, bar, 25, 9)
        gain = _seed(gain, up, bar, 1, 14) if bar < 15 else gain + (1.0 / 14.0) * (up - gain)
        loss = _seed(loss, down, bar, 1, 14) if bar < 15 else loss + (1.0 / 14.0) * (down - loss)
    for i in range(seeding, k):
        c = s[at.CLOSE + p + i]
        change = c - s[at.CLOSE + p + i - 1]
        up = (change if change > 0.0 else 0.0) + at.STILL
        down = (-change if change < 0.0 else 0.0) + at.STILL
        ema_5 = ema_5 + (2.0 / 6.0) * (c - ema_5)
        ema_10 = ema_10 + (2.0 / 11.0) * (c - ema_10)
        ema_20 = ema_20 + (2.0 / 21.0) * (c - ema_20)
        ema_12 = ema_12 + (2.0 / 13.0) * (c - ema_12)
        ema_26 = ema_26 + (2.0 / 27.0) * (c - ema_26)
        macd = ema_12 - ema_26
        signal = signal + (2.0 / 10.0) * (macd - signal)
        gain = gain + (1.0 / 14.0) * (up - gain)
        loss = loss + (1.0 / 14.0) * (down - loss)
        s[at.F_EMA_5 + i] = ema_5
        s[at.F_EMA_10 + i] = ema_10
        s[at.F_EMA_20 + i] = ema_20
        s[at.F_MACD + i] = macd
        s[at.F_MACD_SIGNAL + i] = signal
        s[at.GAINS + i] = gain
        s[at.LOSSES + i] = loss
    s[at.EMA_5], s[at.EMA_10], s[at.EMA_20] = ema_5, ema_10, ema_20
    s[at.EMA_12], s[at.EMA_26], s[at.SIGNAL] = ema_12, ema_26, signal
    s[at.GAIN], s[at.LOSS] = gain, loss


@_part(_VOID(_DOUBLES, *(_INT,) * 5))
def _spread_5(s: Floats, x: int, sums: int, squares: int, p: int, k: int) -> None:
    """Sum and sum of squares of the last 5 values, about a pivot among them: at most a factor 5 of rounding is lost."""
    for i in range(p, p + k):
        pivot = s[x + i - 2]
        a, b, c, d = s[x + i] - pivot, s[x + i - 1] - pivot, s[x + i - 3] - pivot, s[x + i - 4] - pivot
        total = (a + b) + (c + d)
        s[sums + i] = total
        s[squares + i] = ((a * a + b * b) + (c * c + d * d)) - total * total * (1.0 / 5.0)


@_part(_VOID(_DOUBLES, *(_INT,) * 7))
def _spread_10(s: Floats, x: int, sums_5: int, squares_5: int, sums_10: int, squares_10: int, p: int, k: int) -> None:
    """Merge two neighbouring windows of 5 (Chan, Golub and LeVeque 1983): only non-negative terms, no cancellation."""
    for i in range(p, p + k):
        step = 5.0 * (s[x + i - 2] - s[x + i - 7])
        new, old = s[sums_5 + i], s[sums_5 + i - 5]
        apart = (new - old) + step
        s[sums_10 + i] = (new + old) - step
        s[squares_10 + i] = (s[squares_5 + i] + s[squares_5 + i - 5]) + apart * apart * (1.0 / 10.0)


@_part(_VOID(_DOUBLES, _INT, _INT))
def _derive(s: Floats, p: int, k: int) -> None:
    """Compute what later windows are put together from."""
    for i in range(p, p + k):
        s[at.INVERSE + i] = 1.0 / s[at.CLOSE + i]
        s[at.VOLUME_5 + i] = (
            (s[at.VOLUME + i] + s[at.VOLUME + i - 1]) + (s[at.VOLUME + i - 2] + s[at.VOLUME + i - 3])
        ) + s[at.VOLUME + i - 4]
    _spread_5(s, at.CLOSE, at.SUM_5, at.SQUARE_5, p, k)
    for i in range(p, p + k):
        s[at.RETURN + i] = (s[at.CLOSE + i] - s[at.CLOSE + i - 1]) * s[at.INVERSE + i - 1]
        s[at.VOLUME_10 + i] = s[at.VOLUME_5 + i] + s[at.VOLUME_5 + i - 5]
    _spread_10(s, at.CLOSE, at.SUM_5, at.SQUARE_5, at.SUM_10, at.SQUARE_10, p, k)
    _spread_5(s, at.RETURN, at.RETURN_SUM_5, at.RETURN_SQUARE_5, p, k)
    for i in range(p, p + k):
        step = 10.0 * (s[at.CLOSE + i - 2] - s[at.CLOSE + i - 12])
        s[at.SUM_20 + i] = (s[at.SUM_10 + i] + s[at.SUM_10 + i - 10]) - step
    _spread_10(s, at.RETURN, at.RETURN_SUM_5, at.RETURN_SQUARE_5, at.RETURN_SUM_10, at.RETURN_SQUARE_10, p, k)


@_part(_VOID(_DOUBLES, *(_INT,) * 3))
def _finish(s: Floats, p: int, first: int, k: int) -> None:
    """Compute the features of bars ``first`` to ``k`` of the block."""
    for i in range(first, k):
        j = p + i
        c, pivot = s[at.CLOSE + j], s[at.CLOSE + j - 2]
        sum_10, sum_20 = s[at.SUM_10 + j], s[at.SUM_20 + j]
        sum_50 = (
            (sum_20 + s[at.SUM_20 + j - 20])
            + s[at.SUM_10 + j - 40]
            + (20.0 * (s[at.CLOSE + j - 22] - pivot) + 10.0 * (s[at.CLOSE + j - 42] - pivot))
        )
        sma_20 = pivot + sum_20 * (1.0 / 20.0)
        s[at.F_SMA_5 + i] = pivot + s[at.SUM_5 + j] * (1.0 / 5.0)
        s[at.F_SMA_10 + i] = pivot + sum_10 * (1.0 / 10.0)
        s[at.F_SMA_20 + i] = sma_20
        s[at.F_SMA_50 + i] = pivot + sum_50 * (1.0 / 50.0)
        apart = (sum_10 - s[at.SUM_10 + j - 10]) + 10.0 * (pivot - s[at.CLOSE + j - 12])
        square = (s[at.SQUARE_10 + j] + s[at.SQUARE_10 + j - 10]) + apart * apart * (1.0 / 20.0)
        width = 4.0 * np.sqrt(square * (1.0 / 20.0))
        flat = width == 0.0
        place = 0.5 + ((c - pivot) - sum_20 * (1.0 / 20.0)) / (1.0 if flat else width)
        s[at.F_BB_WIDTH + i] = width / sma_20
        s[at.F_BB_POSITION + i] = 0.5 if flat else place
    for i in range(first, k):
        j = p + i
        apart = (s[at.RETURN_SUM_10 + j] - s[at.RETURN_SUM_10 + j - 10]) + 10.0 * (
            s[at.RETURN + j - 2] - s[at.RETURN + j - 12]
        )
        square = (s[at.RETURN_SQUARE_10 + j] + s[at.RETURN_SQUARE_10 + j - 10]) + apart * apart * (1.0 / 20.0)
        s[at.F_VOLATILITY_10D + i] = np.sqrt(s[at.RETURN_SQUARE_10 + j] * (1.0 / 9.0))
        s[at.F_VOLATILITY_20D + i] = np.sqrt(square * (1.0 / 19.0))
        s[at.F_RSI + i] = 100.0 * (s[at.GAINS + i] / (s[at.GAINS + i] + s[at.LOSSES + i]))
        s[at.F_MACD_HIST + i] = s[at.F_MACD + i] - s[at.F_MACD_SIGNAL + i]
    for i in range(first, k):
        j = p + i
        c, low = s[at.CLOSE + j], s[at.LOW + i]
        span = s[at.HIGH + i] - low
        volume = s[at.VOLUME_10 + j] + s[at.VOLUME_10 + j - 10]
        s[at.F_RETURN_1D + i] = s[at.RETURN + j]
        s[at.F_RETURN_5D + i] = (c - s[at.CLOSE + j - 5]) * s[at.INVERSE + j - 5]
        s[at.F_RETURN_10D + i] = (c - s[at.CLOSE + j - 10]) * s[at.INVERSE + j - 10]
        s[at.F_VOLUME_RATIO + i] = 1.0 if volume == 0.0 else 20.0 * s[at.VOLUME + j] / volume
        s[at.F_HIGH_LOW_RANGE + i] = span * s[at.INVERSE + j]
        s[at.F_CLOSE_POSITION + i] = 0.5 if span == 0.0 else (c - low) / span
        s[at.F_GAP + i] = (s[at.OPEN + i] - s[at.CLOSE + j - 1]) * s[at.INVERSE + j - 1]


@_part(_VOID(_DOUBLES, _DOUBLES, *(_INT,) * 3), _VOID(_DOUBLES, _SINGLES, *(_INT,) * 3))
def _write(s: Floats, out: Floats, row: int, first: int, k: int) -> None:
    """Write the rows of bars ``first`` to ``k``; the last tile of columns overlaps its neighbour."""
    i = first
    while i + 4 <= k:
        to = (row + i) * at.COLUMNS
        for column in range(0, at.COLUMNS - 4, 4):
            store_tile(s, at.FEATURES + column * at.LANE + i, at.LANE, out, to + column, at.COLUMNS)
        column = at.COLUMNS - 4
        store_tile(s, at.FEATURES + column * at.LANE + i, at.LANE, out, to + column, at.COLUMNS)
        i += 4
    while i < k:
        for column in range(at.COLUMNS):
            out[(row + i) * at.COLUMNS + column] = s[at.FEATURES + column * at.LANE + i]
        i += 1


@_part(_VOID(_DOUBLES, _INT, _INT))
def _carry(s: Floats, array: int, places: int) -> None:
    for i in range(array + at.HALO - places, array + at.HALO):
        s[i] = s[i + at.BLOCK]


@_part(_VOID(_DOUBLES))
def _shift(s: Floats) -> None:
    """Move what later bars look back to from the end of a full block into the halo."""
    _carry(s, at.CLOSE, at.CARRIED_CLOSES)
    _carry(s, at.SUM_10, at.CARRIED_SUMS)
    for array in range(at.VOLUME, at.OPEN, at.SERIES):
        _carry(s, array, at.CARRIED)


@_part(_VOID(_DOUBLES, *(_INT,) * 3, _DOUBLES, _INT), _VOID(_DOUBLES, *(_INT,) * 3, _SINGLES, _INT))
def _step(s: Floats, p: int, k: int, t: int, out: Floats, row: int) -> None:
    """Advance by the ``k`` bars that stand at ``p``, bar ``t`` of the series first, and write their rows."""
    _recur(s, p, k, t)
    _derive(s, p, k)
    warm = min(max(WARM_UP - t, 0), k)
    _finish(s, p, warm, k)
    for i in range(row * at.COLUMNS, (row + warm) * at.COLUMNS):
        out[i] = np.nan
    _write(s, out, row, warm, k)
    s[at.COUNT] = t + k
    s[at.POSITION] = p + k


@_part(_VOID(_DOUBLES))
def _begin(s: Floats) -> None:
    s[at.COUNT] = 0.0
    s[at.POSITION] = at.HALO


@_part(_INT(*(_DOUBLES,) * 6, _INT, _INT, _DOUBLES), _INT(*(_DOUBLES,) * 6, _INT, _INT, _SINGLES))
def _series(
    s: Floats,
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    volumes: Floats,
    start: int,
    stop: int,
    out: Floats,
) -> int:
    done = start
    while done < stop:
        if s[at.POSITION] == at.CAPACITY:
            _shift(s)
            s[at.POSITION] = at.HALO
        p, t = int(s[at.POSITION]), int(s[at.COUNT])
        k = min(stop - done, at.CAPACITY - p)
        good = _load(s, p, opens, highs, lows, closes, volumes, done, k)
        if good < k:
            return done + good
        _step(s, p, k, t, out, done)
        done += k
    return at.DONE


_DATA, _DIMENSIONS, _LENGTHS, _TYPE, _STATE = 2, 3, 4, 7, 8
"""Words of NumPy's array object (``PyArrayObject_fields`` of its C interface, the same in NumPy 1 and 2)."""


@_part(types.boolean(_WORDS, _INT, _INT))
def _plain(array: Words, float64: int, length: int) -> bool:
    """Whether an array has one dimension, this length and native float64 values, aligned and contiguous."""
    return (
        array[_TYPE] == float64
        and array[_DIMENSIONS] & 0xFFFFFFFF == 1
        and array[_STATE] & 0x101 == 0x101
        and words(array[_LENGTHS])[0] == length
    )


@_part(types.boolean(*(_WORDS,) * 5, _INT, _INT))
def _all_plain(open: Words, high: Words, low: Words, close: Words, volume: Words, float64: int, length: int) -> bool:
    return (
        _plain(open, float64, length)
        and _plain(high, float64, length)
        and _plain(low, float64, length)
        and _plain(close, float64, length)
        and _plain(volume, float64, length)
    )


def rows(
    s: Floats,
    open: Words,
    high: Words,
    low: Words,
    close: Words,
    volume: Words,
    out: Words,
    float64: int,
    length: int,
    offsets: Words,
    first: int,
    last: int,
    resume: int,
) -> int:
    """Write the rows of series ``first`` to ``last``; series ``i`` is rows ``offsets[i]`` to ``offsets[i + 1]``."""
    if not _all_plain(open, high, low, close, volume, float64, length):
        return at.NOT_PLAIN
    opens, highs, lows = doubles(open[_DATA]), doubles(high[_DATA]), doubles(low[_DATA])
    closes, volumes = doubles(close[_DATA]), doubles(volume[_DATA])
    bad = at.DONE
    for series in range(first, last):
        start, stop = offsets[series], offsets[series + 1]
        if resume == 0:
            _begin(s)
        if out[_TYPE] == float64:
            bad = _series(s, opens, highs, lows, closes, volumes, start, stop, doubles(out[_DATA]))
        else:
            bad = _series(s, opens, highs, lows, closes, volumes, start, stop, singles(out[_DATA]))
        if bad != at.DONE:
            break
    return bad


@_part(_INT(_DOUBLES, *(_WORDS,) * 6, _INT, _INT))
def _newest(
    s: Floats,
    open: Words,
    high: Words,
    low: Words,
    close: Words,
    volume: Words,
    out: Words,
    float64: int,
    length: int,
) -> int:
    """Write the row of the newest bar: the recursive averages over all bars, the windows over the last alone."""
    if not _all_plain(open, high, low, close, volume, float64, length):
        return at.NOT_PLAIN
    opens, highs, lows = doubles(open[_DATA]), doubles(high[_DATA]), doubles(low[_DATA])
    closes, volumes = doubles(close[_DATA]), doubles(volume[_DATA])
    done, p, k = 0, at.HALO, 0
    while done < length:
        if done > 0:
            _carry(s, at.CLOSE, at.CARRIED_CLOSES)
            _carry(s, at.VOLUME, at.CARRIED)
        k = min(length - done, at.BLOCK)
        good = _load(s, p, opens, highs, lows, closes, volumes, done, k)
        if good < k:
            return done + good
        _recur(s, p, k, done)
        done += k
    if length > WARM_UP:
        _derive(s, p + k - at.WINDOW, at.WINDOW)
        _finish(s, p, k - 1, k)
    row = at.FEATURES + k - 1
    for column in range(at.COLUMNS):
        value = s[row + column * at.LANE] if length > WARM_UP else np.nan
        if out[_TYPE] == float64:
            doubles(out[_DATA])[column] = value
        else:
            singles(out[_DATA])[column] = value
    return at.DONE


def last(
    s: Floats,
    open: Words,
    high: Words,
    low: Words,
    close: Words,
    volume: Words,
    out: Words,
    float64: int,
    length: int,
) -> int:
    """Write the row of the newest bar."""
    return int(_newest(s, open, high, low, close, volume, out, float64, length))


# A call through ctypes takes ten times as long as a bar. What is for short work is a built-in function of Python,
# ``result = function(bound, arguments, count)``, which holds the interpreter and returns an object of its caller's.

_REFERENCES, _CLASS, _VALUE, _ITEMS = 0, 1, 2, 3
"""Words of CPython's objects: count of references, type, value of a float, first item of a tuple."""


def last_at_once(context: Words, arguments: Words, count: int) -> int:
    """Write the row of the newest bar of a short window, as a built-in function of Python.

    ``context`` is the tuple (state, np.ndarray, type of float64 arrays), ``arguments`` the five fields and the row. The
    result is the row if it was written, else the tuple itself.
    """
    result = context
    s, kind, float64 = doubles(words(context[_ITEMS])[_DATA]), context[_ITEMS + 1], context[_ITEMS + 2]
    good = count == 6
    for i in range(count):
        good = good and words(arguments[i])[_CLASS] == kind
    if good:
        close, out = words(arguments[3]), words(arguments[5])
        if close[_DIMENSIONS] & 0xFFFFFFFF == 1:
            length = words(close[_LENGTHS])[0]
            if 0 < length <= at.AT_ONCE:
                fields = words(arguments[0]), words(arguments[1]), words(arguments[2]), close, words(arguments[4])
                if _newest(s, *fields, out, float64, length) == at.DONE:
                    result = out
    result[_REFERENCES] += 1
    returned: int = address(result)
    return returned


def update(stream: Words, bar: Words, count: int) -> int:
    """Advance a stream by one bar, as a built-in function of Python.

    ``stream`` is the tuple (state, row, float, np.float64, type of float64 arrays), ``bar`` the arguments. The result
    is the row if it was written, the state during the warm-up, and the tuple itself if the bar was not taken.
    """
    result = words(stream[_ITEMS])
    s, row = doubles(result[_DATA]), words(stream[_ITEMS + 1])
    good = count == 5
    for i in range(count):
        kind = words(bar[i])[_CLASS]
        good = good and (kind == stream[_ITEMS + 2] or kind == stream[_ITEMS + 3])
    if good:
        o, h, low = doubles(bar[0])[_VALUE], doubles(bar[1])[_VALUE], doubles(bar[2])[_VALUE]
        c, v = doubles(bar[3])[_VALUE], doubles(bar[4])[_VALUE]
        good = _possible(o, h, low, c, v)
    if good:
        if s[at.POSITION] == at.CAPACITY:
            _shift(s)
            s[at.POSITION] = at.HALO
        p, t = int(s[at.POSITION]), int(s[at.COUNT])
        s[at.OPEN], s[at.HIGH], s[at.LOW], s[at.CLOSE + p], s[at.VOLUME + p] = o, h, low, c, v
        if row[_TYPE] == stream[_ITEMS + 4]:
            _step(s, p, 1, t, doubles(row[_DATA]), 0)
        else:
            _step(s, p, 1, t, singles(row[_DATA]), 0)
        if t >= WARM_UP:
            result = row
    else:
        result = stream
    result[_REFERENCES] += 1
    returned: int = address(result)
    return returned


def resume(s: Floats) -> int:
    """Compute again what later windows are put together from, after the closes and volumes in the halo were set."""
    s[at.POSITION] = at.HALO
    _derive(s, at.HALO - at.WINDOW, at.WINDOW)
    return at.DONE


KERNELS: dict[str, tuple[Any, Any]] = {
    "rows": (rows, _INT(_DOUBLES, *(_WORDS,) * 6, _INT, _INT, _WORDS, *(_INT,) * 3)),
    "last_at_once": (last_at_once, _INT(_WORDS, _WORDS, _INT)),
    "last": (last, _INT(_DOUBLES, *(_WORDS,) * 6, _INT, _INT)),
    "update": (update, _INT(_WORDS, _WORDS, _INT)),
    "resume": (resume, _INT(_DOUBLES)),
}
"""The functions that Python calls, with their signatures."""
