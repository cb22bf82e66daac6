"""Replies to batches, written chunk by chunk: JSON rows, JSON columns, NumPy's format."""

import io
from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol

import msgspec
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from runtime.batch_json import Bad
from runtime.codec import CODEC, POSITION, STATE_WORDS, Codec
from runtime.problems import Problem
from runtime.replies import LONGEST_NUMBER, ReplyWriter

Probabilities = NDArray[np.float32]


class BatchReply(Protocol):
    """A reply that grows by chunks."""

    marks_errors: bool
    """Whether a bad row can stand in it; else one makes the whole batch fail."""

    def add(self, probabilities: Probabilities, bad: Bad) -> None:
        """Add a chunk of probabilities, float32 (rows, classes); the bad rows have an error in their place."""

    def finish(self, count: int, errors: int) -> list[bytes]:
        """Return the whole reply, piece by piece, for a number of rows, of which some are bad."""


def segments(count: int, bad: Bad) -> Iterator[tuple[int, int, Problem | None]]:
    """Yield the runs of good rows, from and to, and each bad row on its own."""
    first = 0
    for row, problem in bad:
        if first < row:
            yield first, row, None
        yield row, row + 1, problem
        first = row + 1
    if first < count:
        yield first, count, None


def error_members(problem: Problem) -> dict[str, str]:
    """Return what a reply says of a bad row."""
    return {"field": problem.members["field"], "detail": problem.members["detail"]}


class JsonRows:
    """`{"predictions": [prediction, ...], "count": n, "errors": n, ...}`; a bad row is `{"error": {...}}`.

    Parameters
    ----------
    replies : ReplyWriter
        Has the template of a prediction, and closes the reply, as it closes every other one.
    codec : Codec or None
        The kernels; without them NumPy writes the numbers.
    """

    marks_errors = True

    def __init__(self, replies: ReplyWriter, codec: Codec | None = CODEC) -> None:
        self._template = replies.element
        self._out = np.empty(0, np.uint8)
        self._state = np.zeros(STATE_WORDS, np.int64)
        self._replies = replies
        self._codec = codec
        self._text = [b'{"predictions":[']

    def add(self, probabilities: Probabilities, bad: Bad) -> None:
        """Add a chunk of probabilities, float32 (rows, classes)."""
        for first, stop, problem in segments(len(probabilities), bad):
            if problem:
                self._text.append(b'{"error":%b},' % msgspec.json.encode(error_members(problem)))
            else:
                self._write(probabilities[first:stop])

    def _write(self, probabilities: Probabilities) -> None:
        """Write good rows: by the kernel, and those by NumPy that it leaves."""
        (count, classes), template = probabilities.shape, self._template
        if self._codec and len(self._out) < count * template.longest:
            self._out = np.empty(count * template.longest, np.uint8)
        row = 0
        while row < count:
            if self._codec:
                written = self._codec.write(
                    probabilities.ctypes.data,
                    row,
                    count,
                    classes,
                    *template.addresses,
                    self._out.ctypes.data,
                    self._state.ctypes.data,
                )
                self._text.append(self._out[:written].tobytes())
                row = int(self._state[POSITION])
            if row < count:
                self._text.append(template.write(probabilities[row])[1])
                row += 1

    def finish(self, count: int, errors: int) -> list[bytes]:
        """Return the whole reply."""
        self._text[-1] = self._text[-1][:-1]  # the comma behind the last row
        return [*self._text, self._replies.close(f'],"count":{count},"errors":{errors}')]


class JsonColumns:
    """`{"prediction": [...], "prediction_label": [...], "probability": [...], "probabilities": {label: [...]}, ...}`.

    A bad row is null in every list, and one of `bad_rows`, `[{"index": i, "error": {...}}, ...]`.

    Parameters
    ----------
    replies : ReplyWriter
        Has the labels, and closes the reply, as it closes every other one.
    codec : Codec or None
        The kernels; without them NumPy writes the numbers.
    """

    marks_errors = True

    def __init__(self, replies: ReplyWriter, codec: Codec | None = CODEC) -> None:
        self._labels = replies.element.names
        self._replies = replies
        self._codec = codec
        self._count = 0
        self._indexes: list[bytes] = []
        self._names: list[bytes] = []
        self._largest: list[bytes] = []
        self._columns: list[list[bytes]] = [[] for _ in self._labels]
        self._bad: list[bytes] = []

    def add(self, probabilities: Probabilities, bad: Bad) -> None:
        """Add a chunk of probabilities, float32 (rows, classes)."""
        for first, stop, problem in segments(len(probabilities), bad):
            if problem:
                for column in (self._indexes, self._names, self._largest, *self._columns):
                    column.append(b"null")
                entry = {"index": self._count + first, "error": error_members(problem)}
                self._bad.append(msgspec.json.encode(entry))
            else:
                self._write(probabilities[first:stop])
        self._count += len(probabilities)

    def _write(self, probabilities: Probabilities) -> None:
        """Write good rows."""
        indexes = probabilities.argmax(axis=1).tolist()
        self._indexes.append(",".join(map(str, indexes)).encode())
        self._names.append(b",".join([self._labels[index] for index in indexes]))
        self._largest.append(self._numbers(probabilities.max(axis=1)))
        for column, values in zip(self._columns, probabilities.T, strict=True):
            column.append(self._numbers(np.ascontiguousarray(values)))

    def _numbers(self, values: Probabilities) -> bytes:
        """Return numbers with commas between them: by the kernel, and those by NumPy that it leaves."""
        parts: list[bytes] = []
        out = np.empty(len(values) * LONGEST_NUMBER if self._codec else 0, np.uint8)
        state = np.zeros(STATE_WORDS, np.int64)
        place = 0
        while place < len(values):
            if self._codec:
                written = self._codec.numbers(
                    values.ctypes.data, place, len(values), 1, out.ctypes.data, state.ctypes.data
                )
                parts.append(out[:written].tobytes())
                place = int(state[POSITION])
            if place < len(values):
                parts.append(str(values[place]).encode() + b",")
                place += 1
        return b"".join(parts)[:-1]

    def finish(self, count: int, errors: int) -> list[bytes]:
        """Return the whole reply."""
        lists = [
            (b'{"prediction":[', self._indexes),
            (b'],"prediction_label":[', self._names),
            (b'],"probability":[', self._largest),
        ]
        for index, (label, column) in enumerate(zip(self._labels, self._columns, strict=True)):
            lists.append(((b"]," if index else b'],"probabilities":{') + label + b":[", column))
        pieces = []
        for opening, column in lists:
            pieces += [opening, b",".join(column)]
        bad = b",".join(self._bad).decode()
        return [*pieces, self._replies.close(f']}},"count":{count},"errors":{errors},"bad_rows":[{bad}]')]


class NpyReply:
    """The probabilities as a matrix of float32 (rows, classes) in NumPy's format, version 1."""

    marks_errors = False

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def add(self, probabilities: Probabilities, bad: Bad) -> None:
        """Add a chunk of probabilities, float32 (rows, classes)."""
        self._classes = probabilities.shape[1]
        self._chunks.append(probabilities.astype("<f4", copy=False).tobytes())

    def finish(self, count: int, errors: int) -> list[bytes]:
        """Return the whole file."""
        return [_npy_head(count, self._classes), *self._chunks]


@lru_cache(64)  # batches of one client are often of one size
def _npy_head(rows: int, columns: int) -> bytes:
    head = io.BytesIO()
    npy.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (rows, columns)})
    return head.getvalue()
