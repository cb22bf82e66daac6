"""Long runs of Protocol Buffers' wire format, decoded together: many varints, or many entries of one tag."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

LONGEST_VARINT = 10

_WINDOW = 1 << 12
"""Bytes that are looked at together at first; the window grows with the run, so that a short one costs little."""

_LOOK_AHEAD, _LONGEST_WORD = 64, 32
_CODES = [byte for byte in range(128) if byte & 6 == 6]
"""Bytes that begin no field, because 6 and 7 are no wire types."""


def decode_varints(part: NDArray[np.uint8]) -> NDArray[np.uint64] | None:
    """Return the numbers of varints that stand one after the other, or None where one is too long or unfinished."""
    lasts = np.flatnonzero(part < 0x80)
    firsts = np.concatenate([np.zeros(1, np.int64), lasts[:-1] + 1])[: len(lasts)]
    if len(part) and (not len(lasts) or lasts[-1] != len(part) - 1 or (lasts - firsts >= LONGEST_VARINT).any()):
        return None
    return _decode(part, firsts, lasts)


def _decode(part: NDArray[np.uint8], firsts: NDArray[np.int64], lasts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the numbers of the varints between positions, the last included."""
    values = part[lasts].astype(np.uint64)
    more = np.flatnonzero(lasts > firsts)
    places = lasts[more]
    while len(more):  # from the last byte, which is the most significant one, to the first
        places = places - 1
        values[more] = values[more] << np.uint64(7) | (part[places] & 0x7F)
        left = places > firsts[more]
        more, places = more[left], places[left]
    return values


def _varint_run(data: bytes, tag: int, position: int, stop: int) -> tuple[NDArray[np.uint64], int]:
    """Return the numbers of all entries from `position` on that have the tag, and the position behind them."""
    found, window = [np.empty(0, np.uint64)], _WINDOW
    while True:
        part = np.frombuffer(data, np.uint8, min(window, stop - position), position)
        # Neither a tag nor the last byte of a varint has its high bit set: they take turns.
        places = np.flatnonzero(part < 0x80)
        tags, lasts = places[: len(places) & ~1 : 2], places[1::2]
        due = np.concatenate([np.zeros(1, np.int64), lasts[:-1] + 1])[: len(tags)]
        count = _count((tags == due) & (part[tags] == tag) & (lasts - tags <= LONGEST_VARINT))
        if count:
            found.append(_decode(part, tags[:count] + 1, lasts[:count]))
            position += int(lasts[count - 1]) + 1
        if not count or count < len(tags) or position == stop:
            return np.concatenate(found), position
        window *= 2


def _fixed32_run(data: bytes, tag: int, position: int, stop: int) -> tuple[NDArray[np.uint32], int]:
    """Return the numbers of all entries from `position` on that have the tag, and the position behind them."""
    found, window = [np.empty(0, np.uint32)], _WINDOW
    while True:
        whole = min(window, stop - position) // 5
        part = np.frombuffer(data, np.dtype([("tag", "u1"), ("number", "<u4")]), whole, position)
        count = _count(part["tag"] == tag)
        found.append(part["number"][:count].astype(np.uint32))
        position += 5 * count
        if count < whole or not whole:
            return np.concatenate(found), position
        window *= 2


def _bytes_run(data: bytes, tag: int, position: int, stop: int) -> tuple[NDArray[np.uint64], int]:
    """Return first and last + 1 byte of all entries from `position` on that have the tag, and the position behind them.

    The entries of a long run are few different words. Every word is replaced by one byte, which tells where the entries
    should lie; whether they do, their tags and lengths then say.
    """
    found, window = [np.empty(0, np.uint64)], _WINDOW
    while True:
        part = data[position : min(position + window, stop)]
        lengths = np.zeros(256, np.int64)
        shortened = part
        for code, word in zip(_CODES, _words(part, tag), strict=False):
            shortened = shortened.replace(word, bytes([code]))
            lengths[code] = len(word)
        steps = lengths[np.frombuffer(shortened, np.uint8)]
        steps = steps[: _count(steps > 0)]
        lasts = np.cumsum(steps)
        firsts = lasts - steps
        array = np.frombuffer(part, np.uint8)
        good = lasts <= len(part)
        steps, firsts, lasts = steps[good], firsts[good], lasts[good]
        count = _count((array[firsts] == tag) & (array[firsts + 1] == steps - 2))
        if count:
            spans = np.stack([firsts[:count] + 2, lasts[:count]], axis=1) + position
            found.append(spans.ravel().astype(np.uint64))
            position += int(lasts[count - 1])
        if not count or lasts[count - 1] < len(part) // 2:
            return np.concatenate(found), position
        window *= 2


def _words(part: bytes, tag: int) -> list[bytes]:
    """Return the different entries among the first few, tag and length included."""
    words: dict[bytes, None] = {}
    position = 0
    for _ in range(_LOOK_AHEAD):
        if part[position : position + 1] != bytes([tag]) or position + 1 >= len(part):
            break
        word = part[position : position + 2 + part[position + 1]]
        if word[1] >= _LONGEST_WORD or len(word) != 2 + word[1]:
            break
        words[word] = None
        position += len(word)
    return list(words)


def _count(good: NDArray[np.bool_]) -> int:
    """Return how many are True before the first that is not."""
    return len(good) if good.all() else int(good.argmin())


RUNS: dict[int, Callable[[bytes, int, int, int], tuple[NDArray[np.uint64] | NDArray[np.uint32], int]]] = {
    VARINT: _varint_run,
    BYTES: _bytes_run,
    FIXED32: _fixed32_run,
}
"""Wire type -> what decodes a run of entries with one tag, which must be a single byte."""
