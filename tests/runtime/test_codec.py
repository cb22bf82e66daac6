"""The kernels against NumPy and Python: every text they read or write is theirs too; what does not fit is refused."""

import mmap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features_fast.errors import TicklineError
from features_fast.library import targets
from runtime.codec import (
    END,
    ODD,
    POSITION,
    STATE_WORDS,
    STATUS,
    Codec,
    find,
    fingerprint,
    library_path,
    load,
)
from tests.runtime.compiled.guarded import guarded


def read(codec: Codec, text: str) -> tuple[NDArray[np.float32], int, int]:
    """Return the numbers that the kernel reads from the inside of a list, where it stopped and why."""
    buffer = np.frombuffer(text.encode() + b"\0", np.uint8)
    out, state = np.full(4, 7, np.float32), np.zeros(STATE_WORDS, np.int64)
    count = codec.column(buffer.ctypes.data, 0, out.ctypes.data, 0, len(out), state.ctypes.data)
    return out[:count], int(state[POSITION]), int(state[STATUS])


def write(codec: Codec, value: np.float32) -> str | None:
    """Return what the kernel writes for a number, None where it leaves it to Python."""
    values, out, state = np.array([value]), np.zeros(32, np.uint8), np.zeros(STATE_WORDS, np.int64)
    length = codec.numbers(values.ctypes.data, 0, 1, 1, out.ctypes.data, state.ctypes.data)
    assert (state[POSITION] == 1) == (length > 0)
    return out[: length - 1].tobytes().decode() if length else None


def middle(bits: int) -> float:
    """Return the float64 in the middle between two neighbouring float32."""
    low, high = np.array([bits, bits + 1], np.uint32).view(np.float32).astype(np.float64)
    return float((low + high) / 2)


plain = (
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(str)
    | st.floats(-1e30, 1e30).map(repr)
    | st.integers(-(10**18), 10**18).map(str)
    | st.from_regex(r"-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
)
near_middles = st.builds(
    lambda bits, steps: repr(middle(bits) * (1 + steps * 2.0**-53)),
    st.integers(0x00800000, 0x7F000000),
    st.integers(-40, 40),
)


wrapping = st.builds(  # as an integer of 64 bits they are nothing, or little
    lambda times, more, zeros: f"{times * 2**64 + more}.{'0' * zeros}1",
    st.integers(1, 2**60),
    st.sampled_from([0, 0, 1]),
    st.integers(0, 30),
)


@settings(max_examples=2000, derandomize=True, deadline=None)
@given(text=plain | near_middles | wrapping)
def test_a_number_is_read_as_python_reads_it_or_left_to_python(codec: Codec, text: str) -> None:
    values, position, why = read(codec, text + "]")
    if why == END:
        with np.errstate(over="ignore"):
            assert values.tobytes() == np.array([float(text)]).astype(np.float32).tobytes() or text.startswith("-0")
        assert values.tolist() == [np.float32(float(text))]
        assert position == len(text) + 1
    else:
        assert (why, position, len(values)) == (ODD, 0, 0)


@pytest.mark.parametrize(
    "text", ["1", "-12.5", "0.1234567890123456", "123456789012345678", "1e10", "1.5E-20", "-0.0", "0e5"]
)
def test_ordinary_numbers_are_plain(codec: Codec, text: str) -> None:
    values, _, why = read(codec, f" {text} , {text}\n]")
    assert why == END
    assert values.tobytes() == np.array([float(text)] * 2).astype(np.float32).tobytes()


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "+1", "01", "-01", ".5", "1.", "1e", "1e+", "--1", "1.e5", "0x10", "1 2", "1;", "NaN", "-Infinity"),
        *("null", '"1"', "[1]", "1e39", "1e-39", "1e400", "1e12345", "12345678901234567890", "3.5e38"),
        *("18446744073709551616.0", "-309485009821345068724781056.000", "184467440737095516160000.0e-3"),
    ],
)
def test_what_is_no_plain_number_is_left_to_python(codec: Codec, text: str) -> None:
    values, position, why = read(codec, f"5,{text}]")
    assert values.tolist() == [5]
    assert (position, why) == (2, ODD)


def test_digits_are_read_alike_wherever_a_page_of_memory_ends(codec: Codec) -> None:
    text = b"0.1234567890123456,-987654.0987654321]\0"
    pages = np.zeros(3 * mmap.PAGESIZE, np.uint8)
    boundary = -pages.ctypes.data % mmap.PAGESIZE + mmap.PAGESIZE
    for start in range(boundary - len(text), boundary + 1):
        pages[start : start + len(text)] = np.frombuffer(text, np.uint8)
        out, state = np.zeros(4, np.float32), np.zeros(STATE_WORDS, np.int64)
        assert codec.column(pages.ctypes.data + start, 0, out.ctypes.data, 0, 4, state.ctypes.data) == 2
        assert out.tolist() == [np.float32(0.1234567890123456), np.float32(-987654.0987654321), 0, 0]


def test_nothing_is_read_from_the_page_behind_a_text(codec: Codec) -> None:
    for digits in range(1, 18):
        text = guarded(np.frombuffer(b"0.%b]\0" % (b"1234567890123456789"[:digits]), np.uint8), "behind")
        out, state = np.zeros(1, np.float32), np.zeros(STATE_WORDS, np.int64)
        assert codec.column(text.ctypes.data, 0, out.ctypes.data, 0, 1, state.ctypes.data) == 1
        assert out[0] == np.float32(float(text.tobytes()[:-2]))


@settings(max_examples=3000, derandomize=True, deadline=None)
@given(
    value=st.floats(0, 10, width=32)
    | st.integers(0, 0x3F800000).map(lambda bits: float(np.uint32(bits).view(np.float32)))
)
def test_a_number_is_written_as_numpy_writes_it_or_left_to_it(codec: Codec, value: float) -> None:
    text = write(codec, np.float32(value))
    if text is None:
        assert 0 < value < 1e-4 or value >= 10 or str(np.float32(value)) == "-0.0"
    else:
        assert text == str(np.float32(value))


def test_every_power_of_two_and_of_ten_is_written_as_numpy_writes_it(codec: Codec) -> None:
    powers = np.concatenate([2.0 ** -np.arange(39), 10.0 ** -np.arange(12)]).astype(np.float32)
    for value in np.concatenate([powers, np.nextafter(powers, np.float32(0)), np.nextafter(powers, np.float32(1))]):
        assert write(codec, value) in (str(value), None)
    assert write(codec, np.float32(0.5)) == "0.5"
    assert write(codec, np.float32(1)) == "1.0"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.5, 1e-30, 11])
def test_what_no_probability_is_is_left_to_numpy(codec: Codec, value: float) -> None:
    assert write(codec, np.float32(value)) is None


def test_a_value_is_skipped_whatever_is_in_it(codec: Codec) -> None:
    for text in ('"a]}\\"\\\\"', "[[1,{}],[]]", '{"a":{"b":[1,"}"]}}', "12", "tru"):
        buffer = np.frombuffer(f"{text},1".encode() + b"\0", np.uint8)
        assert codec.skip(buffer.ctypes.data, 0, len(text) + 2) == len(text)
    for text in ('"a', "[1,[2]", '{"a":"}', "   "):
        buffer = np.frombuffer(text.encode() + b"\0", np.uint8)
        assert codec.skip(buffer.ctypes.data, 0, len(text)) == -1


def test_a_library_is_found_or_it_is_said_why_not(codec: Codec, codec_path: Path, tmp_path: Path) -> None:
    best = targets()[0]
    assert find(codec_path.parent)[1] == f"ahead of time, {best}"
    assert codec.target == best
    found, reason = find(tmp_path)
    assert found is None
    assert reason.startswith(f"Python: no {library_path(best).name}")
    library_path(best, tmp_path).write_bytes(b"no library")
    with pytest.raises(TicklineError, match="expected a library of kernels"):
        load(library_path(best, tmp_path))
    assert find(tmp_path)[0] is None


def test_a_library_of_other_source_is_refused(codec_path: Path, tmp_path: Path) -> None:
    stale = tmp_path / codec_path.name
    stale.write_bytes(codec_path.read_bytes().replace(fingerprint().encode(), b"0" * 64))
    with pytest.raises(TicklineError, match=r"other source; build it again with python -m runtime\.build"):
        load(stale)
