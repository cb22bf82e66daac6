"""Many tickers: each as if it were alone, whatever the threads, and what is refused."""

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from features_fast import BarError, TicklineError, compute, compute_panel
from tests.features_fast import naive

LENGTHS = [0, 300, 1, 49, 50, 51, 0, 777, 128, 192, 2]
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)])
BARS = naive.bars_around(naive.walk(sum(LENGTHS)))


@pytest.mark.parametrize("threads", [None, 1, 2, 7, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_ticker_is_as_if_it_were_alone(threads: int | None, dtype: type[np.floating]) -> None:
    rows = compute_panel(*BARS, OFFSETS, dtype=dtype, threads=threads)
    assert rows.dtype == dtype
    for start, stop in pairwise(OFFSETS):
        open, high, low, close, volume = (field[start:stop] for field in BARS)
        alone = compute(open, high, low, close, volume, dtype=dtype)
        np.testing.assert_array_equal(rows[start:stop], alone)


SIDE_BY_SIDE = {
    "of one length": [200] * 16,
    "of like lengths": [*range(180, 205)],
    "of every length": [700, 64, 0, 63, 71, 129, 350, 72, 64, 1, 333, 500, 65, 128, 256, 90, 49, 50, 73, 80, 81, 100],
    "one long": [64] * 7 + [1500] + [65] * 9,
    "hardly enough": [63] * 8 + [64] * 8,
}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SIDE_BY_SIDE)
def test_tickers_side_by_side_are_as_if_each_were_alone(name: str, dtype: type[np.floating], threads: int) -> None:
    offsets = np.cumsum([0, *SIDE_BY_SIDE[name]])
    bars = naive.bars_around(naive.walk(offsets[-1]))
    rows = compute_panel(*bars, offsets, dtype=dtype, threads=threads)
    for start, stop in pairwise(offsets):
        open, high, low, close, volume = (field[start:stop] for field in bars)
        alone = compute(open, high, low, close, volume, dtype=dtype)
        np.testing.assert_array_equal(rows[start:stop], alone)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("field", range(5))
@pytest.mark.parametrize("bar", [0, 7, 60, 127, 190, 199])
def test_an_impossible_bar_is_found_among_tickers_side_by_side(bar: int, field: int, threads: int) -> None:
    offsets = np.arange(33) * 200
    bars = naive.bars_around(naive.walk(offsets[-1]))
    for ticker in (5, 6, 31):
        bars[field][offsets[ticker] + bar] = np.nan
    with pytest.raises(BarError, match=rf"^ticker 5, bar {bar}: .* not nan$"):
        compute_panel(*bars, offsets, threads=threads)


EDGES = np.array([0.0, 5e-324, 1e-19, 1e-18, 1.0, 100.0, 1e18, 1e19, 1e30, 1e31, np.inf, np.nan])


def test_tickers_side_by_side_refuse_what_each_alone_refuses() -> None:
    rng = np.random.default_rng(5)
    edges = np.concatenate([np.nextafter(EDGES, -np.inf), EDGES, np.nextafter(EDGES, np.inf)])
    edges = np.concatenate([edges, -edges])
    offsets = np.arange(9) * 64
    bars = naive.bars_around(naive.walk(offsets[-1]))
    refused = 0
    for _ in range(1500):
        some = [field.copy() for field in bars]
        place = int(rng.integers(offsets[-1]))
        for field in rng.choice(5, size=rng.integers(1, 4), replace=False):
            some[field][place] = rng.choice(edges)
        ticker = place // 64
        open, high, low, close, volume = some
        try:
            alone = compute(*(field[offsets[ticker] : offsets[ticker + 1]] for field in some))
        except BarError as error:
            refused += 1
            with pytest.raises(BarError, match=f"^ticker {ticker}, {re.escape(str(error))}$"):
                compute_panel(open, high, low, close, volume, offsets, threads=1)
        else:
            rows = compute_panel(open, high, low, close, volume, offsets, threads=1)
            np.testing.assert_array_equal(rows[offsets[ticker] : offsets[ticker + 1]], alone)
    assert 100 < refused < 1400


def test_the_first_impossible_bar_is_named_though_longer_tickers_are_computed_first() -> None:
    offsets = np.cumsum([0, *range(100, 140)])
    bars = naive.bars_around(naive.walk(offsets[-1]))
    for ticker, bar in ((39, 3), (2, 101), (20, 0)):
        bars[4][offsets[ticker] + bar] = -1.0
    with pytest.raises(BarError, match=r"^ticker 2, bar 101: volume "):
        compute_panel(*bars, offsets, threads=2)


def test_one_long_ticker_among_many_short_ones() -> None:
    lengths = [20] * 50 + [1000] + [20] * 50
    offsets = np.cumsum([0, *lengths]).tolist()
    bars = naive.bars_around(naive.walk(sum(lengths)))
    rows = compute_panel(*bars, offsets, threads=2)
    np.testing.assert_array_equal(rows[1000:2000], compute(*(field[1000:2000] for field in bars)))
    assert np.isnan(rows[:1000]).all()
    assert np.isnan(rows[2000:]).all()


def test_out_receives_the_rows_and_is_returned() -> None:
    out = np.zeros((sum(LENGTHS), 22))
    assert compute_panel(*BARS, OFFSETS, out=out) is out
    np.testing.assert_array_equal(out, compute_panel(*BARS, OFFSETS, dtype=np.float64))


def test_a_panel_without_tickers_has_no_rows() -> None:
    nothing = np.zeros(0)
    assert compute_panel(nothing, nothing, nothing, nothing, nothing, [0]).shape == (0, 22)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_impossible_bar_is_named_with_its_ticker(threads: int) -> None:
    open, high, low, close, volume = (field.copy() for field in BARS)
    high[OFFSETS[7] + 400] = high[OFFSETS[9]] = np.nan
    with pytest.raises(
        BarError, match=r"^ticker 7, bar 400: high must be a positive finite number, not nan$"
    ) as caught:
        compute_panel(open, high, low, close, volume, OFFSETS, threads=threads)
    assert (caught.value.ticker, caught.value.index, caught.value.field) == (7, 400, "high")


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([0, 10], "offsets: expected to run from 0 to the 1550 bars, not 0 to 10"),
        ([1, 1550], "offsets: expected to run from 0 to the 1550 bars, not 1 to 1550"),
        ([0, 100, 50, 1550], "offsets: expected to rise, not 100 before 50 (ticker=1)"),
        ([0.0, 1550.0], "offsets: expected integers of one dimension, not float64 of shape (2,)"),
        ([[0, 1550]], "offsets: expected integers of one dimension, not int64 of shape (1, 2)"),
        (np.zeros(0, np.int64), "offsets: expected integers of one dimension, not int64 of shape (0,)"),
    ],
)
def test_offsets_that_do_not_cut_the_bars_are_refused(offsets: Any, message: str) -> None:
    with pytest.raises(TicklineError, match=re.escape(message)):
        compute_panel(*BARS, offsets)


def test_no_threads_are_refused() -> None:
    with pytest.raises(TicklineError, match=r"^threads: expected one or more, not 0$"):
        compute_panel(*BARS, OFFSETS, threads=0)
