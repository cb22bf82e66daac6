"""How a CSV file is written: found out before a job begins, so that each of its pieces is read alike."""

import csv
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features_fast.errors import TicklineError
from features_fast.foreign_text import (
    HEAD_LINES,
    Head,
    find_date_form,
    has_decimal_comma,
    is_iso_date,
    is_other_date,
    read_head,
)
from runtime.scoring.cells import NO_TIME, encoded, times

_MAX_HEADER = 1 << 20  # bytes of a line above the rows
_BEGINNING = 200
"""Rows at the beginning that tell whether dates are ISO 8601, and which end is the newest."""

_FEW = 5
"""Rows at either end that tell where no ticker has two dates: more than one, since one may be wrong."""

_END = 1 << 13
"""Bytes at the end that have a few rows."""


class Form(msgspec.Struct, frozen=True):
    """The form of a CSV file.

    Attributes
    ----------
    delimiter : str
        What parts cells.
    head_lines : int
        Lines above the first row.
    decimal_comma : bool
        Whether numbers are written like 1.234,56.
    dates : str or None
        That of dates, see `features_fast.foreign_text.rewrite_date`; None for ISO 8601.
    newest_first : bool
        Whether a ticker's rows stand in the order of falling dates: then the file is read from its end.
    """

    delimiter: str = ","
    head_lines: int = 1
    decimal_comma: bool = False
    dates: str | None = None
    newest_first: bool = False


def open_head(path: Path, read: Callable[[Sequence[str]], Head] = read_head) -> Head:
    """Read what stands above the rows of a CSV file; raises TicklineError, which does not name the file."""
    try:
        with path.open("rb") as file:
            first, *others = (file.readline(_MAX_HEADER) for _ in range(HEAD_LINES))
        return read([first.decode("utf-8-sig"), *(line.decode("utf-8", "replace") for line in others)])
    except OSError as error:
        raise TicklineError(f"cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TicklineError(f"expected a header of CSV in UTF-8: {error}") from None


def find_form(path: Path, head: Head, columns: Mapping[str, str], numbers: Sequence[str], series: bool) -> Form:
    """Return the form of a file.

    Dates of ISO 8601 and the order of rows are known by the file's beginning and its end. Other dates are looked
    at to the end, and numbers between other marks than commas until one tells, with bounded memory.

    Parameters
    ----------
    path : Path
        A CSV file.
    head : Head
        What stands above its rows.
    columns : mapping of str
        The file's names of the columns that are read, by what they are.
    numbers : sequence of str
        Those of `columns` that tell how numbers are written.
    series : bool
        Whether rows are to be read in the order of their dates.

    Raises
    ------
    TicklineError
        If dates or decimal marks may mean two things, or dates have several forms. The message does not name the file.
    """
    dates, newest_first = None, False
    if date := columns.get("Date"):
        names = [columns[name] for name in ("Date", "Ticker") if name in columns]
        beginning = list(islice(_rows(path, head, names), _BEGINNING))
        known = [row[0] for row in beginning]
        try:
            if not any(map(is_iso_date, known)) and any(map(is_other_date, known)):
                dates = find_date_form(cell for (cell,) in _rows(path, head, [date]))
        except TicklineError as error:
            raise TicklineError(f"column {date}: {error}") from None
        newest_first = series and _is_newest_first(beginning, _last_dates(path, head, date), dates)
    decimal_comma = False
    if head.delimiter != ",":
        names = [columns[name] for name in numbers]
        decimal_comma = has_decimal_comma(cell for row in _rows(path, head, names) for cell in row)
    return Form(head.delimiter, head.lines, decimal_comma, dates, newest_first)


def _is_newest_first(beginning: Sequence[Sequence[str]], last: Sequence[str], form: str | None) -> bool:
    """Return whether dates fall, by the first rows' dates and perhaps tickers, and by the last rows' dates."""
    moments = _moments([row[0] for row in beginning], form)
    tickers = encoded(pa.array([(*row, "")[1] for row in beginning], pa.string()))[0]
    order = np.argsort(tickers, kind="stable")
    order = order[moments[order] != NO_TIME]
    steps = np.diff(moments[order])[np.diff(tickers[order]) == 0]
    rises, falls = np.count_nonzero(steps > 0), np.count_nonzero(steps < 0)
    if rises + falls < _FEW:
        # Hardly a ticker has two dates: such a file goes day by day.
        first, end = (found[found != NO_TIME] for found in (moments[:_FEW], _moments(last, form)))
        if len(first) and len(end) and (end.max() < first.min() or end.min() > first.max()):
            return bool(end.max() < first.min())
    return bool(falls > rises)


def _moments(cells: Sequence[str], form: str | None) -> NDArray[np.int64]:
    return times(pa.array(cells, pa.string()), form)


def _rows(path: Path, head: Head, names: Sequence[str]) -> Iterator[list[str]]:
    """Yield the cells of some columns, of rows that are like the header."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        for _ in range(head.lines):
            file.readline()
        yield from _read(file, head, names)


def _last_dates(path: Path, head: Head, name: str) -> list[str]:
    """Return those of a few last rows."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END))
        text = file.read().decode("utf-8", "replace")
    return [cell for (cell,) in deque(_read(io.StringIO(text, newline=""), head, [name]), _FEW)]


def _read(lines: Iterable[str], head: Head, names: Sequence[str]) -> Iterator[list[str]]:
    places = [head.header.index(name) for name in names]
    reader = csv.reader(lines, delimiter=head.delimiter)
    while True:
        try:
            row = next(reader, None)
        except csv.Error:
            continue
        if row is None:
            return
        if len(row) == len(head.header) and any(row):
            yield [row[place] for place in places]
