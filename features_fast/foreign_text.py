"""Tables of bars as banks, brokers and spreadsheets write them, read without a guess: what is ambiguous is refused."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice

from features_fast.errors import TicklineError

_DELIMITERS = ",;\t|"
_EMPTY = {"", "-", "null", "nan", "n/a", "na", "none"}
_CURRENCY = " \u00a0\u202f'$\u20ac\u00a3"
_SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9}
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
_EITHER = re.compile(r"[+-]?\d{1,3}[.,]\d{3}")
_ISO = re.compile(r"\d{4}-\d\d")
_DAYS = (
    *("%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S")
_EPOCHS = {"seconds": (re.compile(r"\d{9,10}"), 1), "milliseconds": (re.compile(r"\d{12,13}"), 1000)}
_FORMS = (*_EPOCHS, *(days + times for days in _DAYS for times in _TIMES))
_AT_ONCE = 1 << 14
"""Dates of a long column that are looked at together, where those of several tickers are the same."""

_BAR = ["Open", "High", "Low", "Close", "Volume"]
_UNNAMED = {len(names): names for names in (_BAR, ["Date", *_BAR])}

HEAD_LINES = 3
"""Most lines above the first row."""


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above the rows of a table.

    Attributes
    ----------
    header : list of str
        Names of its columns, without blanks around them.
    delimiter : str
        What parts cells.
    lines : int
        How many there are, up to `HEAD_LINES`.
    ticker : str or None
        That of all rows, where it stands here.
    """

    header: list[str]
    delimiter: str = ","
    lines: int = 1
    ticker: str | None = None


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table as text.

    Attributes
    ----------
    header : list of str
        Names of its columns, without blanks around them.
    rows : list of list of str
        The cells of each row, as many as there are names.
    lines : list of int
        The line of each row in the file, whose first one is line 1.
    commas_part : bool
        Whether a comma stands between cells, so that it is no decimal mark in them.
    """

    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    commas_part: bool


def read_head(lines: Sequence[str]) -> Head:
    """Read the head of a table whose cells are parted by commas, semicolons, tabs or bars.

    The three lines of a download by yfinance become one.

    Parameters
    ----------
    lines : sequence of str
        The first ones, `HEAD_LINES` or all.

    Raises
    ------
    csv.Error
        This is no table.
    """
    first = lines[0] if lines else ""
    delimiter = max(_DELIMITERS, key=re.sub(r'"[^"]*"', "", first).count)
    header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    if header[:1] == ["Price"]:
        second, third = islice(chain(csv.reader(lines[1:HEAD_LINES], delimiter=delimiter), [[], []]), 2)
        if (second[:1], third[:1]) == (["Ticker"], ["Date"]):
            tickers = set(second[1:])
            return Head(["Date", *header[1:]], delimiter, HEAD_LINES, tickers.pop() if len(tickers) == 1 else None)
    return Head(header, delimiter)


def read_bar_head(lines: Sequence[str]) -> Head:
    """Read the head of a table of bars, which may have none: then its first line is a bar.

    Such a table has the columns open, high, low, close and volume, perhaps with the date in front, and no others.
    Parameters and errors are those of `read_head`.
    """
    for delimiter in reversed(_DELIMITERS):  # commas, which may be decimal marks, last
        cells = next(csv.reader(lines[:1], delimiter=delimiter), [])
        if names := _UNNAMED.get(len(cells)):
            numbers = cells[-len(_BAR) :]
            for decimal_comma in (False, delimiter != ","):
                if all(read_number(cell, decimal_comma=decimal_comma, suffixes=True) is not None for cell in numbers):
                    return Head(names, delimiter, lines=0)
    return read_head(lines)


def read_table(text: Iterable[str] | str) -> TextTable:
    """Read a table, whose head may be any that `read_bar_head` knows; lines without a word are left out.

    Raises
    ------
    TicklineError
        A row has another number of cells than the header; the message names its line.
    csv.Error
        This is no table.
    """
    lines = iter(io.StringIO(text, newline="") if isinstance(text, str) else text)
    first = list(islice(lines, HEAD_LINES))
    head = read_bar_head(first)
    reader = csv.reader(chain(first[head.lines :], lines), delimiter=head.delimiter)
    numbers, rows = [], []
    for row in reader:
        if not any(map(str.strip, row)):
            continue
        number = reader.line_num + head.lines
        if len(row) != len(head.header):
            raise TicklineError(f"row {number}: expected {len(head.header)} cells as in the header, got {len(row)}")
        numbers.append(number)
        rows.append(row)
    header = head.header
    if head.ticker is not None:
        header, rows = [*header, "Ticker"], [[*row, head.ticker] for row in rows]
    return TextTable(header, rows, numbers, head.delimiter == ",")


def is_empty(cell: str) -> bool:
    """Return whether a cell says that there is nothing, in one of the usual words."""
    return cell.strip().lower() in _EMPTY


def has_decimal_comma(cells: Iterable[str]) -> bool:
    """Return whether numbers are written like 1.234,56 rather than 1,234.56.

    Raises
    ------
    TicklineError
        They are written like 1,234 alone, which may be either.
    """
    doubtful = ""
    for cell in cells:
        cell = cell.strip()
        if "," not in cell:
            if "." in cell and not _EITHER.fullmatch(cell):
                return False
        elif not _EITHER.fullmatch(cell):
            return cell.rfind(",") > cell.rfind(".") and not _GROUPED.fullmatch(cell)
        else:
            doubtful = doubtful or cell
    if doubtful:
        raise TicklineError(f"expected a decimal mark that can be told from one of thousands, got {doubtful!r}")
    return False


def read_number(cell: str, *, decimal_comma: bool = False, suffixes: bool = False) -> float | None:
    """Return the value of a cell; None where it is no number.

    Parameters
    ----------
    cell : str
        Perhaps with marks of thousands and a sign of currency before it.
    decimal_comma : bool
        See `has_decimal_comma`.
    suffixes : bool
        Whether K, M and B behind it stand for thousands, millions and billions.
    """
    cell = cell.strip(_CURRENCY + "\t")
    factor = 1.0
    if suffixes and cell[-1:].upper() in _SUFFIXES:
        factor, cell = _SUFFIXES[cell[-1].upper()], cell[:-1]
    if decimal_comma:
        cell = cell.translate(str.maketrans(",.", ".,"))
    if _GROUPED.fullmatch(cell):
        cell = cell.replace(",", "")
    return factor * float(cell) if _PLAIN.fullmatch(cell) else None


def is_iso_date(cell: str) -> bool:
    """Return whether a cell begins as a date of ISO 8601 does."""
    return _ISO.match(cell.strip()) is not None


def is_other_date(cell: str) -> bool:
    """Return whether a cell is a date of one of the forms that `rewrite_dates` knows."""
    return bool(_read_alike([cell.strip()], _FORMS))


def rewrite_dates(cells: Sequence[str]) -> list[str] | None:
    """Return dates of one form as ISO 8601: 01/15/2026, 15.01.2026, Jan 15, 2026 and the like, perhaps with a time;
    or seconds or milliseconds since 1970, in UTC. None where all of them are of no such form.

    Raises
    ------
    TicklineError
        Every date may begin with the day as well as with the month.
    """
    texts = [cell.strip() for cell in cells]
    found = list(_read_alike(texts, _FORMS).values())
    if len(found) > 1 and found[0] != found[1]:
        raise _either(texts[0])
    return found[0] if found else None


def find_date_form(cells: Iterable[str]) -> str | None:
    """Return the form that `rewrite_dates` finds, for `rewrite_date`, of a column that is too long to be kept.

    Cells that are no dates of any form are passed over; None where all are.

    Raises
    ------
    TicklineError
        Every date may begin with the day as well as with the month, or two of them have no form in common.
    """
    texts = (cell.strip() for cell in cells)
    forms: Sequence[str] = _FORMS
    doubtful = ""
    while batch := list(dict.fromkeys(islice(texts, _AT_ONCE))):
        read = _read_alike(batch, forms)
        if not read:
            batch, forms = _narrow(batch, forms)
            read = _read_alike(batch, forms)
        if not read:
            continue
        forms, dates = list(read), list(read.values())
        if len(forms) == 1:
            doubtful = ""
        elif dates[0] != dates[1]:
            doubtful = doubtful or batch[0]
    if doubtful:
        raise _either(doubtful)
    return None if forms is _FORMS else forms[0]


def rewrite_date(cell: str, form: str) -> str | None:
    """Return a date of a form as ISO 8601; None where it has another."""
    try:
        return _read_date(cell.strip(), form)
    except ValueError:
        return None


def _either(text: str) -> TicklineError:
    return TicklineError(f"expected dates that tell day from month, such as 2026-01-15, got {text!r}")


def _narrow(texts: Sequence[str], forms: Sequence[str]) -> tuple[list[str], Sequence[str]]:
    """Return those texts that are dates, and the forms that all of them have; raises TicklineError if none is left."""
    dates: list[str] = []
    for text in texts:
        if found := _read_alike([text], forms):
            dates.append(text)
            forms = list(found)
        elif is_other_date(text):
            before = f" as {dates[-1]!r} has" if dates else ""
            raise TicklineError(f"expected dates of one form{before}, got {text!r}")
    return dates, forms


def _read_alike(texts: Sequence[str], forms: Iterable[str]) -> dict[str, list[str]]:
    """Return all dates by each form that all of them have."""
    return {form: dates for form in forms if (dates := _read_all(texts, form))}


def _read_all(texts: Sequence[str], form: str) -> list[str]:
    """Return all dates by one form; none where one of them has another."""
    try:
        return [_read_date(text, form) for text in texts]
    except ValueError:
        return []


def _read_date(text: str, form: str) -> str:
    """Return a date of a form as ISO 8601; raises ValueError where it has another."""
    if epoch := _EPOCHS.get(form):
        digits, unit = epoch
        if not digits.fullmatch(text):
            raise ValueError(text)
        return datetime.fromtimestamp(int(text) / unit, UTC).isoformat()
    date = datetime.strptime(text, form)
    return (date if "%H" in form else date.date()).isoformat()
