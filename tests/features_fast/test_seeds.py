"""The weight that a window's beginning still has at its end."""

import numpy as np
import pytest

from features_fast import FEATURE_NAMES, TicklineError, seed_weight
from tests.features_fast import naive

RECURSIVE = ("EMA_5", "EMA_10", "EMA_20", "RSI", "MACD", "MACD_Signal", "MACD_Hist")


@pytest.mark.parametrize(("n", "bars"), [(5, 60), (10, 60), (20, 60), (20, 250)])
def test_the_weight_is_what_a_change_of_the_seed_leaves(n: int, bars: int) -> None:
    close = naive.walk(bars).astype(np.longdouble)
    moved = close.copy()
    moved[0] += n  # the seed moves by 1
    left = naive.ema(moved, n)[-1] - naive.ema(close, n)[-1]
    assert float(left) == pytest.approx(seed_weight(f"EMA_{n}", bars), rel=1e-6)


@pytest.mark.parametrize("bars", [34, 60, 100])
def test_the_weights_of_macd_are_those_of_the_slow_seed(bars: int) -> None:
    close = naive.walk(bars).astype(np.longdouble)
    moved = close.copy()
    moved[0] -= 26  # bar 0 is in the seed of EMA_26 alone
    rows = [naive.ema(x, 12, first=14) - naive.ema(x, 26) for x in (close, moved)]
    signals = [naive.ema(line, 9, first=25) for line in rows]
    line, signal = rows[1][-1] - rows[0][-1], signals[1][-1] - signals[0][-1]
    assert float(line) == pytest.approx(seed_weight("MACD", bars), rel=1e-9)
    assert float(signal) == pytest.approx(seed_weight("MACD_Signal", bars), rel=1e-9)
    assert abs(float(line - signal)) == pytest.approx(seed_weight("MACD_Hist", bars), rel=1e-9, abs=1e-12)


def test_the_weight_of_wilder() -> None:
    assert seed_weight("RSI", 15) == 1.0
    assert seed_weight("RSI", 16) == pytest.approx(13 / 14)
    assert seed_weight("RSI", 250) == pytest.approx((13 / 14) ** 235)


def test_features_without_memory_have_no_seed() -> None:
    assert {name: seed_weight(name, 50) for name in FEATURE_NAMES if name not in RECURSIVE} == dict.fromkeys(
        [name for name in FEATURE_NAMES if name not in RECURSIVE], 0.0
    )
    assert all(seed_weight(name, 60) > 0 for name in RECURSIVE)


@pytest.mark.parametrize("feature", RECURSIVE)
def test_it_is_one_up_to_the_seed_and_fades_with_the_window(feature: str) -> None:
    weights = [seed_weight(feature, bars) for bars in (60, 120, 250, 1000)]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] < 1e-20
    if feature != "MACD_Hist":
        assert weights[0] <= seed_weight(feature, 1) <= 1.0


def test_an_unknown_feature_is_refused() -> None:
    with pytest.raises(TicklineError, match=r"^feature: expected one of SMA_5, .*, not SMA_7$"):
        seed_weight("SMA_7", 100)
