"""What `tickline predict` and `tickline explain` are given: a row, a file of rows, or a CSV file of bars."""

import csv
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from features_fast.columns import BAR_COLUMNS, match_bar_columns, plain_name
from features_fast.errors import TicklineError
from features_fast.foreign_text import TextTable, read_number, read_table
from runtime.bars_csv import CellError, CsvBars, is_bars, read_bars, read_places
from runtime.problems import Problem

KINDS = "a JSON row, or a file: .csv of bars or of features, .npy of rows, .json of one row"

_BAR_FIELD = re.compile(r"(?:bars|tickers\.(?P<ticker>.+))\.(?P<name>\w+)\[(?P<index>\d+)\]")
_ROW_FIELD = re.compile(r"features(?:\[(?P<index>\d+)\])?(?:\.(?P<name>.+))?")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of features as the bodies of requests: `/predict` for one that was given as JSON, else `/predict/batch`.

    Attributes
    ----------
    name : str
        Of a table: that of its file.
    lines : sequence of int
        Of a table: the line of each row.
    not_bars : str
        Of a table: why it was not read as bars.
    """

    body: bytes
    single: bool
    name: str = ""
    lines: Sequence[int] = ()
    not_bars: str = ""

    def place(self, field: str) -> str:
        """Return where a field of the request stands in the file; without an index it is that of the last row."""
        found = _ROW_FIELD.fullmatch(field)
        if not found or not self.lines or found["index"] is found["name"]:
            return field
        line = self.lines[int(found["index"] or -1)]
        return f"{self.name}, line {line}" + (f", column {found['name']}" if found["name"] else "")


@dataclass(frozen=True, slots=True)
class BarSeries:
    """Bars as the body of a request to `/predict/bars`, and as they were read, by ticker."""

    body: bytes
    name: str
    found: dict[str, CsvBars]

    def place(self, field: str) -> str:
        """Return where a field of the request stands in the file."""
        if field == "bars":
            return self.name
        if (ticker := field.removeprefix("tickers.")) in self.found:
            return f"{self.name}, ticker {ticker}"
        found = _BAR_FIELD.fullmatch(field)
        bars = found and self.found.get(found["ticker"] or next(iter(self.found)))
        if not found or not bars or found["name"] not in bars.names:
            return field
        return f"{self.name}, {bars.place(int(found['index']), found['name'])}"


Input = Rows | BarSeries


@contextmanager
def explaining(given: Input) -> Iterator[None]:
    """Refuse what was given in the words of where it came from."""
    try:
        yield
    except Problem as problem:
        raise TicklineError(explain_problem(given, problem.members)) from None


def explain_problem(given: Input, members: Mapping[str, Any]) -> str:
    """Return the one line that problem details become; where all tickers have failed, it is the first one's."""
    first: Mapping[str, Any] = next(iter(members.get("errors", {}).values()), members)
    _, refusal = _placed(given, first)
    return f"{refusal}; as bars: {given.not_bars}" if isinstance(given, Rows) and given.not_bars else refusal


def explain_errors(given: Input, reply: dict[str, Any]) -> bool:
    """Let what a reply has in place of predictions name the places in the file; tell whether there is any such."""
    entries = reply["tickers"].values() if "tickers" in reply else reply.get("predictions", ())
    errors = [entry["error"] for entry in entries if "error" in entry]
    for error in errors:
        error["field"], error["detail"] = _placed(given, error)
    return bool(errors)


def _placed(given: Input, members: Mapping[str, Any]) -> tuple[str, str]:
    """Return where something is wrong in what was given, and what, which begins with that place."""
    field, detail = str(members.get("field", "")), str(members["detail"])
    place = given.place(field)
    return place, f"{place}{detail.removeprefix(field)}"


def read_input(text: str) -> Input:
    """Return what was given on the command line: JSON, `-` for JSON or CSV on standard input, or the path of a file.

    Raises
    ------
    TicklineError
        There is no such file, or it is none of these; the message names the line and the column.
    """
    if text.lstrip()[:1] in ("[", "{"):
        return _row("INPUT", text)
    path, name = Path(text), "standard input" if text == "-" else text
    kind = path.suffix.lower()
    try:
        if kind == ".npy":
            return _read_npy(path)
        content = (sys.stdin.buffer.read() if text == "-" else path.read_bytes()).decode("utf-8-sig")
    except FileNotFoundError:
        raise TicklineError(f"there is no file {text!r}; expected {KINDS}") from None
    except OSError as error:
        raise TicklineError(f"{name}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TicklineError(f"{name}: expected text in UTF-8; {KINDS}") from None
    if kind == ".json" or (text == "-" and content.lstrip()[:1] in ("[", "{")):
        return _row(name, content)
    return _read_csv(name, content)


def _row(name: str, text: str) -> Rows:
    try:
        json.loads(text)  # takes NaN too, which the model's decoder refuses by the feature's name
    except (ValueError, RecursionError) as error:
        raise TicklineError(f"{name}: expected a row as JSON: {error}") from None
    return Rows(b'{"features":' + text.strip().encode() + b"}", single=True)


def _read_npy(path: Path) -> Rows:
    """Read a matrix of rows, or a single one."""
    try:
        with path.open("rb") as file:
            matrix = np.lib.format.read_array(file, allow_pickle=False)
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
        return _bars(name, read_bars(table)) if is_bars(table) else _features(name, table)
    except (TicklineError, csv.Error) as error:
        raise TicklineError(f"{name}, {error}") from None


def _features(name: str, table: TextTable) -> Rows:
    """Return rows by the names of features; dates and tickers are not among them."""
    for column in table.header:
        if table.header.count(column) > 1:
            raise TicklineError(f"expected each column once, got {column!r} {table.header.count(column)} times")
    marks = match_bar_columns(table.header, required=(), optional=("Date", "Ticker")).values()
    places = {column: place for place, column in enumerate(table.header) if column not in marks}
    rows = [
        {column: _number(f"line {line}, column {column}", cells[place]) for column, place in places.items()}
        for line, cells in zip(table.lines, table.rows, strict=True)
    ]
    return Rows(msgspec.json.encode({"features": rows}), False, name, table.lines, _why_not_bars(table))


def _why_not_bars(table: TextTable) -> str:
    """Return what a table lacks that has most columns of bars; of others nothing."""
    prices = BAR_COLUMNS[2:]
    known = sum(any(plain_name(name) == column.lower() for name in table.header) for column in prices)
    if 2 * known <= len(prices):
        return ""
    try:
        read_places(table)
    except TicklineError as error:
        return str(error)
    return ""


def _bars(name: str, found: dict[str, CsvBars]) -> BarSeries:
    """Return bars by column, for one ticker or for each."""
    series = {ticker: bars.columns() for ticker, bars in found.items()}
    asked = {"bars": next(iter(series.values()))} if len(series) == 1 else {"tickers": series}
    return BarSeries(msgspec.json.encode(asked), name, found)


def _number(place: str, cell: str) -> float:
    value = read_number(cell)
    if value is None or not math.isfinite(value):
        raise CellError(place, f"expected a number, got {cell!r}")
    return value
