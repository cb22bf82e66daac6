"""The wire format, against what Protocol Buffers write through onnx's messages, and against bytes written by hand."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.compiled.errors import MalformedGraph
from runtime.compiled.protobuf import Message
from runtime.compiled.wire import decode_varints

_INTS, _FLOATS, _STRINGS, _TYPE = 8, 7, 9, 20

int64s = st.integers(-(2**63), 2**63 - 1)
sizes = st.sampled_from([1, 3, 63, 64, 65, 200, 1500, 6000])


def message(content: bytes) -> Message:
    """Return the whole of some bytes as a message."""
    return Message(content, 0, len(content), "message")


def varint(value: int) -> bytes:
    """Encode a number."""
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*result, value])


def packed(field: int, body: bytes) -> bytes:
    """Encode a field of bytes."""
    return varint(field << 3 | 2) + varint(len(body)) + body


@settings(max_examples=60, deadline=None)
@given(st.lists(int64s, min_size=1, max_size=50), sizes)
def test_integers_are_read_packed_or_not(some: list[int], size: int) -> None:
    values = (some * size)[: max(size, len(some))]
    unpacked = onnx.AttributeProto(name="a", ints=values, type=onnx.AttributeProto.INTS).SerializeToString()
    read = message(unpacked)
    assert read.integers(_INTS, "ints").tolist() == values
    assert read.integer(_TYPE, "type") == onnx.AttributeProto.INTS
    body = b"".join(varint(value & 0xFFFF_FFFF_FFFF_FFFF) for value in values)
    both = packed(_INTS, body) + unpacked + packed(_INTS, b"") + packed(_INTS, body)
    assert message(both).integers(_INTS, "ints").tolist() == values * 3


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=50), sizes)
def test_floats_are_read_packed_or_not(some: list[float], size: int) -> None:
    values = np.array((some * size)[: max(size, len(some))], np.float32)
    unpacked = onnx.AttributeProto(floats=values.tolist(), i=7).SerializeToString()
    read = message(unpacked)
    assert read.integer(3, "i") == 7
    np.testing.assert_array_equal(read.floats(_FLOATS, "floats"), values)
    both = packed(_FLOATS, values.tobytes()) + unpacked
    np.testing.assert_array_equal(message(both).floats(_FLOATS, "floats"), np.tile(values, 2))


words = st.one_of(
    st.sampled_from(["BRANCH_LEQ", "LEAF", "", "J", "J\nBRANCH_LEQ", "J\nBRANCH_LEQJ", "é" * 20, "x" * 40, "x" * 200]),
    st.text(max_size=8),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(words, min_size=1, max_size=25, unique=True), sizes, st.integers(0, 2**32))
def test_texts_are_read_whatever_stands_in_them(some: list[str], size: int, seed: int) -> None:
    values = np.random.default_rng(seed).choice(np.array(some, object), size).tolist()
    read = message(onnx.AttributeProto(strings=[value.encode() for value in values], i=7).SerializeToString())
    assert read.texts(_STRINGS, "strings") == values
    different, indices = read.words(_STRINGS, "strings")
    assert [different[index] for index in indices] == values
    assert len(set(different)) == len(different)
    assert read.integer(3, "i") == 7


def test_words_are_few() -> None:
    many = onnx.AttributeProto(strings=[str(number).encode() for number in range(40)]).SerializeToString()
    with pytest.raises(MalformedGraph, match=r"message: strings: expected at most 32 different texts"):
        message(many).words(_STRINGS, "strings")


def test_the_last_of_several_single_values_counts() -> None:
    assert message(b"\x18\x05\x18\x06").integer(3, "i") == 6


def test_fields_that_are_not_asked_for_are_skipped() -> None:
    unknown = b"\x09" + bytes(8) + b"\x15" + bytes(4) + packed(1000, b"abc") + b"\x18\x2a"
    assert message(unknown).integer(3, "i") == 42


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x18", "truncated"),
        (b"\x18\x80", "truncated"),
        (b"\x18" + b"\xff" * 10 + b"\x01", "longer varint than 10 bytes"),
        (b"\x80", "truncated"),
        (b"\x0a", "truncated"),
        (b"\x0a\x05abc", "truncated"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "truncated"),
        (b"\x15\x00\x00", "truncated"),
        (b"\x11" + bytes(7), "truncated"),
        (b"\x00\x00", "expected a field, got tag 0x0"),
        (b"\x03", "expected a field, got tag 0x3"),
        (b"\x0e", "expected a field, got tag 0xe"),
        (varint(1 << 40), "expected a field, got tag 0x10000000000"),
        (b"\x40\x01" * 100 + b"\x40", "truncated"),
        (b"\x40\x01" * 100 + b"\x40" + b"\xff" * 11, "longer varint than 10 bytes"),
        (b"\x3d\x00\x00\x00\x00" * 100 + b"\x3d\x00", "truncated"),
        (b"\x4a\x01a" * 100 + b"\x4a\x02a", "truncated"),
        (b"\x4a\x01a" * 100 + b"\x06", "expected a field, got tag 0x6"),
    ],
)
def test_bytes_that_are_no_message_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(MalformedGraph, match=f"^message: {reason}"):
        message(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (packed(8, b"\x80"), "ints: expected varints of at most 10 bytes"),
        (packed(8, b"\xff" * 10 + b"\x01"), "ints: expected varints of at most 10 bytes"),
        (b"\x45" + bytes(4), "ints: expected a varint, got 4 bytes"),
    ],
)
def test_numbers_of_another_kind_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(MalformedGraph, match=reason):
        message(content).integers(8, "ints")


def test_accessors_name_the_field() -> None:
    with pytest.raises(MalformedGraph, match=r"message: floats: expected a multiple of 4 bytes, got 3"):
        message(packed(7, b"abc")).floats(7, "floats")
    with pytest.raises(MalformedGraph, match=r"message: name: expected UTF-8"):
        message(packed(1, b"\xff")).text(1, "name")
    with pytest.raises(MalformedGraph, match=r"message: name: expected bytes, got a varint"):
        message(b"\x08\x01").text(1, "name")
    with pytest.raises(MalformedGraph, match=r"message: graph: expected one, got 2"):
        message(packed(7, b"") * 2).message(7, "graph")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_varints_are_decoded_together_as_one_by_one(content: bytes) -> None:
    expected: list[int] | None = []
    position = 0
    while position < len(content) and expected is not None:
        length = next((index for index, byte in enumerate(content[position : position + 10]) if byte < 0x80), None)
        if length is None:
            expected = None
        else:
            part = content[position : position + length + 1]
            value = sum((byte & 0x7F) << 7 * index for index, byte in enumerate(part))
            expected.append(value & 0xFFFF_FFFF_FFFF_FFFF)
            position += length + 1
    found = decode_varints(np.frombuffer(content, np.uint8))
    assert (None if found is None else found.tolist()) == expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"\x40\x01" * 100, b"\x3d\x00\x00\x80\x3f" * 100, b"\x4a\x01a" * 100]))
def test_any_bytes_are_a_message_or_refused(content: bytes, run: bytes) -> None:
    for part in (content, run + content, content + run):
        try:
            read = message(part)
            read.integers(8, "ints"), read.floats(7, "floats"), read.texts(9, "strings"), read.messages(1, "name")
        except MalformedGraph:
            pass


def test_a_file_of_very_many_messages_is_refused() -> None:
    with pytest.raises(MalformedGraph, match="message: node: expected at most 131072"):
        message(packed(1, b"") * 131073).messages(1, "node")
    nested = message(packed(1, packed(5, b"") * 70000) * 2)
    with pytest.raises(MalformedGraph, match=r"message\.node\[1\]: attribute: expected at most 131072 messages"):
        [node.messages(5, "attribute") for node in nested.messages(1, "node")]
