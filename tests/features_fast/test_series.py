"""One series: prefixes, the newest row, arrays of every kind, and what is refused."""

import copy
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features_fast import WARM_UP, BarError, TicklineError, compute, compute_last, compute_panel
from tests.features_fast import naive

BARS = naive.bars_around(naive.walk(400))
FIELDS = ("open", "high", "low", "close", "volume")


def first(bars: naive.Bars, k: int) -> naive.Bars:
    open, high, low, close, volume = (field[:k] for field in bars)
    return open, high, low, close, volume


def replaced(field: str, index: int, value: float) -> naive.Bars:
    arrays = [array.copy() for array in BARS]
    arrays[FIELDS.index(field)][index] = value
    open, high, low, close, volume = arrays
    return open, high, low, close, volume


prices = st.floats(min_value=1e-3, max_value=1e6)


@st.composite
def bars(draw: st.DrawFn) -> naive.Bars:
    """Bars without any regularity: every close anywhere, wide and point ranges, volumes with gaps."""
    n = draw(st.integers(1, 300))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    low_price, high_price = sorted((draw(prices), draw(prices)))
    close = np.exp(random.uniform(np.log(low_price), np.log(high_price), n))
    volume = np.where(random.random(n) < draw(st.floats(0, 1)), 0.0, 1e9 * random.random(n))
    made = naive.bars_around(close, seed=1, volume=volume)
    still = random.random(n) < draw(st.floats(0, 1))
    for field in made[:3]:
        field[still] = close[still]
    return made


@settings(derandomize=True, max_examples=60, deadline=None)
@given(bars=bars(), data=st.data())
def test_later_bars_do_not_change_earlier_rows(bars: naive.Bars, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, len(bars[3])))
    np.testing.assert_array_equal(compute(*first(bars, k), dtype=np.float64), compute(*bars, dtype=np.float64)[:k])


@settings(derandomize=True, max_examples=60, deadline=None)
@given(bars=bars())
def test_the_newest_row_is_the_last_of_all_rows(bars: naive.Bars) -> None:
    np.testing.assert_array_equal(compute_last(*bars, dtype=np.float64), compute(*bars, dtype=np.float64)[-1])


@settings(derandomize=True, max_examples=60, deadline=None)
@given(bars=bars())
def test_any_bars_give_finite_rows_within_their_bounds(bars: naive.Bars) -> None:
    rows = compute(*bars)[WARM_UP:]
    assert np.isfinite(rows).all()
    rsi, width, volume = rows[:, 7], rows[:, 11], rows[:, 18]
    assert ((rsi >= 0) & (rsi <= 100)).all()
    assert ((width >= 0) & (volume >= 0)).all()


@pytest.mark.parametrize("name", naive.adversarial())
def test_every_prefix_of_adversarial_bars_gives_the_same_rows(name: str) -> None:
    bars = naive.adversarial()[name]
    rows = compute(*bars)
    for k in range(len(rows)):
        np.testing.assert_array_equal(compute(*first(bars, k)), rows[:k])
        if k:
            np.testing.assert_array_equal(compute_last(*first(bars, k)), rows[k - 1])


@pytest.mark.parametrize("count", [4095, 4096, 4097, 10_000])
def test_the_newest_row_of_a_long_window_is_the_same(count: int) -> None:
    bars = naive.bars_around(naive.walk(count))
    np.testing.assert_array_equal(compute_last(*bars), compute(*bars)[-1])
    spoiled = bars[1].copy()
    spoiled[count - 2] = np.inf
    with pytest.raises(BarError, match=rf"^bar {count - 2}: high must be a positive finite number, not inf$"):
        compute_last(bars[0], spoiled, *bars[2:])


@pytest.mark.parametrize("count", [1, 50, 128, 1023, 1024, 1025])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_short_series_has_the_rows_of_a_panel(count: int, dtype: type[np.floating]) -> None:
    bars = naive.bars_around(naive.walk(count))
    rows = compute(*bars, dtype=dtype)
    np.testing.assert_array_equal(rows, compute_panel(*bars, [0, count], dtype=dtype))
    spoiled = bars[2].copy()
    spoiled[count - 1] = np.nan
    with pytest.raises(BarError, match=rf"^bar {count - 1}: low must be a positive finite number, not nan$"):
        compute(*bars[:2], spoiled, *bars[3:], dtype=dtype)
    np.testing.assert_array_equal(compute(*bars, dtype=dtype), rows)


@pytest.mark.parametrize(("function", "shape"), [(compute, (400, 22)), (compute_last, (22,))])
def test_rows_leave_no_references_behind(function: Callable[..., Any], shape: tuple[int, ...]) -> None:
    out = np.zeros(shape)
    counts = []
    for _ in range(3):
        for _ in range(1000):
            function(*BARS, out=out)
        counts.append([sys.getrefcount(thing) for thing in (out, *BARS)])
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.parametrize("bars_count", [0, 1, 49])
def test_too_few_bars_give_rows_of_nan(bars_count: int) -> None:
    rows = compute(*first(BARS, bars_count))
    assert rows.shape == (bars_count, 22)
    assert np.isnan(rows).all()


def test_float32_rows_are_the_float64_rows_rounded() -> None:
    wide = compute(*BARS, dtype=np.float64)
    np.testing.assert_array_equal(compute(*BARS), wide.astype(np.float32))
    np.testing.assert_array_equal(compute_last(*BARS), wide[-1].astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_out_receives_the_rows_and_is_returned(dtype: type[np.floating]) -> None:
    out = np.zeros((400, 22), dtype)
    assert compute(*BARS, out=out) is out
    np.testing.assert_array_equal(out, compute(*BARS, dtype=dtype))
    row = np.zeros(22, dtype)
    assert compute_last(*BARS, out=row) is row
    np.testing.assert_array_equal(row, out[-1])


LABELLED: Any = np.dtype(np.float64, metadata={"unit": "USD"})
"""A type that equals float64 and is another object."""


class Subclass(np.ndarray[Any, Any]):
    """An array that is not plain."""


def misaligned(field: naive.Array) -> naive.Array:
    buffer = np.zeros(field.nbytes + 1, np.uint8)[1:]
    result = buffer.view(np.float64)
    result[:] = field
    return result


@pytest.mark.parametrize(
    "convert",
    [
        lambda field: field.tolist(),
        lambda field: np.repeat(field, 3)[::3],
        lambda field: field[::-1].copy()[::-1],
        lambda field: field.astype(">f8"),
        lambda field: field.view(Subclass),
        lambda field: field.view(LABELLED),
        misaligned,
    ],
    ids=["list", "strided", "reversed", "byte order", "subclass", "labelled type", "misaligned"],
)
def test_arrays_of_every_kind_are_converted(convert: Callable[[naive.Array], Any]) -> None:
    converted = [convert(field) for field in BARS]
    choices = [converted, *([*BARS[:i], converted[i], *BARS[i + 1 :]] for i in range(5))]
    for some in choices:
        np.testing.assert_array_equal(compute(*some), compute(*BARS))
        np.testing.assert_array_equal(compute_last(*some), compute_last(*BARS))


def test_an_out_of_an_equal_type_receives_the_rows() -> None:
    out = np.zeros((400, 22)).view(LABELLED)
    compute(*BARS, out=out)
    np.testing.assert_array_equal(out, compute(*BARS, dtype=np.float64))


def test_narrower_types_are_widened() -> None:
    narrow = [field.astype(np.float32) for field in BARS]
    wide = [field.astype(np.float64) for field in narrow]
    np.testing.assert_array_equal(compute(*narrow), compute(*wide))


@pytest.mark.parametrize("function", [compute, compute_last])
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("index", [0, 17, 127, 128, 399])
def test_an_impossible_bar_is_named(function: Callable[..., Any], field: str, index: int) -> None:
    with pytest.raises(BarError, match=f"^bar {index}: {field} must be .*, not nan$") as caught:
        function(*replaced(field, index, float("nan")))
    assert (caught.value.index, caught.value.field, caught.value.ticker) == (index, field, None)
    again = copy.copy(caught.value)
    assert str(again) == str(caught.value) == f"bar {index}: {field} {again.fault}"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("open", 0.0, "bar 17: open must be a positive finite number, not 0.0"),
        ("close", -1.0, "bar 17: close must be a positive finite number, not -1.0"),
        ("high", float("inf"), "bar 17: high must be a positive finite number, not inf"),
        ("close", 1e-19, "bar 17: close must lie between 1e-18 and 1e+18, not 1e-19"),
        ("high", 1e19, "bar 17: high must lie between 1e-18 and 1e+18, not 1e+19"),
        ("volume", -1.0, "bar 17: volume must be a finite number, zero or more, not -1.0"),
        ("volume", 1e31, "bar 17: volume must be 1e+30 at most, not 1e+31"),
        ("high", 1.0, "bar 17: high must not be below low"),
    ],
)
@pytest.mark.parametrize("function", [compute, compute_last])
def test_each_impossibility_has_its_message(
    function: Callable[..., Any], field: str, value: float, message: str
) -> None:
    with pytest.raises(BarError, match=re.escape(message)):
        function(*replaced(field, 17, value))


def test_the_first_of_several_impossible_bars_is_named() -> None:
    arrays = [array.copy() for array in BARS]
    arrays[0][300] = arrays[4][140] = arrays[1][141] = float("nan")
    with pytest.raises(BarError, match=r"^bar 140: volume"):
        compute(*arrays)


def test_an_open_outside_the_range_is_a_rounding_quirk_and_accepted() -> None:
    assert np.isfinite(compute(*replaced("open", 60, float(BARS[1][60]) * 1.0001))[60]).all()


def test_the_limits_themselves_are_accepted() -> None:
    price = np.where(np.arange(60) % 2 == 0, 1e-18, 1e18)
    rows = compute(price, price, price, price, np.full(60, 1e30))
    assert np.isfinite(rows[WARM_UP:]).all()


@pytest.mark.parametrize("function", [compute, compute_last])
def test_fields_that_do_not_match_are_named(function: Callable[..., Any]) -> None:
    open, high, low, close, volume = BARS
    with pytest.raises(BarError, match=r"^high: expected 400 values like close, not 399$") as caught:
        function(open, high[1:], low, close, volume)
    assert (caught.value.index, caught.value.field) == (None, "high")
    with pytest.raises(BarError, match=r"^volume: expected one dimension, not shape \(20, 20\)$"):
        function(open, high, low, close, volume.reshape(20, 20))
    with pytest.raises(BarError, match=r"^close: expected one dimension, not shape \(\)$"):
        function(open, high, low, np.array(1.0), volume)
    with pytest.raises(BarError, match=r"^low: expected numbers, not list"):
        function(open, high, ["cheap"] * 400, close, volume)


def test_the_newest_row_of_nothing_is_refused() -> None:
    with pytest.raises(BarError, match=r"^close: expected one bar at least, not none$"):
        compute_last(*first(BARS, 0))


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((399, 22)), "out: expected shape (400, 22), not (399, 22)"),
        (np.zeros((400, 22), np.int64), "out: expected a float32 or float64 array, not int64"),
        ([0.0], "out: expected a float32 or float64 array, not list"),
        (np.zeros((400, 44))[:, ::2], "out: expected a contiguous, aligned and writable array"),
        (np.zeros((400, 22), ">f8"), "out: expected a float32 or float64 array, not >f8"),
    ],
)
def test_an_out_that_cannot_take_the_rows_is_refused(out: Any, message: str) -> None:
    with pytest.raises(TicklineError, match=re.escape(message)):
        compute(*BARS, out=out)


def test_a_read_only_out_is_refused() -> None:
    out = np.zeros(22)
    out.flags.writeable = False
    with pytest.raises(TicklineError, match="writable"):
        compute_last(*BARS, out=out)


@pytest.mark.parametrize("function", [compute, compute_last])
def test_other_types_of_rows_are_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(TicklineError, match=r"^dtype: expected float32 or float64, not int64$"):
        function(*BARS, dtype=np.int64)
