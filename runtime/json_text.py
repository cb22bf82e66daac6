"""A JSON text that is read value by value while it arrives, so that no body is ever held or decoded as a whole."""

import json
import re
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from features_fast.errors import TicklineError
from runtime.codec import ODD, POSITION, STATE_WORDS, STATUS, Codec
from runtime.decoding import DECODE_ERRORS
from runtime.json_grammar import is_json, squeeze
from runtime.problems import Problem

_BLANK = re.compile(rb"[ \t\r\n]*")
_COMMA, _COLON, _QUOTE, _OPEN_LIST, _CLOSE_LIST, _OPEN_OBJECT, _CLOSE_OBJECT = b',:"[]{}'
_KINDS = {
    _OPEN_LIST: "array",
    _OPEN_OBJECT: "object",
    _QUOTE: "string",
    **dict.fromkeys(b"tf", "boolean"),
    **dict.fromkeys(b"n", "null"),
    **dict.fromkeys(b"-0123456789", "number"),
}
_LONGEST_NAME = 4096

# Python's scanner judges a value's structure; what a number or a text is worth is judged where it is decoded.
_SCANNER = json.JSONDecoder(parse_int=float, parse_float=float)


class IncompleteError(TicklineError):
    """The text ends here so far; whoever reads it goes back to where it began and waits for more."""


class JsonText:
    """A text that arrives piece by piece, and a position in it. What has been read can be forgotten.

    Parameters
    ----------
    codec : Codec or None
        The kernels; without them Python finds where values end, once the text is complete, and reads no numbers itself.

    Attributes
    ----------
    position : int
        Where reading goes on, in what has not been forgotten.
    complete : bool
        Whether no more pieces come.
    """

    def __init__(self, codec: Codec | None) -> None:
        self.position = 0
        self.complete = False
        self._codec = codec
        self._body: bytes | bytearray = (
            bytearray()
        )  # ends with a zero byte that is not counted, at which the kernels stop
        self._forgotten = 0
        self._state = np.zeros(STATE_WORDS, np.int64)
        self._state_address = self._state.ctypes.data

    def __len__(self) -> int:
        return len(self._body)

    def feed(self, piece: bytes) -> None:
        """Take a piece."""
        assert isinstance(self._body, bytearray)
        self._body += piece

    def forget(self) -> None:
        """Drop what is in front of the position, where a text is read while it arrives."""
        if self._codec is None:
            return
        assert isinstance(self._body, bytearray)
        del self._body[: self.position]
        self._forgotten += self.position
        self.position = 0

    @classmethod
    def over(cls, body: bytes, codec: Codec | None) -> "JsonText":
        """Return a complete text that reads a body where it is; nothing can be fed to it or forgotten."""
        text = cls(codec)
        text._body = body
        text.complete = True
        return text

    def _address(self) -> int:
        return np.frombuffer(self._body, np.uint8).ctypes.data

    def rows(self, out: NDArray[np.float32], count: int, names: NDArray[np.uint8], ends: NDArray[np.int64]) -> int:
        """Read plain rows from an element on, after the first `count` rows of `out`; return the rows now in it.

        `stopped` says why there are no more. `names` are the features as JSON strings, one after the other, and
        `ends` where each one ends.
        """
        if self._codec is None or not self._body:
            self._state[STATUS] = ODD
            return count
        count = self._codec.rows(
            self._address(),
            self.position,
            out.ctypes.data,
            count,
            len(out),
            out.shape[1],
            names.ctypes.data,
            ends.ctypes.data,
            self._state_address,
        )
        self.position = int(self._state[POSITION])
        return count

    def column(self, out: NDArray[np.float32], count: int) -> int:
        """Read plain numbers as `rows` reads rows."""
        if self._codec is None or not self._body:
            self._state[STATUS] = ODD
            return count
        count = self._codec.column(
            self._address(), self.position, out.ctypes.data, count, len(out), self._state_address
        )
        self.position = int(self._state[POSITION])
        return count

    @property
    def stopped(self) -> int:
        """Why the last `rows` or `column` stopped: MORE, END or ODD."""
        return int(self._state[STATUS])

    def element(self, longest: int, field: str) -> bytes:
        """Return the next element of a list and go behind it. One that is too long comes without its white space.

        Raises
        ------
        Problem
            400 where the text is no JSON, 422 where the element is longer than `longest` without its white space; it
            has been judged as a whole then, which no element that is returned has been.
        IncompleteError
            Where it has not come completely.
        """
        begin = self._next()
        self.skip()
        if self.position - begin <= longest:
            return bytes(self._body[begin : self.position])
        try:
            element, length = squeeze(self._body, begin, self.position, longest, self._codec)
        except ValueError:
            raise self.malformed() from None
        if length > longest:
            raise Problem(422, f"expected at most {longest} bytes of text, got {length}", field=field)
        return element

    def judges(self, element: bytes) -> bool:
        """Tell whether an element is JSON; NaN and Infinity may be in it."""
        return is_json(element, self._codec)

    def starts(self, opening: re.Pattern[bytes]) -> bool:
        """Go behind an opening where the text goes on with it; tell whether it does."""
        match = opening.match(self._body, self.position)
        if match is not None:
            self.position = match.end()
        return match is not None

    def starts_list(self) -> bool:
        """Tell whether the next value is a list."""
        return self._body[self._next()] == _OPEN_LIST

    def more(self) -> bool:
        """Go behind the comma or the closing bracket that follows an element; return whether it is the comma."""
        byte = self._take()
        if byte not in (_COMMA, _CLOSE_LIST):
            raise self.malformed()
        return byte == _COMMA

    def enter_object(self, field: str) -> bool:
        """Go into an object; return whether it has a member."""
        return self._enter("object", _OPEN_OBJECT, _CLOSE_OBJECT, field)

    def enter_list(self, field: str) -> bool:
        """Go into a list; return whether it has an element."""
        return self._enter("array", _OPEN_LIST, _CLOSE_LIST, field)

    def _enter(self, kind: str, opening: int, closing: int, field: str) -> bool:
        byte = self._body[self._next()]
        if byte != opening:
            received = _KINDS.get(byte)
            if received is None:
                raise self.malformed()
            raise Problem(422, f"expected {kind}, got {received}", field=field, expected=kind, received=received)
        self.position += 1
        if self._body[self._next()] == closing:
            self.position += 1
            return False
        return True

    def name(self) -> str:
        """Return the name of the next member and go to its value."""
        begin = self._next()
        if self._body[begin] != _QUOTE:
            raise self.malformed()
        self.skip()
        if self.position - begin > _LONGEST_NAME:
            raise Problem(
                422, f"expected names of at most {_LONGEST_NAME} bytes, got {self.position - begin}", field="body"
            )
        try:
            name = msgspec.json.decode(bytes(self._body[begin : self.position]), type=str)
        except DECODE_ERRORS:
            raise self.malformed() from None
        if self._take() != _COLON:
            raise self.malformed()
        return name

    def more_members(self) -> bool:
        """Go behind the comma or the closing brace that follows a member; return whether it is the comma."""
        byte = self._take()
        if byte not in (_COMMA, _CLOSE_OBJECT):
            raise self.malformed()
        return byte == _COMMA

    def end(self) -> None:
        """Check that nothing follows."""
        self.position = self._blank()
        if self.position != len(self._body):
            raise self.malformed()

    def malformed(self) -> Problem:
        """Return the problem of a text that is no JSON."""
        if not self._forgotten and _BLANK.fullmatch(self._body):
            return Problem(400, "the body is empty; expected a JSON object")
        byte = self._forgotten + self.position
        return Problem(400, f"the body is not valid JSON in UTF-8: unexpected input near byte {byte}")

    def _blank(self) -> int:
        """Return the place of the next byte that is no white space."""
        match = _BLANK.match(self._body, self.position)
        assert match is not None  # it matches nothing too
        return match.end()

    def _next(self) -> int:
        """Go behind white space, to a byte that is there."""
        self.position = self._blank()
        if self.position == len(self._body):
            raise self.malformed() if self.complete else IncompleteError
        return self.position

    def _take(self) -> int:
        """Return the next byte that is no white space and go behind it."""
        byte = self._body[self._next()]
        self.position += 1
        return byte

    def skip(self) -> None:
        """Go behind a value, whose inside is not judged; raises as `element` does."""
        if self._codec is not None:
            behind = self._codec.skip(self._address(), self.position, len(self._body))
        else:
            try:
                behind = _SCANNER.raw_decode(self._characters, self.position)[1]
            except (ValueError, RecursionError):
                behind = -1
        if not self.complete and (behind < 0 or behind == len(self._body)):
            raise IncompleteError
        if behind < 0:
            raise self.malformed()
        self.position = behind

    @cached_property
    def _characters(self) -> str:
        """The complete text with a character a byte, so that a position is the same in both."""
        return self._body.decode("latin-1")
