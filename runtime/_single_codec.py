"""The kernels of single predictions: built-in functions of Python that read a body's bytes and write replies.

They read Python's own objects by their memory layout, which `features_fast.library` checks at import, and hold the
interpreter for less than a microsecond a row. What is not plain they leave to Python, as the kernels of batches do.
"""

from typing import Any

import numpy as np

from features_fast._vectors import address, singles, words
from runtime._codec import Bytes, Words, blank, leading, part, plain_row, write_row
from runtime._objects import (
    BYTES,
    CLASS,
    CONTIGUOUS,
    DATA,
    DIMENSIONS,
    FLAGS,
    INT,
    ITEMS,
    LENGTH,
    REFERENCES,
    SHAPE,
    TEXT,
    TYPE,
    WORDS,
    letters,
)

_NAME = np.frombuffer(b'"features"', np.uint8)
_COLON, _OPENING, _CLOSING = 58, 123, 125


@part(INT(BYTES))
def _value(text: Bytes) -> int:
    """Return the place of the value of `features`, the first member of an object, or -1."""
    at = blank(text, 0)
    if text[at] != _OPENING:
        return -1
    at = blank(text, at + 1)
    for letter in _NAME:
        if text[at] != letter:
            return -1
        at += 1
    at = blank(text, at)
    if text[at] != _COLON:
        return -1
    return blank(text, at + 1)


def take(bound: Words, arguments: Words, count: int) -> int:
    """Read a plain body `{"features": row}`, which is bytes, into a row, float32 (features,).

    ``bound`` is the tuple (bytes, np.ndarray, the features' names as JSON strings, where each ends). Returned is the
    row, or the tuple where the body is not plain; then the row holds anything.
    """
    result = bound
    if count == 2 and words(arguments[0])[CLASS] == bound[ITEMS] and words(arguments[1])[CLASS] == bound[ITEMS + 1]:
        body, row = words(arguments[0]), words(arguments[1])
        names, ends = words(bound[ITEMS + 2]), words(bound[ITEMS + 3])
        text, width = letters(arguments[0] + TEXT), words(ends[SHAPE])[0]
        at = _value(text)
        if at >= 0:
            at = plain_row(text, at, singles(row[DATA]), 0, width, letters(names[DATA]), words(ends[DATA]))
        if at >= 0:
            at = blank(text, at)
            if text[at] == _CLOSING and blank(text, at + 1) == body[LENGTH]:
                result = row
    result[REFERENCES] += 1
    returned: int = address(result)
    return returned


def answer(bound: Words, arguments: Words, count: int) -> int:
    """Write the replies to probabilities, a C-contiguous float32 array (rows, classes).

    ``bound`` is the tuple (np.ndarray, np.float32's type, pieces as `write` takes them, where they end, the memory for
    the replies, for each row its class and where its reply ends). Returned are the probabilities, or the tuple where
    one of them is not plain or there is no room for so many rows.
    """
    result = bound
    given = words(arguments[0]) if count == 1 else bound
    if given[CLASS] == bound[ITEMS] and given[TYPE] == bound[ITEMS + 1]:
        pieces, ends = words(bound[ITEMS + 2]), words(bound[ITEMS + 3])
        memory, found = words(bound[ITEMS + 4]), words(bound[ITEMS + 5])
        classes = (words(ends[SHAPE])[0] - 2) // 2
        shape = words(given[SHAPE])
        rows = shape[0]
        if (
            (given[DIMENSIONS] & 0xFFFFFFFF) == 2
            and shape[1] == classes
            and given[FLAGS] & CONTIGUOUS
            and rows <= words(found[SHAPE])[0]
        ):
            probabilities, out, told = singles(given[DATA]), letters(memory[DATA]), words(found[DATA])
            to = 0
            for row in range(rows):
                label = leading(probabilities, row * classes, classes)
                to = write_row(
                    probabilities, row * classes, classes, label, letters(pieces[DATA]), words(ends[DATA]), out, to
                )
                if to < 0:
                    break
                told[2 * row], told[2 * row + 1] = label, to
            if to >= 0:
                result = given
    result[REFERENCES] += 1
    returned: int = address(result)
    return returned


KERNELS: dict[str, tuple[Any, Any]] = {
    "take": (take, INT(WORDS, WORDS, INT)),
    "answer": (answer, INT(WORDS, WORDS, INT)),
}
"""The functions that Python calls, with their signatures."""
