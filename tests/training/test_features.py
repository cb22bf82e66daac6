from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import talib
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from features_fast import FEATURE_NAMES, WARM_UP
from training.data import load_bundled_data
from training.errors import DataError
from training.features import (
    calculate_bollinger_bands,
    calculate_ema,
    calculate_macd,
    calculate_rsi,
    calculate_sma,
    create_features,
    label_rows,
    prepare_training_data,
)


@pytest.fixture(scope="module")
def sp500() -> pd.DataFrame:
    return load_bundled_data("sp500")


def same(actual: pd.Series, expected: NDArray[np.float64], scale: float = 1.0) -> None:
    """Compare to 1e-9 of each value or of the scale, NaN where NaN is expected."""
    assert_allclose(actual.to_numpy(), expected, rtol=1e-9, atol=1e-9 * scale)


@pytest.mark.parametrize("window", [2, 5, 14, 50, 200])
def test_averages_rsi_and_bands_are_those_of_talib(sp500: pd.DataFrame, window: int) -> None:
    closes = sp500["Close"].to_numpy()
    same(calculate_sma(sp500, window), talib.SMA(closes, window))
    same(calculate_ema(sp500, window), talib.EMA(closes, window))
    same(calculate_rsi(sp500, window), talib.RSI(closes, window))
    for band, expected in zip(
        calculate_bollinger_bands(sp500, window, 1.5), talib.BBANDS(closes, window, 1.5, 1.5), strict=True
    ):
        # TA-Lib's own variance is a difference of running sums, good to about 1e-13 of the squared price.
        assert_allclose(band.to_numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("windows", [(12, 26, 9), (3, 10, 16), (2, 3, 2)])
def test_macd_is_that_of_talib(sp500: pd.DataFrame, windows: tuple[int, int, int]) -> None:
    closes = sp500["Close"].to_numpy()
    for series, expected in zip(calculate_macd(sp500, *windows), talib.MACD(closes, *windows), strict=True):
        same(series, expected, scale=float(closes.mean()))


def test_indicators_agree_with_the_kernels(sp500: pd.DataFrame) -> None:
    features = create_features(sp500, dtype=np.float64).iloc[WARM_UP:]
    upper, middle, lower = calculate_bollinger_bands(sp500)
    macd = calculate_macd(sp500)
    twins = {f"SMA_{n}": calculate_sma(sp500, n) for n in (5, 10, 20, 50)}
    twins |= {f"EMA_{n}": calculate_ema(sp500, n) for n in (5, 10, 20)}
    twins |= {"RSI": calculate_rsi(sp500), "MACD": macd.line, "MACD_Signal": macd.signal, "MACD_Hist": macd.histogram}
    twins |= {"BB_Width": (upper - lower) / middle, "BB_Position": (sp500["Close"] - lower) / (upper - lower)}
    for name, twin in twins.items():
        scale = 1000.0 if name.startswith("MACD") else 1.0
        same(features[name], twin.iloc[WARM_UP:].to_numpy(), scale)


def test_bands_do_not_cancel_on_a_high_price() -> None:
    noise = pd.Series(np.random.default_rng(0).normal(size=200))
    low = calculate_bollinger_bands(noise, 20)
    high = calculate_bollinger_bands(noise + 1e8, 20)
    assert_allclose((high.upper - high.lower)[19:], (low.upper - low.lower)[19:], rtol=1e-6)


def test_rsi_of_flat_rising_and_falling_closes() -> None:
    assert calculate_rsi(pd.Series([5.0] * 20)).iloc[14:].tolist() == [50.0] * 6
    assert calculate_rsi(pd.Series(np.arange(1.0, 21.0))).iloc[14:].tolist() == [100.0] * 6
    assert calculate_rsi(pd.Series(np.arange(20.0, 0.0, -1.0))).iloc[14:].tolist() == [0.0] * 6


INDICATORS: dict[str, tuple[Callable[[pd.Series], pd.Series], int]] = {
    "sma": (lambda closes: calculate_sma(closes, 5), 4),
    "ema": (lambda closes: calculate_ema(closes, 5), 4),
    "rsi": (lambda closes: calculate_rsi(closes, 5), 5),
    "macd": (lambda closes: calculate_macd(closes, 2, 4, 3).line, 5),
    "bands": (lambda closes: calculate_bollinger_bands(closes, 5).upper, 4),
}


@pytest.mark.parametrize("name", INDICATORS)
def test_indicators_keep_the_index_and_warm_up(bars: pd.DataFrame, name: str) -> None:
    indicator, lookback = INDICATORS[name]
    closes = bars.set_index("Date")["Close"]
    result = indicator(closes)
    assert result.index.equals(closes.index)
    assert result.isna().to_numpy().tolist() == [bar < lookback for bar in range(len(closes))]
    assert indicator(closes.iloc[:lookback]).isna().all()
    assert_array_equal(indicator(closes.iloc[:100]), result.iloc[:100])


@pytest.mark.parametrize("window", [0, -3, 2.5, "5", True])
def test_windows_are_checked(window: int) -> None:
    closes = pd.Series([1.0, 2.0])
    for indicator in (calculate_sma, calculate_ema, calculate_rsi, calculate_bollinger_bands):
        with pytest.raises(DataError, match="window: expected a whole number of at least 1, got"):
            indicator(closes, window)
    with pytest.raises(DataError, match="signal: expected a whole number of at least 1, got"):
        calculate_macd(closes, signal=window)


def test_macd_needs_a_faster_and_a_slower_window() -> None:
    with pytest.raises(DataError, match="fast: expected a window below slow = 12, got 26"):
        calculate_macd(pd.Series([1.0]), 26, 12)


def test_indicators_need_closes(bars: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="data: expected a column 'Close', got 'Open'"):
        calculate_sma(bars[["Open"]])


def test_features_are_added_for_each_ticker_by_itself(two_tickers: pd.DataFrame) -> None:
    before = two_tickers.copy()
    done: list[str] = []
    frame = create_features(two_tickers, on_ticker=done.append)
    pd.testing.assert_frame_equal(two_tickers, before)
    assert done == ["AAA", "BBB"]
    assert tuple(frame.columns) == (*before.columns, *FEATURE_NAMES)
    assert {str(frame[name].dtype) for name in FEATURE_NAMES} == {"float32"}
    for ticker, rows in frame.groupby("Ticker"):
        alone = create_features(two_tickers[two_tickers["Ticker"] == ticker])
        pd.testing.assert_frame_equal(rows, alone, check_exact=True)
        assert rows[list(FEATURE_NAMES)].isna().all(axis=1).tolist() == [bar < WARM_UP for bar in range(len(rows))]


def test_features_refuse_bars_in_the_wrong_order(bars: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="bars of SYNTH: expected dates that increase"):
        create_features(bars.iloc[::-1])
    with pytest.raises(DataError, match="bars of SYNTH: expected dates that increase"):
        create_features(bars.iloc[[0, 1, 1, 2]])


def test_features_refuse_incomplete_bars(bars: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="got none named High, Volume"):
        create_features(bars.drop(columns=["High", "Volume"]))
    with pytest.raises(DataError, match="bars, column 'Ticker': expected no empty cells, got 1"):
        create_features(bars.assign(Ticker=bars["Ticker"].mask(bars.index == 3)))


def test_features_refuse_bars_that_no_market_can_produce(bars: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="bars of SYNTH: "):
        create_features(bars.assign(Low=-1.0))


def test_targets_say_what_the_next_bar_did(bars: pd.DataFrame) -> None:
    X, y = prepare_training_data(bars)
    assert tuple(X.columns) == FEATURE_NAMES
    assert X.index.tolist() == y.index.tolist() == list(range(WARM_UP, len(bars) - 1))
    assert not X.isna().any(axis=None)
    closes = bars["Close"].tolist()
    assert y.tolist() == [int(closes[bar + 1] > closes[bar]) for bar in y.index]


def test_an_unchanged_close_is_down(bars: pd.DataFrame) -> None:
    frame = bars.copy()
    frame.loc[101, ["Open", "High", "Low", "Close"]] = frame.loc[100, ["Open", "High", "Low", "Close"]]
    assert prepare_training_data(frame)[1][100] == 0


def test_the_last_bar_of_each_ticker_has_no_target(two_tickers: pd.DataFrame) -> None:
    rows = label_rows(two_tickers)
    assert len(rows) == len(two_tickers) - 2 * (WARM_UP + 1)
    assert rows.groupby("Ticker")["Target_Date"].max().eq(two_tickers["Date"].max()).all()
    following = two_tickers.set_index(["Ticker", "Date"])["Close"]
    expected = [
        int(following[ticker, later] > close)
        for ticker, later, close in zip(rows["Ticker"], rows["Target_Date"], rows["Close"], strict=True)
    ]
    assert rows["Target"].tolist() == expected


def test_too_few_bars_for_one_row(bars: pd.DataFrame) -> None:
    assert len(prepare_training_data(bars.iloc[: WARM_UP + 2])[0]) == 1
    with pytest.raises(DataError, match="expected a ticker with at least 51 bars, got 50 bars"):
        prepare_training_data(bars.iloc[: WARM_UP + 1])
