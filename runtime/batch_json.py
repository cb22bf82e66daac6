"""Batches in JSON: rows or columns, read chunk by chunk."""

import re
from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.codec import CODEC, END, ODD, Codec
from runtime.decoding import RowDecoder, decode_number
from runtime.json_text import IncompleteError, JsonText
from runtime.problems import Problem

Bad = list[tuple[int, Problem]]
"""Rows of a chunk that cannot be predicted, by their place in it, in order."""

_LONGEST_NUMBER = 4096

_ROWS_FOLLOW = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"features"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*(?=[^ \t\r\n\]])')
"""What most batches begin with, at one glance; all others are read member by member."""


class JsonBatch:
    """The body `{"features": [row, ...]}` or `{"columns": {name: [number, ...], ...}}`.

    Numbers are read without the interpreter while they are plain; every other row, and each refusal, is the decoder's.

    Parameters
    ----------
    decoder : RowDecoder
        Decodes what is not plain.
    max_rows : int
        Most rows that are taken; reading goes at most one row further.
    codec : Codec or None
        The kernels.
    """

    def __init__(self, decoder: RowDecoder, max_rows: int, codec: Codec | None = CODEC) -> None:
        self._decoder = decoder
        self._max_rows = max_rows
        self._streams = codec is not None
        self._text = JsonText(codec)
        self._rows: _Rows | None = None
        self._wanted = 0

    @property
    def waiting(self) -> int:
        """Bytes that could be read now."""
        ready = self._text.complete or (self._streams and len(self._text) >= self._wanted)
        return len(self._text) if ready else 0

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._text.feed(piece)

    def close(self) -> None:
        """Take the body as complete."""
        self._text.complete = True

    def read(self, out: NDArray[np.float32]) -> tuple[int, Bad]:
        """Fill `out`, float32 (n, features), with the next rows; return how many, and the bad ones, which are zeros.

        Raises
        ------
        Problem
            400 where the body is no JSON, 422 where it has another structure than a batch.
        """
        if not self.waiting and not self._text.complete:
            return 0, []
        found: tuple[int, Bad] = 0, []
        try:
            if self._rows is None:
                self._rows = self._open()
            found = self._rows.read(out)
        except IncompleteError:
            self._text.position = 0
        else:
            self._text.forget()
        if not found[0]:
            self._wanted = 2 * len(self._text)  # what is long is looked at again when there is twice as much of it
        return found

    def _open(self) -> "_Rows":
        """Read what stands in front of the rows."""
        text = self._text
        if text.starts(_ROWS_FOLLOW):
            return _ListedRows(text, self._decoder, True)
        if not text.enter_object("body"):
            raise Problem(422, "this field is required and missing", field="features")
        name = text.name()
        if name == "features":
            return _ListedRows(text, self._decoder, text.enter_list("features"))
        if name == "columns":
            if not text.complete:
                raise IncompleteError  # the first row is complete when the last column is
            return _Columns(text, self._decoder.feature_names, self._max_rows)
        raise _unknown(name)


class _Rows(Protocol):
    def read(self, out: NDArray[np.float32]) -> tuple[int, Bad]: ...


class _ListedRows:
    """The rows of a list."""

    def __init__(self, text: JsonText, decoder: RowDecoder, open: bool) -> None:
        self._text = text
        self._decoder = decoder
        self._names, self._ends = decoder.names, decoder.name_ends
        self._longest = 4096 + 64 * len(self._ends) + 8 * len(self._names)
        self._read = 0
        self._open = open
        self._ended = False

    def read(self, out: NDArray[np.float32]) -> tuple[int, Bad]:
        text, count = self._text, 0
        bad: Bad = []
        while self._open and count < len(out):
            count = text.rows(out, count, self._names, self._ends)
            if text.stopped == END:
                self._open = False
            elif text.stopped == ODD:
                begin = text.position
                try:
                    problem = self._odd(out[count], f"features[{self._read + count}]")
                    self._open = text.more()
                except IncompleteError:
                    text.position = begin
                    break
                if problem:
                    out[count] = 0
                    bad.append((count, problem))
                count += 1
        if not self._open and text.complete and not self._ended:
            self._end()
        self._read += count
        return count, bad

    def _odd(self, row: NDArray[np.float32], field: str) -> Problem | None:
        """Decode a row that is not plain; return what is wrong with it."""
        return _decode(self._text, self._longest, field, lambda text: self._decoder.decode_row(text, row, field))

    def _end(self) -> None:
        """Check what follows the list."""
        if self._text.more_members():
            raise _unknown(self._text.name())
        self._text.end()
        self._ended = True


class _Columns:
    """The members of an object, each a list with one number a row."""

    def __init__(self, text: JsonText, names: tuple[str, ...], max_rows: int) -> None:
        self._text = text
        self._room = max_rows + 1
        self._bad: dict[int, tuple[str, str]] = {}  # field and detail, which are a tenth of a problem
        self._read = 0
        columns: dict[str, NDArray[np.float32]] = {}
        more = text.enter_object("columns")
        while more:
            name = text.name()
            if name not in names or name in columns:
                raise Problem(422, "given twice" if name in columns else "no such feature", field=f"columns.{name}")
            columns[name] = self._column(f"columns.{name}")
            more = text.more_members()
        if text.more_members():
            raise _unknown(text.name())
        text.end()
        for name in names:
            if name not in columns:
                raise Problem(422, "this field is required and missing", field=f"columns.{name}")
        lengths = {name: len(columns[name]) for name in names}
        for name, length in lengths.items():
            if length != lengths[names[0]]:
                expected = f"{lengths[names[0]]} numbers like columns.{names[0]}"
                raise Problem(422, f"expected {expected}, got {length}", field=f"columns.{name}")
        self._columns = [columns[name] for name in names]

    def _column(self, field: str) -> NDArray[np.float32]:
        """Read one list, up to one number more than there may be rows."""
        text, count = self._text, 0
        out = np.empty(min(self._room, 1024), np.float32)
        open_ = text.enter_list(field)
        while open_:
            if count == len(out):
                if count == self._room:
                    raise Problem(413, f"expected at most {self._room - 1} rows, got at least {count}", field=field)
                out = np.concatenate([out, np.empty(min(len(out), self._room - count), np.float32)])
            count = text.column(out, count)
            if text.stopped == END:
                break
            if text.stopped == ODD:
                position = f"{field}[{count}]"
                problem = _decode(text, _LONGEST_NUMBER, position, partial(_put, out, count, position))
                if problem:
                    out[count] = 0
                    self._bad.setdefault(count, (position, str(problem).removeprefix(f"{position}: ")))
                count += 1
                open_ = text.more()
        return out[:count]

    def read(self, out: NDArray[np.float32]) -> tuple[int, Bad]:
        begin = self._read
        count = min(len(out), len(self._columns[0]) - begin)
        for place, values in enumerate(self._columns):
            out[:count, place] = values[begin : begin + count]
        self._read += count
        rows = [row for row in range(begin, begin + count) if row in self._bad] if self._bad else []
        bad: Bad = []
        for row in rows:
            field, detail = self._bad[row]
            bad.append((row - begin, Problem(422, detail, field=field)))
            out[row - begin] = 0
        return count, bad


def _decode(text: JsonText, longest: int, field: str, decode: Callable[[bytes], None]) -> Problem | None:
    """Decode the next element of a list, whatever its length; return what is wrong with it, where it is JSON.

    Raises
    ------
    Problem
        400 where it is no JSON, also behind the place where the decoder took offence; NaN and Infinity may be in it.
    IncompleteError
        Where it has not come completely.
    """
    try:
        element = text.element(longest, field)
    except Problem as problem:
        if problem.status != 422:
            raise
        return problem
    try:
        decode(element)
    except Problem as problem:
        if not text.judges(element):
            raise text.malformed() from None
        return problem if problem.status == 422 else Problem(422, "expected text in Unicode", field=field)
    return None


def _put(out: NDArray[np.float32], place: int, field: str, text: bytes) -> None:
    out[place] = decode_number(text, field)


def _unknown(name: str) -> Problem:
    return Problem(422, "no such field; expected `features` or `columns` alone", field=name)
