from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.errors import DataError
from training.folds import Fold, walk_forward_folds


def naive_folds(
    dates: list[int], targets: list[int], folds: int, window: int | None, embargo: int
) -> list[tuple[list[int], list[int]]]:
    """Return the rows of each fold, decided row by row."""
    days = sorted(set(dates))
    first = round(len(days) / 2)
    bounds = [round(first + number * (len(days) - first) / folds) for number in range(folds + 1)]
    found = []
    for start, end in pairwise(bounds):
        windows = days[start:end]
        past = days[: start - embargo]
        if window is not None:
            past = past[-window:]
        train = [row for row, date in enumerate(dates) if date in past and targets[row] < windows[0]]
        found.append((train, [row for row, date in enumerate(dates) if date in windows]))
    return found


def as_lists(folds: list[Fold]) -> list[tuple[list[int], list[int]]]:
    return [(fold.train.tolist(), fold.test.tolist()) for fold in folds]


@st.composite
def panels(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Return dates and target dates of rows of several tickers, some of which skip dates."""
    rows = draw(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 4)), min_size=40, max_size=80))
    rows += [(day, 1) for day in range(61)]
    return [day for day, _ in rows], [day + wait for day, wait in rows]


@given(panel=panels(), folds=st.integers(1, 6), window=st.none() | st.integers(6, 40), embargo=st.integers(0, 4))
def test_folds_are_those_of_the_slow_twin_and_leak_nothing(
    panel: tuple[list[int], list[int]], folds: int, window: int | None, embargo: int
) -> None:
    dates, targets = (np.array(days).astype("datetime64[D]") for days in panel)
    found = walk_forward_folds(dates, targets, folds, window=window, embargo=embargo)
    assert as_lists(found) == naive_folds(*panel, folds, window, embargo)
    tested = np.concatenate([fold.test for fold in found])
    assert sorted(tested) == np.flatnonzero(dates >= dates[tested].min()).tolist()
    for fold in found:
        opening = dates[fold.test].min()
        assert targets[fold.train].max() < opening
        days = np.unique(dates)
        assert np.searchsorted(days, opening) - np.searchsorted(days, dates[fold.train].max()) > embargo
        if window is not None:
            assert len(np.unique(dates[fold.train])) <= window


DAYS = np.arange("2020-01-01", 100, dtype="datetime64[D]")


def test_a_window_expands_or_rolls() -> None:
    expanding = walk_forward_folds(DAYS, DAYS + 1, 5)
    assert [len(fold.train) for fold in expanding] == [49, 59, 69, 79, 89]
    assert [fold.test.tolist() for fold in expanding] == [
        list(range(start, start + 10)) for start in range(50, 100, 10)
    ]
    rolling = walk_forward_folds(DAYS, DAYS + 1, 5, window=20, embargo=3)
    assert [(fold.train[0], fold.train[-1]) for fold in rolling] == [
        (start - 23, start - 4) for start in range(50, 100, 10)
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folds": 0}, "folds: expected at least 1, got 0"),
        ({"folds": 2, "window": 0}, "window: expected at least 1, got 0"),
        ({"folds": 2, "embargo": -1}, "embargo: expected at least 0, got -1"),
        ({"folds": 51}, "got 51 folds over 100 dates"),
        ({"folds": 2, "embargo": 50}, "training dates before an embargo of 50, got 2 folds over 100 dates"),
        ({"folds": 2, "window": 1}, "folds: expected training rows before 2020-02-20, got none"),
    ],
)
def test_impossible_folds_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        walk_forward_folds(DAYS, DAYS + 1, **arguments)
