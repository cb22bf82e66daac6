"""Bars in CSV as a request's body: what people have is read as their JSON is, and what is wrong names its line."""

from collections.abc import Callable

import pandas as pd
import pytest

from runtime.bars import Series
from runtime.bars_csv import MOST_BARS, decode_csv
from runtime.problems import Problem
from tests.bars import lists
from tests.foreign_files import FORMS

HEAD = "Date,Open,High,Low,Close,Volume\n"


def table(count: int) -> pd.DataFrame:
    """Return bars whose volumes are as whole as all forms keep them."""
    frame = pd.DataFrame(lists(4000, 4000 + count), columns=["Date", "Open", "High", "Low", "Close", "Volume"]).round(2)
    return frame.assign(Date=pd.to_datetime(frame["Date"]), Ticker="X", Volume=frame["Volume"].round(-6))


def decoded(text: str) -> Series:
    found = decode_csv(text.encode(), 1000)
    assert isinstance(found, Series)
    return found


def refused(text: str, most: int = 1000) -> Problem:
    with pytest.raises(Problem) as caught:
        decode_csv(text.encode(), most)
    return caught.value


def check_same(series: Series, expected: pd.DataFrame) -> None:
    for field, name in zip(series.fields, ("Open", "High", "Low", "Close", "Volume"), strict=True):
        assert field.tolist() == pytest.approx(expected[name].tolist(), rel=1e-12)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_files_as_people_have_them_are_read(form: Callable[[pd.DataFrame], str]) -> None:
    expected = table(60)
    series = decoded(form(expected))
    check_same(series, expected)
    assert [str(date)[:10] for date in series.dates] == expected["Date"].dt.strftime("%Y-%m-%d").tolist()


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_without_a_header_the_order_tells(mark: str) -> None:
    expected = table(60)
    for columns in (["Date", "Open", "High", "Low", "Close", "Volume"], ["Open", "High", "Low", "Close", "Volume"]):
        series = decoded(expected[columns].to_csv(index=False, header=False, sep=mark))
        check_same(series, expected)
        assert bool(series.dates) == ("Date" in columns)
    assert series.place(0, "close") == "line 1, column Close"


def test_tickers_are_parted() -> None:
    frame = pd.concat([table(60), table(3).assign(Ticker="Y")]).sample(frac=1, random_state=1)
    found = decode_csv(frame.to_csv(index=False).encode(), 1000)
    assert isinstance(found, dict)
    assert {name: len(series) for name, series in found.items()} == {"X": 60, "Y": 3}
    check_same(found["X"], table(60))


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        (
            HEAD + "2026-01-15,1,1,1,1,1\n2026-01-16,1,1,1,x,1\n",
            422,
            "line 3, column Close: expected a number, got 'x'",
        ),
        (HEAD + "2026-01-15,1,1,1,1,1_000\n", 422, "line 2, column Volume: expected a number, got '1_000'"),
        (HEAD + "2026-01-15,1,1,1,1,1e400\n", 422, "line 2, column Volume: expected a number, got '1e400'"),
        (HEAD + "2026-01-15,1,1,1,1\n", 422, "row 2: expected 6 cells as in the header, got 5"),
        (HEAD + "2026-01-15,1,1,1,1,1\n2026-01-15,1,1,1,1,1\n", 422, "line 3, column Date: expected a date after"),
        (HEAD + "soon,1,1,1,1,1\n", 422, "line 2, column Date: expected an ISO 8601 date"),
        (HEAD + "01/02/2026,1,1,1,1,1\n", 422, "column Date: expected dates that tell day from month"),
        (HEAD.replace(",", ";") + "2026-01-15;1,234;1,234;1,234;1,234;1\n", 422, "expected a decimal mark"),
        ("Date,Open,Close\n2026-01-15,1,2\n", 422, "expected a column for High, got 'Date', 'Open', 'Close'"),
        (HEAD, 422, "at least one bar below it"),
        ("", 422, "expected a column for Open, got none"),
        (HEAD + "x\n" * 1010, 413, "expected at most 1000 bars as CSV, got 1011 lines"),
    ],
)
def test_what_is_wrong_is_said(text: str, status: int, message: str) -> None:
    problem = refused(text)
    assert problem.status == status
    assert message in str(problem)


def test_more_than_python_should_read_is_refused() -> None:
    with pytest.raises(Problem, match=f"expected at most {MOST_BARS} bars as CSV"):
        decode_csv(b"\n" * 2 * MOST_BARS, 10 * MOST_BARS)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(Problem, match="expected text in UTF-8"):
        decode_csv(b"Date,Open\n\xff\xfe", 1000)


def test_an_impossible_bar_is_named_by_its_line() -> None:
    series = decoded(HEAD + "2026-01-16,1,1,1,1,1\n2026-01-15,2,1,1,1,1\n")
    assert [series.place(index, "open") for index in range(2)] == ["line 3, column Open", "line 2, column Open"]
