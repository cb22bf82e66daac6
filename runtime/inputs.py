"""What `tickline predict` and `tickline explain` are given: a row, a file of rows, or a CSV file of bars."""

import csv
import io
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from features_fast.errors import TicklineError
from runtime.bars import FIELDS

_DATE, _TICKER = ("date", "datetime", "timestamp", "time"), ("ticker", "symbol")
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
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [column.strip() for column in next(reader, [])]
    lines = [(reader.line_num, cells) for cells in reader if cells]
    for number, cells in lines:
        if len(cells) != len(header):
            raise TicklineError(f"{name}, line {number}: expected {len(header)} cells, got {len(cells)}")
    if not lines:
        raise TicklineError(f"{name}: expected a header and at least one line below it; {KINDS}")
    lower = [column.lower() for column in header]
    if set(FIELDS) <= set(lower):
        return _bars(name, header, lower, lines)
    features = [place for place, column in enumerate(lower) if column not in (*_DATE, *_TICKER)]
    rows = [
        {header[place]: _number(name, number, header[place], cells[place]) for place in features}
        for number, cells in lines
    ]
    return Rows(msgspec.json.encode({"features": rows}), single=False)


def _bars(name: str, header: Sequence[str], lower: Sequence[str], lines: Sequence[tuple[int, list[str]]]) -> BarSeries:
    """Return bars by column, for one ticker or for each."""
    date = next((lower.index(column) for column in _DATE if column in lower), None)
    ticker = next((lower.index(column) for column in _TICKER if column in lower), None)
    places = {field: lower.index(field) for field in FIELDS}
    series: dict[str, dict[str, list[float | str]]] = {}
    for number, cells in lines:
        bars = series.setdefault("" if ticker is None else cells[ticker].strip(), {})
        for field, place in places.items():
            bars.setdefault(field, []).append(_number(name, number, header[place], cells[place]))
        if date is not None:
            bars.setdefault("date", []).append(cells[date].strip())
    if len(series) == 1:
        return BarSeries(msgspec.json.encode({"bars": next(iter(series.values()))}))
    return BarSeries(msgspec.json.encode({"tickers": series}))


def _number(name: str, line: int, column: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise TicklineError(f"{name}, line {line}, column {column}: expected a number, got {cell!r}")
    return value
