"""From a request's JSON to float32 rows, with errors that name the position."""

import json
import math
import re
import struct
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.codec import CODEC, Codec
from runtime.problems import Problem

FLOAT32_OVERFLOW = 2.0**128 - 2.0**103
"""Smallest magnitude that float32 rounds to infinity."""

Finite = Annotated[
    float,
    msgspec.Meta(extra_json_schema={"exclusiveMinimum": -FLOAT32_OVERFLOW, "exclusiveMaximum": FLOAT32_OVERFLOW}),
]
"""A number of float32's range; that it is one is said for JSON Schema, and checked where the row is filled."""

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for JSON that it refuses: the second for a member's name that is not UTF-8, the third where it is
nested too deeply in what is passed over or kept as it is."""

_PATH = re.compile(r" - at `\$(?P<path>.*)`$")
_EXPECTED = re.compile(r"Expected `(?P<expected>.*)`, got `(?P<received>.*?)`")
_MEMBER = re.compile(r"Object (?:contains )?(?P<fault>missing required|unknown) field `(?P<name>.*?)`")
_NAMES = {"float": "number", "str": "string", "int": "integer", "bool": "boolean"}

_NUMBER = msgspec.json.Decoder(float)


class RowDecoder:
    """Decodes the bodies of `/predict` and `/predict/batch` for a model's features.

    A row is a list of numbers in the model's order, or an object of all its feature names.

    Parameters
    ----------
    feature_names : sequence of str
        The model's features, in order.
    codec : Codec or None
        The kernels; without them Python decodes every body.

    Attributes
    ----------
    row_type, body_type : type
        What a row and the body of `/predict` decode to; a JSON Schema can be made of them.
    names, name_ends : ndarray
        The features as JSON strings, one after the other, uint8, and where each one ends, int64 (features,).
    """

    def __init__(self, feature_names: Sequence[str], codec: Codec | None = CODEC) -> None:
        self.feature_names = tuple(feature_names)
        fields = {f"f{index}": name for index, name in enumerate(feature_names)}
        named = msgspec.defstruct(
            "NamedRow",
            [(field, Finite) for field in fields],
            rename=fields,
            forbid_unknown_fields=True,
            namespace={"__doc__": "All features of a row by their names."},
        )
        width = len(fields)
        listed: Any = Annotated[list[Finite], msgspec.Meta(extra_json_schema={"minItems": width, "maxItems": width})]
        self.row_type: Any = listed | named
        self.body_type: type[msgspec.Struct] = msgspec.defstruct(
            "RowBody",
            [("features", self.row_type)],
            forbid_unknown_fields=True,
            gc=False,
            namespace={"__doc__": "One row: numbers in the model's order, or all features by their names."},
        )
        self._named = named
        self._one: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self.body_type)
        self._row = msgspec.json.Decoder(self.row_type)
        self._width = width
        self._pack = struct.Struct(f"={len(fields)}f").pack_into
        names = [msgspec.json.encode(name) for name in feature_names]
        self.names = np.frombuffer(b"".join(names), np.uint8)
        self.name_ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        # Reads what is plain, and leaves all else and each refusal to the decoders above.
        self._take = codec.take((bytes, np.ndarray, self.names, self.name_ends)) if codec else None

    def decode_one(self, body: bytes, row: NDArray[np.float32]) -> None:
        """Decode `{"features": row}` into a row, float32 (features,).

        Raises
        ------
        Problem
            400 where the body is no JSON, 422 where it is not such a row.
        """
        if self._take is not None and self._take(body, row) is row:
            return
        try:
            values = self._one.decode(body).features
        except DECODE_ERRORS as error:
            raise explain(body, error) from None
        self._fill(values, row, "features")

    def decode_row(self, text: bytes, row: NDArray[np.float32], field: str) -> None:
        """Decode a row on its own into a row, float32 (features,); `field` is its path in the request.

        Raises
        ------
        Problem
            As `decode_one`.
        """
        try:
            values = self._row.decode(text)
        except DECODE_ERRORS as error:
            raise explain(text, error, field) from None
        self._fill(values, row, field)

    def _fill(self, values: Any, row: NDArray[np.float32], field: str) -> None:
        """Write one decoded row; the decoder has let nothing but finite float64 numbers through."""
        named = type(values) is self._named
        if named:
            values = msgspec.structs.astuple(values)
        elif len(values) != self._width:
            expected, received = self._width, len(values)
            detail = f"expected {expected} numbers, got {received}"
            raise Problem(422, detail, field=field, expected=expected, received=received)
        try:
            self._pack(row.data, 0, *values)
        except OverflowError:
            index = next(i for i, value in enumerate(values) if abs(value) >= FLOAT32_OVERFLOW)
            position = f".{self.feature_names[index]}" if named else f"[{index}]"
            raise not_finite(field + position, repr(values[index])) from None


def decode_number(text: bytes, field: str) -> float:
    """Decode a number of float32's range on its own; `field` is its path in the request; raises Problem."""
    try:
        value = _NUMBER.decode(text)
    except DECODE_ERRORS as error:
        raise explain(text, error, field) from None
    if abs(value) >= FLOAT32_OVERFLOW:
        raise not_finite(field, repr(value))
    return value


def not_finite(field: str, received: str) -> Problem:
    """Return the problem of a number that float32 cannot hold."""
    expected = "a finite number of float32's range"
    return Problem(422, f"expected {expected}, got {received}", field=field, expected=expected, received=received)


def explain(body: bytes | memoryview, error: Exception, within: str = "") -> Problem:
    """Turn a decoder's error into a problem that names the field.

    Parameters
    ----------
    body : bytes or memoryview
        What was decoded.
    error : Exception
        One of `DECODE_ERRORS`.
    within : str
        Path of what was decoded in the request, where it is a part of it.
    """
    if isinstance(error, RecursionError):
        return Problem(400, "the body is nested too deeply")
    message = str(error)
    path = _PATH.search(message)
    field = (within + path["path"]).removeprefix(".") if path else within or None
    if not isinstance(error, msgspec.ValidationError):
        return _explain_malformed(bytes(body), message, within)
    if message.startswith("Number out of range"):
        return not_finite(field or "features", "a number beyond float64's range")
    types = _EXPECTED.match(message)
    if types:
        expected, received = (
            " or ".join(_NAMES.get(name, name) for name in types[group].split(" | "))
            for group in ("expected", "received")
        )
        detail = f"expected {expected}, got {received}"
        return Problem(422, detail, field=field or "body", expected=expected, received=received)
    member = _MEMBER.match(message)
    if member:
        field = f"{field}.{member['name']}" if field else member["name"]
        detail = "this field is required and missing" if member["fault"] == "missing required" else "no such field"
        return Problem(422, detail, field=field)
    return Problem(422, _PATH.sub("", message), field=field or "body")


def _explain_malformed(body: bytes, message: str, within: str) -> Problem:
    """Tell a body that is no JSON from one whose only fault is a NaN or an Infinity."""
    if not body.strip():
        return Problem(400, "the body is empty; expected a JSON object")
    try:
        found = next(_non_finite(json.loads(body), within), None)
    except (ValueError, RecursionError):
        found = None
    if found:
        field, value = found
        return not_finite(field, json.dumps(value))
    return Problem(400, f"the body is not valid JSON in UTF-8: {message.removeprefix('JSON is malformed: ')}")


def _non_finite(value: Any, path: str) -> Iterator[tuple[str, float]]:
    """Yield path and value of every number in a JSON document that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path or "body", value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _non_finite(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _non_finite(item, f"{path}[{index}]")
