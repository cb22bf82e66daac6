"""Bars and rows that several test modules read and none changes."""

import pandas as pd
import pytest

from training.data import generate_synthetic_stock_data
from training.dataset import Dataset, build_dataset


@pytest.fixture(scope="session")
def bars() -> pd.DataFrame:
    """Return 600 bars of one ticker."""
    return generate_synthetic_stock_data(600, seed=7)


@pytest.fixture(scope="session")
def two_tickers() -> pd.DataFrame:
    """Return bars of two tickers, the second of which begins later, sorted by date."""
    both = pd.concat(
        [generate_synthetic_stock_data(400, "AAA", seed=1), generate_synthetic_stock_data(400, "BBB", seed=1).iloc[90:]]
    )
    return both.sort_values(["Date", "Ticker"], ignore_index=True)


@pytest.fixture(scope="session")
def dataset(bars: pd.DataFrame) -> Dataset:
    """Return the parted rows of `bars`."""
    return build_dataset(bars)
