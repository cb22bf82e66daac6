"""Slow, obvious twins of all features, in extended precision, and the series on which twins are compared."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Exact = NDArray[np.longdouble]
Bars = tuple[Array, Array, Array, Array, Array]


def windows(x: Exact, n: int) -> Iterator[tuple[int, Exact]]:
    """Yield every full window with the index of its last value."""
    for t in range(n - 1, len(x)):
        yield t, x[t - n + 1 : t + 1]


def rolling(x: Exact, n: int, function: Callable[[Exact], Any]) -> Exact:
    result = np.full(len(x), np.nan, dtype=np.longdouble)
    for t, window in windows(x, n):
        result[t] = function(window)
    return result


def mean(window: Exact) -> Any:
    return window.sum() / len(window)


def deviation(window: Exact, ddof: int) -> Any:
    """Two passes: the mean, then the squared deviations from it."""
    return np.sqrt(((window - mean(window)) ** 2).sum() / (len(window) - ddof))


def ema(x: Exact, n: int, alpha: Any = None, first: int = 0) -> Exact:
    """Exponential average, seeded with the mean of values ``first`` to ``first + n - 1``."""
    alpha = np.longdouble(2) / (n + 1) if alpha is None else alpha
    result = np.full(len(x), np.nan, dtype=np.longdouble)
    start = first + n - 1
    if len(x) > start:
        result[start] = mean(x[first : start + 1])
        for t in range(start + 1, len(x)):
            result[t] = alpha * x[t] + (1 - alpha) * result[t - 1]
    return result


def back(x: Exact, n: int) -> Exact:
    return np.concatenate([np.full(min(n, len(x)), np.nan, dtype=np.longdouble), x[: max(len(x) - n, 0)]])


def rsi(close: Exact) -> Exact:
    change = close - back(close, 1)
    gain = ema(np.maximum(change, 0), 14, np.longdouble(1) / 14, first=1)
    loss = ema(np.maximum(-change, 0), 14, np.longdouble(1) / 14, first=1)
    result = np.full(len(close), np.nan, dtype=np.longdouble)
    for t in range(14, len(close)):
        # What is left of the last movement after some two thousand still bars counts as no movement.
        result[t] = 50 if gain[t] + loss[t] < 1e-55 else 100 * gain[t] / (gain[t] + loss[t])
    return result


def features(open: Array, high: Array, low: Array, close: Array, volume: Array) -> dict[str, Exact]:
    """Return every feature at every bar where its own lookback allows it."""
    o, h, lo, c, v = (x.astype(np.longdouble) for x in (open, high, low, close, volume))
    rows = {f"SMA_{n}": rolling(c, n, mean) for n in (5, 10, 20, 50)}
    rows |= {f"EMA_{n}": ema(c, n) for n in (5, 10, 20)}
    rows["RSI"] = rsi(c)
    rows["MACD"] = ema(c, 12, first=14) - ema(c, 26)
    rows["MACD_Signal"] = ema(rows["MACD"], 9, first=25)
    rows["MACD_Hist"] = rows["MACD"] - rows["MACD_Signal"]
    middle, band = rolling(c, 20, mean), 2 * rolling(c, 20, lambda window: deviation(window, 0))
    lower, upper = middle - band, middle + band
    rows["BB_Width"] = 2 * band / middle
    flat = band == 0
    rows["BB_Position"] = np.where(flat, 0.5, (c - lower) / np.where(flat, 1, upper - lower))
    for n in (1, 5, 10):
        rows[f"Return_{n}d"] = (c - back(c, n)) / back(c, n)
    for n in (10, 20):
        rows[f"Volatility_{n}d"] = rolling(rows["Return_1d"], n, lambda window: deviation(window, 1))
    mean_volume = rolling(v, 20, mean)
    still = mean_volume == 0
    rows["Volume_Ratio"] = np.where(still, 1, v / np.where(still, 1, mean_volume))
    rows["High_Low_Range"] = (h - lo) / c
    point = h == lo
    rows["Close_Position"] = np.where(point, 0.5, (c - lo) / np.where(point, 1, h - lo))
    rows["Gap"] = (o - back(c, 1)) / back(c, 1)
    return rows


def bars_around(close: Array, seed: int = 0, volume: Array | None = None) -> Bars:
    """Return bars whose opens, highs and lows lie near the closes."""
    random = np.random.default_rng(seed)
    open = close * (1 + 0.004 * random.standard_normal(len(close)))
    high = np.maximum(open, close) * (1 + 0.003 * random.random(len(close)))
    low = np.minimum(open, close) * (1 - 0.003 * random.random(len(close)))
    if volume is None:
        volume = np.floor(1e6 * random.random(len(close)))
    return open, high, low, close, volume


def walk(n: int, seed: int = 0, start: float = 100.0, volatility: float = 0.01) -> Array:
    steps = volatility * np.random.default_rng(seed).standard_normal(n)
    return np.asarray(start * np.exp(np.cumsum(steps)), dtype=np.float64)


def point_bars(close: Array, volume: Array) -> Bars:
    """Return bars that never leave their close."""
    return close, close, close, close, volume


def adversarial(n: int = 300) -> dict[str, Bars]:
    """Return series on which rolling sums, recursions and divisions go wrong easily."""
    random = np.random.default_rng(7)
    t = np.arange(n, dtype=np.float64)
    ordinary = walk(n)
    spike = np.full(n, 10.0)
    spike[n // 2] = 1e9
    halting = ordinary.copy()
    halting[n // 3 : n // 3 + 80] = halting[n // 3]
    quiet = np.floor(1e6 * random.random(n))
    quiet[n // 3 : n // 3 + 60] = 0.0
    h_equals_l = bars_around(ordinary)
    still = slice(n // 4, n // 4 + 40)
    for field in h_equals_l[:3]:
        field[still] = ordinary[still]
    return {
        "ordinary": bars_around(ordinary),
        "flat": point_bars(np.full(n, 10.1), np.zeros(n)),
        "alternating": bars_around(np.where(t % 2 == 0, 10.0, 11.0)),
        "offset by 1e8": bars_around(ordinary + 1e8),
        "price 1e6, moves of 1e-6": bars_around(1e6 * (1 + 1e-6 * random.standard_normal(n))),
        "spike": bars_around(spike),
        "rising": bars_around(1.0 + t),
        "falling": bars_around(1.0 + n - t),
        "flat amid movement": bars_around(halting),
        "zero volume": bars_around(ordinary, volume=quiet),
        "high equals low": h_equals_l,
        "huge": bars_around(walk(n, start=1e15)),
        "tiny": bars_around(walk(n, start=1e-15)),
        "six orders of magnitude": bars_around(np.exp(random.uniform(np.log(1e-3), np.log(1e3), n))),
        "one bar of volume": bars_around(ordinary, volume=np.where(t == n // 2, 1e12, 0.0)),
    }


def tolerance(name: str, close: Array) -> tuple[float, float]:
    """Return the relative and absolute difference that rounding allows between a feature and its exact twin.

    An average that started at 1e9 and is now at 10 has lost digits, and so has the difference of two averages, however
    they are computed; MACD is therefore compared on the scale of prices. BB_Position and the others near 0 are compared
    on their own scale of 1.
    """
    if name.startswith(("SMA", "EMA", "MACD")):
        return 1e-12, 2e-14 * float(close.max())
    if name == "RSI":
        return 1e-9, 1e-9
    return 1e-9, 1e-13
