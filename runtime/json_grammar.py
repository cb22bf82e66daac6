"""Whether a text is JSON, in one place for texts of any length: the grammar, NaN and Infinity, and UTF-8."""

import json
import re
from codecs import getincrementaldecoder

import numpy as np

from runtime.codec import DEEPEST, WORDS_OF_JSON, Codec

_PIECE = 1 << 16  # bytes that are looked at in one go
_UTF8 = getincrementaldecoder("utf-8")
_WORDS = np.frombuffer(WORDS_OF_JSON, np.uint8)
_STRING_OR_BLANK = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t\r\n]+', re.DOTALL)


def squeeze(text: bytes | bytearray, begin: int, end: int, room: int, codec: Codec | None) -> tuple[bytes, int]:
    """Return a part of a text without its white space, as far as it fits, and how long that is as a whole.

    Parameters
    ----------
    text : bytes or bytearray
        Holds the part.
    begin, end : int
        Where the part begins and ends.
    room : int
        Bytes that are returned at most.
    codec : Codec or None
        The kernels. They need no more memory than is returned; without them Python reads the part as a whole.

    Raises
    ------
    ValueError
        Where the part is no JSON, other than by a NaN or an Infinity, or is nested too deeply.
    """
    with memoryview(text) as whole, whole[begin:end] as part:
        _check_utf8(part)
        if codec is None:
            return _squeeze_in_python(bytes(part), room)
    out, closing = np.empty(max(1, room), np.uint8), np.empty(DEEPEST, np.uint8)
    addresses = (array.ctypes.data for array in (_WORDS, closing, out))
    length = codec.squeeze(np.frombuffer(text, np.uint8).ctypes.data, begin, end, *addresses, room)
    if length < 0:
        raise ValueError("no JSON")
    return out[:length].tobytes(), length


def is_json(text: bytes, codec: Codec | None) -> bool:
    """Tell whether a text is JSON; NaN and Infinity may be in it."""
    try:
        squeeze(text, 0, len(text), 0, codec)
    except ValueError:
        return False
    return True


def _check_utf8(text: memoryview) -> None:
    """Raise ValueError where a text is not UTF-8; piece by piece, so that it is never held decoded."""
    decoder = _UTF8()
    for start in range(0, len(text), _PIECE):
        decoder.decode(text[start : start + _PIECE])
    decoder.decode(b"", final=True)


def _squeeze_in_python(text: bytes, room: int) -> tuple[bytes, int]:
    try:
        json.loads(text.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    squeezed = _STRING_OR_BLANK.sub(rb"\1", text)
    return squeezed[:room], len(squeezed)
