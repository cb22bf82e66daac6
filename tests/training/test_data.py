from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from features_fast.columns import BAR_COLUMNS
from training.data import (
    generate_synthetic_stock_data,
    load_bundled_data,
    load_or_generate_data,
    split_data,
    write_table,
)
from training.errors import DataError
from training.reader import read_bars


def test_synthetic_bars_are_valid() -> None:
    bars = generate_synthetic_stock_data(20_000, "XYZ", seed=3)
    assert tuple(bars.columns) == BAR_COLUMNS
    assert len(bars) == 20_000
    assert set(bars["Ticker"]) == {"XYZ"}
    assert bars["Date"].is_monotonic_increasing
    assert bars["Date"].is_unique
    assert (bars["Low"] > 0).all()
    assert (bars["Low"] <= bars[["Open", "Close"]].min(axis=1)).all()
    assert (bars["High"] >= bars[["Open", "Close"]].max(axis=1)).all()
    assert (bars["Volume"] > 0).all()
    assert np.isfinite(bars[list(BAR_COLUMNS[2:])].to_numpy()).all()


def test_synthetic_bars_depend_on_every_argument_and_on_nothing_else() -> None:
    first = generate_synthetic_stock_data(50, "A", seed=1)
    assert_frame_equal(first, generate_synthetic_stock_data(50, "A", seed=1))
    assert not np.array_equal(first["Close"], generate_synthetic_stock_data(50, "A", seed=2)["Close"])
    assert not np.array_equal(first["Close"], generate_synthetic_stock_data(50, "B", seed=1)["Close"])


def test_synthetic_volatility_clusters_and_volume_follows_range() -> None:
    bars = generate_synthetic_stock_data(20_000, seed=5)
    moves = np.log(bars["Close"]).diff().dropna().abs()
    assert moves.autocorr(5) > 0.1
    width = np.log((bars["High"] - bars["Low"]) / bars["Close"] + 1e-6)
    assert np.corrcoef(width, np.log(bars["Volume"]))[0, 1] > 0.7


@pytest.mark.parametrize(
    ("days", "ticker", "seed", "message"),
    [
        (0, "A", 1, "days: expected 1 to 1000000, got 0"),
        (5, " ", 1, "ticker: expected a name, got ' '"),
        (5, "A", -1, "seed: expected 0 or more, got -1"),
    ],
)
def test_synthetic_arguments_are_checked(days: int, ticker: str, seed: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        generate_synthetic_stock_data(days, ticker, seed)


def test_generated_file_reads_back_as_the_same_bars(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "stock_data.csv"
    generated = load_or_generate_data(path, 120, seed=9)
    assert path.is_file()
    assert_frame_equal(load_or_generate_data(path, 5, seed=1), generated, check_exact=True)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_any_float_survives_a_file(tmp_path: Path, suffix: str) -> None:
    bars = generate_synthetic_stock_data(200, seed=1)
    bars[["Open", "High", "Low", "Close"]] *= 1 / 3
    write_table(bars, tmp_path / f"bars{suffix}")
    assert_frame_equal(read_bars(tmp_path / f"bars{suffix}"), bars, check_exact=True)


def test_table_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/bars\.csv: cannot be written: "):
        write_table(generate_synthetic_stock_data(5), tmp_path / "file" / "bars.csv")
    with pytest.raises(
        DataError, match=r"bars\.xlsx: expected a file name that ends in \.csv or \.parquet, got '\.xlsx'"
    ):
        write_table(generate_synthetic_stock_data(5), tmp_path / "bars.xlsx")


@pytest.mark.parametrize("source", ["sp500", "nasdaq"])
def test_bundled_series_are_bars(source: str) -> None:
    bars = load_bundled_data(source)
    assert tuple(bars.columns) == BAR_COLUMNS
    assert len(bars) == 5031
    assert set(bars["Ticker"]) == {source.upper()}
    assert bars["Date"].is_monotonic_increasing
    assert (bars["Low"] <= bars["Close"]).all()
    assert (bars["Close"] <= bars["High"]).all()


def test_unknown_bundled_series_is_refused() -> None:
    with pytest.raises(DataError, match="source: expected sp500 or nasdaq, got 'dax'"):
        load_bundled_data("dax")


def test_split_keeps_order_and_shares(bars: pd.DataFrame) -> None:
    parts = split_data(bars)
    assert [len(part) for part in parts] == [420, 90, 90]
    assert_frame_equal(pd.concat(parts), bars)


def test_split_changes_part_at_one_date_for_all_tickers(two_tickers: pd.DataFrame) -> None:
    train, validation, test = split_data(two_tickers)
    assert train["Date"].max() < validation["Date"].min()
    assert validation["Date"].max() < test["Date"].min()
    assert set(train["Ticker"]) == set(validation["Ticker"]) == set(test["Ticker"]) == {"AAA", "BBB"}
    assert len(train) == pytest.approx(0.7 * len(two_tickers), abs=2)
    assert len(train) + len(validation) + len(test) == len(two_tickers)


def test_split_does_not_need_sorted_rows(bars: pd.DataFrame) -> None:
    shuffled = bars.sample(frac=1, random_state=0)
    for part, expected in zip(split_data(shuffled), split_data(bars), strict=True):
        assert_frame_equal(part.sort_index(), expected)


@pytest.mark.parametrize(("train", "val"), [(0.0, 0.15), (0.7, 0.0), (0.8, 0.2), (-0.1, 0.5), (float("nan"), 0.1)])
def test_split_refuses_impossible_shares(bars: pd.DataFrame, train: float, val: float) -> None:
    with pytest.raises(DataError, match="train_ratio, val_ratio: expected two positive shares"):
        split_data(bars, train, val)


def test_split_refuses_what_it_cannot_split(bars: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="expected rows for training, validation and test, got 1, 0, 1 of 2"):
        split_data(bars.iloc[:2])
    with pytest.raises(DataError, match="expected rows for training, validation and test, got none"):
        split_data(bars.iloc[:0])
    with pytest.raises(DataError, match="expected a column 'Date'"):
        split_data(bars.drop(columns="Date"))
