"""The kernels: what Python calls, compiled from this one source just in time and ahead of time.

Every part works on raw pointers: ``s`` is the state (``_layout``), ``p`` the place of the first bar of the block in
it, ``k`` the bars in the block. Values over a window are pure functions of the bars in that window, added in a fixed
order, so that a bar's features do not depend on how the series was cut into blocks. Eight bars are computed at once: of
one series, or one each of eight tickers (``_tickers``).
"""

from typing import Any

import numpy as np

from features_fast import _layout as at
from features_fast._averages import recur
from features_fast._part import BOOLEAN, DOUBLES, FLAGS, INT, ROWS, VOID, WORDS, Floats, Words, part
from features_fast._rows import write_rest
from features_fast._step import begin, look_back, make_room, possible, run, step, take
from features_fast._tickers import go_on, run_eight
from features_fast._vectors import address, doubles, fence, load, singles, store, words
from features_fast._windows import carry, derive
from features_fast.specification import WARM_UP

__all__ = ["FLAGS", "KERNELS"]

_DATA, _DIMENSIONS, _LENGTHS, _TYPE, _STATE = 2, 3, 4, 7, 8
"""Words of NumPy's array object (``PyArrayObject_fields`` of its C interface, the same in NumPy 1 and 2)."""


@part(BOOLEAN(WORDS, INT, INT))
def _plain(array: Words, float64: int, length: int) -> bool:
    """Whether an array has one dimension, this length and native float64 values, aligned and contiguous."""
    return (
        array[_TYPE] == float64
        and array[_DIMENSIONS] & 0xFFFFFFFF == 1
        and array[_STATE] & 0x101 == 0x101
        and words(array[_LENGTHS])[0] == length
    )


@part(BOOLEAN(*(WORDS,) * 5, INT, INT))
def _all_plain(open: Words, high: Words, low: Words, close: Words, volume: Words, float64: int, length: int) -> bool:
    return (
        _plain(open, float64, length)
        and _plain(high, float64, length)
        and _plain(low, float64, length)
        and _plain(close, float64, length)
        and _plain(volume, float64, length)
    )


@part(INT(DOUBLES, *(WORDS,) * 6, *(INT,) * 4))
def _series(
    s: Floats,
    open: Words,
    high: Words,
    low: Words,
    close: Words,
    volume: Words,
    out: Words,
    float64: int,
    start: int,
    stop: int,
    line: int,
) -> int:
    """Write the rows of bars ``start`` to ``stop`` of plain arrays."""
    opens, highs, lows = doubles(open[_DATA]), doubles(high[_DATA]), doubles(low[_DATA])
    closes, volumes = doubles(close[_DATA]), doubles(volume[_DATA])
    stage = address(s) + 8 * at.STAGE
    if out[_TYPE] == float64:
        return run(s, opens, highs, lows, closes, volumes, start, stop, doubles(out[_DATA]), doubles(stage), line)
    return run(s, opens, highs, lows, closes, volumes, start, stop, singles(out[_DATA]), singles(stage), line)


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
    # A stream's own state has no room for rows on their way past the caches.
    size = 8 if out[_TYPE] == float64 else 4
    line = 64 // size if resume == 0 and length * at.COLUMNS * size > at.CACHED else 0
    bad = at.DONE
    for series in range(first, last):
        if resume == 0:
            begin(s)
        bad = _series(s, open, high, low, close, volume, out, float64, offsets[series], offsets[series + 1], line)
        if bad != at.DONE:
            break
    if line:
        fence()
    return bad


@part(INT(DOUBLES, *(WORDS,) * 6, *(INT,) * 3, BOOLEAN))
def _side_by_side(
    s: Floats,
    open: Words,
    high: Words,
    low: Words,
    close: Words,
    volume: Words,
    out: Words,
    float64: int,
    bars: int,
    line: int,
    past: bool,
) -> int:
    """Write the rows of the bars that eight series have in common; return their number, 0 if it is not worth it."""
    opens, highs, lows = doubles(open[_DATA]), doubles(high[_DATA]), doubles(low[_DATA])
    closes, volumes = doubles(close[_DATA]), doubles(volume[_DATA])
    starts, stage = words(address(s) + 8 * at.STARTS), address(s) + 8 * at.STAGE
    whole = bars & -8
    if whole < at.SIDE_BY_SIDE:
        return 0
    if out[_TYPE] == float64:
        wide, wide_stage = doubles(out[_DATA]), doubles(stage)
        good = run_eight(s, opens, highs, lows, closes, volumes, starts, whole, wide, wide_stage, line, past)
    else:
        narrow, narrow_stage = singles(out[_DATA]), singles(stage)
        good = run_eight(s, opens, highs, lows, closes, volumes, starts, whole, narrow, narrow_stage, line, past)
    return whole if good else 0


def panel(
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
    order: Words,
    first: int,
    last: int,
) -> int:
    """Write the rows of series ``order[first]`` to ``order[last]``, eight side by side as far as they have bars.

    The result is the lowest index of an impossible bar, whatever the order.
    """
    if not _all_plain(open, high, low, close, volume, float64, length):
        return at.NOT_PLAIN
    closes, volumes = doubles(close[_DATA]), doubles(volume[_DATA])
    starts = words(address(s) + 8 * at.STARTS)
    line = 8 if out[_TYPE] == float64 else 16
    past = 64 // line * length * at.COLUMNS > (at.CACHED if last - first < 8 else at.CACHED_APART)
    lowest = length
    for group in range(first, last, 8):
        count = min(last - group, 8)
        bars, apart = length, 0
        for i in range(count):
            series = order[group + i]
            starts[i] = offsets[series]
            apart |= (starts[i] ^ starts[0]) & 7
            bars = min(bars, offsets[series + 1] - offsets[series])
        done = 0
        # Whole lines go past the caches, and eight rows are whole lines: these must begin at the same place of one.
        if count == 8 and not (past and apart):
            done = _side_by_side(s, open, high, low, close, volume, out, float64, bars, line, past)
        for i in range(count):
            start, stop = starts[i] + done, offsets[order[group + i] + 1]
            if done:
                go_on(s, closes, volumes, i, start, done)
                look_back(s)
            else:
                begin(s)
            bad = _series(s, open, high, low, close, volume, out, float64, start, stop, line if past else 0)
            if bad != at.DONE:
                lowest = min(lowest, bad)
    if past:
        fence()
    return at.DONE if lowest == length else lowest


@part(*(VOID(DOUBLES, INT, INT, kind, BOOLEAN) for kind in ROWS))
def _write_newest(s: Floats, p: int, k: int, out: Floats, ready: bool) -> None:
    if ready:
        store(s, at.LAST, load(s, at.AVERAGES))
        write_rest(s, p, k - 1, k, out, 0)
    else:
        for column in range(at.COLUMNS):
            out[column] = np.nan


@part(INT(DOUBLES, *(WORDS,) * 6, INT, INT))
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
    begin(s)
    done, p, k = 0, at.HALO, 0
    while done < length:
        if done > 0:
            carry(s, at.CLOSE, at.CARRIED_CLOSES)
            carry(s, at.VOLUME, at.CARRIED)
        k = min(length - done, at.BLOCK)
        good = take(s, p, opens, highs, lows, closes, volumes, done, k)
        if good < k:
            return done + good
        recur(s, p, 0, k, done)
        done += k
    ready = length > WARM_UP
    if ready:
        derive(s, p + k - at.WINDOW, at.WINDOW)
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


@part(INT(WORDS, WORDS, INT))
def _arrays(context: Words, arguments: Words, count: int) -> int:
    """Return the length of six arrays of which the fourth has one dimension, or 0 if they are anything else."""
    good = count == 6
    for i in range(count):
        good = good and words(arguments[i])[_CLASS] == context[_ITEMS + 1]
    length = 0
    if good:
        close = words(arguments[3])
        if close[_DIMENSIONS] & 0xFFFFFFFF == 1:
            length = words(close[_LENGTHS])[0]
    return length


def rows_at_once(context: Words, arguments: Words, count: int) -> int:
    """Write the rows of a short series, as a built-in function of Python, as ``last_at_once`` does."""
    result, length = context, _arrays(context, arguments, count)
    if 0 < length <= at.ROWS_AT_ONCE:
        s, float64 = doubles(words(context[_ITEMS])[_DATA]), context[_ITEMS + 2]
        open, high, low = words(arguments[0]), words(arguments[1]), words(arguments[2])
        close, volume, out = words(arguments[3]), words(arguments[4]), words(arguments[5])
        if _all_plain(open, high, low, close, volume, float64, length):
            begin(s)
            if _series(s, open, high, low, close, volume, out, float64, 0, length, 0) == at.DONE:
                result = out
    result[_REFERENCES] += 1
    returned: int = address(result)
    return returned


def last_at_once(context: Words, arguments: Words, count: int) -> int:
    """Write the row of the newest bar of a short window, as a built-in function of Python.

    ``context`` is the tuple (state, np.ndarray, type of float64 arrays), ``arguments`` the five fields and the row. The
    result is the row if it was written, else the tuple itself.
    """
    result, length = context, _arrays(context, arguments, count)
    if 0 < length <= at.AT_ONCE:
        s, float64 = doubles(words(context[_ITEMS])[_DATA]), context[_ITEMS + 2]
        open, high, low = words(arguments[0]), words(arguments[1]), words(arguments[2])
        close, volume, out = words(arguments[3]), words(arguments[4]), words(arguments[5])
        if _newest(s, open, high, low, close, volume, out, float64, length) == at.DONE:
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
        good = possible(o, h, low, c, v)
    if good:
        make_room(s)
        p, t = int(s[at.POSITION]), int(s[at.COUNT])
        s[at.OPEN], s[at.HIGH], s[at.LOW], s[at.CLOSE + p], s[at.VOLUME + p] = o, h, low, c, v
        if row[_TYPE] == stream[_ITEMS + 4]:
            step(s, p, 1, t, doubles(row[_DATA]), 0, doubles(row[_DATA]), 0)
        else:
            step(s, p, 1, t, singles(row[_DATA]), 0, singles(row[_DATA]), 0)
        if t >= WARM_UP:
            result = row
    else:
        result = stream
    result[_REFERENCES] += 1
    returned: int = address(result)
    return returned


def resume(s: Floats) -> int:
    """Compute again what later windows are put together from, after the closes and volumes in the halo were set."""
    look_back(s)
    return at.DONE


KERNELS: dict[str, tuple[Any, Any]] = {
    "rows": (rows, INT(DOUBLES, *(WORDS,) * 6, INT, INT, WORDS, *(INT,) * 3)),
    "panel": (panel, INT(DOUBLES, *(WORDS,) * 6, INT, INT, WORDS, WORDS, INT, INT)),
    "rows_at_once": (rows_at_once, INT(WORDS, WORDS, INT)),
    "last_at_once": (last_at_once, INT(WORDS, WORDS, INT)),
    "last": (last, INT(DOUBLES, *(WORDS,) * 6, INT, INT)),
    "update": (update, INT(WORDS, WORDS, INT)),
    "resume": (resume, INT(DOUBLES)),
}
"""The functions that Python calls, with their signatures."""
