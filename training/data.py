"""Daily bars to train on: synthetic, bundled or from a file, and their split in time."""

import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features_fast.atomic_file import check_file, write_atomically
from features_fast.columns import BAR_COLUMNS
from training.defaults import BUNDLED_SOURCES, DATA_FILE, DAYS, SEED, TICKER
from training.errors import DataError
from training.reader import PRICES, read_bars

_FIRST_DATE = "2010-01-04"
_MAX_DAYS = 1_000_000
_FIRST_PRICE = 100.0
_BASE_VOLUME = 2_000_000.0  # shares of a bar of usual range

# Of each regime (rising, quiet, falling): daily drift and volatility of the log price, and the mean length in days.
_DRIFT = (0.0055, 0.0, -0.0065)
_VOLATILITY = (0.009, 0.006, 0.014)
_LENGTH = (50.0, 25.0, 40.0)
# Pulls the log price back to where it began, so that a series of any length stays at prices that cents can express.
_REVERSION = 0.002
# GARCH(1, 1) with a mean of 1: large moves follow large moves.
_ARCH, _GARCH = 0.10, 0.85


def generate_synthetic_stock_data(days: int = DAYS, ticker: str = TICKER, seed: int = SEED) -> pd.DataFrame:
    """Generate daily bars with structure that a model can learn.

    The market moves between a rising, a quiet and a falling regime (a Markov chain), which differ in drift and in
    volatility; the volatility clusters (GARCH(1, 1)); volume grows with the range of the bar.

    Parameters
    ----------
    days : int
        Number of bars, one for each business day from 2010-01-04 on.
    ticker : str
        Its name in the Ticker column; other tickers give other series.
    seed : int
        Same arguments, same bars.

    Returns
    -------
    DataFrame
        Columns Date, Ticker, Open, High, Low, Close, Volume with ``L <= O, C <= H``; prices are positive whole cents,
        volumes positive whole shares, both float64.

    Raises
    ------
    DataError
        ``days`` is not between 1 and 1,000,000, ``seed`` is negative or ``ticker`` is empty.
    """
    if not 1 <= days <= _MAX_DAYS:
        raise DataError(f"days: expected 1 to {_MAX_DAYS}, got {days}")
    if seed < 0:
        raise DataError(f"seed: expected 0 or more, got {seed}")
    if not ticker.strip():
        raise DataError(f"ticker: expected a name, got {ticker!r}")
    random = np.random.default_rng([seed, zlib.crc32(ticker.encode())])
    volatility, log_close = _walk(days, random)
    overnight = 0.25 * volatility * random.standard_normal(days)
    log_open = np.concatenate([[0.0], log_close[:-1]]) + overnight
    log_high = np.maximum(log_open, log_close) + 0.5 * volatility * np.abs(random.standard_normal(days))
    log_low = np.minimum(log_open, log_close) - 0.5 * volatility * np.abs(random.standard_normal(days))
    relative_range = (log_high - log_low) / 0.015
    volume = _BASE_VOLUME * relative_range**0.7 * np.exp(0.2 * random.standard_normal(days))

    prices = {
        name: np.round(_FIRST_PRICE * np.exp(values), 2)
        for name, values in zip(PRICES, (log_open, log_high, log_low, log_close), strict=True)
    }
    dates = pd.bdate_range(_FIRST_DATE, periods=days).to_numpy(dtype="datetime64[us]")
    return pd.DataFrame({"Date": dates, "Ticker": ticker, **prices, "Volume": np.maximum(np.round(volume), 1.0)})


def _walk(days: int, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the daily volatility and the log close relative to the first price."""
    shocks = random.standard_normal(days)
    leaves = random.random(days)
    turns = random.integers(1, 3, size=days)
    volatility = np.empty(days)
    log_close = np.empty(days)
    regime, variance, level, shock = int(turns[0]), 1.0, 0.0, 0.0
    for day in range(days):
        if leaves[day] < 1 / _LENGTH[regime]:
            regime = (regime + int(turns[day])) % 3
        variance = (1 - _ARCH - _GARCH) + variance * (_ARCH * shock**2 + _GARCH)
        shock = shocks[day]
        volatility[day] = _VOLATILITY[regime] * variance**0.5
        level += _DRIFT[regime] - _REVERSION * level + volatility[day] * shock
        log_close[day] = level
    return volatility, log_close


def load_or_generate_data(path: str | Path = DATA_FILE, days: int = DAYS, seed: int = SEED) -> pd.DataFrame:
    """Read the bars in ``path``; where there is no such file, generate synthetic ones and write them there.

    Parameters
    ----------
    path : str or Path
        A CSV or Parquet file, see `training.reader.read_bars`.
    days, seed : int
        Used for generating alone, see `generate_synthetic_stock_data`.

    Returns
    -------
    DataFrame
        Columns Date, Ticker, Open, High, Low, Close, Volume, sorted by date.

    Raises
    ------
    DataError
        The file is there but holds no valid bars, or it cannot be written.
    """
    path = Path(path)
    if path.exists():
        return read_bars(path)
    bars = generate_synthetic_stock_data(days, seed=seed)
    write_table(bars, path)
    return bars


def load_bundled_data(source: str) -> pd.DataFrame:
    """Return real daily bars, 1999 to 2018, that the package ``arch`` brings along.

    Parameters
    ----------
    source : {"sp500", "nasdaq"}
        The S&P 500 or the NASDAQ Composite index.

    Returns
    -------
    DataFrame
        5,031 bars with the columns Date, Ticker, Open, High, Low, Close, Volume.

    Raises
    ------
    DataError
        There is no such series.
    """
    frame = _bundled_module(source).load()
    frame = frame.reset_index().assign(Ticker=source.upper())
    frame = frame.astype({"Date": "datetime64[us]", "Volume": "float64"})
    return pd.DataFrame(frame[list(BAR_COLUMNS)])


def _bundled_module(source: str) -> ModuleType:
    """Import the module of one bundled series."""
    if source == "sp500":
        import arch.data.sp500

        return arch.data.sp500
    if source == "nasdaq":
        import arch.data.nasdaq

        return arch.data.nasdaq
    raise DataError(f"source: expected {' or '.join(BUNDLED_SOURCES)}, got {source!r}")


def check_table(path: str | Path) -> None:
    """Raise the DataError that `write_table` would, before the work whose result it is to take."""
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise DataError(f"{path}: expected a file name that ends in .csv or .parquet, got {path.suffix!r}")
    try:
        check_file(path)
    except OSError as error:
        raise _not_written(path, error) from error


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV or Parquet, by the suffix ``.csv`` or ``.parquet``, whole or not at all.

    Raises
    ------
    DataError
        The suffix is another one, or the file cannot be written.
    """
    check_table(path)
    path = Path(path)
    try:
        with write_atomically(path) as staging:
            if path.suffix == ".parquet":
                frame.to_parquet(staging, index=False)
            else:
                frame.to_csv(staging, index=False)
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be written: {error.strerror or error}")


def split_data(
    df: pd.DataFrame, train_ratio: float = 0.70, val_ratio: float = 0.15
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Split rows in time into training, validation and test; nothing is shuffled.

    Both boundaries are dates, so that all tickers change from one part to the next together; with one ticker the
    parts hold the given shares of the rows exactly, with several as nearly as whole dates allow.

    Parameters
    ----------
    df : DataFrame
        Rows with a Date column, in any order; each part keeps this order and the index.
    train_ratio, val_ratio : float
        Shares of the rows; the rest is the test part.

    Returns
    -------
    tuple of DataFrame
        Training, validation and test.

    Raises
    ------
    DataError
        A ratio is not above 0, the two leave nothing for the test, there is no Date column, or a part would be empty.
    """
    if not (train_ratio > 0 and val_ratio > 0 and train_ratio + val_ratio < 1):
        raise DataError(
            f"train_ratio, val_ratio: expected two positive shares with a sum below 1, got {train_ratio}, {val_ratio}"
        )
    if "Date" not in df.columns:
        raise DataError(f"data: expected a column 'Date', got {', '.join(map(repr, df.columns)) or 'none'}")
    if df.empty:
        raise DataError("data: expected rows for training, validation and test, got none")
    dates = df["Date"].to_numpy(dtype="datetime64[us]")
    ordered = np.sort(dates)
    first_validation, first_test = (
        ordered[min(round(len(df) * share), len(df) - 1)] for share in (train_ratio, train_ratio + val_ratio)
    )
    parts = (
        df[dates < first_validation],
        df[(dates >= first_validation) & (dates < first_test)],
        df[dates >= first_test],
    )
    if any(part.empty for part in parts):
        sizes = ", ".join(str(len(part)) for part in parts)
        raise DataError(f"data: expected rows for training, validation and test, got {sizes} of {len(df)}")
    return parts
