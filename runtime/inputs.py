"""What `tickline predict` and `tickline explain` are given: a row, a file of rows, or a CSV file of bars."""

import csv
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from features_fast.columns import BAR_COLUMNS, match_bar_columns
from features_fast.errors import TicklineError
from features_fast.foreign_text import TextTable, has_decimal_comma, is_empty, read_number, read_table, rewrite_dates
from runtime.bars import FIELDS

_ISO = re.compile(r"\d{4}-\d\d")
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
        raise TicklineError(f"expected {KINDS}; there is no file {text!r}") from None
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
    """Read bars where the header has their columns, else rows of features by name."""
    try:
        table = read_table(text)
    except (TicklineError, csv.Error) as error:
        raise TicklineError(f"{name}, {error}") from None
    if not table.rows:
        raise TicklineError(f"{name}: expected a header and at least one line below it; {KINDS}")
    try:
        names = match_bar_columns(table.header, required=BAR_COLUMNS[2:], optional=("Date", "Ticker"))
    except TicklineError:
        return _features(name, table)
    return _bars(name, table, {column.lower(): table.header.index(spelled) for column, spelled in names.items()})


def _features(name: str, table: TextTable) -> Rows:
    """Return rows by the names of features; dates and tickers are not among them."""
    marks = match_bar_columns(table.header, required=(), optional=("Date", "Ticker")).values()
    places = {column: place for place, column in enumerate(table.header) if column not in marks}
    rows = [
        {column: _number(name, line, column, cells[place]) for column, place in places.items()}
        for line, cells in zip(table.lines, table.rows, strict=True)
    ]
    return Rows(msgspec.json.encode({"features": rows}), single=False)


def _bars(name: str, table: TextTable, places: dict[str, int]) -> BarSeries:
    """Return bars by column and oldest first, for one ticker or for each."""
    lines = [
        (line, cells)
        for line, cells in zip(table.lines, table.rows, strict=True)
        if not all(is_empty(cells[places[field]]) for field in FIELDS)
    ]
    prices = (cells[places[field]] for _, cells in lines for field in FIELDS[:4])
    try:
        comma = not table.commas_part and has_decimal_comma(prices)
        dates = _dates([cells[places["date"]].strip() for _, cells in lines]) if "date" in places else None
    except TicklineError as error:
        raise TicklineError(f"{name}: {error}") from None
    order = range(len(lines)) if dates is None else sorted(range(len(lines)), key=dates.__getitem__)
    series: dict[str, dict[str, list[float | str]]] = {}
    for row in order:
        line, cells = lines[row]
        bars = series.setdefault(cells[places["ticker"]].strip() if "ticker" in places else "", {})
        for field in FIELDS:
            column, cell = table.header[places[field]], cells[places[field]]
            bars.setdefault(field, []).append(_number(name, line, column, cell, comma, field == "volume"))
        if dates is not None:
            bars.setdefault("date", []).append(dates[row])
    if len(series) == 1:
        return BarSeries(msgspec.json.encode({"bars": next(iter(series.values()))}))
    return BarSeries(msgspec.json.encode({"tickers": series}))


def _dates(texts: list[str]) -> list[str]:
    """Return dates as ISO 8601 where all have one form; others are left to the server, which names the first."""
    iso = all(map(_ISO.match, texts))
    return texts if iso else rewrite_dates(texts) or texts


def _number(name: str, line: int, column: str, cell: str, decimal_comma: bool = False, suffixes: bool = False) -> float:
    value = read_number(cell, decimal_comma=decimal_comma, suffixes=suffixes)
    if value is None or not math.isfinite(value):
        raise TicklineError(f"{name}, line {line}, column {column}: expected a number, got {cell!r}")
    return value
