"""Tables as people have them: read the same by training and by the command line, and never by a guess."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from features_fast.errors import TicklineError
from features_fast.foreign_text import has_decimal_comma, read_number, rewrite_dates
from runtime.inputs import BarSeries, read_input
from tests.foreign_files import FORMS
from training.data import generate_synthetic_stock_data
from training.errors import DataError
from training.reader import read_bars


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_is_the_same_bars(form: Callable[[pd.DataFrame], str], tmp_path: Path) -> None:
    bars = generate_synthetic_stock_data(120, "X")
    bars[["Open", "High", "Low", "Close"]] += 1000  # so that thousands are marked
    path = tmp_path / "X.csv"
    path.write_bytes(form(bars).encode())
    pd.testing.assert_frame_equal(read_bars(path), bars)
    given = read_input(str(path))
    assert isinstance(given, BarSeries)
    sent = msgspec.json.decode(given.body)["bars"]
    for name in ("open", "high", "low", "close", "volume"):
        assert sent[name] == pytest.approx(bars[name.capitalize()].tolist(), rel=1e-12)
    dates = pd.to_datetime(pd.Series(sent["date"]), utc=True).dt.tz_localize(None)
    assert dates.tolist() == bars["Date"].tolist()


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1,234.5", 1234.5),
        ("$1,234", 1234.0),
        (" 7 ", 7.0),
        ("1e-3", 0.001),
        ("-.5", -0.5),
        ("1'234", None),
        ("1,23", None),
        ("12,34,567", None),
        ("1_000", None),
        ("0x10", None),
        ("inf", None),
        ("nan", None),
        ("1.5M", None),
        ("", None),
    ],
)
def test_numbers(cell: str, value: float | None) -> None:
    assert read_number(cell) == value


def test_letters_and_decimal_commas_count_where_they_are_allowed_alone() -> None:
    assert read_number("3.2M", suffixes=True) == 3.2e6
    assert read_number("1.234,56", decimal_comma=True) == 1234.56
    assert not has_decimal_comma(["1,234.5", "1,234"])
    assert not has_decimal_comma(["10.25", "1,234"])
    assert has_decimal_comma(["1,234", "10,25"])
    assert has_decimal_comma(["1.234,5"])
    assert not has_decimal_comma(["1", "1.234"])
    with pytest.raises(TicklineError, match="got '1,234'"):
        has_decimal_comma(["1,234", "5"])


@pytest.mark.parametrize(
    ("texts", "dates"),
    [
        (["01/15/2026", "01/02/2026"], ["2026-01-15", "2026-01-02"]),
        (["15/01/2026", "01/02/2026"], ["2026-01-15", "2026-02-01"]),
        (["Jan 15, 2026"], ["2026-01-15"]),
        (["15-Jan-26"], ["2026-01-15"]),
        (["1/15/2026 16:00:00"], ["2026-01-15T16:00:00"]),
        (["1768435200"], ["2026-01-15"]),
        (["915408000000", "1768435200000"], ["1999-01-04", "2026-01-15"]),
        (["05/05/2026"], ["2026-05-05"]),
    ],
)
def test_dates_of_one_form(texts: list[str], dates: list[str]) -> None:
    rewritten = rewrite_dates(texts)
    assert rewritten
    assert [text.removesuffix("T00:00:00+00:00") for text in rewritten] == dates


def test_dates_of_several_forms_or_of_either_form_are_refused(tmp_path: Path) -> None:
    assert rewrite_dates(["01/15/2026", "2026-01-16"]) is None
    path = tmp_path / "bars.csv"
    path.write_text("Date,Open,High,Low,Close,Volume\n01/02/2026,1,1,1,1,1\n01/03/2026,1,1,1,1,1\n")
    message = "expected dates that tell day from month, such as 2026-01-15, got '01/02/2026'"
    with pytest.raises(DataError, match=f"column 'Date': {message}"):
        read_bars(path)
    with pytest.raises(TicklineError, match=message):
        read_input(str(path))


def test_a_file_of_empty_rows_has_no_bars(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("Date,Open,High,Low,Close,Volume\n2026-01-15,,,,,\n")
    with pytest.raises(DataError, match="expected at least one row with numbers, got none"):
        read_bars(path)
