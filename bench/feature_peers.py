"""The same 22 features by TA-Lib and by pandas, written as someone who knows them would."""

import math

import numpy as np
import pandas as pd
import talib
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bars = tuple[Array, Array, Array, Array, Array]


def talib_columns(open: Array, high: Array, low: Array, close: Array, volume: Array) -> list[Array]:
    """Return 22 float64 columns, as TA-Lib gives them: one call each, in place where NumPy finishes one.

    The columns are not put together into rows, and not converted to float32: both would cost TA-Lib more.
    """
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    band = np.subtract(upper, lower, out=upper)
    position = np.subtract(close, lower, out=lower)
    np.divide(position, band, out=position)
    width = np.divide(band, middle, out=band)
    returns = talib.ROCP(close, 1)
    # STDDEV divides by n and multiplies by its last argument, which turns it into a sample deviation.
    volatility_10 = talib.STDDEV(returns[1:], 10, math.sqrt(10 / 9))
    volatility_20 = talib.STDDEV(returns[1:], 20, math.sqrt(20 / 19))
    ratio = talib.SMA(volume, 20)
    np.divide(volume, ratio, out=ratio)
    span = high - low
    inside = close - low
    np.divide(inside, span, out=inside)
    np.divide(span, close, out=span)
    gap = open[1:] / close[:-1]
    gap -= 1.0
    return [
        talib.SMA(close, 5),
        talib.SMA(close, 10),
        middle,
        talib.SMA(close, 50),
        talib.EMA(close, 5),
        talib.EMA(close, 10),
        talib.EMA(close, 20),
        talib.RSI(close, 14),
        *talib.MACD(close, 12, 26, 9),
        width,
        position,
        returns,
        talib.ROCP(close, 5),
        talib.ROCP(close, 10),
        volatility_10,
        volatility_20,
        ratio,
        span,
        inside,
        gap,
    ]


def pandas_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return 22 columns from columns open, high, low, close and volume; averages seeded by their first value."""
    close = frame["close"]
    change = close.diff()
    gain = change.clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean()
    loss = (-change).clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean()
    macd = close.ewm(span=12, adjust=False).mean() - close.ewm(span=26, adjust=False).mean()
    signal = macd.ewm(span=9, adjust=False).mean()
    middle = close.rolling(20).mean()
    deviation = close.rolling(20).std(ddof=0)
    returns = close.pct_change()
    span = frame["high"] - frame["low"]
    return pd.DataFrame(
        {
            "SMA_5": close.rolling(5).mean(),
            "SMA_10": close.rolling(10).mean(),
            "SMA_20": middle,
            "SMA_50": close.rolling(50).mean(),
            "EMA_5": close.ewm(span=5, adjust=False).mean(),
            "EMA_10": close.ewm(span=10, adjust=False).mean(),
            "EMA_20": close.ewm(span=20, adjust=False).mean(),
            "RSI": 100 * gain / (gain + loss),
            "MACD": macd,
            "MACD_Signal": signal,
            "MACD_Hist": macd - signal,
            "BB_Width": 4 * deviation / middle,
            "BB_Position": 0.5 + (close - middle) / (4 * deviation),
            "Return_1d": returns,
            "Return_5d": close.pct_change(5),
            "Return_10d": close.pct_change(10),
            "Volatility_10d": returns.rolling(10).std(),
            "Volatility_20d": returns.rolling(20).std(),
            "Volume_Ratio": frame["volume"] / frame["volume"].rolling(20).mean(),
            "High_Low_Range": span / close,
            "Close_Position": (close - frame["low"]) / span,
            "Gap": frame["open"] / close.shift(1) - 1,
        },
        copy=False,
    )
