"""JSON batches: kernels against the decoder of single rows, over random documents and random bytes."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.batch_json import JsonBatch
from runtime.codec import Codec
from runtime.decoding import RowDecoder
from runtime.problems import Problem

NAMES = ("a", "b c", "ĝ")
DECODER = RowDecoder(NAMES)

Read = tuple[NDArray[np.float32], dict[int, tuple[str, str]]]


def read_all(body: bytes, codec: Codec | None, piece: int = 7, room: int = 3) -> Read:
    """Feed a body piece by piece, read what can be read, and return all rows, and field and detail of the bad ones."""
    batch = JsonBatch(DECODER, 50, codec)
    rows = [np.empty((0, len(NAMES)), np.float32)]
    refused: dict[int, tuple[str, str]] = {}

    def read() -> None:
        while True:
            out = np.full((room, len(NAMES)), 7, np.float32)
            count, bad = batch.read(out)
            if not count:
                return
            for place, problem in bad:
                assert problem.status == 422
                assert not out[place].any()
                refused[sum(map(len, rows)) + place] = (problem.members["field"], problem.members["detail"])
            rows.append(out[:count])

    for start in range(0, len(body), piece):
        batch.feed(body[start : start + piece])
        read()
    batch.close()
    read()
    return np.concatenate(rows), refused


def outcome(body: bytes, codec: Codec | None) -> tuple[Any, ...]:
    """Return what comes of a body in a form that can be compared: status, number of rows, rows, and the bad ones."""
    try:
        rows, refused = read_all(body, codec)
    except Problem as problem:
        return (problem.status,)
    return 200, len(rows), rows.tobytes(), refused


def single(row: Any) -> bytes | tuple[str, str]:
    """Return the float32 bytes of a row as a single prediction decodes it, or field and detail of its refusal."""
    decoded = np.zeros(len(NAMES), np.float32)
    try:
        DECODER.decode_one(json.dumps({"features": row}).encode(), decoded)
    except Problem as problem:
        return problem.members["field"], problem.members["detail"]
    return decoded.tobytes()


numbers = st.floats(allow_nan=True) | st.floats(width=32) | st.integers(-(10**20), 10**20)
values = numbers | st.none() | st.booleans() | st.text(max_size=3) | st.lists(numbers, max_size=2)
rows = st.one_of(
    st.lists(numbers, min_size=3, max_size=3),
    st.lists(values, max_size=4),
    st.fixed_dictionaries({name: numbers for name in NAMES}),
    st.permutations(NAMES).flatmap(lambda names: st.fixed_dictionaries({name: numbers for name in names})),
    st.dictionaries(st.sampled_from([*NAMES, "e"]), values),
    values,
)
indents = st.sampled_from([None, 1])
ascii_only = st.booleans()


@settings(max_examples=500, derandomize=True, deadline=None)
@given(batch=st.lists(rows, max_size=8), indent=indents, ascii_only=ascii_only, piece=st.integers(1, 300))
def test_rows_are_those_of_single_predictions(
    codec: Codec, batch: list[Any], indent: int, ascii_only: bool, piece: int
) -> None:
    body = json.dumps({"features": batch}, indent=indent, ensure_ascii=ascii_only).encode()
    read, refused = read_all(body, codec, piece)
    assert len(read) == len(batch)
    for index, row in enumerate(batch):
        expected = single(row)
        if isinstance(expected, bytes):
            assert read[index].tobytes() == expected
        else:
            field, detail = expected
            moved = f"features[{index}]" + field.removeprefix("features")
            assert refused.pop(index) == (moved, moved + detail.removeprefix(field))
    assert not refused
    assert outcome(body, None) == outcome(body, codec)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    columns=st.integers(0, 6).flatmap(
        lambda n: st.lists(st.lists(values, min_size=n, max_size=n), min_size=3, max_size=3)
    ),
    names=st.permutations(NAMES),
)
def test_columns_are_rows(codec: Codec, columns: list[list[Any]], names: list[str]) -> None:
    by_name = dict(zip(names, columns, strict=True))
    body = json.dumps({"columns": by_name}).encode()
    read, refused = read_all(body, codec)
    ordered = [by_name[name] for name in NAMES]
    assert len(read) == len(columns[0])
    for index, row in enumerate(zip(*ordered, strict=True)):
        expected = single(list(row))
        if isinstance(expected, bytes):
            assert read[index].tobytes() == expected
        else:
            field, detail = refused.pop(index)
            assert field.startswith("columns.")
            assert f"[{index}]" in field
            assert detail.startswith(f"{field}: expected ")
    assert not refused
    assert outcome(body, None) == outcome(body, codec)


fragments = st.sampled_from(
    [*'{}[]:,"\\ \n0123-.eE', '{"features":', '{"columns":{"a":', "[[1,2,3]", "null", "NaN", '"a"', "\x00", "\xff"]
)


@settings(max_examples=1500, derandomize=True, deadline=None)
@given(
    body=st.binary(max_size=30) | st.lists(fragments, max_size=14).map(lambda parts: "".join(parts).encode("latin-1"))
)
def test_any_bytes_end_in_rows_or_a_problem(codec: Codec, body: bytes) -> None:
    for kernels in (codec, None):
        status, *read = outcome(body, kernels)
        assert status in (200, 400, 413, 422)
        if read:
            assert json.loads(body).keys() & {"features", "columns"}


@settings(max_examples=300, derandomize=True, deadline=None)
@given(at=st.integers(0, 80), byte=st.binary(min_size=1, max_size=1))
def test_a_changed_byte_ends_in_rows_or_a_problem(codec: Codec, at: int, byte: bytes) -> None:
    body = bytearray(b'{"features": [[1, 2.5, -3e1], {"a": 1, "b c": 2, "\xc4\x9d": 3}, [4, 5, 6], [7, 8, 9]]}')
    body[at : at + 1] = byte
    for kernels in (codec, None):
        status, *read = outcome(bytes(body), kernels)
        assert status in (200, 400, 422)
        if read:
            assert read[0] == len(json.loads(body)["features"])


REFUSED = {
    "empty": (b"", 400, None),
    "white space": (b" \n", 400, None),
    "a list": (b"[[1,2,3]]", 422, "body"),
    "a number": (b"1", 422, "body"),
    "no member": (b"{}", 422, "features"),
    "another member": (b'{"rows": []}', 422, "rows"),
    "a member more": (b'{"features": [[1,2,3]], "model": 1}', 422, "model"),
    "both": (b'{"features": [[1,2,3]], "columns": {}}', 422, "columns"),
    "no list": (b'{"features": {"a": 1}}', 422, "features"),
    "no value": (b'{"features": }', 400, None),
    "truncated": (b'{"features": [[1,2,3],', 400, None),
    "truncated row": (b'{"features": [[1,2,3],[1,2', 400, None),
    "unclosed": (b'{"features": [[1,2,3]]', 400, None),
    "trailing": (b'{"features": [[1,2,3]]} 1', 400, None),
    "trailing comma": (b'{"features": [[1,2,3],]}', 400, None),
    "no comma": (b'{"features": [[1,2,3] [1,2,3]]}', 400, None),
    "leading zero": (b'{"features": [[01,2,3]]}', 400, None),
    "not UTF-8": (b'{"features": [{"\xff": 1}]}', 400, None),
    "unknown column": (b'{"columns": {"z": [1]}}', 422, "columns.z"),
    "column twice": (b'{"columns": {"a": [1], "a": [1]}}', 422, "columns.a"),
    "missing column": (b'{"columns": {"a": [1]}}', 422, "columns.b c"),
    "ragged": ('{"columns": {"a": [1], "b c": [1, 2], "ĝ": [1]}}'.encode(), 422, "columns.b c"),
    "no column list": (b'{"columns": {"a": 1}}', 422, "columns.a"),
    "too long a column": (b'{"columns": {"a": [%b]}}' % b",".join([b"1"] * 60), 413, "columns.a"),
    "a long name": (b'{"%b": []}' % (b"x" * 5000), 422, "body"),
}


@pytest.mark.parametrize("kernels", [True, False], ids=["kernels", "python"])
@pytest.mark.parametrize(("body", "status", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_a_fault_of_structure_refuses_the_whole(
    codec: Codec, body: bytes, status: int, field: str | None, kernels: bool
) -> None:
    with pytest.raises(Problem) as caught:
        read_all(body, codec if kernels else None)
    assert caught.value.status == status
    assert caught.value.members.get("field") == field


def test_reading_stops_one_row_behind_the_limit(codec: Codec) -> None:
    body = json.dumps({"columns": dict.fromkeys(NAMES, [1.5] * 51)}).encode()
    assert len(read_all(body, codec)[0]) == 51  # which the batch refuses


def test_rows_are_read_while_they_arrive_and_then_forgotten(codec: Codec) -> None:
    batch, out = JsonBatch(DECODER, 50, codec), np.empty((50, 3), np.float32)
    batch.feed(b'{"features": [[1, 2, 3], [4, 5, 6], [7, ')
    assert batch.read(out)[0] == 2
    assert out[:2].tolist() == [[1, 2, 3], [4, 5, 6]]
    batch.feed(b"8, 9")
    assert batch.read(out) == (0, [])
    assert batch.waiting == 0
    batch.feed(b"],     null")
    assert batch.read(out)[0] == 1
    assert batch.waiting <= len("null")
    batch.feed(b"]}")
    batch.close()
    count, bad = batch.read(out)
    assert (count, [problem.members["field"] for _, problem in bad]) == (1, ["features[3]"])
    assert batch.read(out) == (0, [])


def test_a_row_of_any_length_costs_no_more_than_its_text(codec: Codec) -> None:
    long = [1] * 20_000
    read, refused = read_all(json.dumps({"features": [long, [1, 2, 3]]}).encode(), codec)
    assert read[1].tolist() == [1, 2, 3]
    assert refused[0][0] == "features[0]"
    assert "bytes of text" in refused[0][1]


blanks = st.sampled_from([b"", b" ", b"\n\t", b" " * 9000])
inner = st.lists(
    st.sampled_from([b"1", b"2.5", b"NaN", b'"x"', b"[", b"]", b",", b":", b"01", b"tru", b"null", b"{}", b"\xff"]),
    max_size=6,
)


@settings(max_examples=120, derandomize=True, deadline=None)
@given(parts=inner | st.just([b"1", b",", b"2.5", b",", b"1"]), blank=blanks, before=blanks, named=st.booleans())
def test_white_space_changes_nothing(
    codec: Codec, parts: list[bytes], blank: bytes, before: bytes, named: bool
) -> None:
    opening, closing = (b'{"a":', b"}") if named else (b"[", b"]")

    def body(before: bytes, blank: bytes) -> bytes:
        row = blank.join([opening, *parts, closing]) if blank else b" ".join([opening, *parts, closing])
        return b'{"features": [%b%b, [4, 5, 6]]}' % (before, row)

    expected = outcome(body(b"", b""), codec)
    assert outcome(body(before, blank), codec) == expected
    assert outcome(body(before, blank), None) == expected


WRONG_INSIDE = [
    *(b"01", b"1 2", b"tru", b"1,", b"-", b"1.e1", b'"\x01"', b'"\\x"', b'"\\u12g4"', b"\xff", b'"\xff"'),
    *(b"{1:2}", b'{"a"}'),
]
RIGHT_INSIDE = [
    *(b"NaN", b"-Infinity", b"null", b"-0.5E+3", b'"\xc4\x9d\\ud83d\\n"', b'{"a": [{}, []]}', b"[[], {}]"),
]


@pytest.mark.parametrize("kernels", [True, False], ids=["kernels", "python"])
@pytest.mark.parametrize("columns", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize("length", [1, 2000])
@pytest.mark.parametrize("inside", WRONG_INSIDE + RIGHT_INSIDE)
def test_a_long_value_is_judged_like_a_short_one(
    codec: Codec, inside: bytes, length: int, columns: bool, kernels: bool
) -> None:
    value = b"[%b%b]" % (b"1.25," * length, inside)
    if columns:
        body = b'{"columns": {"a": [%b, 1], "b c": [1, 2], "\xc4\x9d": [1, 2]}}' % value
    else:
        body = b'{"features": [%b, [1, 2, 3]]}' % value
    found = outcome(body, codec if kernels else None)
    if inside in RIGHT_INSIDE:
        assert found[:2] == (200, 2)
        assert found[3].keys() == {0}
    else:
        assert found == (400,)


@pytest.mark.parametrize("depth", [100, 899, 901, 5000])
def test_depth_is_bounded(codec: Codec, depth: int) -> None:
    body = b'{"features": [%b%b, [1, 2, 3]]}' % (b"[" * depth, b"]" * depth)
    assert outcome(body, codec)[0] == (200 if depth < 900 else 400)


def test_numbers_beyond_float32_name_their_position(codec: Codec) -> None:
    body = b'{"features": [[1, 2, 3], [1, -3.5e38, 3], {"a": 1, "b c": 1e400, "\xc4\x9d": 2}]}'
    _, refused = read_all(body, codec)
    assert [field for field, _ in refused.values()] == ["features[1][1]", "features[2].b c"]
