"""Tables of bars as banks, brokers and spreadsheets write them, read without a guess: what is ambiguous is refused."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from features_fast.errors import TicklineError

_DELIMITERS = ",;\t|"
_EMPTY = {"", "-", "null", "nan", "n/a", "na", "none"}
_CURRENCY = " \u00a0\u202f'$\u20ac\u00a3"
_SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9}
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
_EITHER = re.compile(r"[+-]?\d{1,3}[.,]\d{3}")
_SECONDS, _MILLISECONDS = re.compile(r"\d{9,10}"), re.compile(r"\d{12,13}")
_DAYS = (
    *("%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S")


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
        The line of each row in the file, where the header is line 1.
    commas_part : bool
        Whether a comma stands between cells, so that it is no decimal mark in them.
    """

    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    commas_part: bool


def read_table(text: Iterable[str] | str) -> TextTable:
    """Read a table whose cells are parted by commas, semicolons, tabs or bars; lines without a word are left out.

    The three heads of a download by yfinance become one.

    Raises
    ------
    TicklineError
        A row has another number of cells than the header; the message names its line.
    csv.Error
        This is no table.
    """
    lines = iter(io.StringIO(text, newline="") if isinstance(text, str) else text)
    first = next(lines, "")
    delimiter = max(_DELIMITERS, key=re.sub(r'"[^"]*"', "", first).count)
    header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    reader = csv.reader(lines, delimiter=delimiter)
    numbers, rows = [], []
    for row in reader:
        if not any(map(str.strip, row)):
            continue
        if len(row) != len(header):
            raise TicklineError(
                f"row {reader.line_num + 1}: expected {len(header)} cells as in the header, got {len(row)}"
            )
        numbers.append(reader.line_num + 1)
        rows.append(row)
    if header[:1] == ["Price"] and len(rows) > 1 and (rows[0][0], rows[1][0]) == ("Ticker", "Date"):
        tickers, header = rows[0][1:], ["Date", *header[1:]]
        numbers, rows = numbers[2:], rows[2:]
        if len(set(tickers)) == 1:
            header, rows = [*header, "Ticker"], [[*row, tickers[0]] for row in rows]
    return TextTable(header, rows, numbers, delimiter == ",")


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


def rewrite_dates(cells: Sequence[str]) -> list[str] | None:
    """Return dates of one form as ISO 8601: 01/15/2026, 15.01.2026, Jan 15, 2026 and the like, perhaps with a time;
    or seconds or milliseconds since 1970, in UTC. None where all of them are of no such form.

    Raises
    ------
    TicklineError
        Every date may begin with the day as well as with the month.
    """
    texts = [cell.strip() for cell in cells]
    for form, unit in ((_SECONDS, 1), (_MILLISECONDS, 1000)):
        if texts and all(map(form.fullmatch, texts)):
            return [datetime.fromtimestamp(int(text) / unit, UTC).isoformat() for text in texts]
    found = [read for days in _DAYS for times in _TIMES if (read := _read_all(texts, days + times))]
    if len(found) > 1 and found[0] != found[1]:
        raise TicklineError(f"expected dates that tell day from month, such as 2026-01-15, got {texts[0]!r}")
    return found[0] if found else None


def _read_all(texts: Sequence[str], form: str) -> list[str]:
    """Return all dates by one form; none where one of them has another."""
    try:
        dates = [datetime.strptime(text, form) for text in texts]
    except ValueError:
        return []
    return [(date if "%H" in form else date.date()).isoformat() for date in dates]
