"""Slices of files as blocks of rows."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from features_fast.errors import TicklineError
from runtime.scoring.cells import Column, encoded, numbers, times
from runtime.scoring.form import Form
from runtime.scoring.plan import Chain, Slice
from runtime.scoring.sources import Source, open_parquet

BLOCK_ROWS = 1 << 16
"""Most rows of a block of a Parquet file."""

Rejects = list[tuple[int, str]]
"""Numbers of rows that are not scored, each with its reason."""


@dataclass
class Block:
    """Rows as they were read.

    Attributes
    ----------
    rows : ndarray of int64
        Their numbers in the file.
    columns : dict of pyarrow arrays
        By what they are: bars' columns, or features and what is carried along.
    codes : ndarray of int32
        Place of each row's ticker in `tickers`, -1 where it has none; empty where there are no tickers.
    tickers : pyarrow array of str
        The names.
    broken : Rejects
        Rows that are none: they have too few or too many cells.
    form : Form
        How cells of text are to be read.
    """

    rows: NDArray[np.int64]
    columns: dict[str, Column]
    codes: NDArray[np.int32]
    tickers: Column
    broken: Rejects = field(default_factory=list)
    form: Form = field(default_factory=Form)

    @property
    def count(self) -> int:
        """Rows that were read, broken ones too."""
        return len(self.rows) + len(self.broken)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column as `cells.numbers` does; a volume may have a K, M or B behind it."""
        return numbers(self.columns[name], decimal_comma=self.form.decimal_comma, suffixes=name == "Volume")

    def times(self) -> NDArray[np.int64]:
        """Return the dates as `cells.times` does."""
        return times(self.columns["Date"], self.form.dates)

    def chosen(self, places: NDArray[Any]) -> "Block":
        """Return the rows at some places, in their order, or where a mask is true."""
        taken = np.flatnonzero(places) if places.dtype == np.bool_ else places
        columns = {name: column.take(pa.array(taken)) for name, column in self.columns.items()}
        codes = self.codes[taken] if len(self.codes) else self.codes
        return replace(self, rows=self.rows[taken], columns=columns, codes=codes)


def read_blocks(path: Path, source: Source, piece: Slice, chain: Chain, parallel: bool) -> Iterator[Block]:
    """Yield the rows of a slice that are those of a chain.

    Parameters
    ----------
    path : Path
        The file.
    source : Source
        Its columns.
    piece : Slice
        What is read.
    chain : Chain
        Whose tickers count.
    parallel : bool
        Whether columns are decoded on several cores at once.

    Raises
    ------
    TicklineError
        If the file cannot be read any more.
    """
    read = _read_parquet if path.suffix == ".parquet" else _read_csv
    try:
        for block in read(path, source, piece, chain, parallel):
            block.form = source.form
            for name, value in source.constants.items():
                block.columns[name] = pa.repeat(pa.scalar(value, pa.string()), len(block.rows))
            if "Ticker" in block.columns:
                block.codes, block.tickers = encoded(block.columns.pop("Ticker"))
            yield _of_chain(block, piece, chain)
    except (OSError, pa.ArrowException) as error:
        raise TicklineError(f"{path}: cannot be read: {error}") from None


def _of_chain(block: Block, piece: Slice, chain: Chain) -> Block:
    """Leave out the rows of other chains."""
    if chain.after is None and chain.upto is None:
        return block
    owned = _owned(block.codes, block.tickers, piece, chain)
    if owned.all():
        return block
    return replace(block.chosen(owned), broken=block.broken if piece.home else [])


def _owned(codes: NDArray[np.int32], tickers: Column, piece: Slice, chain: Chain) -> NDArray[np.bool_]:
    names = tickers.to_pylist()
    own = [(chain.after is None or name > chain.after) and (chain.upto is None or name <= chain.upto) for name in names]
    # The last place is that of code -1: no ticker.
    return np.array([*own, piece.home], dtype=np.bool_)[codes]


def _read_parquet(path: Path, source: Source, piece: Slice, chain: Chain, parallel: bool) -> Iterator[Block]:
    ticker = source.columns.get("Ticker")
    with open_parquet(
        path, read_dictionary=[ticker] if ticker else None, pre_buffer=False, buffer_size=_BUFFER_BYTES
    ) as file:
        rows = piece.rows
        if ticker and not (chain.after is None and chain.upto is None):
            rows = _last_owned(file, ticker, piece, chain)
        names = list(dict.fromkeys(source.columns.values()))
        batches = file.iter_batches(BLOCK_ROWS, row_groups=[piece.group], columns=names, use_threads=parallel)
        first = piece.first
        for batch in batches if rows else ():
            table = batch.slice(0, piece.first + rows - first)
            columns = {what: table.column(name) for what, name in source.columns.items()}
            yield Block(np.arange(first, first + len(table)), columns, *_NO_TICKERS)
            first += len(table)
            if first >= piece.first + rows:
                break


def _last_owned(file: "pa.parquet.ParquetFile", ticker: str, piece: Slice, chain: Chain) -> int:
    """Return how many rows there are up to the last one of the chain: the names alone are read fast."""
    last = place = 0
    for batch in file.iter_batches(BLOCK_ROWS, row_groups=[piece.group], columns=[ticker], use_threads=False):
        owned = np.flatnonzero(_owned(*encoded(batch.column(0)), piece, chain))
        last = place + int(owned[-1]) + 1 if len(owned) else last
        place += len(batch)
    return last


_NO_TICKERS: tuple[NDArray[np.int32], Column] = (np.empty(0, np.int32), pa.array([], pa.string()))


def _read_csv(path: Path, source: Source, piece: Slice, chain: Chain, parallel: bool) -> Iterator[Block]:
    with path.open("rb") as file:
        file.seek(piece.start)
        data = file.read(piece.stop - piece.start)
    types = {what: _TYPES.get(what, pa.float64()) for what in source.columns}
    if source.form.dates is not None:
        types["Date"] = _NAMES
    block = _read_lines(data, source, piece, types)
    if block is None or not all(_finite(column) for column in block.columns.values()):
        # Something is no number or no date as nearly all are: as text it can be told what.
        block = _read_lines(data, source, piece, dict.fromkeys(source.columns, pa.string()))
        block = _with_words(block or _read_odd_lines(data, source, piece))
    yield block.chosen(np.arange(len(block.rows))[::-1]) if source.form.newest_first else block


def _with_words(block: Block) -> Block:
    """Leave out lines without a word: spreadsheets write delimiters alone below a table."""
    empty = np.ones(len(block.rows), np.bool_)
    for column in block.columns.values():
        empty &= pc.equal(pc.utf8_trim_whitespace(column), "").to_numpy(zero_copy_only=False)
    return block.chosen(~empty) if empty.any() else block


_BUFFER_BYTES = 1 << 20
"""Bytes of a column that are read at once: a row group of a million rows is never in memory whole."""

_NAMES = pa.dictionary(pa.int32(), pa.string())
_TYPES = {"Date": pa.timestamp("us"), "Ticker": _NAMES}


def _finite(column: Column) -> bool:
    return not pa.types.is_floating(column.type) or bool(np.isfinite(column.to_numpy()).all())


def _read_lines(data: bytes, source: Source, piece: Slice, types: dict[str, Any]) -> Block | None:
    """Return lines of CSV as columns of these types; None where one has another, or a line is not as the header."""
    places = {what: str(source.header.index(name)) for what, name in source.columns.items()}
    try:
        table = pa_csv.read_csv(
            pa.py_buffer(data),
            pa_csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=[str(n) for n in range(len(source.header))]
            ),
            pa_csv.ParseOptions(delimiter=source.form.delimiter, newlines_in_values=b'"' in data),
            pa_csv.ConvertOptions(
                column_types={places[what]: kind for what, kind in types.items()},
                include_columns=list(places.values()),
                null_values=[],
                strings_can_be_null=False,
                decimal_point="," if source.form.decimal_comma else ".",
            ),
        )
    except pa.ArrowInvalid:
        return None
    if len(table) != piece.rows:
        return None
    columns = {what: table.column(name).combine_chunks() for what, name in places.items()}
    return Block(np.arange(piece.first, piece.first + piece.rows), columns, *_NO_TICKERS)


def _read_odd_lines(data: bytes, source: Source, piece: Slice) -> Block:
    """Do the same with lines of any kind, row by row."""
    reader = csv.reader(io.StringIO(data.decode("utf-8", "replace"), newline=""), delimiter=source.form.delimiter)
    places = [source.header.index(name) for name in source.columns.values()]
    rows: list[int] = []
    cells: list[list[str]] = [[] for _ in places]
    broken: Rejects = []
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            broken.append((piece.first + reader.line_num - 1, f"expected CSV: {error}"))
            continue
        if row is None:
            break
        number = piece.first + reader.line_num - 1
        if len(row) != len(source.header):
            if any(map(str.strip, row)):
                broken.append((number, f"expected {len(source.header)} cells as in the header, got {len(row)}"))
            continue
        if any("\N{REPLACEMENT CHARACTER}" in row[place] for place in places):
            broken.append((number, "expected UTF-8"))
            continue
        rows.append(number)
        for column, place in zip(cells, places, strict=True):
            column.append(row[place])
    columns = {what: pa.array(column, pa.string()) for what, column in zip(source.columns, cells, strict=True)}
    return Block(np.array(rows, np.int64), columns, *_NO_TICKERS, broken)
