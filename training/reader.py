"""Files of daily bars: CSV and Parquet, with columns under any of their common names."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features_fast.columns import match_bar_columns
from features_fast.errors import TicklineError
from training.errors import DataError

PRICES: tuple[str, ...] = ("Open", "High", "Low", "Close")


@dataclass(frozen=True)
class _Cells:
    """The cells of a file before anything is believed about them."""

    path: Path
    rows: NDArray[np.int64]
    columns: dict[str, Sequence[object]]

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
        A file that ends in ``.parquet``, or a CSV file with a header. Columns are found by their common names in any
        case (``date``, ``timestamp``, ``o``, ``Vol``, ``symbol``); an adjusted close counts only where there is no
        other close, further columns are ignored. Without a ticker column all bars belong to one ticker, named after
        the file. Dates are ISO 8601; one with an offset is converted to UTC.

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

    dates = _dates(cells, names["Date"])
    tickers = _tickers(cells, names.get("Ticker"))
    numbers = {name: _numbers(cells, names[name]) for name in (*PRICES, "Volume")}
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
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            lines, rows = [], []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise DataError(
                        f"{path}, row {reader.line_num}: expected {len(header)} cells as in the header, got {len(row)}"
                    )
                lines.append(reader.line_num)
                rows.append(row)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected CSV text in UTF-8: {error}") from error
    _refuse_repeated(path, header)
    return _Cells(path, np.array(lines, dtype=np.int64), dict(zip(header, zip(*rows, strict=True), strict=False)))


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


def _numbers(cells: _Cells, column: str) -> NDArray[np.float64]:
    """Return a column as float64, every cell finite."""
    numbers = np.array([_number(cell) for cell in cells.columns[column]], dtype=np.float64)
    _refuse_where(cells, column, ~np.isfinite(numbers), "a number")
    return numbers


def _number(cell: object) -> float:
    """Return the value of a cell, NaN where it is no number."""
    # float() rounds correctly, which pandas' own parser does not promise, but it also reads "1_000".
    if isinstance(cell, bool) or (isinstance(cell, str) and "_" in cell):
        return math.nan
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def _dates(cells: _Cells, column: str) -> NDArray[np.datetime64]:
    """Return a column as dates without a zone."""
    texts = [str(cell) for cell in cells.columns[column]]
    parsed = pd.to_datetime(pd.Series(texts), format="ISO8601", errors="coerce", utc=True)
    _refuse_where(cells, column, parsed.isna().to_numpy(), "an ISO 8601 date such as 2026-01-15")
    return parsed.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")


def _tickers(cells: _Cells, column: str | None) -> list[str]:
    """Return the ticker of each row: the column, or the file's name."""
    if column is None:
        return [cells.path.stem] * len(cells.rows)
    tickers = ["" if cell is None or cell != cell else str(cell).strip() for cell in cells.columns[column]]
    _refuse_where(cells, column, np.array([not ticker for ticker in tickers]), "a ticker")
    return tickers
