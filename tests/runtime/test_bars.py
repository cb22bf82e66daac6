"""Decoding bars: one series whatever the form, and errors that name the bar, against slow and obvious twins."""

import json
from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features_fast import BarError, Stream, compute
from runtime.bars import Series, decode_bar, decode_bars, decode_body, decode_history
from runtime.problems import Problem
from tests.bars import FIELDS, arrays, columns, lists, rows

BAR = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 5.0}
VALUES = list(BAR.values())


def decode(bars: Any) -> Series:
    """Decode the bars of one ticker."""
    series = decode_body(json.dumps({"bars": bars}).encode())
    assert isinstance(series, Series)
    return series


def refused(bars: Any) -> Problem:
    """Return why bars are refused."""
    with pytest.raises(Problem) as caught:
        decode(bars)
    return caught.value


def test_every_form_gives_the_same_series() -> None:
    expected = [array.tobytes() for array in arrays(0, 300)]
    undated = {name: values for name, values in columns(0, 300).items() if name != "date"}
    for bars in (rows(0, 300), lists(0, 300), columns(0, 300), undated, [bar[1:] for bar in lists(0, 300)]):
        series = decode(bars)
        assert len(series) == 300
        assert [field.tobytes() for field in series.fields] == expected
    for bars in (rows(0, 300), lists(0, 300), columns(0, 300)):
        series = decode(bars)
        assert list(series.dates) == columns(0, 300)["date"]
        assert series.last_date is not None
        assert series.last_date.text == series.date(299)


@pytest.mark.parametrize("bars", [[], {name: [] for name in FIELDS}, {name: [] for name in ("date", *FIELDS)}])
def test_no_bars_are_a_series(bars: Any) -> None:
    for series in (decode(bars), decode_history(json.dumps({"bars": bars}).encode())):
        assert len(series) == 0
        assert series.last_date is None


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**9)
odd_values = numbers | st.none() | st.booleans() | st.text(max_size=2)
listed = st.lists(numbers, min_size=5, max_size=5) | st.lists(odd_values, max_size=7)
named = st.fixed_dictionaries({name: numbers for name in FIELDS}) | st.dictionaries(
    st.sampled_from([*FIELDS, "Open"]), odd_values
)
documents = st.lists(listed, max_size=3) | st.lists(named, max_size=3) | st.lists(listed | named, max_size=3)


def naive(bars: list[Any]) -> list[list[float]] | None:
    """Return the numbers of undated bars in rows, or None where they must be refused."""
    found = []
    for bar in bars:
        if type(bar) is not type(bars[0]) or (isinstance(bar, dict) and set(bar) != set(FIELDS)):
            return None
        values = [bar[name] for name in FIELDS] if isinstance(bar, dict) else bar
        if len(values) != 5 or not all(type(value) in (int, float) for value in values):
            return None
        found.append([float(value) for value in values])
    return found


@settings(max_examples=400, derandomize=True, deadline=None)
@given(documents.filter(lambda bars: not any(isinstance(bar, list) and len(bar) == 6 for bar in bars)))
def test_bars_are_decoded_or_refused_as_the_twin_says(bars: list[Any]) -> None:
    expected = naive(bars)
    if expected is None:
        assert refused(bars).members["field"].startswith("bars[")
    else:
        found = np.array(decode(bars).fields).T
        assert found.tobytes() == np.array(expected, np.float64).reshape(-1, 5).tobytes()


days = st.integers(1, 6).map("2026-01-0{}".format)
dates = st.one_of(days, days, st.none(), st.sampled_from(["2026-01-03T10:00", "2026-01-04T10:00Z", "2026-02-30", ""]))


def rise(given: list[str | None]) -> bool:
    """Tell whether each of the dates that are given is one, and later than the one before."""
    try:
        times = [datetime.fromisoformat(text) for text in given if text is not None]
        return all(later > earlier for earlier, later in pairwise(times))
    except (ValueError, TypeError):
        return False


@settings(max_examples=400, derandomize=True, deadline=None)
@given(st.lists(dates, max_size=4))
def test_dates_must_rise_where_they_are_given(given: list[str | None]) -> None:
    bars = [[date, *VALUES] for date in given]
    if rise(given):
        last = decode(bars).last_date
        assert (last and last.text) == next((text for text in reversed(given) if text is not None), None)
    else:
        assert refused(bars).members["field"].endswith("][0]")


SECOND = "2026-01-05T10:00:00"


@pytest.mark.parametrize(
    ("earlier", "later", "rises"),
    [
        (".000000001", ".000000002", True),
        (".000000009Z", ".00000001Z", True),
        (".123456", ",1234560001", True),
        (".123456789+01:00", ".1234567891+01:00", True),
        (".123456789", ".1234567890", False),
        (".000000002", ".000000001", False),
        (".000000001Z", ".000000001+00:00", False),
    ],
)
def test_nanoseconds_tell_dates_apart(earlier: str, later: str, rises: bool) -> None:
    bars = [[SECOND + fraction, *VALUES] for fraction in (earlier, later)]
    if rises:
        assert len(decode(bars)) == 2
    else:
        with pytest.raises(Problem, match=r"^bars\[1\]\[0\]: expected a date after "):
            decode(bars)


DATED = [{**BAR, "date": date} for date in ("2026-01-05", None, "2026-01-06")]
WRONG = {
    "a repeated day": ([*DATED, DATED[2]], "bars[3].date", "expected a date after 2026-01-06, got 2026-01-06"),
    "an earlier day": ([*DATED, DATED[0]], "bars[3].date", "expected a date after 2026-01-06, got 2026-01-05"),
    "no date": ([{**BAR, "date": "06/01/2026"}], "bars[0].date", "expected an ISO 8601 date"),
    "a long date": ([{**BAR, "date": f"2026-01-06T10:00:00.{'0' * 30}"}], "bars[0].date", "expected an ISO 8601 date"),
    "an offset in one alone": (
        [{**BAR, "date": "2026-01-05T10:00Z"}, {**BAR, "date": "2026-01-06T10:00"}],
        "bars[1].date",
        "expected a UTC offset in all dates or in none",
    ),
    "a date in a column": ({**columns(0, 3), "date": ["2026-01-05"] * 3}, "bars.date[1]", "expected a date after"),
    "a number for a date": ([[20260105, *VALUES]], "bars[0][0]", "expected string or null, got number"),
    "a string in a row": ([{**BAR, "low": "9"}], "bars[0].low", "expected number, got string"),
    "a string in a list": ([VALUES, [*VALUES[:2], "9", 1, 1]], "bars[1][2]", "expected number, got string"),
    "null in a dated list": ([["2026-01-05", *VALUES[:4], None]], "bars[0][5]", "expected number, got null"),
    "true in a list": ([[*VALUES[:4], True]], "bars[0][4]", "got boolean"),
    "a string in a column": ({**columns(0, 3), "open": [1, "2", 3]}, "bars.open[1]", "expected number, got string"),
    "a missing field": ([{**BAR}, {"open": 1}], "bars[1].high", "required and missing"),
    "an unknown field": ([{**BAR, "vwap": 1}], "bars[0].vwap", "no such field"),
    "a missing column": ({"open": []}, "bars.high", "required and missing"),
    "a short column": ({**columns(0, 3), "low": [1, 2]}, "bars.low", "expected 3 values like `open`, got 2"),
    "a short column of dates": ({**columns(0, 3), "date": []}, "bars.date", "expected 3 values like `open`, got 0"),
    "a short list": ([VALUES[:4]], "bars[0]", "expected an object or a list of 5 values or a list of 6 values, got"),
    "another width": ([VALUES, ["2026-01-05", *VALUES]], "bars[1]", "expected a list of 5 values, got a list of 6"),
    "a list among rows": ([BAR, VALUES], "bars[1]", "expected an object, got a list of 5 values"),
    "a row among lists": ([VALUES, BAR], "bars[1]", "expected a list of 5 values, got an object"),
    "a number for bars": (7, "bars", "expected object or array, got integer"),
    "null for bars": (None, "bars", "expected object or array, got null"),
    "beyond float64": ([[*VALUES[:4], 10**400]], "bars[0][4]", "beyond float64"),
}


@pytest.mark.parametrize(("bars", "field", "detail"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named(bars: Any, field: str, detail: str) -> None:
    problem = refused(bars)
    assert (problem.status, problem.members["field"]) == (422, field)
    assert detail in str(problem)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, None),
        (b'{"bars": [', 400, None),
        (b"{}", 422, "bars"),
        (b'{"bars": [], "tickers": {}}', 422, "tickers"),
        (b'{"tickers": {}}', 422, "tickers"),
        (b'{"bar": []}', 422, "bar"),
        (b'{"bars": [[1, 2, 3, 4, NaN]]}', 422, "bars[0][4]"),
        (b'{"tickers": {"A": [{"open": Infinity}]}}', 422, "tickers.A[0].open"),
    ],
)
def test_a_wrong_body_is_a_problem(body: bytes, status: int, field: str | None) -> None:
    with pytest.raises(Problem) as caught:
        decode_body(body)
    assert (caught.value.status, caught.value.members.get("field")) == (status, field)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.binary(max_size=40))
def test_no_bytes_are_more_than_a_problem(body: bytes) -> None:
    for take in (decode_body, decode_history, decode_bar):
        with pytest.raises(Problem) as caught:
            take(body)
        assert caught.value.status in (400, 422)


@pytest.mark.parametrize(
    ("bars", "field"),
    [
        ([{**BAR, "low": "9"}], "tickers.A[0].low"),
        ({**columns(0, 2), "low": [1, "2"]}, "tickers.A.low[1]"),
        ({"open": []}, "tickers.A.high"),
        ([VALUES, [1]], "tickers.A[1]"),
        (7, "tickers.A"),
    ],
)
def test_the_bars_of_a_ticker_are_named_with_it(bars: Any, field: str) -> None:
    encoded = decode_body(json.dumps({"tickers": {"A": bars}}).encode())
    assert isinstance(encoded, dict)
    with pytest.raises(Problem) as caught:
        decode_bars(encoded["A"], "tickers.A")
    assert caught.value.members["field"] == field


def test_the_bytes_of_a_ticker_are_checked_as_those_of_a_body() -> None:
    with pytest.raises(Problem) as caught:
        decode_bars(msgspec.Raw(b'[{"\xff": 1}]'), "tickers.A")
    assert caught.value.status in (400, 422)


PATHS = [
    ([BAR] * 3, "bars[2].{}", {}),
    ([VALUES] * 3, "bars[2][{}]", dict(zip(FIELDS, range(5), strict=True))),
    ([[None, *VALUES]] * 3, "bars[2][{}]", dict(zip(FIELDS, range(1, 6), strict=True))),
    ({name: [value] * 3 for name, value in BAR.items()}, "bars.{}[2]", {}),
]


@pytest.mark.parametrize(("bars", "path", "positions"), PATHS, ids=["rows", "lists", "dated lists", "columns"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("open", 0.0), ("high", -1.0), ("high", 8.0), ("low", 0.0), ("close", 1e300), ("close", 1e-30), ("volume", -1.0)],
)
def test_an_impossible_bar_is_named_in_every_form(
    bars: Any, path: str, positions: dict[str, int], name: str, value: float
) -> None:
    series = decode(bars)
    fields = [field.copy() for field in series.fields]
    fields[FIELDS.index(name)][2] = value
    with pytest.raises(BarError) as caught:
        compute(*fields)
    problem = series.explain(caught.value)
    assert (problem.status, problem.members["field"]) == (422, path.format(positions.get(name, name)))
    assert repr(value) in str(problem)


@pytest.mark.parametrize(("bar", "field"), [(BAR, "bar.high"), (VALUES, "bar[1]"), (["2026-01-05", *VALUES], "bar[2]")])
def test_one_bar_is_named_without_an_index(bar: Any, field: str) -> None:
    series = decode_bar(json.dumps({"bar": bar}).encode())
    assert [float(values[0]) for values in series.fields] == VALUES
    stream = Stream()
    stream.update(VALUES)
    with pytest.raises(BarError) as caught:
        stream.update([10.0, -1.0, 9.0, 11.0, 5.0])
    assert series.explain(caught.value, first=1).members["field"] == field


@pytest.mark.parametrize(
    ("bar", "field"), [({**BAR, "low": "9"}, "bar.low"), ([1, 2], "bar"), ([*VALUES[:4], None], "bar[4]"), (1, "bar")]
)
def test_one_wrong_bar_is_named_without_an_index(bar: Any, field: str) -> None:
    with pytest.raises(Problem) as caught:
        decode_bar(json.dumps({"bar": bar}).encode())
    assert caught.value.members["field"] == field
