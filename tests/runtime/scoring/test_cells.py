"""Cells of any type: the numbers and dates that Python reads, and marks where it reads none."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.scoring.cells import NO_TIME, encoded, numbers, times


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1.5, None, float("nan")]), [1.5, np.nan, np.nan]),
        (pa.array([1, 2**53], pa.int64()), [1.0, 2.0**53]),
        (pa.array([Decimal("1.25"), None]), [1.25, np.nan]),
        (pa.array(["1", "-2.5e-3", ".5"]), [1.0, -0.0025, 0.5]),
        (pa.array([" 1 ", "1_000", "", None, "0x1", "1,5", "x", "1e5"]), [1.0, *[np.nan] * 6, 1e5]),
        (pa.array(["7", "x"]).dictionary_encode(), [7.0, np.nan]),
        (pa.array([True, False]), [np.nan, np.nan]),
        (pa.array([date(2026, 1, 15)]), [np.nan]),
        (pa.nulls(2), [np.nan, np.nan]),
    ],
)
def test_numbers(column: Any, expected: list[float]) -> None:
    np.testing.assert_array_equal(numbers(column), expected)


@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_are_those_that_were_written(values: list[float]) -> None:
    np.testing.assert_array_equal(numbers(pa.array([repr(value) for value in values])), values)


MOMENT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
MICROSECONDS = int(MOMENT.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([MOMENT.replace(tzinfo=None), None]), [MICROSECONDS, NO_TIME]),
        (pa.array([MOMENT], pa.timestamp("ns", "Asia/Tokyo")), [MICROSECONDS]),
        (pa.array([date(2026, 1, 15)]), [MICROSECONDS - 37_800_000_000]),
        (pa.array(["2026-01-15", "2026-01-15 10:30:00"]), [MICROSECONDS - 37_800_000_000, MICROSECONDS]),
        (pa.array(["2026-01-15T10:30:00Z", "2026-01-15T12:30:00+02:00"]), [MICROSECONDS] * 2),
        (
            pa.array(["2026-01-15T10:30", "2026-01-15T12:30:00+02:00", "", None, "now"]),
            [*[MICROSECONDS] * 2, *[NO_TIME] * 3],
        ),
        (pa.array([20260115]), [NO_TIME]),
    ],
)
def test_times(column: Any, expected: list[int]) -> None:
    assert times(column).tolist() == expected


@pytest.mark.parametrize(
    "column", [pa.array(["B", "", None, "A", "B"]), pa.array(["B", "", None, "A", "B"]).dictionary_encode()]
)
def test_names(column: Any) -> None:
    codes, names = encoded(column)
    assert [names[code].as_py() if code >= 0 else None for code in codes] == ["B", None, None, "A", "B"]
