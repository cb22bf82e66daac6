"""The rows that a model is fitted, tuned and judged on, parted in time without a leak."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features_fast import FEATURE_NAMES, WARM_UP
from training.data import split_data
from training.errors import DataError
from training.features import label_rows

MINIMUM_ROWS = 100
"""Rows with a target below which a split into three parts measures nothing."""

PARTS: tuple[str, ...] = ("train", "validation", "test")
_ARRAYS = ("X", "y", "dates", "target_dates")


@dataclass(frozen=True)
class Part:
    """One part of the rows.

    Attributes
    ----------
    X : (n, 22) float32
        Features, C-contiguous.
    y : (n,) int64
        1 (UP) or 0 (DOWN).
    dates, target_dates : (n,) datetime64[us]
        Date of the bar that each row belongs to, and of the bar that its target reads.
    first_date, last_date : Timestamp
        The first and the last of `dates`.
    """

    X: NDArray[np.float32]
    y: NDArray[np.int64]
    dates: NDArray[np.datetime64]
    target_dates: NDArray[np.datetime64]

    def take(self, rows: NDArray[np.int64]) -> "Part":
        """Return the rows of some numbers, (m,) int64."""
        return Part(self.X[rows], self.y[rows], self.dates[rows], self.target_dates[rows])

    @property
    def first_date(self) -> pd.Timestamp:
        return pd.Timestamp(self.dates.min())

    @property
    def last_date(self) -> pd.Timestamp:
        return pd.Timestamp(self.dates.max())


@dataclass(frozen=True)
class Dataset:
    """Training, validation and test rows."""

    train: Part
    validation: Part
    test: Part

    def save(self, path: Path) -> None:
        """Write the arrays of each part as ``X_train``, ``y_train``, ... to an ``.npz`` file."""
        arrays: dict[str, NDArray[Any]] = {}
        for name in PARTS:
            part: Part = getattr(self, name)
            arrays |= {f"{kind}_{name}": getattr(part, kind) for kind in _ARRAYS}
        np.savez(path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            The file cannot be read, or is not of rows, targets and dates of the same number.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                parts = [Part(*(arrays[f"{kind}_{name}"] for kind in _ARRAYS)) for name in PARTS]
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
        except Exception as error:  # a damaged archive: zlib, zipfile and numpy each have their own
            raise DataError(f"{path}: expected {', '.join(_ARRAYS)} of {', '.join(PARTS)}: {error}") from error
        for name, part in zip(PARTS, parts, strict=True):
            shapes = [getattr(part, kind).shape for kind in _ARRAYS]
            rows = (len(part.X),)
            if shapes != [(*rows, len(FEATURE_NAMES)), rows, rows, rows] or not len(part.X):
                raise DataError(
                    f"{path}, {name}: expected as many targets and dates as rows of {len(FEATURE_NAMES)} features, got "
                    f"shapes {', '.join(map(str, shapes))}"
                )
        return cls(*parts)


def build_dataset(df: pd.DataFrame, train_ratio: float = 0.70, val_ratio: float = 0.15) -> Dataset:
    """Turn bars into training, validation and test rows.

    The features of a row use bars up to its own alone, so they are computed over the whole series of each ticker. Its
    target reads the next bar; therefore the last row of each ticker before a boundary, whose target would read a bar
    of the next part, belongs to no part. No bar from the first validation date on has any influence on the training
    rows, and none from the first test date on has any on the validation rows.

    Parameters
    ----------
    df : DataFrame
        Bars with the columns Date, Ticker, Open, High, Low, Close, Volume, each ticker in time order.
    train_ratio, val_ratio : float
        Shares of the rows, see `training.data.split_data`.

    Returns
    -------
    Dataset
        Its rows in the order of ``df``.

    Raises
    ------
    DataError
        The bars are invalid or too few, or all training targets are the same.
    """
    rows = label_rows(df)
    if len(rows) < MINIMUM_ROWS:
        raise DataError(
            f"too few bars to train: expected at least {MINIMUM_ROWS} rows with a target, got {len(rows)} from "
            f"{len(df)} bars; one ticker needs {WARM_UP + MINIMUM_ROWS + 1} bars: {WARM_UP} of warm-up, "
            f"{MINIMUM_ROWS} rows and the last bar, which has no target"
        )
    train, validation, test = split_data(rows, train_ratio, val_ratio)
    dataset = Dataset(_part(train, validation["Date"].min()), _part(validation, test["Date"].min()), _part(test, None))
    targets = dataset.train.y
    if len(np.unique(targets)) != 2:
        raise DataError(f"data: expected training targets of both classes, got {len(targets)} of {targets[0]} alone")
    return dataset


def _part(rows: pd.DataFrame, next_part: pd.Timestamp | None) -> Part:
    """Return a part without the rows whose target reads a bar of the next part."""
    if next_part is not None:
        rows = rows[rows["Target_Date"] < next_part]
        if rows.empty:
            raise DataError(f"data: expected rows whose target is known before {next_part:%Y-%m-%d}, got none")
    return labelled_part(rows)


def labelled_part(rows: pd.DataFrame) -> Part:
    """Return rows of `training.features.label_rows` as arrays."""
    return Part(
        X=np.ascontiguousarray(rows[list(FEATURE_NAMES)].to_numpy(dtype=np.float32)),
        y=rows["Target"].to_numpy(dtype=np.int64),
        dates=rows["Date"].to_numpy(dtype="datetime64[us]"),
        target_dates=rows["Target_Date"].to_numpy(dtype="datetime64[us]"),
    )
