"""CSV files of bars in forms that are not read at full speed: refused with the way to score them all the same."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from features_fast.columns import BAR_COLUMNS, match_bar_columns
from features_fast.errors import TicklineError
from features_fast.foreign_text import TextTable, is_empty, read_number, read_table, rewrite_dates

_LOOKED_AT = 1 << 16
"""Bytes at the beginning of a file that tell its form."""

_ISO = re.compile(r"\d{4}-\d\d")
_PLAIN = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


def refuse_foreign(path: Path, header: Sequence[str]) -> None:
    """Refuse a file that people read at once, and whose rows a job would refuse one by one.

    Parameters
    ----------
    path : Path
        A CSV file of bars.
    header : sequence of str
        What its first line is with commas between names.

    Raises
    ------
    TicklineError
        If cells are not parted by commas, or no date is ISO 8601, or no number of a column is plain. The message does
        not name the file.
    """
    fault = _fault(path, header)
    if fault:
        raise TicklineError(
            f"{fault}; `tickline features {path} features.csv --drop-warm-up` reads it, and features.csv is scored"
        )


def _fault(path: Path, header: Sequence[str]) -> str:
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT)
    whole = head if len(head) < _LOOKED_AT else head[: head.rfind(b"\n") + 1]
    try:
        table = read_table(whole.decode("utf-8-sig"))
        names = match_bar_columns(table.header, (), BAR_COLUMNS)
    except (UnicodeDecodeError, TicklineError, csv.Error):
        return ""  # not as a whole: those who read row by row say which
    if not table.rows or "Close" not in names:
        return ""
    if not table.commas_part and len(header) == 1:
        return f"expected commas between cells, got {header[0]!r}"
    if table.header[0] != header[0]:
        return f"expected one line of column names, got {', '.join(map(repr, header[:3]))} and two more lines"
    if "Date" in names:
        dates = [cell.strip() for cell in _cells(table, names["Date"])]
        if dates and not any(map(_ISO.match, dates)) and _is_known(dates):
            return f"column {names['Date']}: expected ISO 8601 dates such as 2026-01-15, got {dates[0]!r}"
    for column in (name for name in BAR_COLUMNS[2:] if name in names):
        numbers = _cells(table, names[column])
        read = [read_number(cell, suffixes=column == "Volume") for cell in numbers]
        if numbers and None not in read and not any(map(_PLAIN.fullmatch, numbers)):
            return f"column {names[column]}: expected plain numbers such as 1234.5, got {numbers[0]!r}"
    return ""


def _cells(table: TextTable, name: str) -> list[str]:
    place = table.header.index(name)
    return [row[place] for row in table.rows if not is_empty(row[place])]


def _is_known(dates: list[str]) -> bool:
    """Return whether dates have a form that others know, be it one with two meanings."""
    try:
        return rewrite_dates(dates) is not None
    except TicklineError:
        return True
