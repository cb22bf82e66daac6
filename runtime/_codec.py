"""The kernels of batches: JSON numbers to float32 and back, compiled ahead of time from this one source.

Every function works on raw pointers and runs without the interpreter. A kernel goes on while the text is plain and
stops in front of everything else, which Python then decides; so each refusal has one place and one wording. A text ends
with a zero byte, which no value contains: a loop over digits or white space needs no other bound.
"""

from collections.abc import Callable, MutableSequence
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from features_fast._vectors import address
from runtime.codec import END, MORE, ODD, POSITION, STATUS

FLAGS: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "boundscheck": False}
"""How every kernel is compiled. Fast math would round other numbers than Python does."""

Bytes = MutableSequence[int]
Words = MutableSequence[int]
Floats = MutableSequence[float]
F = TypeVar("F", bound=Callable[..., Any])

_njit: Any = numba.njit
_pointer: Any = types.CPointer

_INT, _BOOL, _SINGLE = types.int64, types.boolean, types.float32
_BYTES, _WORDS, _SINGLES = _pointer(types.uint8), _pointer(_INT), _pointer(_SINGLE)

_TENS = np.array([10.0**power for power in range(23)])
"""The powers of ten that float64 holds exactly; an array, since a tuple would check its index and might raise."""

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT32_TINY = float(np.finfo(np.float32).tiny)

_BELOW = (1 << 29) - 1
"""The bits of a float64 below the last bit of a float32."""
_HALF = 1 << 28  # of the last bit of a float32
_DOUBT = 8
"""Two roundings too many move a float64 by less than this many last places."""


def part(*signatures: Any) -> Callable[[F], F]:
    """Compile a part of a kernel, for these signatures and no others."""

    def compiled(function: F) -> F:
        part: F = _njit(list(signatures), no_cpython_wrapper=True, no_cfunc_wrapper=True, **FLAGS)(function)
        return part

    return compiled


def _bits_of(typing_context: Any, value: Any) -> Any:
    """Return the bits of a float64 as an integer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return _INT(types.float64), generate


def _eight_of(typing_context: Any, text: Any, at: Any) -> Any:
    """Return eight bytes as a number, the first one in its lowest bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), ir.IntType(64).as_pointer())
        return builder.load(place, align=1)

    return types.uint64(text, types.int64), generate


_bits: Any = intrinsic(_bits_of)
_eight: Any = intrinsic(_eight_of)

_ZEROS = np.uint64(0x3030303030303030)  # eight times the digit 0
_BEYOND_NINE = np.uint64(0x0606060606060606)  # carries into the upper half of a byte that follows the digit 9
_UPPER = np.uint64(0xF0F0F0F0F0F0F0F0)  # the upper half of each byte
_PAIRS = np.uint64(0x000000FF000000FF)  # every other pair of digits, of four


@part(_BOOL(types.float64))
def _doubtful(value: float) -> bool:
    """Tell whether a float64 that may be off by a few last places might round to another float32."""
    return bool(abs((_bits(value) & _BELOW) - _HALF) <= _DOUBT)


@part(_INT(_BYTES, _INT))
def blank(text: Bytes, at: int) -> int:
    """Return the place of the next byte that is no white space."""
    while text[at] == 32 or text[at] == 10 or text[at] == 13 or text[at] == 9:
        at += 1
    return at


@part(_INT(_BYTES, _INT))
def _eight_digits(text: Bytes, at: int) -> int:
    """Return the number that the next eight bytes are, or -1 where one of them is no digit.

    They are looked at together, and added up in pairs, pairs of pairs and so on. They may reach behind the end of the
    text, but not into another page of memory, which need not exist.
    """
    if (address(text) + at) & 4095 > 4088:
        return -1
    eight = _eight(text, at)
    if (eight & _UPPER) != _ZEROS or ((eight + _BEYOND_NINE) & _UPPER) != _ZEROS:
        return -1
    eight -= _ZEROS
    eight = eight * np.uint64(10) + (eight >> np.uint64(8))
    first_pairs = (eight & _PAIRS) * np.uint64(100 + (1_000_000 << 32))
    other_pairs = ((eight >> np.uint64(16)) & _PAIRS) * np.uint64(1 + (10_000 << 32))
    return int(np.int64((first_pairs + other_pairs) >> np.uint64(32)))


@part(_INT(_BYTES, _INT, _SINGLES, _INT))
def _number(text: Bytes, at: int, out: Floats, place: int) -> int:
    """Read a number; return the place behind it, or -1 where it is not plain: no number, or one that needs care.

    Up to 19 digits are an exact integer. Scaled by a power of ten it is a float64 that is off by a few last places at
    most, and thus the right float32 unless it lies that close to the middle between two of them.
    """
    negative = text[at] == 45
    if negative:
        at += 1
    first = at
    mantissa = np.uint64(0)
    while text[at] - 48 <= 9 and text[at] >= 48:
        mantissa = mantissa * np.uint64(10) + np.uint64(text[at] - 48)
        at += 1
    whole = at - first
    if whole == 0 or (whole > 1 and text[first] == 48):
        return -1
    digits = whole
    exponent, integer = 0, True
    if text[at] == 46:
        at += 1
        begin = at
        if text[first] == 48:  # what is too long for the mantissa may have left nothing in it
            digits = 0
            while text[at] == 48:
                at += 1
        significant = at
        eight = _eight_digits(text, at)
        while eight >= 0:
            mantissa = mantissa * np.uint64(100_000_000) + np.uint64(eight)
            at += 8
            eight = _eight_digits(text, at)
        while text[at] - 48 <= 9 and text[at] >= 48:
            mantissa = mantissa * np.uint64(10) + np.uint64(text[at] - 48)
            at += 1
        if at == begin:
            return -1
        digits += at - significant
        exponent = begin - at
        integer = False
    if digits > 19:
        return -1
    if text[at] == 101 or text[at] == 69:
        at += 1
        down = text[at] == 45
        if down or text[at] == 43:
            at += 1
        begin = at
        power = 0
        while text[at] - 48 <= 9 and text[at] >= 48:
            power = power * 10 + (text[at] - 48)
            at += 1
        if at == begin or at - begin > 4:
            return -1
        exponent += -power if down else power
        integer = False
    value = np.float64(mantissa)
    if mantissa == 0:
        negative = negative and not integer
    elif exponent > 22 or exponent < -44:
        return -1
    else:
        if exponent > 0:
            value *= _TENS[exponent]
        elif exponent >= -22:
            value /= _TENS[-exponent]
        else:
            value = value / _TENS[22] / _TENS[-exponent - 22]
        if value > _FLOAT32_MAX or value < _FLOAT32_TINY or _doubtful(value):
            return -1
    out[place] = -value if negative else value
    return at


@part(_INT(_BYTES, _INT, _SINGLES, _INT, _INT, _BYTES, _WORDS))
def plain_row(text: Bytes, at: int, out: Floats, place: int, width: int, names: Bytes, ends: Words) -> int:
    """Read a row: a list of numbers, or an object of all names in their order; return the place behind it, or -1."""
    named = text[at] == 123
    if not named and text[at] != 91:
        return -1
    at += 1
    closing = 125 if named else 93
    byte = 0
    for column in range(width):
        at = blank(text, at)
        if named:
            while byte < ends[column]:
                if text[at] != names[byte]:
                    return -1
                at += 1
                byte += 1
            at = blank(text, at)
            if text[at] != 58:
                return -1
            at = blank(text, at + 1)
        at = _number(text, at, out, place + column)
        if at < 0:
            return -1
        at = blank(text, at)
        if text[at] != (closing if column == width - 1 else 44):
            return -1
        at += 1
    return at


def rows(
    text: Bytes, at: int, out: Floats, first: int, room: int, width: int, names: Bytes, ends: Words, state: Words
) -> int:
    """Read rows ``first`` to ``room`` of a list, from an element on; return the row where it stopped.

    ``state`` gets the place of the next element and why there are no more: the place behind the list at its end.
    """
    row = first
    state[STATUS] = MORE
    while row < room:
        at = blank(text, at)
        state[POSITION] = at
        behind = plain_row(text, at, out, row * width, width, names, ends)
        if behind >= 0:
            behind = blank(text, behind)
        if behind < 0 or (text[behind] != 44 and text[behind] != 93):
            state[STATUS] = ODD
            return row
        row += 1
        at = behind + 1
        state[POSITION] = at
        if text[behind] == 93:
            state[STATUS] = END
            return row
    return row


def column(text: Bytes, at: int, out: Floats, first: int, room: int, state: Words) -> int:
    """Read numbers ``first`` to ``room`` of a list, from an element on, as ``rows`` reads rows."""
    place = first
    state[STATUS] = MORE
    while place < room:
        at = blank(text, at)
        state[POSITION] = at
        behind = _number(text, at, out, place)
        if behind >= 0:
            behind = blank(text, behind)
        if behind < 0 or (text[behind] != 44 and text[behind] != 93):
            state[STATUS] = ODD
            return place
        place += 1
        at = behind + 1
        state[POSITION] = at
        if text[behind] == 93:
            state[STATUS] = END
            return place
    return place


def skip(text: Bytes, at: int, end: int) -> int:
    """Return the place behind the value at a place, or -1 where the text ends in it; its inside is not judged."""
    depth = 0
    while at < end:
        byte = text[at]
        if byte == 34:
            at += 1
            while at < end and text[at] != 34:
                at += 2 if text[at] == 92 else 1
            if at >= end:
                return -1
            at += 1
        elif byte == 91 or byte == 123:
            depth += 1
            at += 1
            continue
        elif byte == 93 or byte == 125:
            depth -= 1
            at += 1
        elif byte == 44 or byte == 58 or byte == 32 or byte == 10 or byte == 13 or byte == 9:
            at += 1
            continue
        else:
            while at < end and not (
                text[at] == 44 or text[at] == 58 or text[at] == 93 or text[at] == 125 or text[at] == 34
            ):
                at += 1
        if depth <= 0:
            return at
    return -1


@part(_INT(_BYTES, _INT, _BYTES, _INT, _INT))
def copy(out: Bytes, to: int, source: Bytes, start: int, stop: int) -> int:
    """Copy bytes; return the place behind them."""
    for i in range(start, stop):
        out[to] = source[i]
        to += 1
    return to


@part(_INT(_SINGLE, _BYTES, _INT))
def _shortest(single: float, out: Bytes, to: int) -> int:
    """Write the shortest decimal that reads back as the same float32; return the place behind it, or -1.

    Nothing is written for what no probability is, or where float64 could not tell which decimal is the nearest.
    """
    value = np.float64(single)
    if value == 0.0:
        out[to], out[to + 1], out[to + 2] = 48, 46, 48
        return to + 3
    if not (value >= 1e-12 and value < 10.0):
        return -1
    magnitude = 0  # the value is at least 10 ** -magnitude
    while value * _TENS[magnitude] < 1.0:
        magnitude += 1
    digits = 0
    decimals = magnitude
    for decimals in range(magnitude, magnitude + 9):
        scaled = value * _TENS[decimals]
        rounded = np.rint(scaled)
        # A float32 times 10 ** 12 is exact; beyond, it is not known to which side a near half goes.
        if decimals > 12 and abs(abs(scaled - rounded) - 0.5) < 1e-6:
            return -1
        back = rounded / _TENS[decimals]
        if np.float32(back) == single and not _doubtful(back):
            digits = int(rounded)
            break
    if digits == 0:
        return -1
    scientific = value < 1e-4
    if decimals > magnitude - 1 and digits % 10 == 0:  # rounded up to the next power of ten
        digits //= 10
        decimals -= 1
    count, power = 1, 10
    while power <= digits:
        power *= 10
        count += 1
    if scientific:
        exponent = decimals - (count - 1)
        i = to + count if count > 1 else to
        for _ in range(count - 1):
            out[i] = 48 + digits % 10
            digits //= 10
            i -= 1
        out[to] = 48 + digits
        to += 1
        if count > 1:
            out[to] = 46
            to += count
        out[to], out[to + 1] = 101, 45
        out[to + 2], out[to + 3] = 48 + exponent // 10, 48 + exponent % 10
        return to + 4
    if decimals <= 0:
        digits *= 10
        decimals = 1
    i = to + decimals + 1
    for _ in range(decimals):
        out[i] = 48 + digits % 10
        digits //= 10
        i -= 1
    out[i] = 46
    out[i - 1] = 48 + digits
    return to + decimals + 2


@part(_INT(_SINGLES, _INT, _INT))
def leading(probabilities: Floats, begin: int, classes: int) -> int:
    """Return the class of the largest probability of the row that begins at a place, the first one of equals."""
    label = 0
    for i in range(1, classes):
        if probabilities[begin + i] > probabilities[begin + label]:
            label = i
    return label


@part(_INT(_SINGLES, *(_INT,) * 3, _BYTES, _WORDS, _BYTES, _INT))
def write_row(
    probabilities: Floats, begin: int, classes: int, label: int, pieces: Bytes, ends: Words, out: Bytes, to: int
) -> int:
    """Write a row by the template of its class; return the place behind it, or -1 where a value is not plain."""
    to = copy(out, to, pieces, ends[label], ends[label + 1])
    number = to
    to = _shortest(probabilities[begin + label], out, to)
    number_end = to
    for i in range(classes):
        if to < 0:
            return -1
        to = copy(out, to, pieces, ends[classes + i], ends[classes + i + 1])
        to = copy(out, to, out, number, number_end) if i == label else _shortest(probabilities[begin + i], out, to)
    if to < 0:
        return -1
    return copy(out, to, pieces, ends[2 * classes], ends[2 * classes + 1])


def write(
    probabilities: Floats, first: int, stop: int, classes: int, pieces: Bytes, ends: Words, out: Bytes, state: Words
) -> int:
    """Write rows ``first`` to ``stop`` of probabilities, each by the template of its class; return the bytes written.

    The pieces are one opening a class, the text in front of each class's probability, and the closing. ``state`` gets
    the row where it stopped: the first with a value that is not plain, or ``stop``.
    """
    to = 0
    row = first
    while row < stop:
        begin = row * classes
        behind = write_row(probabilities, begin, classes, leading(probabilities, begin, classes), pieces, ends, out, to)
        if behind < 0:
            break
        to = behind
        row += 1
    state[POSITION] = row
    return to


def numbers(values: Floats, first: int, stop: int, stride: int, out: Bytes, state: Words) -> int:
    """Write every ``stride``-th value from ``first`` to ``stop``, each with a comma behind it, as ``write`` does."""
    to = 0
    place = first
    while place < stop:
        behind = _shortest(values[place], out, to)
        if behind < 0:
            break
        out[behind] = 44
        to = behind + 1
        place += stride
    state[POSITION] = place
    return to


KERNELS: dict[str, tuple[Any, Any]] = {
    "rows": (rows, _INT(_BYTES, _INT, _SINGLES, *(_INT,) * 3, _BYTES, _WORDS, _WORDS)),
    "column": (column, _INT(_BYTES, _INT, _SINGLES, _INT, _INT, _WORDS)),
    "skip": (skip, _INT(_BYTES, _INT, _INT)),
    "write": (write, _INT(_SINGLES, *(_INT,) * 3, _BYTES, _WORDS, _BYTES, _WORDS)),
    "numbers": (numbers, _INT(_SINGLES, *(_INT,) * 3, _BYTES, _WORDS)),
}
"""The functions that Python calls, with their signatures."""
