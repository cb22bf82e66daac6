"""The kernel that judges whether a text is JSON and drops its white space, whatever its length, in one pass."""

from typing import Any

from runtime._codec import _BYTES, _INT, Bytes, copy, part
from runtime.codec import DEEPEST

_KEY, _VALUE, _BEHIND = 0, 1, 2
"""What comes next: the name of a member, a value, or what stands behind a value."""


@part(_INT(_BYTES, _INT, _INT))
def _blank(text: Bytes, at: int, end: int) -> int:
    """Return the place of the next byte that is no white space, or the end."""
    while at < end and (text[at] == 32 or text[at] == 10 or text[at] == 13 or text[at] == 9):
        at += 1
    return at


@part(_INT(_BYTES, _INT, _INT))
def _string(text: Bytes, at: int, end: int) -> int:
    """Return the place behind a string, or -1. Its bytes beyond ASCII are not judged."""
    at += 1
    while at < end and text[at] != 34:
        byte = text[at]
        if byte < 32:
            return -1
        at += 1
        if byte != 92:
            continue
        if at >= end:
            return -1
        kind = text[at]
        at += 1
        if kind == 117:  # four hexadecimal digits follow
            for _ in range(4):
                if at >= end:
                    return -1
                digit = text[at]
                if not ((digit >= 48 and digit <= 57) or ((digit | 32) >= 97 and (digit | 32) <= 102)):
                    return -1
                at += 1
        elif not (
            (kind == 34 or kind == 92 or kind == 47 or kind == 98)
            or (kind == 102 or kind == 110 or kind == 114 or kind == 116)
        ):
            return -1
    return at + 1 if at < end else -1


@part(_INT(_BYTES, _INT, _INT))
def _digits(text: Bytes, at: int, end: int) -> int:
    """Return the place behind one digit or more, or -1."""
    begin = at
    while at < end and text[at] >= 48 and text[at] <= 57:
        at += 1
    return at if at > begin else -1


@part(_INT(_BYTES, _INT, _INT))
def _number(text: Bytes, at: int, end: int) -> int:
    """Return the place behind a number, or -1."""
    first = at
    at = _digits(text, at, end)
    if at < 0 or (at > first + 1 and text[first] == 48):
        return -1
    if at < end and text[at] == 46:
        at = _digits(text, at + 1, end)
        if at < 0:
            return -1
    if at < end and (text[at] | 32) == 101:
        at += 1
        if at < end and (text[at] == 43 or text[at] == 45):
            at += 1
        at = _digits(text, at, end)
    return at


@part(_INT(_BYTES, _INT, _INT, _BYTES, _INT, _INT))
def _word(text: Bytes, at: int, end: int, words: Bytes, first: int, stop: int) -> int:
    """Return the place behind a word, bytes `first` to `stop` of `words`, or -1 where another one stands here."""
    if end - at < stop - first:
        return -1
    for place in range(first, stop):
        if text[at] != words[place]:
            return -1
        at += 1
    return at


@part(_INT(_BYTES, _INT, _INT, _BYTES))
def _scalar(text: Bytes, at: int, end: int, words: Bytes) -> int:
    """Return the place behind a value that holds no other, or -1. NaN and Infinity are values, as in Python."""
    byte = text[at]
    if byte == 34:
        return _string(text, at, end)
    if byte == 116:
        return _word(text, at, end, words, 0, 4)
    if byte == 102:
        return _word(text, at, end, words, 4, 9)
    if byte == 110:
        return _word(text, at, end, words, 9, 13)
    if byte == 78:
        return _word(text, at, end, words, 13, 16)
    if byte == 45:
        at += 1
    if at < end and text[at] == 73:
        return _word(text, at, end, words, 16, 24)
    return _number(text, at, end)


def squeeze(text: Bytes, at: int, end: int, words: Bytes, closing: Bytes, out: Bytes, room: int) -> int:
    """Write a JSON text without the white space between its parts; return its length, or -1 where it is no JSON.

    What has no more room in ``out`` is counted and not written. ``words`` are `runtime.codec.WORDS_OF_JSON`, and
    ``closing`` has room for DEEPEST bytes: a text that is nested more deeply is refused.
    """
    depth, to = 0, 0
    awaited = _VALUE
    at = _blank(text, at, end)
    while at < end:
        begin, byte = at, text[at]
        if awaited == _KEY:
            at = _string(text, at, end) if byte == 34 else -1
            behind = _blank(text, at, end) if at >= 0 else end
            if behind >= end or text[behind] != 58:
                return -1
            if to + at - begin <= room:
                copy(out, to, text, begin, at)
            to += at - begin
            begin, at = behind, behind + 1
            awaited = _VALUE
        elif awaited == _VALUE:
            if byte == 91 or byte == 123:
                if depth == DEEPEST:
                    return -1
                closing[depth] = byte + 2
                depth += 1
                at += 1
                behind = _blank(text, at, end)
                if behind < end and text[behind] == byte + 2:
                    awaited = _BEHIND
                elif byte == 123:
                    awaited = _KEY
            else:
                at = _scalar(text, at, end, words)
                if at < 0:
                    return -1
                awaited = _BEHIND
        else:
            if depth == 0:
                return -1
            at += 1
            if byte == closing[depth - 1]:
                depth -= 1
            elif byte == 44:
                awaited = _VALUE if closing[depth - 1] == 93 else _KEY
            else:
                return -1
        if to + at - begin <= room:
            copy(out, to, text, begin, at)
        to += at - begin
        at = _blank(text, at, end)
    return to if awaited == _BEHIND and depth == 0 else -1


KERNELS: dict[str, tuple[Any, Any]] = {
    "squeeze": (squeeze, _INT(_BYTES, _INT, _INT, *(_BYTES,) * 3, _INT)),
}
