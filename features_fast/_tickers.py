"""Eight tickers side by side, one in each lane: no average waits for itself, every window begins with a cache line."""

from typing import Any

import numpy as np

from features_fast import _layout as at
from features_fast._averages import BARS, FIRST, LAST, SIGNAL_BARS, SIGNAL_FIRST, STEADY, WEIGHTS, smooth
from features_fast._lanes import ALL, BITS, EIGHT, LANES, between, lanes, rise
from features_fast._part import BOOLEAN, DOUBLE, DOUBLES, INT, ROWS, VOID, WORDS, Floats, Words, part
from features_fast._rows import band, deviations, levels, shapes, swings
from features_fast._vectors import address, load, onward, prefetch, store, store_columns, store_lines, turn, words
from features_fast._windows import merge, spread
from features_fast.specification import WARM_UP

_AHEAD = 64
"""How many bars ahead of those that are computed the bars of each ticker are asked for."""


@part(LANES(DOUBLES, *(INT,) * 4), inline=True)
def _back(s: Floats, ring: int, length: int, t: int, lag: int) -> Any:
    """Return the value of an earlier bar from a ring."""
    return load(s, ring + ((8 * t - 8 * lag) & (8 * length - 8)))


@part(VOID(DOUBLES, *(INT,) * 3, LANES), inline=True)
def _keep(s: Floats, ring: int, length: int, t: int, value: Any) -> None:
    """Put the value of a bar into a ring."""
    store(s, ring + ((8 * t) & (8 * length - 8)), value)


@part(LANES(DOUBLES, INT, INT), inline=True)
def _close(s: Floats, t: int, lag: int) -> Any:
    return _back(s, at.CLOSES, at.LONG, t, lag)


@part(LANES(DOUBLES, *(INT,) * 3), inline=True)
def _near(s: Floats, ring: int, t: int, lag: int) -> Any:
    return _back(s, ring, at.SHORT, t, lag)


@part(LANES(DOUBLES, INT, INT), inline=True)
def _five_ago(s: Floats, ring: int, t: int) -> Any:
    """Return the value of the window in front of the last five bars."""
    return _back(s, ring, at.SHORTEST, t, 5)


@part(VOID(DOUBLES, INT, DOUBLES, WORDS, INT))
def _turn_in(s: Floats, place: int, field: Floats, starts: Words, t: int) -> None:
    """Put eight bars of eight tickers, from bar ``t`` of each on, side by side."""
    a, b, c, d, e, f, g, h = turn(
        (
            load(field, starts[0] + t),
            load(field, starts[1] + t),
            load(field, starts[2] + t),
            load(field, starts[3] + t),
            load(field, starts[4] + t),
            load(field, starts[5] + t),
            load(field, starts[6] + t),
            load(field, starts[7] + t),
        )
    )
    store(s, place, a)
    store(s, place + 8, b)
    store(s, place + 16, c)
    store(s, place + 24, d)
    store(s, place + 32, e)
    store(s, place + 40, f)
    store(s, place + 48, g)
    store(s, place + 56, h)


@part(VOID(DOUBLES, INT, *(DOUBLES,) * 5, WORDS, INT))
def _turn_in_some(
    s: Floats,
    i: int,
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    volumes: Floats,
    starts: Words,
    t: int,
) -> None:
    """Do part ``i`` of eight of the work to put eight bars of eight tickers, from bar ``t`` on, side by side.

    The moves of a field wait for each other, so bars are computed between the fields. Volumes come late, when the
    windows have left those that stood there.
    """
    short = 8 * (t & (at.SHORT - 1))
    if i == 0:
        _turn_in(s, at.CLOSES + 8 * (t & (at.LONG - 1)), closes, starts, t)
    elif i == 2:
        _turn_in(s, at.OPENS + short, opens, starts, t)
    elif i == 3:
        _turn_in(s, at.HIGHS + short, highs, starts, t)
    elif i == 5:
        _turn_in(s, at.LOWS + short, lows, starts, t)
    elif i == 6:
        _turn_in(s, at.VOLUMES + short, volumes, starts, t)
    ahead = starts[i] + t + _AHEAD
    prefetch(opens, ahead)
    prefetch(highs, ahead)
    prefetch(lows, ahead)
    prefetch(closes, ahead)
    prefetch(volumes, ahead)


@part(LANES(LANES, LANES, DOUBLE), inline=True)
def _toward(average: Any, x: Any, weight: float) -> Any:
    return average + weight * (x - average)


@part(EIGHT(EIGHT, *(LANES,) * 3), inline=True)
def _advance(averages: Any, c: Any, up: Any, down: Any) -> Any:
    """Advance the averages of eight tickers, in the order of the state."""
    ema_5, ema_10, ema_20, ema_12, ema_26, signal, gain, loss = averages
    ema_12, ema_26 = _toward(ema_12, c, WEIGHTS[3]), _toward(ema_26, c, WEIGHTS[4])
    return (
        _toward(ema_5, c, WEIGHTS[0]),
        _toward(ema_10, c, WEIGHTS[1]),
        _toward(ema_20, c, WEIGHTS[2]),
        ema_12,
        ema_26,
        smooth(signal, ema_12 - ema_26),
        _toward(gain, up, WEIGHTS[6]),
        _toward(loss, down, WEIGHTS[7]),
    )


@part(LANES(LANES, LANES, INT, *(DOUBLE,) * 4))
def _seed_one(average: Any, x: Any, t: int, first: float, last: float, bars: float, weight: float) -> Any:
    bar = float(t)
    if bar < first:
        return lanes((0.0,) * 8)
    if bar > last:
        return _toward(average, x, weight)
    total = average + x
    return total / bars if bar == last else total


@part(EIGHT(EIGHT, *(LANES,) * 3, INT))
def _seed(averages: Any, c: Any, up: Any, down: Any, t: int) -> Any:
    """Advance averages of which some, at bar ``t``, are still sums."""
    ema_5, ema_10, ema_20, ema_12, ema_26, signal, gain, loss = averages
    ema_12 = _seed_one(ema_12, c, t, FIRST[3], LAST[3], BARS[3], WEIGHTS[3])
    ema_26 = _seed_one(ema_26, c, t, FIRST[4], LAST[4], BARS[4], WEIGHTS[4])
    if t >= SIGNAL_FIRST:
        signal = signal + (ema_12 - ema_26)
        if t == SIGNAL_FIRST + SIGNAL_BARS - 1:
            signal = signal / float(SIGNAL_BARS)
    return (
        _seed_one(ema_5, c, t, FIRST[0], LAST[0], BARS[0], WEIGHTS[0]),
        _seed_one(ema_10, c, t, FIRST[1], LAST[1], BARS[1], WEIGHTS[1]),
        _seed_one(ema_20, c, t, FIRST[2], LAST[2], BARS[2], WEIGHTS[2]),
        ema_12,
        ema_26,
        signal,
        _seed_one(gain, up, t, FIRST[6], LAST[6], BARS[6], WEIGHTS[6]),
        _seed_one(loss, down, t, FIRST[7], LAST[7], BARS[7], WEIGHTS[7]),
    )


@part(*(INT(kind, INT, INT) for kind in ROWS), inline=True)
def _lead(far: Floats, first: int, line: int) -> int:
    """Return how many values stand in front of the next cache line."""
    lead: int = ((-address(onward(far, first)) & 63) * line) >> 6
    return lead


@part(*(VOID(kind, WORDS, INT, kind, *(INT,) * 4, BOOLEAN) for kind in ROWS))
def _send(
    far: Floats, places: Words, to: int, stage: Floats, begin: int, first: int, stop: int, line: int, past: bool
) -> None:
    """Send cache lines ``first`` to ``stop`` of the rows of each ticker; line 0 begins at column ``begin``."""
    place = 8 * (at.STAGE_PAD + begin)
    for i in range(first, stop):
        k = i * line
        if past:
            store_lines(far, places, to + begin + k, stage, place + 8 * k, True)
        else:
            store_lines(far, places, to + begin + k, stage, place + 8 * k, False)


@part(*(VOID(kind, WORDS, INT, kind, *(INT,) * 2) for kind in ROWS))
def _send_some(far: Floats, places: Words, to: int, stage: Floats, first: int, stop: int) -> None:
    """Send values that do not fill a cache line."""
    for i in range(8):
        for k in range(first, stop):
            far[places[i] + to + k] = stage[8 * (at.STAGE_PAD + k) + i]


@part(*(EIGHT(DOUBLES, INT, EIGHT, kind, INT) for kind in ROWS), inline=True)
def _write(s: Floats, t: int, averages: Any, out: Floats, to: int) -> Any:
    """Write the row of bar ``t`` of each ticker, keep what later windows are put together from, return the averages.

    The shuffles of a tile lie between the sums of closes, of returns and of the next bar: each has units of its own.
    """
    c, c_1, pivot = _close(s, t, 0), _close(s, t, 1), _close(s, t, 2)
    inverse, inverse_1 = 1.0 / c, _near(s, at.INVERSES, t, 1)
    _keep(s, at.INVERSES, at.SHORT, t, inverse)
    sum_5, square_5 = spread(c, c_1, pivot, _close(s, t, 3), _close(s, t, 4))
    earlier, earlier_square = _five_ago(s, at.SUMS_5, t), _five_ago(s, at.SQUARES_5, t)
    _keep(s, at.SUMS_5, at.SHORTEST, t, sum_5)
    _keep(s, at.SQUARES_5, at.SHORTEST, t, square_5)
    sum_10, square = merge(pivot, sum_5, square_5, _close(s, t, 7), earlier, earlier_square, 5.0)
    earlier, earlier_square = _back(s, at.SUMS_10, at.LONG, t, 10), _near(s, at.SQUARES_10, t, 10)
    _keep(s, at.SUMS_10, at.LONG, t, sum_10)
    _keep(s, at.SQUARES_10, at.SHORT, t, square)
    sum_20, square = merge(pivot, sum_10, square, _close(s, t, 12), earlier, earlier_square, 10.0)
    _keep(s, at.SUMS_20, at.MIDDLE, t, sum_20)
    width = band(square)

    change = c - c_1
    up = rise(change)
    up, down = up + at.STILL, (up - change) + at.STILL
    averages = _seed(averages, c, up, down, t) if t < STEADY else _advance(averages, c, up, down)
    pivot_20, pivot_40 = _close(s, t, 22), _close(s, t, 42)
    earlier_20, earlier_10 = _back(s, at.SUMS_20, at.MIDDLE, t, 20), _back(s, at.SUMS_10, at.LONG, t, 40)
    tile = levels(averages, pivot, pivot_20, pivot_40, sum_5, sum_10, sum_20, earlier_20, earlier_10)
    store_columns(out, to, tile, 0)

    r, r_2 = change * inverse_1, _near(s, at.RETURNS, t, 2)
    _keep(s, at.RETURNS, at.SHORT, t, r)
    sums, square = spread(r, _near(s, at.RETURNS, t, 1), r_2, _near(s, at.RETURNS, t, 3), _near(s, at.RETURNS, t, 4))
    earlier, earlier_square = _five_ago(s, at.RETURN_SUMS_5, t), _five_ago(s, at.RETURN_SQUARES_5, t)
    _keep(s, at.RETURN_SUMS_5, at.SHORTEST, t, sums)
    _keep(s, at.RETURN_SQUARES_5, at.SHORTEST, t, square)
    sums, square_10 = merge(r_2, sums, square, _near(s, at.RETURNS, t, 7), earlier, earlier_square, 5.0)
    earlier, earlier_square = _near(s, at.RETURN_SUMS_10, t, 10), _near(s, at.RETURN_SQUARES_10, t, 10)
    _keep(s, at.RETURN_SUMS_10, at.SHORT, t, sums)
    _keep(s, at.RETURN_SQUARES_10, at.SHORT, t, square_10)
    _, square_20 = merge(r_2, sums, square_10, _near(s, at.RETURNS, t, 12), earlier, earlier_square, 10.0)
    deviation_10, deviation_20 = deviations(square_10, square_20)
    return_5 = (c - _close(s, t, 5)) * _near(s, at.INVERSES, t, 5)
    return_10 = (c - _close(s, t, 10)) * _near(s, at.INVERSES, t, 10)
    tile = swings(averages[3] - averages[4], averages[5], c, pivot, sum_20, width, r, return_5, return_10)
    store_columns(out, to + 8 * 8, tile, 0)

    v = _near(s, at.VOLUMES, t, 0)
    volume_5 = (v + _near(s, at.VOLUMES, t, 1)) + (_near(s, at.VOLUMES, t, 2) + _near(s, at.VOLUMES, t, 3))
    volume_5 = volume_5 + _near(s, at.VOLUMES, t, 4)
    volume_10 = volume_5 + _five_ago(s, at.VOLUMES_5, t)
    volume_20 = volume_10 + _near(s, at.VOLUMES_10, t, 10)
    _keep(s, at.VOLUMES_5, at.SHORTEST, t, volume_5)
    _keep(s, at.VOLUMES_10, at.SHORT, t, volume_10)
    o, h, low = _near(s, at.OPENS, t, 0), _near(s, at.HIGHS, t, 0), _near(s, at.LOWS, t, 0)
    tile = shapes(o, h, low, c, c_1, inverse, inverse_1, v, volume_20, deviation_10, deviation_20, return_5, return_10)
    store_columns(out, to + 8 * 16, tile, 2)
    return averages


@part(BITS(DOUBLES, INT), inline=True)
def _possible(s: Floats, t: int) -> Any:
    """Return of which tickers a market can produce bar ``t``, a bit each."""
    low = _near(s, at.LOWS, t, 0)
    return (
        between(at.PRICE_MIN, _near(s, at.OPENS, t, 0), at.PRICE_MAX)
        & between(low, _near(s, at.HIGHS, t, 0), at.PRICE_MAX)
        & between(at.PRICE_MIN, low, at.PRICE_MAX)
        & between(at.PRICE_MIN, _close(s, t, 0), at.PRICE_MAX)
        & between(0.0, _near(s, at.VOLUMES, t, 0), at.VOLUME_MAX)
    )


@part(*(BOOLEAN(*(DOUBLES,) * 6, WORDS, INT, kind, kind, INT, BOOLEAN) for kind in ROWS))
def run_eight(
    s: Floats,
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    volumes: Floats,
    starts: Words,
    bars: int,
    out: Floats,
    stage: Floats,
    line: int,
    past: bool,
) -> bool:
    """Write the rows of the first bars of eight tickers, a multiple of eight; return whether all are possible.

    ``line`` is a cache line as a number of values; with ``past`` the rows go past the caches, and all eight must begin
    at the same place of a line. Columns of eight bars are staged; before a bar's columns take the place of those of
    eight bars before, these are sent as rows, line by line. What has just been stored is not sent: a load would wait.
    """
    places = words(address(s) + 8 * at.PLACES)
    for i in range(8):
        places[i] = starts[i] * at.COLUMNS
        _turn_in_some(s, i, opens, highs, lows, closes, volumes, starts, 0)
    lead = _lead(out, places[0], line)  # All go in step with the first.
    # The lines that eight bars complete begin with the last values of the bars before.
    begin, lines, size = lead - line, at.STAGED // line, 64 // line
    zero = lanes((0.0,) * 8)
    averages = (zero, zero, zero, zero, zero, zero, zero, zero)
    good = ALL
    for first in range(0, bars, 8):
        to = (first - 8) * at.COLUMNS
        if first == 8:
            _send_some(out, places, to, stage, 0, lead)
        sent = 0 if first > 8 else 1
        for i in range(8):
            t = first + i
            if first + 8 < bars:
                _turn_in_some(s, i, opens, highs, lows, closes, volumes, starts, first + 8)
            if first:
                more = min(lines, (((i + 1) * at.COLUMNS - begin) * size + 63) >> 6)
                _send(out, places, to, stage, begin, sent, more, line, past)
                sent = more
            if i == 7:
                for k in range(8 * at.STAGE_PAD):
                    stage[k] = stage[8 * at.STAGED + k]
            good = good & _possible(s, t)
            averages = _write(s, t, averages, stage, 8 * (at.STAGE_PAD + i * at.COLUMNS))
        for i in range(8 * min(max(WARM_UP - first, 0), 8) * at.COLUMNS):
            stage[8 * at.STAGE_PAD + i] = np.nan
        if good != ALL:
            return False
    to = (bars - 8) * at.COLUMNS
    _send(out, places, to, stage, begin, 0, lines, line, past)
    _send_some(out, places, to, stage, at.STAGED + begin, at.STAGED)
    a, b, c, d, e, f, g, h = turn(averages)
    store(s, at.LEFT, a)
    store(s, at.LEFT + 8, b)
    store(s, at.LEFT + 16, c)
    store(s, at.LEFT + 24, d)
    store(s, at.LEFT + 32, e)
    store(s, at.LEFT + 40, f)
    store(s, at.LEFT + 48, g)
    store(s, at.LEFT + 56, h)
    return True


@part(VOID(DOUBLES, DOUBLES, DOUBLES, *(INT,) * 3))
def go_on(s: Floats, closes: Floats, volumes: Floats, ticker: int, row: int, bars: int) -> None:
    """Let one of the tickers go on alone, after ``bars`` bars, at a row."""
    for i in range(-at.CARRIED_CLOSES, 0):
        s[at.CLOSE + at.HALO + i] = closes[row + i]
        s[at.VOLUME + at.HALO + i] = volumes[row + i]
    store(s, at.AVERAGES, load(s, at.LEFT + 8 * ticker))
    s[at.COUNT] = bars
