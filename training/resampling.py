"""Intervals for statistics of rows in time, whose neighbours are alike: the circular block bootstrap.

Rows are resampled in blocks of consecutive dates, so that what depends on its neighbours does so in every resample.
Rows of the same date (several tickers) are drawn together, because they move together. See D. N. Politis and
J. P. Romano, "A circular block-resampling procedure for stationary data", 1992.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.defaults import CONFIDENCE, SEED
from training.errors import DataError

RESAMPLES = 2000
"""Of an interval, where nothing else is said."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the percentile interval of its resamples.

    Attributes
    ----------
    estimate : float
        The statistic of the rows themselves.
    low, high : float
        The bounds.
    confidence : float
        How often such an interval is to hold the true value, 0 to 1.
    """

    estimate: float
    low: float
    high: float
    confidence: float = CONFIDENCE

    def __str__(self) -> str:
        return f"{self.estimate:+.4f}, {self.confidence:.0%} interval {self.low:+.4f} to {self.high:+.4f}"


def block_length(dates: int) -> int:
    """Return how many consecutive dates a block has where nothing else is said: the cube root of all, rounded up."""
    cube_root: float = dates ** (1 / 3)
    return max(1, math.ceil(round(cube_root, 9)))  # the cube root of 8 is not to be above 2


def resample_rows(
    times: ArrayLike, *, block: int | None = None, resamples: int = RESAMPLES, seed: int = SEED
) -> Iterator[NDArray[np.int64]]:
    """Yield the row numbers of each resample.

    Parameters
    ----------
    times : (n,) array of dates or numbers
        When each row is, in any order. Rows of the same time are drawn together.
    block : int, optional
        Consecutive dates a block; `block_length` says how many where this does not.
    resamples : int
        How many to yield.
    seed : int
        Same seed, same resamples.

    Yields
    ------
    (m,) int64
        Row numbers, oldest block first drawn; m is n where every date has as many rows.

    Raises
    ------
    DataError
        There are no rows, or block or resamples are not positive or a block is longer than the rows are.
    """
    order, first, count = _group(times)
    for dates in _draw(len(first), block, resamples, seed):
        sizes = count[dates]
        within = np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)
        yield order[np.repeat(first[dates], sizes) + within]


def bootstrap_interval(
    statistic: Callable[[NDArray[np.int64]], float],
    times: ArrayLike,
    *,
    block: int | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> Interval:
    """Return the interval of any statistic of rows.

    Parameters
    ----------
    statistic : callable
        Takes row numbers, (m,) int64, some of them repeatedly, and returns a number; NaN where the rows do not define
        it (such as ROC AUC of one class), which leaves that resample out.
    times, block, resamples, seed
        See `resample_rows`.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    Interval
        NaN bounds where no resample defines the statistic.
    """
    drawn = resample_rows(times, block=block, resamples=resamples, seed=seed)
    values = np.array([statistic(rows) for rows in drawn], dtype=np.float64)
    return _interval(float(statistic(np.arange(len(np.asarray(times))))), values, confidence)


def mean_interval(
    values: ArrayLike,
    times: ArrayLike,
    *,
    block: int | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> Interval:
    """Return the interval of a mean over rows: that of `bootstrap_interval` in a fraction of the time.

    Parameters
    ----------
    values : (n,) array of float
        Finite numbers, such as 1 where a prediction was right, or a difference of two losses.
    times, block, resamples, confidence, seed
        See `bootstrap_interval`.

    Raises
    ------
    DataError
        As `resample_rows`; or values and times are not alike in shape, or a value is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    order, first, count = _group(times)
    if numbers.shape != order.shape:
        raise DataError(f"values: expected shape {order.shape} as times, got {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise DataError(f"values: expected finite numbers, got {numbers[~np.isfinite(numbers)][0]}")
    sums = np.add.reduceat(numbers[order], first)
    means = np.array([sums[dates].sum() / count[dates].sum() for dates in _draw(len(first), block, resamples, seed)])
    return _interval(float(numbers.mean()), means, confidence)


def _group(times: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return rows in the order of time, and for each date the place of its first row there and how many it has."""
    stamps = np.asarray(times)
    if stamps.ndim != 1 or not len(stamps):
        raise DataError(f"times: expected shape (n,) with n > 0, got {stamps.shape}")
    order = np.argsort(stamps, kind="stable").astype(np.int64)
    _, first, count = np.unique(stamps[order], return_index=True, return_counts=True)
    return order, first.astype(np.int64), count.astype(np.int64)


def _draw(dates: int, block: int | None, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield which dates each resample has: blocks from anywhere, the last date followed by the first."""
    length = block_length(dates) if block is None else block
    if not 1 <= length <= dates:
        raise DataError(f"block: expected 1 to {dates} dates, got {length}")
    if resamples < 1:
        raise DataError(f"resamples: expected a positive number, got {resamples}")
    generator = np.random.default_rng(seed)
    offsets = np.arange(length)
    for _ in range(resamples):
        starts = generator.integers(dates, size=-(-dates // length))
        yield ((starts[:, None] + offsets).ravel()[:dates]) % dates


def _interval(estimate: float, values: NDArray[np.float64], confidence: float) -> Interval:
    """Return the percentile interval of the values that are defined."""
    if not 0 < confidence < 1:
        raise DataError(f"confidence: expected a number between 0 and 1, got {confidence}")
    defined = values[~np.isnan(values)]
    if not len(defined):
        return Interval(estimate, math.nan, math.nan, confidence)
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(estimate, float(low), float(high), confidence)
