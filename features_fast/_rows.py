"""Rows of features: eight bars at once, from the averages and windows of each."""

from typing import Any

import numpy as np

from features_fast import _layout as at
from features_fast._averages import advance, advance_eight, moves, recur, smooth
from features_fast._lanes import EIGHT, LANES, PAIRS, beside, lane, lanes, root, unless_zero
from features_fast._part import DOUBLES, INT, ROWS, VOID, Floats, part
from features_fast._vectors import address, load, onward, store, store_line, store_tile, turn
from features_fast._windows import merge
from features_fast.specification import WARM_UP

# Eight features are one tile of a row; the divisions of one tile wait behind the shuffles of another.


@part(EIGHT(EIGHT, *(LANES,) * 8), inline=True)
def levels(
    averages: Any,
    pivot: Any,
    pivot_20: Any,
    pivot_40: Any,
    sum_5: Any,
    sum_10: Any,
    sum_20: Any,
    earlier_20: Any,
    earlier_10: Any,
) -> Any:
    """Return SMA_5 to RSI: of 50 bars, the 20 before the last 20 have a pivot and a sum, and so have the first 10."""
    ema_5, ema_10, ema_20, _, _, _, gain, loss = averages
    sum_50 = (sum_20 + earlier_20) + earlier_10 + (20.0 * (pivot_20 - pivot) + 10.0 * (pivot_40 - pivot))
    sma_5, sma_10 = pivot + sum_5 * (1.0 / 5.0), pivot + sum_10 * (1.0 / 10.0)
    sma_20, sma_50 = pivot + sum_20 * (1.0 / 20.0), pivot + sum_50 * (1.0 / 50.0)
    rsi = 100.0 * (gain / (gain + loss))
    return sma_5, sma_10, sma_20, sma_50, ema_5, ema_10, ema_20, rsi


@part(LANES(LANES), inline=True)
def band(square_20: Any) -> Any:
    """Return the width of the band that lies two deviations above and below the mean of 20 closes, so of 4."""
    return root(square_20 * (4.0 * 4.0 / 20.0))


@part(PAIRS(LANES, LANES), inline=True)
def deviations(square_10: Any, square_20: Any) -> Any:
    """Return the sample deviations of 10 and 20 returns."""
    return root(square_10 * (1.0 / 9.0)), root(square_20 * (1.0 / 19.0))


@part(EIGHT(*(LANES,) * 9), inline=True)
def swings(
    macd: Any,
    signal: Any,
    c: Any,
    pivot: Any,
    sum_20: Any,
    width: Any,
    return_1: Any,
    return_5: Any,
    return_10: Any,
) -> Any:
    """Return MACD to Return_10d; the width is that of the band."""
    mean = sum_20 * (1.0 / 20.0)
    place = unless_zero(width, 0.5 + ((c - pivot) - mean) / width, 0.5)
    return macd, signal, macd - signal, width / (pivot + mean), place, return_1, return_5, return_10


@part(EIGHT(*(LANES,) * 13), inline=True)
def shapes(
    o: Any,
    h: Any,
    low: Any,
    c: Any,
    c_1: Any,
    inverse: Any,
    inverse_1: Any,
    v: Any,
    volume_20: Any,
    deviation_10: Any,
    deviation_20: Any,
    return_5: Any,
    return_10: Any,
) -> Any:
    """Return Return_5d to Gap; the deviations are those of returns."""
    ratio = unless_zero(volume_20, 20.0 * v / volume_20, 1.0)
    span = h - low
    inside = unless_zero(span, (c - low) / span, 0.5)
    gap = (o - c_1) * inverse_1
    return return_5, return_10, deviation_10, deviation_20, ratio, span * inverse, inside, gap


@part(*(VOID(DOUBLES, INT, kind, INT, EIGHT) for kind in ROWS), inline=True)
def _levels(s: Floats, j: int, out: Floats, to: int, averages: Any) -> None:
    """Write SMA_5 to RSI of the eight bars from place ``j`` on, to ``out[to]`` on."""
    tile = levels(
        averages,
        load(s, at.CLOSE + j - 2),
        load(s, at.CLOSE + j - 22),
        load(s, at.CLOSE + j - 42),
        load(s, at.SUM_5 + j),
        load(s, at.SUM_10 + j),
        load(s, at.SUM_20 + j),
        load(s, at.SUM_20 + j - 20),
        load(s, at.SUM_10 + j - 40),
    )
    store_tile(out, to, at.COLUMNS, tile)


@part(PAIRS(DOUBLES, INT), inline=True)
def _longer_returns(s: Floats, j: int) -> Any:
    """Return Return_5d and Return_10d."""
    c = load(s, at.CLOSE + j)
    return_5 = (c - load(s, at.CLOSE + j - 5)) * load(s, at.INVERSE + j - 5)
    return return_5, (c - load(s, at.CLOSE + j - 10)) * load(s, at.INVERSE + j - 10)


@part(*(VOID(DOUBLES, INT, kind, INT, LANES, LANES) for kind in ROWS), inline=True)
def _swings(s: Floats, j: int, out: Floats, to: int, macd: Any, signal: Any) -> None:
    """Write MACD to Return_10d."""
    c, pivot = load(s, at.CLOSE + j), load(s, at.CLOSE + j - 2)
    _, square = merge(
        pivot,
        load(s, at.SUM_10 + j),
        load(s, at.SQUARE_10 + j),
        load(s, at.CLOSE + j - 12),
        load(s, at.SUM_10 + j - 10),
        load(s, at.SQUARE_10 + j - 10),
        10.0,
    )
    return_5, return_10 = _longer_returns(s, j)
    sum_20, return_1 = load(s, at.SUM_20 + j), load(s, at.RETURN + j)
    tile = swings(macd, signal, c, pivot, sum_20, band(square), return_1, return_5, return_10)
    store_tile(out, to + 8, at.COLUMNS, tile)


@part(*(VOID(DOUBLES, INT, INT, kind, INT) for kind in ROWS), inline=True)
def _shapes(s: Floats, i: int, j: int, out: Floats, to: int) -> None:
    """Write Return_5d to Gap; the tile overlaps its neighbour, since eight do not divide 22."""
    square_10 = load(s, at.RETURN_SQUARE_10 + j)
    _, square_20 = merge(
        load(s, at.RETURN + j - 2),
        load(s, at.RETURN_SUM_10 + j),
        square_10,
        load(s, at.RETURN + j - 12),
        load(s, at.RETURN_SUM_10 + j - 10),
        load(s, at.RETURN_SQUARE_10 + j - 10),
        10.0,
    )
    deviation_10, deviation_20 = deviations(square_10, square_20)
    return_5, return_10 = _longer_returns(s, j)
    tile = shapes(
        load(s, at.OPEN + i),
        load(s, at.HIGH + i),
        load(s, at.LOW + i),
        load(s, at.CLOSE + j),
        load(s, at.CLOSE + j - 1),
        load(s, at.INVERSE + j),
        load(s, at.INVERSE + j - 1),
        load(s, at.VOLUME + j),
        load(s, at.VOLUME_10 + j) + load(s, at.VOLUME_10 + j - 10),
        deviation_10,
        deviation_20,
        return_5,
        return_10,
    )
    store_tile(out, to + 14, at.COLUMNS, tile)


@part(*(INT(DOUBLES, *(INT,) * 3, kind, INT, kind, INT, INT) for kind in ROWS))
def _write_tiles(
    s: Floats, p: int, first: int, stop: int, out: Floats, to: int, far: Floats, sent: int, line: int
) -> int:
    """Write the rows of bars ``first`` to ``stop`` of the block, a multiple of eight, and advance the averages.

    An average waits for that of the bar before. So the averages of the next eight bars, and the signals of these, are
    computed between the tiles of these. Rows that are complete are sent to ``far`` meanwhile.
    """
    averages, signal = load(s, at.AVERAGES), s[at.SIGNAL]
    a, b, c, d, e, f, g, h = advance_eight(s, p + first, averages)
    for i in range(first, stop, 8):
        columns, averages = turn((a, b, c, d, e, f, g, h)), h
        macd = columns[3] - columns[4]
        j = p + i + 8
        even, odd = moves(s, j)
        a = advance(averages, beside(s[at.CLOSE + j], even, 0))
        b = advance(a, beside(s[at.CLOSE + j + 1], odd, 0))
        signal_a = smooth(signal, lane(macd, 0))
        signal_b = smooth(signal_a, lane(macd, 1))
        _shapes(s, i, p + i, out, to)
        c = advance(b, beside(s[at.CLOSE + j + 2], even, 1))
        d = advance(c, beside(s[at.CLOSE + j + 3], odd, 1))
        e = advance(d, beside(s[at.CLOSE + j + 4], even, 2))
        signal_c = smooth(signal_b, lane(macd, 2))
        signal_d = smooth(signal_c, lane(macd, 3))
        signal_e = smooth(signal_d, lane(macd, 4))
        _levels(s, p + i, out, to, columns)
        f = advance(e, beside(s[at.CLOSE + j + 5], odd, 2))
        g = advance(f, beside(s[at.CLOSE + j + 6], even, 3))
        h = advance(g, beside(s[at.CLOSE + j + 7], odd, 3))
        signal_f = smooth(signal_e, lane(macd, 5))
        signal_g = smooth(signal_f, lane(macd, 6))
        signal = smooth(signal_g, lane(macd, 7))
        signals = lanes((signal_a, signal_b, signal_c, signal_d, signal_e, signal_f, signal_g, signal))
        _swings(s, p + i, out, to, macd, signals)
        if line:
            # Not the rows of this turn: a load would wait for their stores.
            while sent + line <= to:
                store_line(far, sent, out, sent)
                sent += line
        to += 8 * at.COLUMNS
    store(s, at.AVERAGES, averages)
    s[at.SIGNAL] = signal
    return sent


@part(*(VOID(DOUBLES, *(INT,) * 3, kind, INT) for kind in ROWS))
def write_rest(s: Floats, p: int, first: int, k: int, out: Floats, to: int) -> None:
    """Write the rows of the last bars of a block, eight at most; their averages stand one after the other."""
    columns = turn(
        (
            load(s, at.LAST),
            load(s, at.LAST + 8),
            load(s, at.LAST + 16),
            load(s, at.LAST + 24),
            load(s, at.LAST + 32),
            load(s, at.LAST + 40),
            load(s, at.LAST + 48),
            load(s, at.LAST + 56),
        )
    )
    # What lies beyond the block is computed with it and left behind.
    j = p + first
    _shapes(s, first, j, s, at.ROWS)
    _levels(s, j, s, at.ROWS, columns)
    _swings(s, j, s, at.ROWS, columns[3] - columns[4], columns[5])
    for place in range((k - first) * at.COLUMNS):
        out[to + place] = s[at.ROWS + place]


@part(*(VOID(kind, INT, kind, *(INT,) * 3) for kind in ROWS))
def _send(out: Floats, count: int, far: Floats, lead: int, sent: int, line: int) -> None:
    """Copy to ``far`` what was not sent yet, and what does not fill a cache line there."""
    for i in range(min(lead, count)):
        far[i] = out[i]
    while sent + line <= count:
        store_line(far, sent, out, sent)
        sent += line
    for i in range(sent, count):
        far[i] = out[i]


@part(*(VOID(DOUBLES, *(INT,) * 3, kind, INT, kind, INT) for kind in ROWS))
def write(s: Floats, p: int, k: int, t: int, out: Floats, row: int, stage: Floats, line: int) -> None:
    """Write the rows of the ``k`` bars that stand at ``p``, bar ``t`` of the series first, and advance the averages.

    If a ``line`` of the cache is given, as a number of values, the rows are made in ``stage`` and go past the caches.
    """
    to, lead, far = row * at.COLUMNS, 0, out
    if line:
        far = onward(out, to)
        lead = -(address(far) * line // 64) % line
        out, to = stage, 0
    warm = min(max(WARM_UP - t, 0), k)
    if warm > 0:
        recur(s, p, 0, warm, t)
        for i in range(warm * at.COLUMNS):
            out[to + i] = np.nan
        to += warm * at.COLUMNS
    whole = warm + ((k - warm) & -8)
    sent = lead
    if warm < whole:
        sent = _write_tiles(s, p, warm, whole, out, to, far, lead, line)
        to += (whole - warm) * at.COLUMNS
    if whole < k:
        for i in range(whole, k):
            recur(s, p, i, i + 1, t)
            store(s, at.LAST + 8 * (i - whole), load(s, at.AVERAGES))
        write_rest(s, p, whole, k, out, to)
    if line:
        _send(stage, k * at.COLUMNS, far, lead, sent, line)
