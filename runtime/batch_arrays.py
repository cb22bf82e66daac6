"""Batches as arrays: raw float32, and NumPy's own format. Both are read while they arrive."""

import io
from collections import deque
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from runtime.batch_json import Bad
from runtime.decoding import not_finite
from runtime.problems import Problem

_HEADER_MAX = 10_000
"""Longest header of a `.npy` body, which is what NumPy itself reads without being told to trust it."""


class RawBatch:
    """Rows as numbers of one type, row after row, without anything around them.

    Parameters
    ----------
    width : int
        Features in a row.
    dtype : dtype
        Type of the numbers, float32 or float64 of any byte order.
    """

    def __init__(self, width: int, dtype: "np.dtype[Any] | None" = None) -> None:
        self._width = width
        self._dtype = np.dtype("<f4") if dtype is None else dtype
        self._pieces: deque[bytes] = deque()  # what has not been read
        self._begin = 0  # of it in the first piece
        self._length = 0
        self._read = 0

    @property
    def waiting(self) -> int:
        """Bytes that could be read now."""
        return self._length

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if piece:
            self._pieces.append(piece)
            self._length += len(piece)

    def close(self) -> None:
        """Take the body as complete.

        Raises
        ------
        Problem
            422 where it ends within a row.
        """
        row = self._width * self._dtype.itemsize
        if self._length % row:
            total = self._read * row + self._length
            raise Problem(
                422, f"expected a multiple of {row} bytes, {self._width} numbers a row, got {total}", field="body"
            )

    def read(self, out: NDArray[np.float32]) -> tuple[int, Bad]:
        """Fill `out`, float32 (n, features), with the next rows; return how many, and the bad ones, which are zeros."""
        row = self._width * self._dtype.itemsize
        count = min(len(out), self._length // row)
        if not count:
            return 0, []
        rows = out[:count]
        values = rows if self._dtype == rows.dtype else np.empty(rows.shape, self._dtype)
        self._fill(values.reshape(-1).view(np.uint8).data)
        bad = take_rows(values, rows, self._read)
        self._read += count
        return count, bad

    def _fill(self, target: memoryview) -> None:
        """Move the next bytes to where they belong."""
        place, pieces = 0, self._pieces
        self._length -= len(target)
        while place < len(target):
            piece = memoryview(pieces[0])[self._begin :][: len(target) - place]
            target[place : place + len(piece)] = piece
            place += len(piece)
            self._begin += len(piece)
            if self._begin == len(pieces[0]):
                pieces.popleft()
                self._begin = 0


class NpyBatch:
    """A matrix (rows, features) of float32 or float64 in NumPy's format, versions 1 to 3, in C or Fortran order.

    Parameters
    ----------
    width : int
        Features in a row.
    max_rows : int
        Most rows that are taken.
    """

    def __init__(self, width: int, max_rows: int) -> None:
        self._width = width
        self._max_rows = max_rows
        self._head = bytearray()
        self._data: RawBatch | _FortranBatch | None = None
        self._bytes = 0  # of data that are still to come

    @property
    def waiting(self) -> int:
        """Bytes that could be read now."""
        return self._data.waiting if self._data else 0

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body.

        Raises
        ------
        Problem
            400 where it is no such format or has more data than its header says, 422 where it holds another array,
            413 where it has too many rows.
        """
        if self._data is None:
            self._head += piece
            length = _header_length(self._head)
            if length is None:
                return
            self._open(bytes(self._head[:length]))
            piece = bytes(self._head[length:])
            self._head.clear()
        assert self._data is not None
        self._bytes -= len(piece)
        if self._bytes < 0:
            raise Problem(400, "expected as many bytes of data as the header says, got more", field="body")
        self._data.feed(piece)

    def _open(self, head: bytes) -> None:
        shape, fortran, dtype = _read_header(head)
        if dtype.kind != "f" or dtype.itemsize not in (4, 8):
            raise Problem(422, f"expected float32 or float64, got {dtype}", field="body")
        if len(shape) != 2 or shape[1] != self._width:
            raise Problem(422, f"expected shape (rows, {self._width}), got {shape}", field="body")
        if shape[0] > self._max_rows:
            raise Problem(413, f"expected at most {self._max_rows} rows, got {shape[0]}", field="body")
        if shape[0] < 1:
            raise Problem(422, f"expected at least 1 row, got {shape[0]}", field="body")
        self._bytes = shape[0] * self._width * dtype.itemsize
        self._data = _FortranBatch(shape[0], self._width, dtype) if fortran else RawBatch(self._width, dtype)

    def close(self) -> None:
        """Take the body as complete.

        Raises
        ------
        Problem
            400 where it is shorter than its header says.
        """
        if self._data is None:
            raise Problem(
                400, f"expected a .npy file, got {len(self._head)} bytes without a whole header", field="body"
            )
        if self._bytes:
            raise Problem(400, f"expected {self._bytes} more bytes of data, as the header says", field="body")
        self._data.close()

    def read(self, out: NDArray[np.float32]) -> tuple[int, Bad]:
        """Fill `out`, float32 (n, features), with the next rows; return how many, and the bad ones, which are zeros."""
        return self._data.read(out) if self._data else (0, [])


class _FortranBatch:
    """Columns one after the other: the last row is complete when the whole body is."""

    def __init__(self, rows: int, width: int, dtype: "np.dtype[Any]") -> None:
        self._shape = (rows, width)
        self._dtype = dtype
        self._body = bytearray()
        self._values: NDArray[Any] | None = None
        self._read = 0

    @property
    def waiting(self) -> int:
        return 0

    def feed(self, piece: bytes) -> None:
        self._body += piece

    def close(self) -> None:
        self._values = np.frombuffer(self._body, self._dtype).reshape(self._shape, order="F")

    def read(self, out: NDArray[np.float32]) -> tuple[int, Bad]:
        if self._values is None:
            return 0, []
        values = self._values[self._read : self._read + len(out)]
        bad = take_rows(values, out[: len(values)], self._read)
        self._read += len(values)
        return len(values), bad


def take_rows(values: NDArray[Any], out: NDArray[np.float32], first: int) -> Bad:
    """Copy rows of numbers into float32 rows; return the bad ones, which become zeros.

    Parameters
    ----------
    values : ndarray, shape (n, features)
        Numbers of any real type.
    out : ndarray of float32, shape (n, features)
        Where they go; they may be there already.
    first : int
        Index of the first of the rows in the request.
    """
    if values is not out:
        with np.errstate(over="ignore", invalid="ignore"):
            out[:] = values
    if np.isfinite(out).all():
        return []
    bad: Bad = []
    for row in np.flatnonzero(~np.isfinite(out).all(axis=1)).tolist():
        place = int(np.flatnonzero(~np.isfinite(out[row]))[0])
        bad.append((row, not_finite(f"features[{first + row}][{place}]", repr(values[row, place].item()))))
        out[row] = 0
    return bad


def _header_length(head: bytearray) -> int | None:
    """Return the length of magic, version and header, None where too little has come to know; raises Problem."""
    magic = npy.MAGIC_PREFIX
    if not head.startswith(magic[: len(head)]):
        raise Problem(400, "expected a .npy file, got something that does not begin as one", field="body")
    if len(head) < len(magic) + 2:
        return None
    if head[len(magic)] not in (1, 2, 3):
        raise Problem(400, f"expected .npy version 1, 2 or 3, got {head[len(magic)]}", field="body")
    data = len(magic) + 2 + (2 if head[len(magic)] == 1 else 4)
    if len(head) < data:
        return None
    length = int.from_bytes(head[len(magic) + 2 : data], "little")
    if length > _HEADER_MAX:
        raise Problem(400, f"expected a header of at most {_HEADER_MAX} bytes, got {length}", field="body")
    return data + length if len(head) >= data + length else None


@lru_cache(64)  # batches of one client begin alike, and NumPy reads Python source for it
def _read_header(head: bytes) -> "tuple[tuple[int, ...], bool, np.dtype[Any]]":
    """Return shape, Fortran order and type; raises Problem."""
    stream = io.BytesIO(head)
    # Version 3 differs from 2 in the encoding of names alone, which the types of our numbers do not have.
    read = npy.read_array_header_1_0 if npy.read_magic(stream)[0] == 1 else npy.read_array_header_2_0
    try:
        return read(stream, max_header_size=_HEADER_MAX)
    except Exception as error:  # NumPy parses a literal and makes a type of it; what it raises then has no common base
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Problem(400, f"expected the header of a .npy file: {detail}", field="body") from None
