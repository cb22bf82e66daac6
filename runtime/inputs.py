"""What `tickline predict` and `tickline explain` are given: a row, a file of rows, or a CSV file of bars."""

import csv
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from features_fast.columns import match_bar_columns
from features_fast.errors import TicklineError
from features_fast.foreign_text import TextTable, read_number, read_table
from runtime.bars_csv import CellError, CsvBars, is_bars, read_bars

KINDS = "a JSON row, or a file: .csv of bars or of features, .npy of rows, .json of one row"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of features as the bodies of requests: `/predict` for one that was given as JSON, else `/predict/batch`."""

    body: bytes
    single: bool


@dataclass(frozen=True, slots=True)
class BarSeries:
    """Bars as the body of a request to `/predict/bars`."""

    body: bytes


Input = Rows | BarSeries


def read_input(text: str) -> Input:
    """Return what was given on the command line: JSON, `-` for JSON or CSV on standard input, or the path of a file.

    Raises
    ------
    TicklineError
        There is no such file, or it is none of these; the message names the line and the column.
    """
    if text == "-":
        given = sys.stdin.read()
        return _row(given) if given.lstrip()[:1] in ("[", "{") else _read_csv("standard input", given)
    if text.lstrip()[:1] in ("[", "{"):
        return _row(text)
    path = Path(text)
    try:
        if path.suffix == ".npy":
            return _read_npy(path)
        content = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise TicklineError(f"there is no file {text!r}; expected {KINDS}") from None
    except OSError as error:
        raise TicklineError(f"{text}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TicklineError(f"{text}: expected text in UTF-8; {KINDS}") from None
    return _row(content) if path.suffix == ".json" else _read_csv(text, content)


def _row(text: str) -> Rows:
    return Rows(b'{"features":' + text.strip().encode() + b"}", single=True)


def _read_npy(path: Path) -> Rows:
    """Read a matrix of rows, or a single one."""
    try:
        matrix = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise TicklineError(f"{path}: expected a matrix of numbers in NumPy's format: {error}") from None
    if matrix.ndim not in (1, 2) or matrix.dtype.kind not in "fiu" or not matrix.size:
        raise TicklineError(f"{path}: expected rows of numbers, got {matrix.dtype} of shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        row = int(np.argwhere(~np.isfinite(np.atleast_2d(matrix)))[0][0])
        raise TicklineError(f"{path}: expected finite numbers, got others in row {row}")
    return Rows(msgspec.json.encode({"features": np.atleast_2d(matrix).tolist()}), single=False)


def _read_csv(name: str, text: str) -> Input:
    """Read bars where the table has their columns, else rows of features by name."""
    try:
        table = read_table(text)
        if not table.rows:
            raise TicklineError(f"expected a header and at least one line below it; {KINDS}")
        return _bars(read_bars(table)) if is_bars(table) else _features(table)
    except (TicklineError, csv.Error) as error:
        raise TicklineError(f"{name}, {error}") from None


def _features(table: TextTable) -> Rows:
    """Return rows by the names of features; dates and tickers are not among them."""
    marks = match_bar_columns(table.header, required=(), optional=("Date", "Ticker")).values()
    places = {column: place for place, column in enumerate(table.header) if column not in marks}
    rows = [
        {column: _number(f"line {line}, column {column}", cells[place]) for column, place in places.items()}
        for line, cells in zip(table.lines, table.rows, strict=True)
    ]
    return Rows(msgspec.json.encode({"features": rows}), single=False)


def _bars(found: dict[str, CsvBars]) -> BarSeries:
    """Return bars by column, for one ticker or for each."""
    series = {ticker: bars.columns() for ticker, bars in found.items()}
    if len(series) == 1:
        return BarSeries(msgspec.json.encode({"bars": next(iter(series.values()))}))
    return BarSeries(msgspec.json.encode({"tickers": series}))


def _number(place: str, cell: str) -> float:
    value = read_number(cell)
    if value is None or not math.isfinite(value):
        raise CellError(place, f"expected a number, got {cell!r}")
    return value
