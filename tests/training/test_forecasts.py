import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.forecasts import LOSSES, gain


def test_losses_by_hand() -> None:
    y, up = np.array([1, 1, 0, 0]), np.array([0.8, 0.5, 0.9, 0.0])
    assert LOSSES["error"](y, up).tolist() == [0, 1, 1, 0]
    np.testing.assert_allclose(LOSSES["brier"](y, up), [0.04, 0.25, 0.81, 0])
    expected = [-math.log(0.8), -math.log(0.5), -math.log(0.1), 0]
    np.testing.assert_allclose(LOSSES["log_loss"](y, up), expected, atol=1e-5)


def test_a_certain_and_wrong_forecast_loses_a_finite_amount() -> None:
    assert LOSSES["log_loss"](np.array([1, 0]), np.array([0.0, 1.0])) == pytest.approx([13.8155, 13.8155], abs=1e-3)


@given(rate=st.floats(0.05, 0.95), seed=st.integers(0, 2**32))
def test_the_truth_loses_least_where_a_loss_is_proper(rate: float, seed: int) -> None:
    other = np.random.default_rng(seed).uniform(0.05, 0.95)
    for name in ("log_loss", "brier"):
        expected = [
            sum(
                chance * float(LOSSES[name](np.array([y]), np.array([said]))[0])
                for y, chance in ((1, rate), (0, 1 - rate))
            )
            for said in (rate, other)
        ]
        assert expected[0] <= expected[1] + 1e-12


def test_gain_is_positive_where_ours_is_better() -> None:
    y = np.random.default_rng(2).integers(2, size=300)
    dates = np.arange("2020-01-01", 300, dtype="datetime64[D]")
    good, bad = np.where(y == 1, 0.7, 0.3), np.full(300, 0.5)
    ahead, behind = gain(y, dates, good, bad), gain(y, dates, bad, good)
    assert ahead.low == pytest.approx(math.log(0.7 / 0.5))
    assert (behind.estimate, behind.low) == pytest.approx((-ahead.estimate, -ahead.high))
    assert gain(y, dates, good, good).high == 0
