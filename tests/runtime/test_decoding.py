"""Decoding against a slow, obvious twin, over random documents."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.decoding import RowDecoder, decode_number
from runtime.problems import Problem

NAMES = ("a", "b c", "d")
DECODER = RowDecoder(NAMES)


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
            DECODER.decode_one(body, row.data.cast("B"))
        assert caught.value.status == 422
        assert caught.value.members["field"]
    else:
        DECODER.decode_one(body, row.data.cast("B"))
        assert row.tobytes() == np.array(expected, np.float64).astype(np.float32).tobytes()


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.binary(max_size=40) | st.builds(lambda name: b'{"features":{"%b":1}}' % name, st.binary(max_size=5)))
def test_no_bytes_are_more_than_a_problem(body: bytes) -> None:
    row = memoryview(bytearray(12))
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
            DECODER.decode_one(body, expected.data.cast("B"))
        with pytest.raises(Problem) as of_row:
            DECODER.decode_row(text, row.data.cast("B"), "features[12]")
        assert of_row.value.status == of_body.value.status
        assert of_row.value.members["field"] == of_body.value.members["field"].replace("features", "features[12]", 1)
    else:
        DECODER.decode_one(body, expected.data.cast("B"))
        DECODER.decode_row(text, row.data.cast("B"), "features[12]")
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


def test_float32_overflow_begins_where_rounding_says() -> None:
    largest = float(np.finfo(np.float32).max)
    just_below = math.nextafter(2.0**128 - 2.0**103, 0)
    row = np.zeros(3, np.float32)
    DECODER.decode_one(json.dumps({"features": [largest, -just_below, 0]}).encode(), row.data.cast("B"))
    assert row.tolist() == [largest, -largest, 0]
    with pytest.raises(Problem) as caught:
        DECODER.decode_one(json.dumps({"features": [just_below, 0, 2.0**128 - 2.0**103]}).encode(), row.data.cast("B"))
    assert caught.value.members["field"] == "features[2]"
