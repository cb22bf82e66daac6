"""The interval by ranks, against counting every order, and against samples whose shift is known."""

import math
from itertools import combinations

import numpy as np
import pytest

from bench.gate_ranks import CONFIDENCE, beyond, shift


def counted(before: int, now: int) -> int:
    """Return what `beyond` does, from all orders of two samples: slow and obvious."""
    places = range(before + now)
    wrong = [
        sum(one < other for one in chosen for other in set(places) - set(chosen))
        for chosen in combinations(places, now)
    ]
    rest = (1.0 - CONFIDENCE) / 2 * len(wrong)
    return max((cut for cut in range(before * now) if sum(pairs < cut for pairs in wrong) <= rest), default=0)


@pytest.mark.parametrize(("before", "now"), [(1, 1), (2, 2), (12, 1), (3, 4), (4, 4), (7, 4), (6, 6), (8, 3)])
def test_the_bound_is_that_of_all_orders(before: int, now: int) -> None:
    assert beyond(before, now) == counted(before, now)


@pytest.mark.parametrize(("before", "now", "critical"), [(7, 4, 3), (6, 6, 5), (12, 6, 14), (12, 12, 37)])
def test_the_bound_is_that_of_the_printed_tables(before: int, now: int, critical: int) -> None:
    """Tables of Mann and Whitney's U, two-sided at 5 %, have the largest value that is still significant."""
    assert beyond(before, now) == critical + 1


def test_the_shift_is_the_median_of_all_differences() -> None:
    middle, low, high = shift([1.0, 2.0, 3.0, 4.0], [11.0, 12.0, 13.0, 24.0])
    assert middle == 10.0
    assert low < middle < high


def test_samples_too_small_to_say_have_no_bounds() -> None:
    assert shift([1.0, 2.0], [4.0]) == (2.5, -math.inf, math.inf)


def test_the_interval_holds_the_shift_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        before, now = random.standard_t(2, 12), 0.7 + random.standard_t(2, 6)
        _, low, high = shift(before.tolist(), now.tolist())
        held += low <= 0.7 <= high
    assert held / 400 == pytest.approx(CONFIDENCE, abs=0.03)
