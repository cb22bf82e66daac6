"""The wire format of Protocol Buffers, as far as ONNX models use it: a strict reader that never copies what it skips.

https://protobuf.dev/programming-guides/encoding/. A model's bulk is a few attributes with one entry a node of a forest,
mostly unpacked: a tag before every number. Long runs of the same tag are therefore decoded together, by NumPy. Memory
and time are proportional to the size of the file, whatever is in it.
"""

from array import array
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from runtime.compiled.errors import MalformedGraph
from runtime.compiled.wire import BYTES, FIXED32, FIXED64, LONGEST_VARINT, RUNS, VARINT, decode_varints

_KINDS = {VARINT: "a varint", FIXED64: "8 bytes", BYTES: "bytes", FIXED32: "4 bytes"}
_ARRAY_TYPES = {VARINT: "Q", FIXED64: "Q", BYTES: "Q", FIXED32: "I"}

_LARGEST_FIELD = (1 << 29) - 1
_RUN = 64
"""So many entries of one tag in a row are taken for the beginning of a long run."""

_MOST_WORDS = 32
MAX_MESSAGES = 1 << 17
"""So many messages are read of a file, and texts of a field, since a few bytes of a file are an object each."""

_HIGHEST_FIELD = 63
"""Fields of higher numbers are not kept: onnx has none that high."""
_Chunk = tuple[int, "array[int]"]
"""Entries of one field and wire type: numbers, or for `BYTES` the first byte and the one behind the last."""


class Message:
    """One message: where its fields lie. They are decoded when they are asked for.

    Parameters
    ----------
    data : bytes
        What the message is a part of.
    start, stop : int
        Its first byte and the one behind its last, within `data`.
    path : str
        Which message of the file it is, for errors.
    left : list of int, optional
        How many messages may still be read of the file.

    Raises
    ------
    MalformedGraph
        The bytes are no message. The accessors raise it too, where a field is not what they expect.
    """

    __slots__ = ("_chunks", "_left", "data", "path")

    def __init__(self, data: bytes, start: int, stop: int, path: str, left: list[int] | None = None) -> None:
        self.data = data
        self.path = path
        self._left = [MAX_MESSAGES] if left is None else left  # of all messages of the file
        self._chunks: dict[int, list[_Chunk]] = {}
        try:
            self._scan(start, stop)
        except IndexError:
            self.fail("truncated")

    def fail(self, reason: str) -> NoReturn:
        """Raise a `MalformedGraph` that names the message."""
        raise MalformedGraph(f"{self.path}: {reason}")

    def has(self, field: int) -> bool:
        """Whether the field occurs at all."""
        return field in self._chunks

    def integer(self, field: int, name: str, default: int = 0) -> int:
        """Return a number, int64; the last one where there are several, as Protocol Buffers ask for."""
        values = self._numbers(field, name, VARINT)
        return default if values is None else _signed(values[-1])

    def floating(self, field: int, name: str) -> np.float32:
        """Return a float32 number, 0 where there is none."""
        values = self._numbers(field, name, FIXED32)
        return np.float32(0) if values is None else np.array(values[-1:]).view(np.float32)[0]

    def text(self, field: int, name: str) -> str:
        """Return a text, empty where there is none."""
        spans = self._spans(field, name)
        return self._text(spans[-1], name) if spans else ""

    def texts(self, field: int, name: str) -> list[str]:
        """Return all texts of a field."""
        return [self._text(span, name) for span in self._spans(field, name)]

    def words(self, field: int, name: str) -> tuple[list[str], NDArray[np.int64]]:
        """Return the different texts of a field, and for every entry the index of its text; for many of a few."""
        values = self._numbers(field, name, BYTES)
        firsts, lasts = np.frombuffer(values or b"", np.uint64).astype(np.int64).reshape(-1, 2).T.copy()
        lengths = lasts - firsts
        indices = np.full(len(firsts), -1)
        data = np.frombuffer(self.data, np.uint8)
        words: list[str] = []
        left = np.arange(len(firsts))
        while len(left):
            first, last = int(firsts[left[0]]), int(lasts[left[0]])
            if len(words) == _MOST_WORDS:
                self.fail(f"{name}: expected at most {_MOST_WORDS} different texts")
            same = left[lengths[left] == last - first]
            for offset in range(last - first):
                equal = data[firsts[same] + offset] == self.data[first + offset]
                same = same if equal.all() else same[equal]
            indices[same] = len(words)
            words.append(self._text((first, last), name))
            left = left[indices[left] < 0]
        return words, indices

    def content(self, field: int, name: str) -> memoryview | None:
        """Return the bytes of a field, or None where there are none."""
        spans = self._spans(field, name)
        return memoryview(self.data)[slice(*spans[-1])] if spans else None

    def message(self, field: int, name: str) -> "Message | None":
        """Return a message that may occur once, or None."""
        messages = self.messages(field, name)
        if len(messages) > 1:
            self.fail(f"{name}: expected one, got {len(messages)}")
        return messages[0] if messages else None

    def messages(self, field: int, name: str) -> "list[Message]":
        """Return all messages of a field."""
        spans = self._spans(field, name)
        self._left[0] -= len(spans)
        if self._left[0] < 0:
            self.fail(f"{name}: expected at most {MAX_MESSAGES} messages in a file")
        return [
            Message(self.data, *span, f"{self.path}.{name}[{index}]", self._left) for index, span in enumerate(spans)
        ]

    def integers(self, field: int, name: str) -> NDArray[np.int64]:
        """Return all numbers of a field, int64, packed or not."""
        return self._repeated(field, name, VARINT).view(np.int64)

    def floats(self, field: int, name: str) -> NDArray[np.float32]:
        """Return all float32 numbers of a field, packed or not."""
        return self._repeated(field, name, FIXED32).view(np.float32)

    def doubles(self, field: int, name: str) -> NDArray[np.float64]:
        """Return all float64 numbers of a field, packed or not."""
        return self._repeated(field, name, FIXED64).view(np.float64)

    def _numbers(self, field: int, name: str, wire: int) -> "array[int] | None":
        """Return the entries of a field that is not packed."""
        chunks = self._chunks.get(field)
        if not chunks:
            return None
        if len(chunks) != 1 or chunks[0][0] != wire:
            self.fail(f"{name}: expected {_KINDS[wire]}, got {_KINDS[chunks[-1][0]]}")
        return chunks[0][1]

    def _spans(self, field: int, name: str) -> list[tuple[int, int]]:
        """Return where the entries of a field of bytes lie."""
        values = self._numbers(field, name, BYTES)
        if values is None:
            return []
        if len(values) > 2 * MAX_MESSAGES:
            self.fail(f"{name}: expected at most {MAX_MESSAGES} entries, got {len(values) // 2}")
        return list(zip(values[::2], values[1::2], strict=True))

    def _text(self, span: tuple[int, int], name: str) -> str:
        try:
            return self.data[slice(*span)].decode()
        except UnicodeDecodeError:
            self.fail(f"{name}: expected UTF-8")

    def _repeated(self, field: int, name: str, wire: int) -> NDArray[np.unsignedinteger[Any]]:
        """Return all numbers of a field, packed or not, as they lie in the file."""
        dtype: np.dtype[np.unsignedinteger[Any]] = np.dtype(np.uint32 if wire == FIXED32 else np.uint64)
        parts: list[NDArray[np.unsignedinteger[Any]]] = [np.empty(0, dtype)]
        for found, values in self._chunks.get(field, []):
            if found == wire:
                parts.append(np.frombuffer(values, dtype))
            elif found == BYTES:
                parts += [
                    self._packed(start, stop, name, wire) for start, stop in zip(values[::2], values[1::2], strict=True)
                ]
            else:
                self.fail(f"{name}: expected {_KINDS[wire]}, got {_KINDS[found]}")
        return np.concatenate(parts)

    def _packed(self, start: int, stop: int, name: str, wire: int) -> NDArray[np.unsignedinteger[Any]]:
        """Return the numbers of a packed field."""
        if wire == VARINT:
            numbers = decode_varints(np.frombuffer(self.data, np.uint8, stop - start, start))
            if numbers is None:
                self.fail(f"{name}: expected varints of at most {LONGEST_VARINT} bytes")
            return numbers
        dtype: np.dtype[np.unsignedinteger[Any]] = np.dtype("<u4" if wire == FIXED32 else "<u8")
        if (stop - start) % dtype.itemsize:
            self.fail(f"{name}: expected a multiple of {dtype.itemsize} bytes, got {stop - start}")
        return np.frombuffer(self.data, dtype, (stop - start) // dtype.itemsize, start)

    def _scan(self, start: int, stop: int) -> None:
        """Find all fields."""
        data, position, previous, run = self.data, start, -1, 0
        wire, values = VARINT, array("Q")
        while position < stop:
            tag = data[position]
            if tag < 0x80:
                position += 1
            else:
                tag, position = self._varint(position, stop)
            if tag != previous:
                wire, values = tag & 7, self._entries(tag)
                previous, run = tag, 0
            if wire == BYTES:
                length = data[position]
                if length < 0x80:
                    position += 1
                else:
                    length, position = self._varint(position, stop)
                values.append(position)
                position += length
                values.append(position)
            elif wire == VARINT:
                value, position = self._varint(position, stop)
                values.append(value)
            else:
                width = 4 if wire == FIXED32 else 8
                values.append(int.from_bytes(data[position : position + width], "little"))
                position += width
            if position > stop:
                self.fail("truncated")
            run += 1
            if run == _RUN and tag < 0x80 and wire in RUNS:
                numbers, position = RUNS[wire](data, tag, position, stop)
                values.frombytes(numbers.tobytes())
                run = 0

    def _entries(self, tag: int) -> "array[int]":
        """Return the list to which the entries of a tag go."""
        field, wire = tag >> 3, tag & 7
        if not 1 <= field <= _LARGEST_FIELD or wire not in _KINDS:
            self.fail(f"expected a field, got tag {tag:#x}")
        if field > _HIGHEST_FIELD:
            return array(_ARRAY_TYPES[wire])
        chunks = self._chunks.setdefault(field, [])
        if not chunks or chunks[-1][0] != wire:
            chunks.append((wire, array(_ARRAY_TYPES[wire])))
        return chunks[-1][1]

    def _varint(self, position: int, stop: int) -> tuple[int, int]:
        """Return a number and the position behind it."""
        value = 0
        for index in range(min(stop - position, LONGEST_VARINT)):
            byte = self.data[position + index]
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, position + index + 1
        self.fail("truncated" if stop - position < LONGEST_VARINT else f"longer varint than {LONGEST_VARINT} bytes")


def _signed(value: int) -> int:
    """Return the int64 that has the bits of a number."""
    return value - (1 << 64) if value >= 1 << 63 else value
