from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features_fast.columns import BAR_COLUMNS
from training.errors import DataError
from training.reader import read_bars

HEADER = "Date,Ticker,Open,High,Low,Close,Volume"
FIRST = "2024-01-02,A,10,12,9,11,100"


def write(directory: Path, *lines: str, name: str = "bars.csv") -> Path:
    """Write lines to a file."""
    path = directory / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_columns_types_and_order(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, "2024-01-03,B,1,1,1,1,0", "2024-01-03,A,1,2,1,1.5,5", FIRST)
    bars = read_bars(path)
    assert tuple(bars.columns) == BAR_COLUMNS
    assert bars["Ticker"].tolist() == ["A", "A", "B"]
    assert bars["Date"].tolist() == [pd.Timestamp("2024-01-02"), *[pd.Timestamp("2024-01-03")] * 2]
    assert bars["Close"].tolist() == [11.0, 1.5, 1.0]
    assert str(bars["Date"].dtype) == "datetime64[us]"
    assert {str(bars[name].dtype) for name in BAR_COLUMNS[2:]} == {"float64"}


@pytest.mark.parametrize(
    "header",
    [
        "date,symbol,open,high,low,close,volume",
        "TIMESTAMP,TICKER,OPEN,HIGH,LOW,CLOSE,VOLUME",
        "datetime,Symbol,o,h,l,c,v",
        "time,ticker, Open , High,Low,Close,Vol",
        "\ufeffDate,Ticker,Open,High,Low,Adj Close,Volume",
        "Date,Ticker,Open,High,Low,adjusted_close,Volume",
    ],
)
def test_common_spellings(tmp_path: Path, header: str) -> None:
    bars = read_bars(write(tmp_path, header, FIRST))
    assert bars.iloc[0].tolist() == [pd.Timestamp("2024-01-02"), "A", 10, 12, 9, 11, 100]


def test_adjusted_close_and_foreign_columns_are_ignored(tmp_path: Path) -> None:
    bars = read_bars(write(tmp_path, HEADER + ",Adj Close,Note", FIRST + ",5,hello"))
    assert bars["Close"].tolist() == [11.0]
    assert tuple(bars.columns) == BAR_COLUMNS


def test_file_without_tickers_is_one_ticker(tmp_path: Path) -> None:
    bars = read_bars(write(tmp_path, "Date,Open,High,Low,Close,Volume", "2024-01-02,1,1,1,1,1", name="MSFT.csv"))
    assert bars["Ticker"].tolist() == ["MSFT"]


def test_dates_with_an_offset_become_utc(tmp_path: Path) -> None:
    rows = ("2024-03-08 00:00:00-05:00,1,1,1,1,1", "2024-03-11 00:00:00-04:00,1,1,1,1,1")
    bars = read_bars(write(tmp_path, "Date,Open,High,Low,Close,Volume", *rows))
    assert bars["Date"].tolist() == [pd.Timestamp("2024-03-08 05:00"), pd.Timestamp("2024-03-11 04:00")]


@pytest.mark.parametrize(
    ("row", "place", "message"),
    [
        ("2024-01-03,A,-10,12,9,11,100", "'Open'", "expected a positive price, got '-10'"),
        ("2024-01-03,A,10,12,9,0,100", "'Close'", "expected a positive price, got '0'"),
        ("2024-01-03,A,10,8,9,11,100", "'High'", "expected a high that is not below the low, got '8'"),
        ("2024-01-03,A,10,12,9,11,-1", "'Volume'", "expected a volume of 0 or more, got '-1'"),
        ("2024-01-03,A,10,12,,11,100", "'Low'", "expected a number, got ''"),
        ("2024-01-03,A,nan,12,9,11,100", "'Open'", "expected a number, got 'nan'"),
        ("2024-01-03,A,10,inf,9,11,100", "'High'", "expected a number, got 'inf'"),
        ("2024-01-03,A,ten,12,9,11,100", "'Open'", "expected a number, got 'ten'"),
        ("2024-01-03,A,10,12,9,11,1_000", "'Volume'", "expected a number, got '1_000'"),
        ('2024-01-03,A,10,12,9,11,"10,00"', "'Volume'", "expected a number, got '10,00'"),
        ("2024-01-03,A,10,12,9,1.5M,100", "'Close'", "expected a number, got '1.5M'"),
        ("01/03/2024,A,10,12,9,11,100", "'Date'", "expected an ISO 8601 date such as 2026-01-15, got '01/03/2024'"),
        ("2024-02-30,A,10,12,9,11,100", "'Date'", "expected an ISO 8601 date such as 2026-01-15, got '2024-02-30'"),
        (",A,10,12,9,11,100", "'Date'", "expected an ISO 8601 date such as 2026-01-15, got ''"),
        ("2024-01-03, ,10,12,9,11,100", "'Ticker'", "expected a ticker, got ' '"),
        ("2024-01-02,A,10,12,9,11,100", "'Date'", "expected one bar for each date of a ticker, got '2024-01-02'"),
    ],
)
def test_refused_cells_are_named_by_row_and_column(tmp_path: Path, row: str, place: str, message: str) -> None:
    # The blank line counts: row numbers are those of an editor.
    path = write(tmp_path, HEADER, FIRST, "", row, "2024-01-04,A,10,12,9,11,100")
    with pytest.raises(DataError) as caught:
        read_bars(path)
    assert str(caught.value) == f"{path}, row 4, column {place}: {message}"


def test_the_column_is_spelled_as_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "timestamp,o,h,l,c,vol", "2024-01-02,1,1,1,1,x")
    with pytest.raises(DataError, match=r"row 2, column 'vol': expected a number, got 'x'"):
        read_bars(path)


def test_equal_dates_of_two_tickers_are_fine(tmp_path: Path) -> None:
    assert len(read_bars(write(tmp_path, HEADER, FIRST, FIRST.replace("A", "B")))) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["Date,Open,High,Low,Volume", "2024-01-02,1,1,1,1"],
            "expected a column for Close, got 'Date', 'Open', 'High'",
        ),
        ([HEADER + ",time", FIRST + ",1"], "expected one column for Date, got 'Date', 'time'"),
        ([HEADER + ",Open", FIRST + ",1"], "expected each column once, got 'Open' 2 times"),
        ([HEADER, FIRST + ",1"], "row 2: expected 7 cells as in the header, got 8"),
        ([HEADER, "2024-01-02,A"], "row 2: expected 7 cells as in the header, got 2"),
        ([HEADER], "expected at least one row of bars, got none"),
        ([""], "expected at least one row of bars, got none"),
    ],
)
def test_refused_tables(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_bars(write(tmp_path, *lines))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: cannot be read: No such file"):
        read_bars(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"none\.parquet: cannot be read: "):
        read_bars(tmp_path / "none.parquet")
    (tmp_path / "binary.csv").write_bytes(b"Date,\xff\xfe")
    with pytest.raises(DataError, match=r"binary\.csv: expected CSV text in UTF-8"):
        read_bars(tmp_path / "binary.csv")
    (tmp_path / "text.parquet").write_text("no Parquet at all")
    with pytest.raises(DataError, match=r"text\.parquet: expected a Parquet file"):
        read_bars(tmp_path / "text.parquet")


def test_parquet_with_dates_in_the_index(tmp_path: Path, bars: pd.DataFrame) -> None:
    path = tmp_path / "bars.parquet"
    bars.set_index("Date").to_parquet(path)
    pd.testing.assert_frame_equal(read_bars(path), bars, check_exact=True)


def test_parquet_cells_are_checked_too(tmp_path: Path, bars: pd.DataFrame) -> None:
    path = tmp_path / "bars.parquet"
    broken = bars.astype({"Close": object, "Ticker": object})
    broken.loc[3, "Close"] = None
    broken.to_parquet(path)
    with pytest.raises(DataError, match=r"row 4, column 'Close': expected a number, got nan"):
        read_bars(path)
    broken = bars.assign(Ticker=bars["Ticker"].mask(bars.index == 0))
    broken.to_parquet(path)
    with pytest.raises(DataError, match=r"row 1, column 'Ticker': expected a ticker, got"):
        read_bars(path)
    bars.assign(Volume=np.full(len(bars), True)).to_parquet(path)
    with pytest.raises(DataError, match=r"row 1, column 'Volume': expected a number, got True"):
        read_bars(path)
