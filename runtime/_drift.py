"""The kernel of drift: a built-in function of Python that counts in which bins values are."""

from typing import Any

from features_fast._vectors import address, singles, words
from runtime._codec import Words
from runtime._objects import CLASS, CONTIGUOUS, DATA, DIMENSIONS, FLAGS, INT, ITEMS, REFERENCES, SHAPE, TYPE, WORDS
from runtime.baseline import BINS
from runtime.drift import MOST_ROWS


def observe(bound: Words, arguments: Words, count: int) -> int:
    """Count rows, the first argument, and their last probabilities, the second, in the bins of each column.

    ``bound`` is the tuple (np.ndarray, np.float32's type, edges, counts) as `runtime.drift.Drift` has them. Returned
    are the rows, or the tuple where the arguments are not C-contiguous float32 matrices that fit.
    """
    result = bound
    columns = words(words(bound[ITEMS + 2])[SHAPE])[0]
    edges, counts = singles(words(bound[ITEMS + 2])[DATA]), words(words(bound[ITEMS + 3])[DATA])
    good = count == 2
    for i in range(count):
        given = words(arguments[i])
        good = good and given[CLASS] == bound[ITEMS] and given[TYPE] == bound[ITEMS + 1]
        good = good and given[DIMENSIONS] & 0xFFFFFFFF == 2 and given[FLAGS] & CONTIGUOUS != 0
    if good:
        rows, probabilities = words(arguments[0]), words(arguments[1])
        length, width = words(rows[SHAPE])[0], words(rows[SHAPE])[1]
        classes = words(probabilities[SHAPE])[1]
        if width >= columns - 1 and classes > 0 and words(probabilities[SHAPE])[0] == length:
            values, scores = singles(rows[DATA]), singles(probabilities[DATA])
            for row in range(0, length, max(1, -(-length // MOST_ROWS))):
                for column in range(columns):
                    value = scores[(row + 1) * classes - 1] if column == columns - 1 else values[row * width + column]
                    place = column * BINS
                    for edge in range(BINS - 1):
                        place += value > edges[column * (BINS - 1) + edge]
                    counts[place] += 1
            result = rows
    result[REFERENCES] += 1
    returned: int = address(result)
    return returned


KERNELS: dict[str, tuple[Any, Any]] = {"observe": (observe, INT(WORDS, WORDS, INT))}
"""The functions that Python calls, with their signatures."""
