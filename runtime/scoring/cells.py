"""Columns of any type as the arrays that are computed with; what cannot be read is marked, never guessed."""

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features_fast.foreign_text import read_number, rewrite_date

Column = Any
"""An array of pyarrow."""

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_MICROSECONDS = pa.timestamp("us")
NO_TIME = np.iinfo(np.int64).min
"""Stands for a date that cannot be read."""

_DATES = 1 << 14
"""Dates of other forms that are remembered, since those of several tickers are the same."""


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def decoded(column: Column) -> Column:
    """Return a column with its values in place of those of a dictionary."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def numbers(column: Column, *, decimal_comma: bool = False, suffixes: bool = False) -> NDArray[np.float64]:
    """Return a column as float64, NaN where a cell is empty or no number; text as `read_number` reads it."""
    column = decoded(column)
    kind = column.type
    if _is_text(kind):
        return _read_numbers(column, decimal_comma, suffixes)
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        return np.full(len(column), np.nan)
    column = column.cast(pa.float64(), safe=False)
    return _filled(column)


def _read_numbers(column: Column, decimal_comma: bool, suffixes: bool) -> NDArray[np.float64]:
    if not decimal_comma:
        try:
            return _filled(column.cast(pa.float64()))
        except pa.ArrowInvalid:
            pass
        plain = pc.utf8_trim_whitespace(column)
        values = _filled(pc.if_else(pc.match_substring_regex(plain, _NUMBER), plain, None).cast(pa.float64())).copy()
    else:
        values = np.full(len(column), np.nan)
    others = np.flatnonzero(np.isnan(values))
    for row, cell in zip(others.tolist(), column.take(pa.array(others)).to_pylist(), strict=True):
        read = read_number(cell or "", decimal_comma=decimal_comma, suffixes=suffixes)
        values[row] = math.nan if read is None else read
    return values


def _filled(column: Column) -> NDArray[np.float64]:
    if column.null_count:
        column = column.fill_null(np.nan)
    values: NDArray[np.float64] = column.to_numpy(zero_copy_only=False)
    return values


def times(column: Column, form: str | None = None) -> NDArray[np.int64]:
    """Return a column of dates as microseconds since 1970, in UTC where a zone is told; `NO_TIME` where it is none.

    Text is ISO 8601, or of a form that `features_fast.foreign_text.rewrite_date` knows.
    """
    if form is not None and _is_text(decoded(column[:0]).type):
        return _rewritten(column, form)
    column = decoded(column)
    kind = column.type
    if _is_text(kind):
        column = _parsed(column)
    elif pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    elif pa.types.is_date(kind):
        column = column.cast(_MICROSECONDS)
    else:
        return np.full(len(column), NO_TIME)
    column = column.cast(pa.int64())
    if column.null_count:
        column = column.fill_null(NO_TIME)
    values: NDArray[np.int64] = column.to_numpy(zero_copy_only=False)
    return values


def _parsed(column: Column) -> Column:
    for kind in (_MICROSECONDS, pa.timestamp("us", "UTC")):
        try:
            return column.cast(kind)
        except pa.ArrowInvalid:
            continue
    return pa.array([_parse(text) for text in column.to_pylist()], pa.int64())


def _rewritten(column: Column, form: str) -> NDArray[np.int64]:
    """Read dates of another form than ISO 8601: each of them once."""
    codes, names = encoded(column)
    moments = [_rewrite(name, form) for name in names.to_pylist()]
    # The last place is that of code -1: an empty cell.
    values: NDArray[np.int64] = np.array([*moments, NO_TIME])[codes]
    return values


@lru_cache(_DATES)
def _rewrite(text: str, form: str) -> int:
    moment = _parse(rewrite_date(text, form))
    return NO_TIME if moment is None else moment


def _parse(text: str | None) -> int | None:
    try:
        date = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    since = (date if date.tzinfo else date.replace(tzinfo=UTC)) - datetime.fromtimestamp(0, UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def dates(values: NDArray[np.int64]) -> Column:
    """Return microseconds since 1970 as a column of dates."""
    return pa.array(values).cast(_MICROSECONDS)


def encoded(column: Column) -> tuple[NDArray[np.int32], Column]:
    """Return a column of names as places in a dictionary, -1 where a cell is empty, and the dictionary."""
    if not pa.types.is_dictionary(column.type):
        column = (column if _is_text(column.type) else column.cast(pa.string())).dictionary_encode()
    places = column.indices.cast(pa.int32())
    if places.null_count:
        places = places.fill_null(-1)
    codes: NDArray[np.int32] = places.to_numpy(zero_copy_only=False)
    names = column.dictionary.cast(pa.string())
    empty = pc.index(names, "").as_py()
    if empty >= 0:
        codes = np.where(codes == empty, np.int32(-1), codes)
    return codes, names


def text(column: Column, row: int) -> str:
    """Return a cell as an error shows it."""
    cell = column[row].as_py()
    return "an empty cell" if cell is None or cell == "" else repr(cell if isinstance(cell, str) else str(cell))
