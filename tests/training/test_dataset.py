from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from features_fast import WARM_UP
from training.dataset import MINIMUM_ROWS, Dataset, Part, build_dataset
from training.errors import DataError
from training.features import prepare_training_data

PRICES = ["Open", "High", "Low", "Close"]


def same(one: Part, other: Part) -> bool:
    """Tell whether two parts hold the same rows, bit for bit."""
    return one.X.tobytes() == other.X.tobytes() and one.y.tobytes() == other.y.tobytes()


def test_shapes_types_and_shares(dataset: Dataset, bars: pd.DataFrame) -> None:
    parts = (dataset.train, dataset.validation, dataset.test)
    assert len(bars) - WARM_UP - 1 == 550
    # 385, 83 and 82 rows, of which one is purged at either boundary.
    assert [len(part.y) for part in parts] == [384, 82, 82]
    for part in parts:
        assert part.X.shape == (len(part.y), 22)
        assert part.X.dtype == np.float32
        assert part.y.dtype == np.int64
        assert part.X.flags.c_contiguous
    assert dataset.train.first_date == bars["Date"][WARM_UP]
    assert dataset.test.last_date == bars["Date"].iloc[-2]


def test_rows_are_those_of_prepare_training_data_in_time_order(dataset: Dataset, bars: pd.DataFrame) -> None:
    X, y = prepare_training_data(bars)
    assert_array_equal(dataset.train.X, X.to_numpy()[: len(dataset.train.y)])
    assert_array_equal(dataset.test.X, X.to_numpy()[-len(dataset.test.y) :])
    assert_array_equal(dataset.test.y, y.to_numpy()[-len(dataset.test.y) :])


def test_no_part_reads_a_bar_of_a_later_part(two_tickers: pd.DataFrame) -> None:
    dataset = build_dataset(two_tickers)
    for factor in (0.5, 2.0):
        later = two_tickers["Date"] >= dataset.validation.first_date
        changed = two_tickers.copy()
        changed.loc[later, PRICES] *= factor
        changed.loc[later, "Volume"] *= 3
        rebuilt = build_dataset(changed)
        assert same(rebuilt.train, dataset.train)
        assert not same(rebuilt.validation, dataset.validation)

        later = two_tickers["Date"] >= dataset.test.first_date
        changed = two_tickers.copy()
        changed.loc[later, PRICES] *= factor
        rebuilt = build_dataset(changed)
        assert same(rebuilt.train, dataset.train)
        assert same(rebuilt.validation, dataset.validation)
        assert not same(rebuilt.test, dataset.test)


def test_the_last_bar_before_a_boundary_is_purged_and_no_other(two_tickers: pd.DataFrame) -> None:
    dataset = build_dataset(two_tickers)
    dates = np.sort(two_tickers["Date"].unique())
    for part, following in ((dataset.train, dataset.validation), (dataset.validation, dataset.test)):
        first = int(np.searchsorted(dates, following.first_date.to_datetime64()))
        assert part.last_date == pd.Timestamp(dates[first - 2])


def test_purging_follows_the_bars_of_each_ticker(two_tickers: pd.DataFrame) -> None:
    boundary = build_dataset(two_tickers).validation.first_date
    # BBB pauses for the five days before the boundary: the target of its last bar before the pause lies beyond it.
    days = np.sort(two_tickers["Date"].unique())
    first = int(np.searchsorted(days, boundary.to_datetime64()))
    pause = two_tickers["Date"].isin(days[first - 5 : first]) & (two_tickers["Ticker"] == "BBB")
    paused = two_tickers[~pause].reset_index(drop=True)
    dataset = build_dataset(paused)
    changed = paused.copy()
    changed.loc[changed["Date"] >= dataset.validation.first_date, PRICES] *= 0.25
    assert same(build_dataset(changed).train, dataset.train)


def test_too_few_bars_are_refused_with_the_number_that_is_needed(bars: pd.DataFrame) -> None:
    needed = WARM_UP + MINIMUM_ROWS + 1
    build_dataset(bars.iloc[:needed])
    with pytest.raises(DataError, match=f"at least 100 rows with a target, got 99 from 149 .* needs {needed} bars"):
        build_dataset(bars.iloc[: needed - 1])


def test_one_class_cannot_be_trained(bars: pd.DataFrame) -> None:
    rising = bars.copy()
    for name in PRICES:
        rising[name] = np.arange(100.0, 100.0 + len(bars))
    with pytest.raises(DataError, match="expected training targets of both classes, got 384 of 1 alone"):
        build_dataset(rising)


def test_saved_arrays(dataset: Dataset, tmp_path: Path) -> None:
    dataset.save(tmp_path / "datasets.npz")
    with np.load(tmp_path / "datasets.npz") as arrays:
        assert set(arrays) == {
            f"{kind}_{part}" for kind in ("X", "y", "dates", "target_dates") for part in ("train", "validation", "test")
        }
        assert_array_equal(arrays["X_validation"], dataset.validation.X)
        assert arrays["X_test"].dtype == np.float32
        assert arrays["y_test"].dtype == np.int64


def test_a_dataset_can_be_read_again(dataset: Dataset, tmp_path: Path) -> None:
    dataset.save(tmp_path / "datasets.npz")
    again = Dataset.load(tmp_path / "datasets.npz")
    for name in ("train", "validation", "test"):
        assert same(getattr(again, name), getattr(dataset, name))
        assert_array_equal(getattr(again, name).dates, getattr(dataset, name).dates)


def test_what_is_no_dataset_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "datasets.npz"
    with pytest.raises(DataError, match=r"datasets\.npz: cannot be read: No such file"):
        Dataset.load(path)
    path.write_bytes(b"rows")
    with pytest.raises(
        DataError, match=r"datasets\.npz: expected X, y, dates, target_dates of train, validation, test: "
    ):
        Dataset.load(path)
    Dataset(dataset.train, dataset.validation, replace(dataset.test, y=dataset.test.y[1:])).save(path)
    with pytest.raises(DataError, match=r"test: expected as many targets and dates as rows .* \(82, 22\), \(81,\)"):
        Dataset.load(path)
