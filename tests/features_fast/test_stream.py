"""A growing series: the same rows at every split point, snapshots, and what is refused."""

import re
import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features_fast import WARM_UP, BarError, Stream, TicklineError, compute
from tests.features_fast import naive

BARS = naive.bars_around(naive.walk(400))
ADVERSARIAL = naive.adversarial()


def part(bars: naive.Bars, start: int, stop: int | None = None) -> naive.Bars:
    open, high, low, close, volume = (field[start:stop] for field in bars)
    return open, high, low, close, volume


def bar(bars: naive.Bars, t: int) -> tuple[float, ...]:
    return tuple(float(field[t]) for field in bars)


@pytest.mark.parametrize("name", ADVERSARIAL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bar_by_bar_gives_the_rows_of_the_series(name: str, dtype: type[np.floating]) -> None:
    bars = ADVERSARIAL[name]
    rows = compute(*bars, dtype=dtype)
    stream = Stream(dtype)
    for t, expected in enumerate(rows):
        row = stream.update(bar(bars, t), index=t)
        if t < WARM_UP:
            assert row is None
        else:
            assert row is not None
            assert row.dtype == dtype
            np.testing.assert_array_equal(row, expected)
    assert stream.bars == len(rows)


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_every_split_point_gives_the_same_rows(name: str) -> None:
    bars = ADVERSARIAL[name]
    rows = compute(*bars)
    for split in range(len(rows) + 1):
        stream = Stream()
        before = stream.extend(*part(bars, 0, split))
        restored = Stream()
        restored.restore(stream.snapshot())
        after = restored.extend(*part(bars, split))
        np.testing.assert_array_equal(np.concatenate([before, after]), rows)


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_another_series_begins_as_in_a_new_stream(name: str) -> None:
    bars = ADVERSARIAL[name]
    rows = compute(*bars)
    stream = Stream()
    for length in (len(rows), 0, 1, WARM_UP - 1, WARM_UP + 1, 130, 61):
        new = Stream()
        np.testing.assert_array_equal(stream.begin(*part(bars, 0, length)), new.extend(*part(bars, 0, length)))
        assert stream.snapshot() == new.snapshot()
    np.testing.assert_array_equal(stream.extend(*part(bars, 61)), rows[61:])


def test_a_series_that_begins_with_an_impossible_bar_leaves_a_new_stream() -> None:
    stream = Stream()
    open, high, low, close, volume = part(BARS, 0, 140)
    with pytest.raises(BarError, match=r"bar 130: close must be a positive finite number, not nan"):
        stream.begin(open, high, low, np.where(np.arange(len(close)) == 130, np.nan, close), volume)
    assert stream.bars == 0
    assert stream.snapshot() == Stream().snapshot()


@settings(derandomize=True, max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(0, 200), max_size=8), one_by_one=st.booleans())
def test_pieces_of_any_size_give_the_same_rows(sizes: list[int], one_by_one: bool) -> None:
    bars = naive.bars_around(naive.walk(sum(sizes) + 60, seed=len(sizes)))
    rows = compute(*bars)
    stream = Stream()
    start = 0
    for size in sizes:
        np.testing.assert_array_equal(stream.extend(*part(bars, start, start + size)), rows[start : start + size])
        start += size
        if one_by_one:
            stream.update(bar(bars, start), start)
            start += 1


def test_a_row_is_not_changed_by_later_bars() -> None:
    stream = Stream()
    stream.extend(*part(BARS, 0, 100))
    row = stream.update(bar(BARS, 100))
    assert row is not None
    kept = row.copy()
    stream.update(bar(BARS, 101))
    np.testing.assert_array_equal(row, kept)


def test_an_impossible_bar_leaves_the_stream_as_it_was() -> None:
    stream = Stream()
    stream.extend(*part(BARS, 0, 128))
    wrong = (10.0, 9.0, 9.5, 9.2, 1.0)
    with pytest.raises(BarError, match=re.escape("bar 128: high must not be below low 9.5, not 9.0")):
        stream.update(wrong)
    open, high, low, close, volume = part(BARS, 128)
    with pytest.raises(BarError, match=r"bar 228: close must be a positive finite number, not nan"):
        stream.extend(open, high, low, np.where(np.arange(len(close)) == 100, np.nan, close), volume)
    assert stream.bars == 128
    np.testing.assert_array_equal(stream.extend(*part(BARS, 128)), compute(*BARS)[128:])


@pytest.mark.parametrize(
    "wrong", [(1.0, 2.0, 0.5, 1.5), (1.0, 2.0, 0.5, 1.5, 0.0, 0.0), (1.0, 2.0, 0.5, "1.5", 0.0), 7]
)
def test_what_is_not_a_bar_is_refused(wrong: Any) -> None:
    stream = Stream()
    with pytest.raises(
        BarError, match=re.escape("bar 0: expected open, high, low, close and volume, not " + repr(wrong))
    ) as caught:
        stream.update(wrong)
    assert (caught.value.index, caught.value.field) == (0, None)
    assert stream.bars == 0


@pytest.mark.parametrize("kind", [int, np.float64, np.float32, np.int64])
def test_numbers_of_every_kind_are_taken(kind: Any) -> None:
    close = np.round(naive.walk(60))
    stream = Stream()
    for price in close:
        row = stream.update([kind(price)] * 5)
    assert row is not None
    np.testing.assert_array_equal(row, compute(*(close,) * 5)[-1])


def test_updates_leave_no_references_behind() -> None:
    stream = Stream()
    prices = tuple(float(field[0]) for field in BARS)
    counts = []
    for _ in range(3):
        for _ in range(1000):
            stream.update(prices)
        counts.append([sys.getrefcount(thing) for thing in (stream._state, stream._row, *prices)])
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.parametrize("index", [0, 99, 101])
def test_a_repeated_missing_or_late_bar_is_refused(index: int) -> None:
    stream = Stream()
    stream.extend(*part(BARS, 0, 100))
    with pytest.raises(TicklineError, match=f"^index: expected bar 100 next, not {index}$"):
        stream.update(bar(BARS, 100), index=index)
    assert stream.bars == 100


@pytest.mark.parametrize("spoil", [lambda s: b"", lambda s: s[:-1], lambda s: s + b"\0", lambda s: s[:-3] + b"abc"])
def test_a_spoiled_snapshot_is_refused(spoil: Any) -> None:
    stream = Stream()
    stream.extend(*part(BARS, 0, 100))
    with pytest.raises(TicklineError, match=r"^snapshot: expected"):
        stream.restore(spoil(stream.snapshot()))
    assert stream.bars == 100


def test_a_snapshot_of_other_features_is_refused() -> None:
    snapshot = Stream().snapshot()
    with pytest.raises(TicklineError, match="with these features"):
        Stream().restore(snapshot[:8] + bytes(32) + snapshot[40:])


def test_other_types_of_rows_are_refused() -> None:
    with pytest.raises(TicklineError, match=r"^dtype: expected float32 or float64, not float16$"):
        Stream(np.float16)


def test_threads_may_drive_different_streams_at_once() -> None:
    rows = compute(*BARS)
    newest: dict[int, Any] = {}

    def drive(place: int) -> None:
        stream = Stream()
        for t in range(len(rows)):
            newest[place] = stream.update(bar(BARS, t))

    threads = [threading.Thread(target=drive, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place in range(4):
        np.testing.assert_array_equal(newest[place], rows[-1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_go_into_the_callers_array(dtype: type[np.floating]) -> None:
    room = np.zeros((len(BARS[0]) + 2, 22), dtype)
    stream = Stream()
    for start, stop in ((0, 7), (7, 250), (250, len(BARS[0]))):
        out = room[1 + start : 1 + stop]
        assert stream.extend(*part(BARS, start, stop), out=out) is out
    np.testing.assert_array_equal(room[1:-1], compute(*BARS, dtype=dtype))
    assert not room[[0, -1]].any()
    with pytest.raises(TicklineError, match="out: expected shape"):
        stream.extend(*part(BARS, 0, 3), out=room)
    assert stream.bars == len(BARS[0])
