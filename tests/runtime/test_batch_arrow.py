"""Arrow streams: every order and type of columns, nulls, refusals, any bytes."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.artifact import ModelCard
from runtime.batch_arrow import ArrowBatch, ArrowReply
from runtime.problems import Problem
from tests.runtime.conftest import random_rows

NAMES = ("a", "b c", "d")
ROWS = random_rows(23, 3, seed=13)
CARD = ModelCard(name="m", version="1.0.0", feature_names=NAMES, labels=("DOWN", "UP"), created="")


def stream(columns: dict[str, Any], rows_a_batch: int = 10, **options: Any) -> bytes:
    """Return an IPC stream."""
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows_a_batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def by_name(values: NDArray[Any]) -> dict[str, Any]:
    return {name: np.ascontiguousarray(column) for name, column in zip(NAMES, values.T, strict=True)}


def read_all(body: bytes, room: int = 4) -> tuple[NDArray[np.float32], dict[int, Problem]]:
    """Return all rows of a stream and the bad ones."""
    batch = ArrowBatch(NAMES)
    for start in range(0, len(body), 100):
        batch.feed(body[start : start + 100])
    assert batch.read(np.empty((1, 3), np.float32)) == (0, [])
    batch.close()
    rows = [np.empty((0, 3), np.float32)]
    refused: dict[int, Problem] = {}
    while True:
        out = np.full((room, 3), 7, np.float32)
        count, bad = batch.read(out)
        if not count:
            return np.concatenate(rows), refused
        refused.update({sum(map(len, rows)) + place: problem for place, problem in bad})
        rows.append(out[:count])


@pytest.mark.parametrize("rows_a_batch", [1, 10, 100])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_columns_in_any_order_are_rows(rows_a_batch: int, dtype: str) -> None:
    columns = by_name(ROWS.astype(dtype))
    rows, refused = read_all(stream({name: columns[name] for name in reversed(NAMES)}, rows_a_batch))
    assert rows.tobytes() == ROWS.tobytes()
    assert not refused


def test_integers_are_numbers() -> None:
    values = np.array([[2**53 + 1, -5, 0], [1, 2, 3]])
    rows, _ = read_all(stream(by_name(values)))
    assert rows.tobytes() == values.astype(np.float64).astype(np.float32).tobytes()


def test_nulls_and_numbers_that_are_not_finite_make_bad_rows() -> None:
    values: list[float | None] = [1.0, None, 3.0, float("inf"), 1e39]
    columns = {"a": values, "b c": [1.0] * 5, "d": [None, None, 1.0, None, 1.0]}
    rows, refused = read_all(stream({name: pa.array(column, pa.float64()) for name, column in columns.items()}, 3), 2)
    fields = {index: problem.members["field"] for index, problem in refused.items()}
    assert fields == {0: "features[0].d", 1: "features[1].a", 3: "features[3].d", 4: "features[4][0]"}
    assert rows[2].tolist() == [3, 1, 1]
    assert not rows[[0, 1, 3, 4]].any()


NUMBERS = pa.array([1.0, 2.0])
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
GOOD = {"a": NUMBERS, "b c": NUMBERS, "d": NUMBERS}
REFUSED = {
    "missing": (stream({"a": NUMBERS, "b c": NUMBERS}), 422, "columns.d"),
    "unknown": (stream({**GOOD, "e": NUMBERS}), 422, "columns.e"),
    "text": (stream({**GOOD, "d": pa.array(["1", "2"])}), 422, "columns.d"),
    "dictionary": (stream({**GOOD, "d": NUMBERS.dictionary_encode()}), 422, "body"),
    "zstd": (stream(GOOD, compression="zstd"), 422, "body"),
    "lz4": (stream(GOOD, compression="lz4"), 422, "body"),
    "empty": (b"", 400, None),
    "json": (b'{"features": [[1, 2, 3]]}', 400, None),
    "truncated": (stream(GOOD)[:-40], 400, None),
    "another stream behind it": (stream(GOOD) * 2, 400, "body"),
    "a byte behind it": (stream(GOOD) + b"\0", 400, "body"),
}


@pytest.mark.parametrize(("body", "status", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_any_other_stream_is_a_problem(body: bytes, status: int, field: str | None) -> None:
    with pytest.raises(Problem) as caught:
        read_all(body)
    assert caught.value.status == status
    assert caught.value.members.get("field") == field


def test_a_stream_may_end_with_its_last_rows() -> None:
    rows, refused = read_all(stream(GOOD)[: -len(END_OF_STREAM)])
    assert (rows.tolist(), refused) == ([[1, 1, 1], [2, 2, 2]], {})


def test_a_column_twice_is_a_problem() -> None:
    batch = pa.record_batch([NUMBERS] * 4, names=[*NAMES, "a"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(Problem, match=r"^columns\.a: expected one column of this name, got 2$"):
        read_all(sink.getvalue().to_pybytes())


def status(body: bytes) -> int:
    """Return what the status of a reply to a body would be."""
    try:
        rows, _ = read_all(body)
    except Problem as problem:
        return problem.status
    return 200 if rows.shape[1] == 3 else 0


@settings(max_examples=300, derandomize=True, deadline=None)
@given(at=st.integers(0, 900), byte=st.binary(min_size=1, max_size=4))
def test_any_bytes_end_in_rows_or_a_problem(at: int, byte: bytes) -> None:
    body = bytearray(stream(by_name(ROWS[:4])))
    body[at : at + len(byte)] = byte
    assert status(bytes(body)) in (200, 400, 422)
    assert status(bytes(body[:at])) in (200, 400, 422)


def test_a_reply_has_the_columns_of_a_prediction() -> None:
    reply = ArrowReply(CARD)
    reply.add(np.array([[0.25, 0.75], [0, 0]], np.float32), [(1, Problem(422, "no", field="features[1]"))])
    reply.add(np.array([[0.5, 0.5]], np.float32), [])
    table = pa.ipc.open_stream(b"".join(reply.finish(3, 1))).read_all()
    assert table.schema.metadata[b"model_version"] == b"1.0.0"
    assert table.to_pylist() == [
        {
            "prediction": 1,
            "prediction_label": "UP",
            "probability": 0.75,
            "probabilities": {"DOWN": 0.25, "UP": 0.75},
            "error": None,
        },
        {
            **dict.fromkeys(("prediction", "prediction_label", "probability", "probabilities")),
            "error": {"field": "features[1]", "detail": "features[1]: no"},
        },
        {
            "prediction": 0,
            "prediction_label": "DOWN",
            "probability": 0.5,
            "probabilities": {"DOWN": 0.5, "UP": 0.5},
            "error": None,
        },
    ]
