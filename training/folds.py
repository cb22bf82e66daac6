"""Walk-forward folds: train on the past, test on what follows it, purged and embargoed.

See M. Lopez de Prado, "Advances in Financial Machine Learning", 2018, chapters 7 and 12. Training rows always come
before test rows here, so nothing needs to be purged after a test window.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError

FIRST_TEST_SHARE = 0.5
"""Share of the dates before the first test window."""


@dataclass(frozen=True)
class Fold:
    """Numbers of the rows to fit on, and of the rows to judge on, (n,) int64 each, in their own order."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def walk_forward_folds(
    dates: NDArray[np.datetime64],
    target_dates: NDArray[np.datetime64],
    folds: int,
    *,
    window: int | None = None,
    embargo: int = 0,
) -> list[Fold]:
    """Return folds in the order of time.

    The second half of the dates is parted into as many test windows as folds. A row is fitted on for a window where

    - its date is before the window, and its target is known before it too (purging);
    - `embargo` dates at least lie between the two, so that what a test row remembers of the past has faded;
    - it is among the last `window` dates that the above leaves, where the window rolls.

    Parameters
    ----------
    dates : (n,) datetime64
        When each row is, in any order; rows of one date are never parted.
    target_dates : (n,) datetime64
        When the target of each row is known; later than its date.
    folds : int
        Number of test windows, as equal in dates as whole dates allow.
    window : int, optional
        Dates to train on; by default all (an expanding window).
    embargo : int
        Dates left out before a test window.

    Raises
    ------
    DataError
        A number is too small, or there are too few dates.
    """
    for name, value, least in (
        ("folds", folds, 1),
        ("window", 1 if window is None else window, 1),
        ("embargo", embargo, 0),
    ):
        if value < least:
            raise DataError(f"{name}: expected at least {least}, got {value}")
    unique = np.unique(dates)
    first = round(FIRST_TEST_SHARE * len(unique))
    bounds = np.linspace(first, len(unique), folds + 1).round().astype(np.int64)
    if first <= embargo or (np.diff(bounds) < 1).any():
        raise DataError(
            f"folds: expected at least one test date each and training dates before an embargo of {embargo}, "
            f"got {folds} folds over {len(unique)} dates"
        )
    found = []
    for start, end in pairwise(bounds):
        opening = unique[start]
        oldest = unique[0] if window is None else unique[max(0, start - embargo - window)]
        train = (dates >= oldest) & (dates < unique[start - embargo]) & (target_dates < opening)
        test = (dates >= opening) & (dates <= unique[end - 1])
        found.append(Fold(np.flatnonzero(train), np.flatnonzero(test)))
        if not train.any():
            raise DataError(f"folds: expected training rows before {opening}, got none")
    return found
