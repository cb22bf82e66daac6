import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.errors import DataError
from training.resampling import (
    Interval,
    block_length,
    bootstrap_interval,
    mean_interval,
    resample_rows,
)


def naive_rows(times: list[int], block: int, resamples: int, seed: int) -> list[list[int]]:
    """Return the rows of each resample, date by date."""
    dates = sorted(set(times))
    rows_of = {date: [row for row, time in enumerate(times) if time == date] for date in dates}
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        drawn: list[int] = []
        for start in generator.integers(len(dates), size=-(-len(dates) // block)):
            drawn += [dates[(start + step) % len(dates)] for step in range(block)]
        found.append([row for date in drawn[: len(dates)] for row in rows_of[date]])
    return found


@given(
    times=st.lists(st.integers(0, 12), min_size=1, max_size=30),
    share=st.floats(0, 1),
    resamples=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_rows_are_those_of_the_slow_twin(times: list[int], share: float, resamples: int, seed: int) -> None:
    block = 1 + int(share * (len(set(times)) - 1))
    drawn = [rows.tolist() for rows in resample_rows(times, block=block, resamples=resamples, seed=seed)]
    assert drawn == naive_rows(times, block, resamples, seed)


def test_dates_are_drawn_whole_and_blocks_are_consecutive() -> None:
    times = np.repeat(np.arange("2020-01-01", "2020-02-20", dtype="datetime64[D]"), 3)[::-1]
    for rows in resample_rows(times, block=10, resamples=50):
        assert len(rows) == 150
        dates = times[rows].reshape(50, 3)
        assert (dates == dates[:, :1]).all()
        steps = np.diff(dates[:, 0].astype(np.int64)).reshape(-1)
        inside = np.delete(steps, np.arange(9, 49, 10))
        assert set(inside.tolist()) <= {1, -49}  # the next day, or from the last to the first


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40),
    tickers=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
def test_a_mean_has_the_interval_of_any_statistic(values: list[float], tickers: int, seed: int) -> None:
    numbers, times = np.array(values), np.arange(len(values)) // tickers
    fast = mean_interval(numbers, times, resamples=20, seed=seed)
    slow = bootstrap_interval(lambda rows: float(numbers[rows].mean()), times, resamples=20, seed=seed)
    for ours, theirs in ((fast.estimate, slow.estimate), (fast.low, slow.low), (fast.high, slow.high)):
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-6)


def test_an_interval_of_dependent_rows_covers_what_one_of_single_rows_does_not() -> None:
    generator = np.random.default_rng(5)
    covered = {1: 0, None: 0}
    for _ in range(100):
        noise = generator.normal(size=430)
        series = np.zeros(430)
        for t in range(1, 430):
            series[t] = 0.7 * series[t - 1] + noise[t]
        for block in covered:
            found = mean_interval(series[30:], np.arange(400), block=block, resamples=200)
            covered[block] += found.low <= 0 <= found.high
    assert covered[1] < 0.70 * 100
    assert covered[None] > 0.80 * 100


def test_an_undefined_resample_is_left_out() -> None:
    defined = bootstrap_interval(lambda rows: float("nan") if 0 in rows else 1.0, range(30), block=1, resamples=50)
    assert (defined.low, defined.high) == (1.0, 1.0)
    never = bootstrap_interval(lambda rows: float("nan"), range(30), resamples=5)
    assert np.isnan([never.low, never.high]).all()


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    values = np.random.default_rng(1).normal(size=200)
    first, again, other = (mean_interval(values, np.arange(200), seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first.low < first.estimate < first.high


def test_more_confidence_is_a_wider_interval() -> None:
    values = np.random.default_rng(1).normal(size=200)
    narrow, wide = (mean_interval(values, np.arange(200), confidence=confidence) for confidence in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(("dates", "block"), [(1, 1), (8, 2), (9, 3), (745, 10), (1000, 10)])
def test_a_block_has_the_cube_root_of_all_dates(dates: int, block: int) -> None:
    assert block_length(dates) == block


def test_an_interval_reads_well() -> None:
    assert str(Interval(0.01234, -0.5, 1.25)) == "+0.0123, 95% interval -0.5000 to +1.2500"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"times": []}, r"times: expected shape \(n,\) with n > 0, got \(0,\)"),
        ({"block": 0}, "block: expected 1 to 3 dates, got 0"),
        ({"block": 4}, "block: expected 1 to 3 dates, got 4"),
        ({"resamples": 0}, "resamples: expected a positive number, got 0"),
        ({"confidence": 1.0}, "confidence: expected a number between 0 and 1, got 1.0"),
        ({"values": [1, 2]}, r"values: expected shape \(3,\) as times, got \(2,\)"),
        ({"values": [1, 2, np.inf]}, "values: expected finite numbers, got inf"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        mean_interval(**({"values": [1, 2, 3], "times": [1, 2, 3]} | arguments))  # type: ignore[arg-type]
