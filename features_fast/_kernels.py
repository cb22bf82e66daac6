"""The kernels: one step from bars to features, compiled from this one source just in time and ahead of time.

Every function works on raw pointers: ``s`` is the state (``_layout``), ``p`` the place of the first bar of the block in
it, ``k`` the bars in the block. Values over a window are pure functions of the bars in that window, added in a fixed
order, so that a bar's features do not depend on how the series was cut into blocks, and four bars are computed at once.
"""

from collections.abc import Callable, MutableSequence
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types

from features_fast import _layout as at
from features_fast._vectors import (
    LANES,
    address,
    doubles,
    lane,
    lanes,
    load,
    root,
    singles,
    store,
    store_tile,
    turn,
    unless_zero,
    words,
)
from features_fast.specification import WARM_UP

FLAGS: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "boundscheck": False}
"""How every kernel is compiled. Fast math would drop NaN and reorder sums, and the two backends would differ."""

Floats = MutableSequence[float]
Words = MutableSequence[int]
F = TypeVar("F", bound=Callable[..., Any])


# numba's own annotations know neither pointers nor the options that leave out wrappers.
_njit: Any = numba.njit
_pointer: Any = types.CPointer
_tuple: Any = types.UniTuple

_INT, _DOUBLE, _VOID = types.int64, types.float64, types.void
_DOUBLES, _SINGLES, _WORDS = _pointer(_DOUBLE), _pointer(types.float32), _pointer(_INT)
_PAIR = _tuple(LANES, 2)


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
    quick, slow = lanes(ema_5, ema_10, ema_20, ema_12), lanes(ema_26, gain, loss, 0.0)
    quick_weight = lanes(2.0 / 6.0, 2.0 / 11.0, 2.0 / 21.0, 2.0 / 13.0)
    slow_weight = lanes(2.0 / 27.0, 1.0 / 14.0, 1.0 / 14.0, 0.0)
    for i in range(seeding, k):
        c = s[at.CLOSE + p + i]
        change = c - s[at.CLOSE + p + i - 1]
        up = (change if change > 0.0 else 0.0) + at.STILL
        down = (-change if change < 0.0 else 0.0) + at.STILL
        quick = quick + quick_weight * (c - quick)
        slow = slow + slow_weight * (lanes(c, up, down, 0.0) - slow)
        signal = signal + (2.0 / 10.0) * ((lane(quick, 3) - lane(slow, 0)) - signal)
        store(s, at.QUICK + 4 * i, quick)
        store(s, at.SLOW + 4 * i, slow)
        s[at.SIGNALS + i] = signal
    ema_5, ema_10, ema_20, ema_12 = lane(quick, 0), lane(quick, 1), lane(quick, 2), lane(quick, 3)
    ema_26, gain, loss = lane(slow, 0), lane(slow, 1), lane(slow, 2)
    s[at.EMA_5], s[at.EMA_10], s[at.EMA_20] = ema_5, ema_10, ema_20
    s[at.EMA_12], s[at.EMA_26], s[at.SIGNAL] = ema_12, ema_26, signal
    s[at.GAIN], s[at.LOSS] = gain, loss


@_part(_PAIR(*(LANES,) * 5))
def _spread(x: Any, x_1: Any, pivot: Any, x_3: Any, x_4: Any) -> Any:
    """Sum and sum of squares of 5 values about one of them: rounding costs a factor of 5 at most."""
    a, b, c, d = x - pivot, x_1 - pivot, x_3 - pivot, x_4 - pivot
    total = (a + b) + (c + d)
    return total, ((a * a + b * b) + (c * c + d * d)) - total * total * (1.0 / 5.0)


@_part(_PAIR(*(LANES,) * 6, _DOUBLE))
def _merge(pivot: Any, sums: Any, squares: Any, old_pivot: Any, old_sums: Any, old_squares: Any, n: float) -> Any:
    """Merge two neighbouring windows of ``n`` (Chan, Golub and LeVeque 1983): only non-negative terms are added."""
    step = n * (pivot - old_pivot)
    apart = (sums - old_sums) + step
    return (sums + old_sums) - step, (squares + old_squares) + apart * apart * (0.5 / n)


@_part(_VOID(_DOUBLES, _INT, _INT))
def _derive(s: Floats, p: int, k: int) -> None:
    """Compute what windows are put together from, four bars at once; what lies beyond the block is computed again.

    A loop reads nothing that it has stored just before: such a load would wait for the store.
    """
    for i in range(p, p + k, 4):
        c, c_1, c_2 = load(s, at.CLOSE + i), load(s, at.CLOSE + i - 1), load(s, at.CLOSE + i - 2)
        total, square = _spread(c, c_1, c_2, load(s, at.CLOSE + i - 3), load(s, at.CLOSE + i - 4))
        store(s, at.INVERSE + i, 1.0 / c)
        store(s, at.SUM_5 + i, total)
        store(s, at.SQUARE_5 + i, square)
        v = (load(s, at.VOLUME + i) + load(s, at.VOLUME + i - 1)) + (
            load(s, at.VOLUME + i - 2) + load(s, at.VOLUME + i - 3)
        )
        store(s, at.VOLUME_5 + i, v + load(s, at.VOLUME + i - 4))
    for i in range(p, p + k, 4):
        total, square = _merge(
            load(s, at.CLOSE + i - 2),
            load(s, at.SUM_5 + i),
            load(s, at.SQUARE_5 + i),
            load(s, at.CLOSE + i - 7),
            load(s, at.SUM_5 + i - 5),
            load(s, at.SQUARE_5 + i - 5),
            5.0,
        )
        store(s, at.SUM_10 + i, total)
        store(s, at.SQUARE_10 + i, square)
        store(s, at.VOLUME_10 + i, load(s, at.VOLUME_5 + i) + load(s, at.VOLUME_5 + i - 5))
        change = load(s, at.CLOSE + i) - load(s, at.CLOSE + i - 1)
        store(s, at.RETURN + i, change * load(s, at.INVERSE + i - 1))
    for i in range(p, p + k, 4):
        step = 10.0 * (load(s, at.CLOSE + i - 2) - load(s, at.CLOSE + i - 12))
        store(s, at.SUM_20 + i, (load(s, at.SUM_10 + i) + load(s, at.SUM_10 + i - 10)) - step)
        total, square = _spread(
            load(s, at.RETURN + i),
            load(s, at.RETURN + i - 1),
            load(s, at.RETURN + i - 2),
            load(s, at.RETURN + i - 3),
            load(s, at.RETURN + i - 4),
        )
        store(s, at.RETURN_SUM_5 + i, total)
        store(s, at.RETURN_SQUARE_5 + i, square)
    for i in range(p, p + k, 4):
        total, square = _merge(
            load(s, at.RETURN + i - 2),
            load(s, at.RETURN_SUM_5 + i),
            load(s, at.RETURN_SQUARE_5 + i),
            load(s, at.RETURN + i - 7),
            load(s, at.RETURN_SUM_5 + i - 5),
            load(s, at.RETURN_SQUARE_5 + i - 5),
            5.0,
        )
        store(s, at.RETURN_SUM_10 + i, total)
        store(s, at.RETURN_SQUARE_10 + i, square)


@_part(_VOID(_DOUBLES, _INT, _INT, _DOUBLES, _INT), _VOID(_DOUBLES, _INT, _INT, _SINGLES, _INT))
def _tile(s: Floats, p: int, i: int, out: Floats, to: int) -> None:
    """Compute the features of the four bars from place ``i`` of the block on and write their rows to ``out[to]`` on.

    The divisions of some features wait for each other behind the shuffles of the others.
    """
    j = p + i
    c, pivot = load(s, at.CLOSE + j), load(s, at.CLOSE + j - 2)
    sum_5, sum_10, sum_20 = load(s, at.SUM_5 + j), load(s, at.SUM_10 + j), load(s, at.SUM_20 + j)
    sum_50 = (
        (sum_20 + load(s, at.SUM_20 + j - 20))
        + load(s, at.SUM_10 + j - 40)
        + (20.0 * (load(s, at.CLOSE + j - 22) - pivot) + 10.0 * (load(s, at.CLOSE + j - 42) - pivot))
    )
    sma_20 = pivot + sum_20 * (1.0 / 20.0)
    store_tile(
        out,
        to,
        at.COLUMNS,
        pivot + sum_5 * (1.0 / 5.0),
        pivot + sum_10 * (1.0 / 10.0),
        sma_20,
        pivot + sum_50 * (1.0 / 50.0),
    )
    ema_5, ema_10, ema_20, ema_12 = turn(
        load(s, at.QUICK + 4 * i),
        load(s, at.QUICK + 4 * i + 4),
        load(s, at.QUICK + 4 * i + 8),
        load(s, at.QUICK + 4 * i + 12),
    )
    ema_26, gain, loss, _ = turn(
        load(s, at.SLOW + 4 * i),
        load(s, at.SLOW + 4 * i + 4),
        load(s, at.SLOW + 4 * i + 8),
        load(s, at.SLOW + 4 * i + 12),
    )
    store_tile(out, to + 4, at.COLUMNS, ema_5, ema_10, ema_20, 100.0 * (gain / (gain + loss)))
    macd, signal = ema_12 - ema_26, load(s, at.SIGNALS + i)
    _, square = _merge(
        pivot,
        sum_10,
        load(s, at.SQUARE_10 + j),
        load(s, at.CLOSE + j - 12),
        load(s, at.SUM_10 + j - 10),
        load(s, at.SQUARE_10 + j - 10),
        10.0,
    )
    width = 4.0 * root(square * (1.0 / 20.0))
    store_tile(out, to + 8, at.COLUMNS, macd, signal, macd - signal, width / sma_20)
    place = 0.5 + ((c - pivot) - sum_20 * (1.0 / 20.0)) / width
    returns = load(s, at.RETURN + j)
    store_tile(
        out,
        to + 12,
        at.COLUMNS,
        unless_zero(width, place, 0.5),
        returns,
        (c - load(s, at.CLOSE + j - 5)) * load(s, at.INVERSE + j - 5),
        (c - load(s, at.CLOSE + j - 10)) * load(s, at.INVERSE + j - 10),
    )
    square_10 = load(s, at.RETURN_SQUARE_10 + j)
    _, square_20 = _merge(
        load(s, at.RETURN + j - 2),
        load(s, at.RETURN_SUM_10 + j),
        square_10,
        load(s, at.RETURN + j - 12),
        load(s, at.RETURN_SUM_10 + j - 10),
        load(s, at.RETURN_SQUARE_10 + j - 10),
        10.0,
    )
    volume = load(s, at.VOLUME_10 + j) + load(s, at.VOLUME_10 + j - 10)
    ratio = unless_zero(volume, 20.0 * load(s, at.VOLUME + j) / volume, 1.0)
    low = load(s, at.LOW + i)
    span = load(s, at.HIGH + i) - low
    high_low = span * load(s, at.INVERSE + j)
    store_tile(out, to + 16, at.COLUMNS, root(square_10 * (1.0 / 9.0)), root(square_20 * (1.0 / 19.0)), ratio, high_low)
    gap = (load(s, at.OPEN + i) - load(s, at.CLOSE + j - 1)) * load(s, at.INVERSE + j - 1)
    # The last tile overlaps its neighbour, since four do not divide 22.
    store_tile(out, to + 18, at.COLUMNS, ratio, high_low, unless_zero(span, (c - low) / span, 0.5), gap)


@_part(_VOID(_DOUBLES, *(_INT,) * 3, _DOUBLES, _INT), _VOID(_DOUBLES, *(_INT,) * 3, _SINGLES, _INT))
def _finish(s: Floats, p: int, first: int, k: int, out: Floats, row: int) -> None:
    """Write the rows of bars ``first`` to ``k`` of the block to rows ``row`` on."""
    i, to = first, row * at.COLUMNS
    while i + 4 <= k:
        _tile(s, p, i, out, to)
        i, to = i + 4, to + 4 * at.COLUMNS
    if i < k:
        # What lies beyond the block is computed with it and left behind.
        _tile(s, p, i, s, at.ROWS)
        for place in range((k - i) * at.COLUMNS):
            out[to + place] = s[at.ROWS + place]


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
    for i in range(row * at.COLUMNS, (row + warm) * at.COLUMNS):
        out[i] = np.nan
    _finish(s, p, warm, k, out, row + warm)
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


@_part(_VOID(_DOUBLES, _INT, _INT, _DOUBLES, types.boolean), _VOID(_DOUBLES, _INT, _INT, _SINGLES, types.boolean))
def _write_newest(s: Floats, p: int, k: int, out: Floats, ready: bool) -> None:
    if ready:
        _finish(s, p, k - 1, k, out, 0)
    else:
        for column in range(at.COLUMNS):
            out[column] = np.nan


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
    ready = length > WARM_UP
    if ready:
        _derive(s, p + k - at.WINDOW, at.WINDOW)
    if out[_TYPE] == float64:
        _write_newest(s, p, k, doubles(out[_DATA]), ready)
    else:
        _write_newest(s, p, k, singles(out[_DATA]), ready)
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
