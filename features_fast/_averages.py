"""The recursive averages, which depend on all earlier bars: eight lanes, advanced bar by bar."""

from typing import Any

from features_fast import _layout as at
from features_fast._lanes import EIGHT, LANES, PAIRS, beside, lane, lanes, pairs, rise, where_below
from features_fast._part import DOUBLE, DOUBLES, INT, VOID, Floats, part
from features_fast._vectors import load, store

STEADY = 34
"""From this bar on every average has its seed."""

SIGNAL_FIRST, SIGNAL_BARS = 25, 9
"""The signal line is seeded with the mean of this many values of MACD from this bar on."""

WEIGHTS = (2.0 / 6.0, 2.0 / 11.0, 2.0 / 21.0, 2.0 / 13.0, 2.0 / 27.0, 0.0, 1.0 / 14.0, 1.0 / 14.0)
FIRST = (0.0, 0.0, 0.0, 14.0, 0.0, 0.0, 1.0, 1.0)
LAST = (4.0, 9.0, 19.0, 25.0, 25.0, 0.0, 14.0, 14.0)
BARS = (5.0, 10.0, 20.0, 12.0, 26.0, 1.0, 14.0, 14.0)
"""Of the averages of 5, 10, 20, 12 and 26 closes, none, and those of rises and falls: the weight of a new value, the
bars between which they are still sums, and how many these are."""


@part(LANES(LANES, LANES), inline=True)
def advance(averages: Any, x: Any) -> Any:
    """Advance the averages of 5, 10, 20, 12 and 26 closes, and of rises and falls; the sixth is the signal line's."""
    return averages + lanes(WEIGHTS) * (x - averages)


@part(LANES(LANES, LANES, INT))
def _seed(averages: Any, x: Any, t: int) -> Any:
    """Advance averages of which some, at bar ``t``, are still sums: their mean over the first n bars is the seed."""
    bar = float(t)
    last = lanes(LAST)
    total = averages + x
    mean = total / lanes(BARS)
    summed = where_below(bar, lanes(FIRST), 0.0, where_below(bar, last, total, mean))
    return where_below(bar, last + 1.0, summed, advance(averages, x))


@part(DOUBLE(DOUBLE, DOUBLE), LANES(LANES, LANES), inline=True)
def smooth(signal: Any, macd: Any) -> Any:
    """Advance the signal line by one bar."""
    return signal + (2.0 / 10.0) * (macd - signal)


@part(PAIRS(DOUBLES, INT), inline=True)
def moves(s: Floats, j: int) -> Any:
    """Return rise and fall of eight bars from place ``j`` on, in pairs, those of even and those of odd bars."""
    change = load(s, at.CLOSE + j) - load(s, at.CLOSE + j - 1)
    up = rise(change)
    return pairs(up + at.STILL, (up - change) + at.STILL)


@part(EIGHT(DOUBLES, INT, LANES), inline=True)
def advance_eight(s: Floats, j: int, averages: Any) -> Any:
    """Return the averages after each of the eight bars from place ``j`` on."""
    even, odd = moves(s, j)
    a = advance(averages, beside(s[at.CLOSE + j], even, 0))
    b = advance(a, beside(s[at.CLOSE + j + 1], odd, 0))
    c = advance(b, beside(s[at.CLOSE + j + 2], even, 1))
    d = advance(c, beside(s[at.CLOSE + j + 3], odd, 1))
    e = advance(d, beside(s[at.CLOSE + j + 4], even, 2))
    f = advance(e, beside(s[at.CLOSE + j + 5], odd, 2))
    g = advance(f, beside(s[at.CLOSE + j + 6], even, 3))
    return a, b, c, d, e, f, g, advance(g, beside(s[at.CLOSE + j + 7], odd, 3))


@part(LANES(DOUBLES, INT), inline=True)
def _inputs(s: Floats, j: int) -> Any:
    c = s[at.CLOSE + j]
    change = c - s[at.CLOSE + j - 1]
    up = (change if change > 0.0 else 0.0) + at.STILL
    down = (-change if change < 0.0 else 0.0) + at.STILL
    return lanes((c, c, c, c, c, c, up, down))


@part(VOID(DOUBLES, *(INT,) * 4))
def recur(s: Floats, p: int, first: int, k: int, t: int) -> None:
    """Advance the averages by bars ``first`` to ``k`` of the block, which begins with bar ``t``."""
    averages, signal = load(s, at.AVERAGES), s[at.SIGNAL]
    seeded = min(max(STEADY - t, first), k)
    for i in range(first, seeded):
        averages = _seed(averages, _inputs(s, p + i), t + i)
        if t + i >= SIGNAL_FIRST:
            signal += lane(averages, 3) - lane(averages, 4)
            if t + i == SIGNAL_FIRST + SIGNAL_BARS - 1:
                signal = signal / SIGNAL_BARS
    i = seeded
    while i + 8 <= k:
        a, b, c, d, e, f, g, averages = advance_eight(s, p + i, averages)
        signal = smooth(signal, lane(a, 3) - lane(a, 4))
        signal = smooth(signal, lane(b, 3) - lane(b, 4))
        signal = smooth(signal, lane(c, 3) - lane(c, 4))
        signal = smooth(signal, lane(d, 3) - lane(d, 4))
        signal = smooth(signal, lane(e, 3) - lane(e, 4))
        signal = smooth(signal, lane(f, 3) - lane(f, 4))
        signal = smooth(signal, lane(g, 3) - lane(g, 4))
        signal = smooth(signal, lane(averages, 3) - lane(averages, 4))
        i += 8
    while i < k:
        averages = advance(averages, _inputs(s, p + i))
        signal = smooth(signal, lane(averages, 3) - lane(averages, 4))
        i += 1
    store(s, at.AVERAGES, averages)
    s[at.SIGNAL] = signal
