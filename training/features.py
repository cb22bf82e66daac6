"""From bars to features: single indicators for any window, and the table of 22 that models are trained on."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import DTypeLike, NDArray

from features_fast import FEATURE_NAMES, WARM_UP, BarError, compute
from features_fast.columns import BAR_COLUMNS
from training.errors import DataError


class MACD(NamedTuple):
    """Moving average convergence/divergence, each a Series over all bars."""

    line: pd.Series
    signal: pd.Series
    histogram: pd.Series


class BollingerBands(NamedTuple):
    """A moving average and the bands around it, each a Series over all bars."""

    upper: pd.Series
    middle: pd.Series
    lower: pd.Series


def calculate_sma(data: pd.Series | pd.DataFrame, window: int = 20) -> pd.Series:
    """Return the simple moving average: the mean of the last ``window`` closes.

    Parameters
    ----------
    data : Series or DataFrame
        Closes of one ticker in time order, or bars with a Close column.
    window : int
        Number of bars, at least 1.

    Returns
    -------
    Series
        float64, as long as ``data`` and with its index; NaN before bar ``window - 1``.

    Raises
    ------
    DataError
        The window is no whole number of at least 1, or a DataFrame has no Close column.
    """
    closes = _closes(data)
    return _moving(closes, _window("window", window), np.mean).rename(f"SMA_{window}")


def calculate_ema(data: pd.Series | pd.DataFrame, window: int = 20) -> pd.Series:
    """Return the exponential moving average with ``alpha = 2 / (window + 1)``, seeded as TA-Lib seeds it.

    The first value, at bar ``window - 1``, is the simple average of the closes so far. Parameters, shape and errors
    are those of `calculate_sma`.
    """
    closes = _closes(data)
    _window("window", window)
    return _recursive_mean(closes, 0, window, 2 / (window + 1)).rename(f"EMA_{window}")


def calculate_rsi(data: pd.Series | pd.DataFrame, window: int = 14) -> pd.Series:
    """Return the relative strength index, 0 to 100, with Wilder's averages of rises and falls.

    ``100 * gain / (gain + loss)``; both averages are seeded with the mean of the first ``window`` changes, so that the
    first value is at bar ``window``. Where nothing has moved it is 50 (TA-Lib says 0). Parameters, shape and errors are
    those of `calculate_sma`. Source: J. Welles Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    closes = _closes(data)
    _window("window", window)
    changes = closes.diff()
    gain = _recursive_mean(changes.clip(lower=0), 1, window, 1 / window)
    loss = _recursive_mean(-changes.clip(upper=0), 1, window, 1 / window)
    movement = gain + loss
    return (100 * gain / movement).mask(movement == 0, 50.0).rename("RSI")


def calculate_macd(data: pd.Series | pd.DataFrame, fast: int = 12, slow: int = 26, signal: int = 9) -> MACD:
    """Return the difference of two exponential averages of the closes, its own average and what is between them.

    As in TA-Lib both averages start at bar ``slow - 1``, the fast one seeded with the mean of the ``fast`` closes up to
    there, and the signal is seeded with the mean of the first ``signal`` differences.

    Parameters
    ----------
    data : Series or DataFrame
        Closes of one ticker in time order, or bars with a Close column.
    fast, slow, signal : int
        Windows in bars, ``fast < slow``.

    Returns
    -------
    MACD
        ``line``, ``signal`` and ``histogram`` (line - signal): float64 Series as long as ``data``, all three NaN before
        bar ``slow + signal - 2``.

    Raises
    ------
    DataError
        A window is no whole number of at least 1, ``fast`` is not below ``slow``, or there is no Close column.
    """
    closes = _closes(data)
    for name, window in (("fast", fast), ("slow", slow), ("signal", signal)):
        _window(name, window)
    if fast >= slow:
        raise DataError(f"fast: expected a window below slow = {slow}, got {fast}")
    line = _recursive_mean(closes, slow - fast, fast, 2 / (fast + 1)) - _recursive_mean(closes, 0, slow, 2 / (slow + 1))
    average = _recursive_mean(line, slow - 1, signal, 2 / (signal + 1))
    line = line.where(average.notna())
    return MACD(line.rename("MACD"), average.rename("MACD_Signal"), (line - average).rename("MACD_Hist"))


def calculate_bollinger_bands(
    data: pd.Series | pd.DataFrame, window: int = 20, deviations: float = 2.0
) -> BollingerBands:
    """Return the moving average of the closes and the bands ``deviations`` standard deviations above and below.

    The deviation is that of the population (ddof 0), as in TA-Lib and in J. Bollinger, Bollinger on Bollinger Bands,
    2001. ``window`` and the errors are those of `calculate_sma`.

    Returns
    -------
    BollingerBands
        ``upper``, ``middle`` and ``lower``: float64 Series as long as ``data``; NaN before bar ``window - 1``.
    """
    closes = _closes(data)
    middle = _moving(closes, _window("window", window), np.mean)
    width = deviations * _moving(closes, window, np.std)
    return BollingerBands(
        (middle + width).rename("BB_Upper"), middle.rename("BB_Middle"), (middle - width).rename("BB_Lower")
    )


def create_features(
    df: pd.DataFrame, dtype: DTypeLike = np.float32, on_ticker: Callable[[str], None] | None = None
) -> pd.DataFrame:
    """Add the 22 features to bars, computed for each ticker by the kernels that also serve.

    Parameters
    ----------
    df : DataFrame
        Bars with the columns Date, Ticker, Open, High, Low, Close, Volume, each ticker in time order.
    dtype : dtype
        float32, which models are trained on and served with, or float64.
    on_ticker : callable, optional
        Called with the name of each ticker that is done.

    Returns
    -------
    DataFrame
        A copy of ``df``, same rows and index, with one more column for each of `features_fast.FEATURE_NAMES`; NaN in
        the first 49 rows of each ticker. A row depends on bars up to its own alone.

    Raises
    ------
    DataError
        A column is missing, the dates of a ticker do not increase, or a bar is one that no market can produce.
    """
    missing = [column for column in BAR_COLUMNS if column not in df.columns]
    if missing:
        raise DataError(f"bars: expected the columns {', '.join(BAR_COLUMNS)}, got none named {', '.join(missing)}")
    for column in ("Date", "Ticker"):
        if df[column].isna().any():
            raise DataError(f"bars, column {column!r}: expected no empty cells, got {df[column].isna().sum()}")
    values = np.empty((len(df), len(FEATURE_NAMES)), dtype=dtype)
    dates = df["Date"].to_numpy(dtype="datetime64[us]")
    series = [df[name].to_numpy(dtype=np.float64) for name in BAR_COLUMNS[2:]]
    for ticker, rows in ticker_rows(df):
        steps = np.diff(dates[rows]) <= np.timedelta64(0, "us")
        if steps.any():
            late = dates[rows][1:][steps][0]
            raise DataError(f"bars of {ticker}: expected dates that increase, got {late} after a later or equal one")
        opens, highs, lows, closes, volumes = (column[rows] for column in series)
        try:
            values[rows] = compute(opens, highs, lows, closes, volumes, dtype=dtype)
        except BarError as error:
            raise DataError(f"bars of {ticker}: {error}") from error
        if on_ticker is not None:
            on_ticker(ticker)
    return df.assign(**{name: values[:, column] for column, name in enumerate(FEATURE_NAMES)})


def prepare_training_data(df: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Return the features of bars and what the next bar did.

    Parameters
    ----------
    df : DataFrame
        Bars as for `create_features`.

    Returns
    -------
    X : DataFrame
        float32, the 22 features in their order; without the 49 bars of warm-up and the last bar of each ticker. Keeps
        the index of ``df``.
    y : Series
        int64, 1 (UP) where ``C[t+1] > C[t]``, else 0 (DOWN).

    Raises
    ------
    DataError
        As `create_features`, or no ticker has the 51 bars that one row needs.
    """
    rows = label_rows(df)
    return rows[list(FEATURE_NAMES)], rows["Target"]


def label_rows(df: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `create_features` that have all features and a target, with what their targets read.

    Target_Date is the date of the bar that the target reads: the next one of the same ticker. Target_Return is the
    return from the row's close to the close of that bar.
    """
    rows = create_features(df)
    following = rows.groupby("Ticker", sort=False)[["Date", "Close"]].shift(-1)
    rows["Target"] = (following["Close"] > rows["Close"]).astype(np.int64)
    rows["Target_Date"] = following["Date"]
    rows["Target_Return"] = following["Close"] / rows["Close"] - 1
    warm = rows.groupby("Ticker", sort=False).cumcount() >= WARM_UP
    labelled = rows[warm & following["Date"].notna()]
    if labelled.empty:
        raise DataError(f"bars: expected a ticker with at least {WARM_UP + 2} bars, got {len(df)} bars")
    return labelled


def ticker_rows(df: pd.DataFrame) -> list[tuple[str, NDArray[np.intp]]]:
    """Return each ticker in order of appearance with the positions of its rows."""
    groups = df.groupby("Ticker", sort=False).indices
    return [(str(ticker), np.asarray(rows, dtype=np.intp)) for ticker, rows in groups.items()]


def _closes(data: pd.Series | pd.DataFrame) -> pd.Series:
    """Return closes as float64, from a Series or from the Close column."""
    if isinstance(data, pd.DataFrame):
        if "Close" not in data.columns:
            raise DataError(f"data: expected a column 'Close', got {', '.join(map(repr, data.columns)) or 'none'}")
        data = data["Close"]
    return data.astype(np.float64)


def _window(name: str, window: int) -> int:
    """Return a window that is a whole number of at least 1, refuse any other."""
    if isinstance(window, bool) or not isinstance(window, int | np.integer) or window < 1:
        raise DataError(f"{name}: expected a whole number of at least 1, got {window!r}")
    return int(window)


def _moving(values: pd.Series, window: int, statistic: Callable[..., NDArray[np.float64]]) -> pd.Series:
    """Return a statistic of the last ``window`` values, each window on its own, so that no rounding is carried on."""
    result = np.full(len(values), np.nan)
    if len(values) >= window:
        result[window - 1 :] = statistic(sliding_window_view(values.to_numpy(), window), axis=1)
    return pd.Series(result, index=values.index)


def _recursive_mean(values: pd.Series, start: int, window: int, alpha: float) -> pd.Series:
    """Return ``y[t] = alpha * x[t] + (1 - alpha) * y[t-1]``, seeded with the mean of ``window`` values."""
    seed = start + window - 1
    seeded = values.to_numpy(copy=True)
    if seed < len(seeded):
        seeded[seed] = seeded[start : seed + 1].mean()
    seeded[:seed] = np.nan
    return pd.Series(seeded, index=values.index).ewm(alpha=alpha, adjust=False).mean()
