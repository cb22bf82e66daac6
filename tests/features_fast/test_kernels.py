"""What the kernels compute: every feature against an exact twin and against TA-Lib, on real and on adversarial bars."""

import numpy as np
import pytest
import talib
from arch.data import nasdaq, sp500
from numpy.typing import NDArray

from features_fast import FEATURE_NAMES, FEATURES, WARM_UP, compute
from tests.features_fast import naive

ADVERSARIAL = naive.adversarial()
REAL = {"sp500": sp500, "nasdaq": nasdaq}


def real_bars(name: str) -> naive.Bars:
    table = REAL[name].load()
    open, high, low, close, volume = (
        np.array(table[column], dtype=np.float64) for column in ("Open", "High", "Low", "Close", "Volume")
    )
    return open, high, low, close, volume


def column(rows: NDArray[np.floating], name: str) -> NDArray[np.floating]:
    return rows[:, FEATURE_NAMES.index(name)]


def assert_equals_twin(bars: naive.Bars) -> None:
    rows = compute(*bars, dtype=np.float64)
    twins = naive.features(*bars)
    assert tuple(sorted(twins)) == tuple(sorted(FEATURE_NAMES))
    for name, twin in twins.items():
        relative, absolute = naive.tolerance(name, bars[3])
        np.testing.assert_allclose(
            column(rows, name)[WARM_UP:], twin[WARM_UP:].astype(np.float64), rtol=relative, atol=absolute, err_msg=name
        )


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_every_feature_equals_its_exact_twin(name: str) -> None:
    assert_equals_twin(ADVERSARIAL[name])


@pytest.mark.parametrize("name", REAL)
def test_every_feature_equals_its_exact_twin_on_real_bars(name: str) -> None:
    bars = real_bars(name)
    open, high, low, close, volume = (field[-1000:] for field in bars)
    assert_equals_twin((open, high, low, close, volume))


@pytest.mark.parametrize("name", [*ADVERSARIAL])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_only_the_warm_up_is_nan(name: str, dtype: type[np.floating]) -> None:
    rows = compute(*ADVERSARIAL[name], dtype=dtype)
    assert np.isnan(rows[:WARM_UP]).all()
    assert np.isfinite(rows[WARM_UP:]).all()


def test_lookbacks_are_those_of_the_twins() -> None:
    twins = naive.features(*ADVERSARIAL["ordinary"])
    first_values = {name: int(np.flatnonzero(~np.isnan(twin))[0]) for name, twin in twins.items()}
    assert first_values == {feature.name: feature.lookback for feature in FEATURES} | {
        "MACD": 25  # TA-Lib, and our specification, give it together with its signal
    }


@pytest.mark.parametrize("name", REAL)
def test_parity_with_talib(name: str) -> None:
    open, high, low, close, volume = real_bars(name)
    rows = compute(open, high, low, close, volume, dtype=np.float64)
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    peers = {f"SMA_{n}": talib.SMA(close, n) for n in (5, 10, 20, 50)}
    peers |= {f"EMA_{n}": talib.EMA(close, n) for n in (5, 10, 20)}
    peers |= {f"Return_{n}d": talib.ROCP(close, n) for n in (1, 5, 10)}
    peers |= {
        "RSI": talib.RSI(close, 14),
        "BB_Width": (upper - lower) / middle,
        "Volume_Ratio": volume / talib.SMA(volume, 20),
    }
    for feature, peer in peers.items():
        np.testing.assert_allclose(column(rows, feature)[WARM_UP:], peer[WARM_UP:], rtol=1e-9, err_msg=feature)
    # These cross zero, where TA-Lib's own rounding, relative to prices and to the band, shows.
    for feature, peer in {"MACD": macd, "MACD_Signal": signal, "MACD_Hist": histogram}.items():
        difference = np.abs(column(rows, feature) - peer) / close
        assert difference[WARM_UP:].max() < 1e-14, feature
    position = (close - lower) / (upper - lower)
    np.testing.assert_allclose(column(rows, "BB_Position")[WARM_UP:], position[WARM_UP:], rtol=1e-9, atol=1e-9)


def test_talib_deviates_only_where_the_specification_says() -> None:
    flat = np.full(100, 10.0)
    rsi = column(compute(flat, flat, flat, flat, np.zeros(100)), "RSI")
    assert (rsi[WARM_UP:] == 50).all()
    assert (talib.RSI(flat, 14)[WARM_UP:] == 0).all()
    assert {feature.name for feature in FEATURES if "it says" in feature.talib} == {"RSI"}


def test_flat_bars_give_the_stated_values_exactly() -> None:
    price = 10.1
    row = dict(zip(FEATURE_NAMES, compute(*ADVERSARIAL["flat"], dtype=np.float64)[-1].tolist(), strict=True))
    expected = dict.fromkeys(FEATURE_NAMES, 0.0) | {
        name: price for name in FEATURE_NAMES if name.startswith(("SMA", "EMA"))
    }
    expected |= {"RSI": 50.0, "BB_Position": 0.5, "Volume_Ratio": 1.0, "Close_Position": 0.5}
    averages = [name for name in FEATURE_NAMES if name.startswith(("EMA", "MACD"))]
    assert {name: row[name] for name in averages} == pytest.approx(
        {name: expected[name] for name in averages}, abs=1e-14
    )
    exact = [name for name in FEATURE_NAMES if name not in averages]
    assert {name: row[name] for name in exact} == {name: expected[name] for name in exact}


def test_a_steady_rise_has_rsi_100_and_a_steady_fall_0() -> None:
    assert (column(compute(*ADVERSARIAL["rising"], dtype=np.float64), "RSI")[WARM_UP:] == 100).all()
    assert (column(compute(*ADVERSARIAL["falling"], dtype=np.float64), "RSI")[WARM_UP:] < 1e-50).all()


def test_movement_fades_to_rsi_50_over_years_of_still_bars() -> None:
    close = np.concatenate([naive.walk(100), np.full(20_000, 100.0)])
    rsi = column(compute(*naive.point_bars(close, np.zeros(len(close))), dtype=np.float64), "RSI")
    assert abs(rsi[500] - 50) > 1
    assert abs(rsi[-1] - 50) < 1e-9


def test_rolling_values_do_not_drift_over_ten_million_bars() -> None:
    chunk, chunks = 1_000_000, 10
    random = np.random.default_rng(3)
    from features_fast import Stream

    stream = Stream(dtype=np.float64)
    last = 100.0
    for _ in range(chunks):
        close = last * np.exp(np.cumsum(1e-4 * random.standard_normal(chunk)))
        last = float(close[-1])
        volume = np.abs(close - 100.0) * 1e4
        rows = stream.extend(close, close, close, close, volume)
    assert stream.bars == 10_000_000
    for end in random.integers(60, chunk, 50):
        window = slice(end - 60, end)
        flat = (close[window],) * 4
        for name, twin in naive.features(*flat, volume[window]).items():
            if not name.startswith(("EMA", "MACD", "RSI")):
                np.testing.assert_allclose(
                    column(rows, name)[end - 1], np.float64(twin[-1]), rtol=1e-9, atol=1e-13, err_msg=name
                )
    begin = chunk - 2000
    tail = close[begin:]
    for name, twin in naive.features(tail, tail, tail, tail, volume[begin:]).items():
        if name.startswith(("EMA", "MACD", "RSI")):
            np.testing.assert_allclose(
                column(rows, name)[-1], np.float64(twin[-1]), rtol=1e-9, atol=1e-12, err_msg=name
            )
