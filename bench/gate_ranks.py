"""Between which bounds two samples differ, by ranks alone: Hodges and Lehmann's shift with Mann and Whitney's interval.

It asks for no distribution, holds for a handful of values, and one that is far off hardly moves it.
Source: Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd edition, section 4.3.
"""

import math
from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95


def shift(before: Sequence[float], now: Sequence[float]) -> tuple[float, float, float]:
    """Return by how much one sample lies above another.

    Parameters
    ----------
    before, now : sequence of float
        The samples, at least one value each.

    Returns
    -------
    middle : float
        The median of all differences between a value of `now` and one of `before`.
    low, high : float
        Between which the shift lies with `CONFIDENCE`; infinite where the samples are too small to say.
    """
    differences = np.sort(np.subtract.outer(now, before), axis=None)
    cut = beyond(len(before), len(now))
    low, high = (differences[cut - 1], differences[-cut]) if cut else (-math.inf, math.inf)
    return float(np.median(differences)), float(low), float(high)


def beyond(before: int, now: int) -> int:
    """Return which of the sorted differences bounds the interval from either side, from 1 on; 0 where none does."""
    ways = _ways(before, now)
    rest, cut = (1.0 - CONFIDENCE) / 2 * math.comb(before + now, now), 0
    while ways[cut] <= rest:
        rest -= ways[cut]
        cut += 1
    return cut


def _ways(before: int, now: int) -> list[int]:
    """Return how many orders of two samples have so many pairs the wrong way round, from none to all."""
    ways = [1] + [0] * (before * now)
    for size in range(1, now + 1):
        for pairs in range(before * now, before + size - 1, -1):
            ways[pairs] -= ways[pairs - before - size]
        for pairs in range(size, before * now + 1):
            ways[pairs] += ways[pairs - size]
    return ways
