"""The kernels: one step from bars to features, compiled from this one source just in time and ahead of time."""

from typing import Any

import numba
import numpy as np
from numba import types

from features_fast import _layout as at

FLAGS = {"error_model": "numpy", "fastmath": False, "boundscheck": False}

_inline = numba.njit(**FLAGS)

TINY = 1e-290


@_inline
def _load(s, p, opens, highs, lows, closes, volumes, start, bars):
    bad = 0
    for i in range(bars):
        o = opens[start + i]
        h = highs[start + i]
        l = lows[start + i]
        c = closes[start + i]
        v = volumes[start + i]
        good = (
            (o >= at.PRICE_MIN) & (o <= at.PRICE_MAX)
            & (h >= l) & (h <= at.PRICE_MAX) & (l >= at.PRICE_MIN)
            & (c >= at.PRICE_MIN) & (c <= at.PRICE_MAX)
            & (v >= 0.0) & (v <= at.VOLUME_MAX)
        )
        bad += 0 if good else 1
        s[at.OPEN + i] = o
        s[at.HIGH + i] = h
        s[at.LOW + i] = l
        s[at.CLOSE + p + i] = c
        s[at.VOLUME + p + i] = v
    return bad


@_inline
def _seeded(value, x, t, first, n):
    if t < first:
        return 0.0
    if t < first + n - 1:
        return value + x
    if t == first + n - 1:
        return (value + x) / n
    return value


@_inline
def _recur(s, p, bars, t0):
    e5 = s[at.EMA_5]
    e10 = s[at.EMA_10]
    e20 = s[at.EMA_20]
    e12 = s[at.EMA_12]
    e26 = s[at.EMA_26]
    sig = s[at.SIGNAL]
    gain = s[at.GAIN]
    loss = s[at.LOSS]
    steady = min(max(34 - t0, 0), bars)
    for i in range(steady):
        t = t0 + i
        x = s[at.CLOSE + p + i]
        d = x - s[at.CLOSE + p + i - 1]
        up = (d if d > 0.0 else 0.0) + TINY
        down = (-d if d < 0.0 else 0.0) + TINY
        e5 = _seeded(e5, x, t, 0, 5) if t < 5 else e5 + (2.0 / 6.0) * (x - e5)
        e10 = _seeded(e10, x, t, 0, 10) if t < 10 else e10 + (2.0 / 11.0) * (x - e10)
        e20 = _seeded(e20, x, t, 0, 20) if t < 20 else e20 + (2.0 / 21.0) * (x - e20)
        e12 = _seeded(e12, x, t, 14, 12) if t < 26 else e12 + (2.0 / 13.0) * (x - e12)
        e26 = _seeded(e26, x, t, 0, 26) if t < 26 else e26 + (2.0 / 27.0) * (x - e26)
        sig = _seeded(sig, e12 - e26, t, 25, 9)
        gain = _seeded(gain, up, t, 1, 14) if t < 15 else gain + (1.0 / 14.0) * (up - gain)
        loss = _seeded(loss, down, t, 1, 14) if t < 15 else loss + (1.0 / 14.0) * (down - loss)
    for i in range(steady, bars):
        x = s[at.CLOSE + p + i]
        d = x - s[at.CLOSE + p + i - 1]
        up = (d if d > 0.0 else 0.0) + TINY
        down = (-d if d < 0.0 else 0.0) + TINY
        e5 = e5 + (2.0 / 6.0) * (x - e5)
        e10 = e10 + (2.0 / 11.0) * (x - e10)
        e20 = e20 + (2.0 / 21.0) * (x - e20)
        e12 = e12 + (2.0 / 13.0) * (x - e12)
        e26 = e26 + (2.0 / 27.0) * (x - e26)
        macd = e12 - e26
        sig = sig + (2.0 / 10.0) * (macd - sig)
        gain = gain + (1.0 / 14.0) * (up - gain)
        loss = loss + (1.0 / 14.0) * (down - loss)
        s[at.F_EMA_5 + i] = e5
        s[at.F_EMA_10 + i] = e10
        s[at.F_EMA_20 + i] = e20
        s[at.F_MACD + i] = macd
        s[at.F_SIGNAL + i] = sig
        s[at.T_GAIN + i] = gain
        s[at.T_LOSS + i] = loss
    s[at.EMA_5] = e5
    s[at.EMA_10] = e10
    s[at.EMA_20] = e20
    s[at.EMA_12] = e12
    s[at.EMA_26] = e26
    s[at.SIGNAL] = sig
    s[at.GAIN] = gain
    s[at.LOSS] = loss


@_inline
def _spread5(s, x, sums, squares, p, bars):
    for i in range(p, p + bars):
        pivot = s[x + i - 2]
        a = s[x + i] - pivot
        b = s[x + i - 1] - pivot
        c = s[x + i - 3] - pivot
        d = s[x + i - 4] - pivot
        total = (a + b) + (c + d)
        s[sums + i] = total
        s[squares + i] = ((a * a + b * b) + (c * c + d * d)) - total * total * 0.2


@_inline
def _spread10(s, x, sums5, squares5, sums, squares, p, bars):
    for i in range(p, p + bars):
        step = 5.0 * (s[x + i - 2] - s[x + i - 7])
        new = s[sums5 + i]
        old = s[sums5 + i - 5]
        delta = (new - old) + step
        s[sums + i] = (new + old) - step
        s[squares + i] = (s[squares5 + i] + s[squares5 + i - 5]) + delta * delta * 0.1


@_inline
def _derive(s, p, bars):
    for i in range(p, p + bars):
        s[at.INVERSE + i] = 1.0 / s[at.CLOSE + i]
        s[at.VOLUME_5 + i] = ((s[at.VOLUME + i] + s[at.VOLUME + i - 1]) + (s[at.VOLUME + i - 2] + s[at.VOLUME + i - 3])) + s[at.VOLUME + i - 4]
    _spread5(s, at.CLOSE, at.SUM_5, at.SQUARE_5, p, bars)
    for i in range(p, p + bars):
        s[at.RETURN + i] = (s[at.CLOSE + i] - s[at.CLOSE + i - 1]) * s[at.INVERSE + i - 1]
        s[at.VOLUME_10 + i] = s[at.VOLUME_5 + i] + s[at.VOLUME_5 + i - 5]
    _spread10(s, at.CLOSE, at.SUM_5, at.SQUARE_5, at.SUM_10, at.SQUARE_10, p, bars)
    _spread5(s, at.RETURN, at.RSUM_5, at.RSQUARE_5, p, bars)
    for i in range(p, p + bars):
        step = 10.0 * (s[at.CLOSE + i - 2] - s[at.CLOSE + i - 12])
        s[at.SUM_20 + i] = (s[at.SUM_10 + i] + s[at.SUM_10 + i - 10]) - step
    _spread10(s, at.RETURN, at.RSUM_5, at.RSQUARE_5, at.RSUM_10, at.RSQUARE_10, p, bars)


@_inline
def _finish(s, p, first, bars):
    for i in range(first, bars):
        j = p + i
        c = s[at.CLOSE + j]
        mid = s[at.CLOSE + j - 2]
        sum20 = s[at.SUM_20 + j]
        s[at.F_SMA_5 + i] = mid + s[at.SUM_5 + j] * (1.0 / 5.0)
        s[at.F_SMA_10 + i] = mid + s[at.SUM_10 + j] * (1.0 / 10.0)
        sma20 = mid + sum20 * (1.0 / 20.0)
        s[at.F_SMA_20 + i] = sma20
        sum50 = (
            (sum20 + s[at.SUM_20 + j - 20])
            + s[at.SUM_10 + j - 40]
            + (20.0 * (s[at.CLOSE + j - 22] - mid) + 10.0 * (s[at.CLOSE + j - 42] - mid))
        )
        s[at.F_SMA_50 + i] = mid + sum50 * (1.0 / 50.0)
        delta = (s[at.SUM_10 + j] - s[at.SUM_10 + j - 10]) + 10.0 * (mid - s[at.CLOSE + j - 12])
        square = (s[at.SQUARE_10 + j] + s[at.SQUARE_10 + j - 10]) + delta * delta * (1.0 / 20.0)
        width = 4.0 * np.sqrt(square * (1.0 / 20.0))
        s[at.F_BB_WIDTH + i] = width / sma20
        flat = width == 0.0
        position = 0.5 + ((c - mid) - sum20 * (1.0 / 20.0)) / (1.0 if flat else width)
        s[at.F_BB_POSITION + i] = 0.5 if flat else position
    for i in range(first, bars):
        j = p + i
        delta = (s[at.RSUM_10 + j] - s[at.RSUM_10 + j - 10]) + 10.0 * (s[at.RETURN + j - 2] - s[at.RETURN + j - 12])
        square = (s[at.RSQUARE_10 + j] + s[at.RSQUARE_10 + j - 10]) + delta * delta * (1.0 / 20.0)
        s[at.F_VOLATILITY_10 + i] = np.sqrt(s[at.RSQUARE_10 + j] * (1.0 / 9.0))
        s[at.F_VOLATILITY_20 + i] = np.sqrt(square * (1.0 / 19.0))
        gain = s[at.T_GAIN + i]
        s[at.F_RSI + i] = 100.0 * gain / (gain + s[at.T_LOSS + i])
        s[at.F_HIST + i] = s[at.F_MACD + i] - s[at.F_SIGNAL + i]
    for i in range(first, bars):
        j = p + i
        c = s[at.CLOSE + j]
        s[at.F_RETURN_1 + i] = s[at.RETURN + j]
        s[at.F_RETURN_5 + i] = (c - s[at.CLOSE + j - 5]) * s[at.INVERSE + j - 5]
        s[at.F_RETURN_10 + i] = (c - s[at.CLOSE + j - 10]) * s[at.INVERSE + j - 10]
        volume = s[at.VOLUME_10 + j] + s[at.VOLUME_10 + j - 10]
        none = volume == 0.0
        s[at.F_VOLUME + i] = 1.0 if none else s[at.VOLUME + j] * 20.0 / (1.0 if none else volume)
        low = s[at.LOW + i]
        span = s[at.HIGH + i] - low
        point = span == 0.0
        s[at.F_RANGE + i] = span * s[at.INVERSE + j]
        s[at.F_CLOSE + i] = 0.5 if point else (c - low) / (1.0 if point else span)
        s[at.F_GAP + i] = (s[at.OPEN + i] - s[at.CLOSE + j - 1]) * s[at.INVERSE + j - 1]


@_inline
def _write(s, out, start, first, bars):
    for i in range(first, bars):
        for f in range(22):
            out[(start + i) * 22 + f] = s[at.FEATURES + f * at.BLOCK + i]


@_inline
def _shift(s, p):
    for a in range(15):
        for i in range(at.HALO):
            s[at.HISTORY + a * at.CAPACITY + i] = s[at.HISTORY + a * at.CAPACITY + p - at.HALO + i]


def rows(s, opens, highs, lows, closes, volumes, bars, out32, out64, wide):
    t = int(s[at.COUNT])
    p = int(s[at.POSITION])
    done = 0
    while done < bars:
        if p == at.CAPACITY:
            _shift(s, p)
            p = at.HALO
        k = min(bars - done, at.CAPACITY - p)
        if _load(s, p, opens, highs, lows, closes, volumes, done, k) != 0:
            return done
        _recur(s, p, k, t)
        _derive(s, p, k)
        _finish(s, p, 0, k)
        warm = min(max(49 - t, 0), k)
        if wide:
            for i in range(warm * 22):
                out64[done * 22 + i] = np.nan
            _write(s, out64, done, warm, k)
        else:
            for i in range(warm * 22):
                out32[done * 22 + i] = np.nan
            _write(s, out32, done, warm, k)
        p += k
        t += k
        done += k
    s[at.COUNT] = t
    s[at.POSITION] = p
    return -1


F64 = types.CPointer(types.float64)
F32 = types.CPointer(types.float32)
SIG = types.int64(F64, F64, F64, F64, F64, F64, types.int64, F32, F64, types.int64)
