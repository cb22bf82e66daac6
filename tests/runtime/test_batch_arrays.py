"""Raw and `.npy` batches: every layout is the same rows, every other file is a problem."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy
from numpy.typing import NDArray

from runtime.batch_arrays import NpyBatch, RawBatch
from runtime.batches import BatchBody
from runtime.problems import Problem
from tests.runtime.conftest import random_rows

WIDTH = 5
ROWS = random_rows(23, WIDTH, seed=8)


def read_all(
    batch: BatchBody, body: bytes, piece: int = 11, room: int = 4
) -> tuple[NDArray[np.float32], dict[int, Problem]]:
    """Feed a body piece by piece, read what can be read, and return all rows and the bad ones."""
    rows, refused = [np.empty((0, WIDTH), np.float32)], {}

    def read() -> None:
        while True:
            out = np.full((room, WIDTH), 7, np.float32)
            count, bad = batch.read(out)
            if not count:
                return
            refused.update({sum(map(len, rows)) + place: problem for place, problem in bad})
            rows.append(out[:count])

    for start in range(0, len(body), piece):
        batch.feed(body[start : start + piece])
        read()
    batch.close()
    read()
    assert batch.waiting == 0
    return np.concatenate(rows), refused


def saved(values: Any, version: tuple[int, int] = (1, 0)) -> bytes:
    """Return a `.npy` file."""
    stream = io.BytesIO()
    npy.write_array(stream, np.asarray(values), version=version)
    return stream.getvalue()


@settings(max_examples=100, derandomize=True, deadline=None)
@given(piece=st.integers(1, 300), room=st.integers(1, 30))
def test_raw_rows_are_read_while_they_arrive(piece: int, room: int) -> None:
    rows, refused = read_all(RawBatch(WIDTH), ROWS.tobytes(), piece, room)
    assert rows.tobytes() == ROWS.tobytes()
    assert not refused


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8"])
def test_every_layout_is_the_same_rows(version: tuple[int, int], order: Any, dtype: str) -> None:
    body = saved(np.array(ROWS, dtype, order=order), version)
    for piece in (1, 50, len(body)):
        rows, refused = read_all(NpyBatch(WIDTH, 23), body, piece)
        assert rows.tobytes() == ROWS.tobytes()
        assert not refused


@pytest.mark.parametrize(("dtype", "value"), [("f4", np.nan), ("f4", -np.inf), ("f8", 1e39), ("f8", np.nan)])
def test_a_bad_number_names_its_place_and_harms_no_other_row(dtype: str, value: float) -> None:
    values = ROWS.astype(dtype)
    values[9, 3] = values[20, 0] = value
    rows, refused = read_all(NpyBatch(WIDTH, 23), saved(values))
    assert {index: problem.members["field"] for index, problem in refused.items()} == {
        9: "features[9][3]",
        20: "features[20][0]",
    }
    assert repr(float(value)) in refused[9].members["detail"]
    good = [index for index in range(23) if index not in refused]
    assert rows[good].tobytes() == ROWS[good].tobytes()
    assert not rows[[9, 20]].any()


HEAD = saved(ROWS)[:128]
REFUSED = {
    "empty": (b"", 400),
    "no magic": (b"PK\x03\x04 and more of a zip file", 400),
    "version": (b"\x93NUMPY\x04\x00" + HEAD[8:], 400),
    "half a header": (HEAD[:60], 400),
    "header too long": (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f", 400),
    "no header": (b"\x93NUMPY\x01\x00\x04\x00abcd", 400),
    "truncated": (saved(ROWS)[:-1], 400),
    "trailing": (saved(ROWS) + b"1", 400),
    "too many rows": (saved(np.zeros((24, WIDTH), np.float32)), 413),
    "0 rows": (saved(ROWS[:0]), 422),
    "another width": (saved(np.zeros((2, WIDTH + 1), np.float32)), 422),
    "one dimension": (saved(np.zeros(WIDTH, np.float32)), 422),
    "integers": (saved(np.zeros((2, WIDTH), np.int64)), 422),
    "float16": (saved(np.zeros((2, WIDTH), np.float16)), 422),
    "complex": (saved(np.zeros((2, WIDTH), np.complex64)), 422),
}


@pytest.mark.parametrize(("body", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_any_other_file_is_a_problem(body: bytes, status: int) -> None:
    with pytest.raises(Problem) as caught:
        read_all(NpyBatch(WIDTH, 23), body)
    assert caught.value.status == status
    assert caught.value.members["field"] == "body"


def test_objects_are_never_unpickled() -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([[print] * WIDTH], object), allow_pickle=True)
    with pytest.raises(Problem, match="expected float32 or float64, got object"):
        read_all(NpyBatch(WIDTH, 23), stream.getvalue())


def test_a_raw_body_ends_with_a_row() -> None:
    with pytest.raises(Problem, match="expected a multiple of 20 bytes, 5 numbers a row, got 459"):
        read_all(RawBatch(WIDTH), ROWS.tobytes()[:-1])


@settings(max_examples=500, derandomize=True, deadline=None)
@given(at=st.integers(6, 127), byte=st.binary(min_size=1, max_size=3), tail=st.binary(max_size=30))
def test_any_bytes_end_in_rows_or_a_problem(at: int, byte: bytes, tail: bytes) -> None:
    for body in (
        HEAD[:at] + byte + HEAD[at + len(byte) :] + ROWS.tobytes(),
        HEAD[:at] + tail,
        b"\x93NUMPY\x01\x00" + tail,
    ):
        assert status(body) in (200, 400, 413, 422)


def status(body: bytes) -> int:
    """Return what the status of a reply to a body would be."""
    try:
        rows, _ = read_all(NpyBatch(WIDTH, 23), body, piece=64)
    except Problem as problem:
        return problem.status
    return 200 if rows.shape == (23, WIDTH) else 0
