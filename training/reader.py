"""Files of daily bars: CSV and Parquet, with columns under any of their common names."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features_fast.columns import match_bar_columns
from features_fast.errors import TicklineError
from features_fast.foreign_text import has_decimal_comma, is_empty, read_number, read_table, rewrite_dates
from training.errors import DataError

PRICES: tuple[str, ...] = ("Open", "High", "Low", "Close")


@dataclass(frozen=True)
class _Cells:
    """The cells of a file before anything is believed about them."""

    path: Path
    rows: NDArray[np.int64]
    columns: dict[str, Sequence[object]]
    may_have_decimal_commas: bool = False

    def refuse(self, position: int, column: str, expected: str) -> DataError:
        """Return the error that points at one cell."""
        came = self.columns[column][position]
        return DataError(
            f"{self.path}, row {self.rows[position]}, column {column!r}: expected {expected}, got {came!r}"
        )


def read_bars(path: str | Path) -> pd.DataFrame:
    """Read daily bars from a CSV or a Parquet file.

    Parameters
    ----------
    path : str or Path
        A file that ends in ``.parquet``, or a CSV file with a header and commas, semicolons, tabs or bars between
        cells. Columns are found by their common names in any case and order (``date``, ``timestamp``, ``o``, ``Vol.``,
        ``Close/Last``, ``symbol``); an adjusted close, a last or a price counts only where there is no close, further
        columns are ignored. Without a ticker column all bars belong to one ticker, named after the file. Dates are ISO
        8601, where an offset is converted to UTC, or all of one other form, see
        `features_fast.foreign_text.rewrite_dates`. Numbers of a CSV file may have marks of thousands, a decimal
        comma, a sign of currency, and volumes a K, M or B behind them; a row without any of the five numbers is left
        out.

    Returns
    -------
    DataFrame
        Columns Date (datetime64[us]), Ticker (str), Open, High, Low, Close, Volume (float64), sorted by date, then by
        ticker.

    Raises
    ------
    DataError
        The file cannot be read, a column is missing or there twice, a cell is empty or no number, a price is not
        positive, a volume is negative, a high is below its low, or a ticker has two bars of one date. The message
        names the row (its line in a CSV file, where the header is line 1) and the column as the file spells it.
    """
    path = Path(path)
    cells = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    if not len(cells.rows):
        raise DataError(f"{path}: expected at least one row of bars, got none")
    names = _match_columns(path, list(cells.columns))

    cells = _with_numbers(cells, [names[name] for name in (*PRICES, "Volume")])
    dates = _dates(cells, names["Date"])
    tickers = _tickers(cells, names.get("Ticker"))
    decimal_comma = cells.may_have_decimal_commas and _has_decimal_comma(cells, [names[name] for name in PRICES])
    numbers = {name: _numbers(cells, names[name], decimal_comma, name == "Volume") for name in (*PRICES, "Volume")}
    for name in PRICES:
        _refuse_where(cells, names[name], numbers[name] <= 0, "a positive price")
    _refuse_where(cells, names["Volume"], numbers["Volume"] < 0, "a volume of 0 or more")
    _refuse_where(cells, names["High"], numbers["High"] < numbers["Low"], "a high that is not below the low")

    frame = pd.DataFrame({"Date": dates, "Ticker": tickers, **numbers})
    _refuse_where(
        cells,
        names["Date"],
        frame.duplicated(["Date", "Ticker"]).to_numpy(),
        "one bar for each date of a ticker",
    )
    return frame.sort_values(["Date", "Ticker"], ignore_index=True)


def _read_csv(path: Path) -> _Cells:
    """Read a CSV file as text, with the line number of each row."""
    try:
        # utf-8-sig drops the byte order mark that spreadsheets write.
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = read_table(file)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected CSV text in UTF-8: {error}") from error
    except TicklineError as error:
        raise DataError(f"{path}, {error}") from None
    _refuse_repeated(path, table.header)
    columns: dict[str, Sequence[object]] = dict(zip(table.header, zip(*table.rows, strict=True), strict=False))
    return _Cells(path, np.array(table.lines, dtype=np.int64), columns, not table.commas_part)


def _read_parquet(path: Path) -> _Cells:
    """Read a Parquet file; rows count from 1."""
    try:
        frame = pd.read_parquet(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path}: expected a Parquet file: {error}") from error
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    header = [str(name) for name in frame.columns]
    _refuse_repeated(path, header)
    columns: dict[str, Sequence[object]] = {
        name: frame.iloc[:, position].tolist() for position, name in enumerate(header)
    }
    return _Cells(path, np.arange(1, len(frame) + 1), columns)


def _refuse_repeated(path: Path, header: list[str]) -> None:
    """Refuse a header that uses one name twice."""
    for name in header:
        if header.count(name) > 1:
            raise DataError(f"{path}: expected each column once, got {name!r} {header.count(name)} times")


def _match_columns(path: Path, header: list[str]) -> dict[str, str]:
    """Return the file's own spelling of each column of bars."""
    try:
        return match_bar_columns(header)
    except TicklineError as error:
        raise DataError(f"{path}: {error}") from None


def _refuse_where(cells: _Cells, column: str, wrong: NDArray[np.bool_], expected: str) -> None:
    """Refuse the first cell that is marked."""
    if wrong.any():
        raise cells.refuse(int(wrong.argmax()), column, expected)


def _with_numbers(cells: _Cells, columns: list[str]) -> _Cells:
    """Leave out rows of text that have none of the numbers of a bar, as holidays and the ends of tables have."""
    given = zip(*(cells.columns[column] for column in columns), strict=True)
    empty = np.array([all(isinstance(cell, str) and is_empty(cell) for cell in row) for row in given])
    if not empty.any():
        return cells
    if empty.all():
        raise DataError(f"{cells.path}: expected at least one row with numbers, got none")
    kept: list[int] = np.flatnonzero(~empty).tolist()
    texts: dict[str, Sequence[object]] = {
        name: [values[place] for place in kept] for name, values in cells.columns.items()
    }
    return replace(cells, rows=cells.rows[kept], columns=texts)


def _has_decimal_comma(cells: _Cells, columns: list[str]) -> bool:
    try:
        return has_decimal_comma(str(cell) for column in columns for cell in cells.columns[column])
    except TicklineError as error:
        raise DataError(f"{cells.path}: {error}") from None


def _numbers(cells: _Cells, column: str, decimal_comma: bool, suffixes: bool) -> NDArray[np.float64]:
    """Return a column as float64, every cell finite."""
    read = [_number(cell, decimal_comma, suffixes) for cell in cells.columns[column]]
    numbers = np.array(read, dtype=np.float64)
    _refuse_where(cells, column, ~np.isfinite(numbers), "a number")
    return numbers


def _number(cell: object, decimal_comma: bool, suffixes: bool) -> float:
    """Return the value of a cell, NaN where it is no number."""
    if isinstance(cell, str):
        value = read_number(cell, decimal_comma=decimal_comma, suffixes=suffixes)
        return math.nan if value is None else value
    try:
        return math.nan if isinstance(cell, bool) else float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def _dates(cells: _Cells, column: str) -> NDArray[np.datetime64]:
    """Return a column as dates without a zone."""
    texts = [str(cell) for cell in cells.columns[column]]
    parsed = _parse_dates(texts)
    if parsed.isna().any():
        try:
            rewritten = rewrite_dates(texts)
        except TicklineError as error:
            raise DataError(f"{cells.path}, column {column!r}: {error}") from None
        parsed = parsed if rewritten is None else _parse_dates(rewritten)
    _refuse_where(cells, column, parsed.isna().to_numpy(), "an ISO 8601 date such as 2026-01-15")
    return parsed.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")


def _parse_dates(texts: list[str]) -> "pd.Series[pd.Timestamp]":
    return pd.to_datetime(pd.Series(texts), format="ISO8601", errors="coerce", utc=True)


def _tickers(cells: _Cells, column: str | None) -> list[str]:
    """Return the ticker of each row: the column, or the file's name."""
    if column is None:
        return [cells.path.stem] * len(cells.rows)
    tickers = ["" if cell is None or cell != cell else str(cell).strip() for cell in cells.columns[column]]
    _refuse_where(cells, column, np.array([not ticker for ticker in tickers]), "a ticker")
    return tickers
