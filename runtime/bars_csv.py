"""Bars in CSV, as banks, brokers and spreadsheets write them: read alike from a file and from a request."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features_fast.columns import BAR_COLUMNS, match_bar_columns
from features_fast.errors import TicklineError
from features_fast.foreign_text import (
    HEAD_LINES,
    TextTable,
    has_decimal_comma,
    is_empty,
    is_iso_date,
    read_number,
    read_table,
    rewrite_dates,
)
from runtime.bars import FIELDS, Series, last_date
from runtime.problems import Problem

CSV = "text/csv"

MOST_BARS = 25_000
"""Bars of one request as CSV, a hundred years of days: Python reads them, and single predictions wait meanwhile."""

_Rows = list[tuple[int, list[str]]]
"""The line and the cells of each row."""


class CellError(TicklineError):
    """Something that cannot be read, and where it stands.

    Parameters
    ----------
    place : str
        A line and a column, or a column.
    fault : str
        What was expected and what came.
    """

    def __init__(self, place: str, fault: str) -> None:
        super().__init__(f"{place}: {fault}")
        self.place = place
        self.fault = fault


@dataclass(frozen=True, slots=True)
class CsvBars:
    """The bars of one ticker, oldest first.

    Attributes
    ----------
    names : dict of str
        The file's own names of the columns, by those of `fields` and by ``date``.
    fields : dict of list of float
        Open, high, low, close and volume: finite numbers.
    dates : list of str or None
        As ISO 8601 where all of them have one known form; None where there is no such column.
    lines : list of int
        The line of each bar in the file, where the first one is 1.
    """

    names: dict[str, str]
    fields: dict[str, list[float]]
    dates: list[str] | None
    lines: list[int]

    def place(self, index: int, name: str) -> str:
        """Return where a value stands in the file."""
        return f"line {self.lines[index]}, column {self.names[name]}"

    def columns(self) -> dict[str, list[float] | list[str]]:
        """Return the bars as the columns of a request in JSON."""
        return {**self.fields, **({} if self.dates is None else {"date": self.dates})}


def is_bars(table: TextTable) -> bool:
    """Return whether a table has the columns of bars."""
    try:
        read_places(table)
    except TicklineError:
        return False
    return True


def read_places(table: TextTable) -> dict[str, int]:
    """Return where the columns of bars stand, by their names in small letters; raises TicklineError."""
    names = match_bar_columns(table.header, required=BAR_COLUMNS[2:], optional=("Date", "Ticker"))
    return {column.lower(): table.header.index(spelled) for column, spelled in names.items()}


def read_bars(table: TextTable) -> dict[str, CsvBars]:
    """Return the bars of a table by their tickers; without such a column all of them by an empty name.

    Parameters
    ----------
    table : TextTable
        A table with the columns of bars under any of their common names, in any order of columns and rows.

    Raises
    ------
    CellError
        A cell is no number, or dates or decimal marks may mean two things.
    TicklineError
        A column is missing, or there is no bar.
    """
    places = read_places(table)
    names = {column: table.header[place] for column, place in places.items()}
    rows = [
        (line, cells)
        for line, cells in zip(table.lines, table.rows, strict=True)
        if not all(is_empty(cells[places[name]]) for name in FIELDS)
    ]
    if not rows:
        raise TicklineError("expected a line of column names and at least one bar below it, got none")
    comma = not table.commas_part and _has_decimal_comma(rows, places)
    fields = {name: _read_numbers(rows, places[name], names[name], comma, name == "volume") for name in FIELDS}
    dates = _read_dates([cells[places["date"]].strip() for _, cells in rows], names["date"]) if "date" in places else []
    order: dict[str, list[int]] = {}
    for row in sorted(range(len(rows)), key=dates.__getitem__) if dates else range(len(rows)):
        order.setdefault(rows[row][1][places["ticker"]].strip() if "ticker" in places else "", []).append(row)
    return {
        ticker: CsvBars(
            names,
            {name: [values[row] for row in chosen] for name, values in fields.items()},
            [dates[row] for row in chosen] if dates else None,
            [rows[row][0] for row in chosen],
        )
        for ticker, chosen in order.items()
    }


def decode_csv(body: bytes, max_bars: int) -> Series | dict[str, Series]:
    """Decode a request's bars into a series, or into series by ticker where there are several.

    Parameters
    ----------
    body : bytes
        CSV in UTF-8.
    max_bars : int
        Most bars that are read, if they are fewer than `MOST_BARS`.

    Raises
    ------
    Problem
        413 where there are more lines, 422 where they cannot be read; its field names line and column.
    """
    lines, most = max(body.count(b"\n"), body.count(b"\r")), min(max_bars, MOST_BARS)
    if lines > most + HEAD_LINES:
        raise Problem(413, f"expected at most {most} bars as CSV, got {lines} lines", expected=most)
    try:
        found = read_bars(read_table(body.decode("utf-8-sig")))
    except UnicodeDecodeError:
        raise Problem(422, "expected text in UTF-8, got other bytes") from None
    except CellError as error:
        raise Problem(422, error.fault, field=error.place) from None
    except (TicklineError, csv.Error) as error:
        raise Problem(422, str(error)) from None
    if len(found) == 1:
        return _series(next(iter(found.values())), "bars")
    return {ticker: _series(bars, f"tickers.{ticker}") for ticker, bars in found.items()}


def _series(bars: CsvBars, root: str) -> Series:
    dates: Sequence[str] = bars.dates or ()
    fields = tuple(np.array(values) for values in bars.fields.values())
    return Series(fields, dates, last_date(dates, bars.place), root, bars.place)


def _has_decimal_comma(rows: _Rows, places: dict[str, int]) -> bool:
    prices = FIELDS[:4]
    try:
        return has_decimal_comma(cells[places[name]] for _, cells in rows for name in prices)
    except TicklineError as error:
        raise CellError(f"columns {', '.join(prices)}", str(error)) from None


def _read_numbers(rows: _Rows, place: int, column: str, decimal_comma: bool, suffixes: bool) -> list[float]:
    """Return a column's numbers; a plain one is read at once, an eighth of the time."""
    texts = [cells[place] for _, cells in rows]
    if not decimal_comma:
        try:
            plain = list(map(float, texts))
        except ValueError:
            pass
        else:
            # What float takes beyond what people mean by a number: 1_000, NaN and the like.
            if all(map(math.isfinite, plain)) and "_" not in "".join(texts):
                return plain
    numbers = []
    for (line, _), text in zip(rows, texts, strict=True):
        value = read_number(text, decimal_comma=decimal_comma, suffixes=suffixes)
        if value is None or not math.isfinite(value):
            raise CellError(f"line {line}, column {column}", f"expected a number, got {text!r}")
        numbers.append(value)
    return numbers


def _read_dates(texts: list[str], column: str) -> list[str]:
    """Return dates as ISO 8601 where all have one form; others as they are, and whoever orders them names the first."""
    if all(map(is_iso_date, texts)):
        return texts
    try:
        return rewrite_dates(texts) or texts
    except TicklineError as error:
        raise CellError(f"column {column}", str(error)) from None
