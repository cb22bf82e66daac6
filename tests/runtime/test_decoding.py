"""Decoding against a slow, obvious twin, over random documents."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.codec import CODEC
from runtime.decoding import RowDecoder, decode_number
from runtime.problems import Problem

NAMES = ("a", "b c", "d")
DECODER = RowDecoder(NAMES)
SLOW_DECODER = RowDecoder(NAMES, codec=None)


def naive(document: Any) -> list[float] | None:
    """Return the row of a document, or None where it must be refused."""
    if not isinstance(document, dict) or set(document) != {"features"}:
        return None
    row = document["features"]
    if isinstance(row, dict):
        if set(row) != set(NAMES):
            return None
        row = [row[name] for name in NAMES]
    if not isinstance(row, list) or len(row) != len(NAMES):
        return None
    for value in row:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        with np.errstate(over="ignore"):
            if not np.isfinite(np.float64(value).astype(np.float32)):
                return None
    return [float(value) for value in row]


numbers = st.floats(allow_nan=True) | st.integers(-(10**12), 10**12)
values = numbers | st.none() | st.booleans() | st.text(max_size=3) | st.lists(numbers, max_size=2)
rows = st.one_of(
    st.lists(numbers, min_size=3, max_size=3),
    st.lists(values, max_size=4),
    st.fixed_dictionaries({name: numbers for name in NAMES}),
    st.dictionaries(st.sampled_from([*NAMES, "e"]), values),
    values,
)
documents = st.fixed_dictionaries({"features": rows}, optional={"more": values}) | values


@settings(max_examples=500, derandomize=True, deadline=None)
@given(documents)
def test_a_row_is_decoded_or_refused_as_the_twin_says(document: Any) -> None:
    body = json.dumps(document).encode()
    expected = naive(document)
    row = np.zeros(3, np.float32)
    if expected is None:
        with pytest.raises(Problem) as caught:
            DECODER.decode_one(body, row)
        assert caught.value.status == 422
        assert caught.value.members["field"]
    else:
        DECODER.decode_one(body, row)
        assert row.tobytes() == np.array(expected, np.float64).astype(np.float32).tobytes()


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.binary(max_size=40) | st.builds(lambda name: b'{"features":{"%b":1}}' % name, st.binary(max_size=5)))
def test_no_bytes_are_more_than_a_problem(body: bytes) -> None:
    row = np.zeros(3, np.float32)
    for decode in (
        lambda: DECODER.decode_one(body, row),
        lambda: DECODER.decode_row(b'{"%b":1}' % body, row, "features[5]"),
        lambda: decode_number(b"[" + body, "columns.a[5]"),
    ):
        with pytest.raises(Problem) as caught:
            decode()
        assert caught.value.status in (400, 422)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(rows)
def test_a_row_on_its_own_is_the_row_of_a_body(document: Any) -> None:
    body, text = json.dumps({"features": document}).encode(), json.dumps(document).encode()
    expected, row = np.zeros(3, np.float32), np.zeros(3, np.float32)
    if naive({"features": document}) is None:
        with pytest.raises(Problem) as of_body:
            DECODER.decode_one(body, expected)
        with pytest.raises(Problem) as of_row:
            DECODER.decode_row(text, row, "features[12]")
        assert of_row.value.status == of_body.value.status
        assert of_row.value.members["field"] == of_body.value.members["field"].replace("features", "features[12]", 1)
    else:
        DECODER.decode_one(body, expected)
        DECODER.decode_row(text, row, "features[12]")
        assert row.tobytes() == expected.tobytes()


@settings(max_examples=200, derandomize=True, deadline=None)
@given(values)
def test_a_number_on_its_own_is_that_of_a_row(value: Any) -> None:
    expected = naive({"features": [value, 0, 0]})
    text = json.dumps(value).encode()
    if expected is None:
        with pytest.raises(Problem) as caught:
            decode_number(text, "columns.a[5]")
        assert caught.value.status == 422
        assert caught.value.members["field"].startswith("columns.a[5]")
    else:
        assert decode_number(text, "columns.a[5]") == expected[0]


def outcome(decoder: RowDecoder, body: bytes) -> tuple[Any, ...]:
    """Return the bits of the row of a body, or the problem with it."""
    row = np.zeros(3, np.float32)
    try:
        decoder.decode_one(body, row)
    except Problem as problem:
        return problem.status, problem.members
    return (row.tobytes(),)


blanks = st.text(" \t\r\n", max_size=2)
texts = st.one_of(
    st.floats().map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["-0", "-0.0", "01", "1.", ".5", "+1", "NaN", "null", "true", '"1"', "[1]", "1e-46", "3.5e38", ""]),
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Return a body as no encoder writes it: white space anywhere, any number, one byte missing or too much."""
    parts = draw(st.lists(texts, min_size=2, max_size=4))
    if draw(st.booleans()):
        names = draw(st.permutations(NAMES)) if draw(st.booleans()) else NAMES
        parts = [f'"{name}"{draw(blanks)}:{draw(blanks)}{part}' for name, part in zip(names, parts, strict=False)]
        row = "{" + ",".join(f"{draw(blanks)}{part}{draw(blanks)}" for part in parts) + "}"
    else:
        row = "[" + ",".join(f"{draw(blanks)}{part}{draw(blanks)}" for part in parts) + "]"
    name = draw(st.sampled_from(['"features"', '"features"', '"feature"', "features", '"features" ']))
    pieces = ["", "{", name, ":", row, "}", ""]
    body = draw(blanks).join(pieces)
    if draw(st.booleans()):
        place = draw(st.integers(0, len(body)))
        body = body[:place] + draw(st.sampled_from(["", "\0", "}", ",", "\u00e9", "x"])) + body[place + 1 :]
    return body.encode()


@settings(max_examples=1000, derandomize=True, deadline=None)
@given(bodies())
def test_the_kernel_decodes_as_python_does_or_leaves_it_to_it(body: bytes) -> None:
    assert outcome(DECODER, body) == outcome(SLOW_DECODER, body)


@pytest.mark.parametrize("row", ["[1, -2.5, 3e-5]", '{"a": 1, "b c": -2.5, "d": 3e-5}'])
def test_a_plain_body_needs_no_decoder(row: str) -> None:
    assert CODEC is not None
    take = CODEC.take((bytes, np.ndarray, DECODER.names, DECODER.name_ends))
    decoded = np.zeros(3, np.float32)
    body = f' {{"features" : {row}}}\n'.encode()
    assert take(body, decoded) is decoded
    assert decoded.tolist() == np.array([1, -2.5, 3e-5], np.float32).tolist()
    for other in (body[:-2], body + b"x", b"", body.replace(b"3e-5", b"NaN"), body.replace(b"3e-5", b"3e-5, 4")):
        assert take(other, decoded) is not decoded
    for wrong in ((bytearray(body), decoded), (body, bytearray(12)), (body,), ()):
        assert take(*wrong) is not decoded


def test_float32_overflow_begins_where_rounding_says() -> None:
    largest = float(np.finfo(np.float32).max)
    just_below = math.nextafter(2.0**128 - 2.0**103, 0)
    row = np.zeros(3, np.float32)
    DECODER.decode_one(json.dumps({"features": [largest, -just_below, 0]}).encode(), row)
    assert row.tolist() == [largest, -largest, 0]
    with pytest.raises(Problem) as caught:
        DECODER.decode_one(json.dumps({"features": [just_below, 0, 2.0**128 - 2.0**103]}).encode(), row)
    assert caught.value.members["field"] == "features[2]"
