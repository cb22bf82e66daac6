"""What is fuzzed: a decoder each, which may take any bytes or refuse them by a problem, and do nothing else."""

import io
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from runtime.artifact import ArtifactError, ModelCard
from runtime.bars import decode_bar, decode_body, decode_history
from runtime.bars_csv import decode_csv
from runtime.batch_arrays import NpyBatch, RawBatch
from runtime.batch_arrow import ArrowBatch
from runtime.batch_json import JsonBatch
from runtime.batches import BatchBody
from runtime.codec import CODEC
from runtime.decoding import RowDecoder
from runtime.graph_rules import check_graph
from runtime.inference_json import decode_request
from runtime.problems import Problem

NAMES = ("a", "b c", "\u011d")

_CARD = ModelCard(name="m", version="1", feature_names=NAMES, labels=("no", "yes"), created="")
_DECODER = RowDecoder(NAMES)
_ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)
_MOST_ROWS = 50
_REFUSALS = (400, 413, 422)


class WrongError(Exception):
    """A decoder did what none may do."""


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder: what feeds it any bytes and raises where it does wrong, and bytes that it takes."""

    feed: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def _refused(problem: Problem) -> int:
    if problem.status not in _REFUSALS:
        raise WrongError(f"status {problem.status}: {problem}")
    return problem.status


def _read(batch: BatchBody, body: bytes, piece: int) -> tuple[int, bytes]:
    """Return the status of a body that comes in pieces, and the rows that were read of it."""
    rows = [np.empty((0, len(NAMES)), np.float32)]

    def read() -> None:
        while True:
            out = np.full((3, len(NAMES)), 7, np.float32)
            count, bad = batch.read(out)
            if not count:
                return
            _check_rows(out[:count], [place for place, _ in bad])
            rows.append(out[:count])

    try:
        for start in range(0, len(body), piece):
            batch.feed(body[start : start + piece])
            read()
        batch.close()
        read()
    except Problem as problem:
        return _refused(problem), b""
    return 200, np.concatenate(rows).tobytes()


def _check_rows(rows: NDArray[np.float32], bad: list[int]) -> None:
    if not np.isfinite(rows).all():
        raise WrongError("a row is not finite")
    if rows[bad].any():
        raise WrongError("a bad row is not zeros")


def _same_in_any_pieces(make: Callable[[], BatchBody]) -> Callable[[bytes], None]:
    """Return what feeds a batch as a whole and in pieces: the pieces in which a body comes must not matter."""

    def feed(body: bytes) -> None:
        whole, pieces = (_read(make(), body, piece) for piece in (len(body) or 1, 7))
        if whole != pieces:
            raise WrongError(f"{whole} as a whole, {pieces} in pieces")

    return feed


def _feed_json(body: bytes) -> None:
    """Feed the kernels and their slow twin in Python, which must agree."""
    found = [_read(JsonBatch(_DECODER, _MOST_ROWS, codec), body, piece) for codec in (CODEC, None) for piece in (7, 64)]
    if found.count(found[0]) != len(found):
        raise WrongError(f"not alike: {found}")


def _feed_row(body: bytes) -> None:
    """Feed the decoder of single rows; a row that it takes, a batch takes as well, and the other way round."""
    row = np.full(len(NAMES), 7, np.float32)
    try:
        _DECODER.decode_one(body, row)
    except Problem as problem:
        _refused(problem)
        return
    _check_rows(row[None], [])
    features = json.loads(body)["features"]
    status, rows = _read(JsonBatch(_DECODER, 1, CODEC), json.dumps({"features": [features]}).encode(), 64)
    if (status, rows) != (200, row.tobytes()):
        raise WrongError(f"a batch of this row is a {status} with other numbers")


def _feed_tensor(body: bytes) -> None:
    """Feed the Open Inference Protocol: all bytes as JSON, and cut where the first of them says."""
    for length in (None, body[0] if body else 0):
        try:
            rows = decode_request(body, length, _CARD, _MOST_ROWS).rows
        except Problem as problem:
            _refused(problem)
        else:
            _check_rows(rows, [])


def _feed_bars(body: bytes) -> None:
    for decode in (decode_body, decode_history, decode_bar):
        try:
            decode(body)
        except Problem as problem:
            _refused(problem)


def _feed_csv(body: bytes) -> None:
    """Feed bars as a file: what is taken are columns of finite numbers, all of one length."""
    try:
        found = decode_csv(body, _MOST_ROWS)
    except Problem as problem:
        _refused(problem)
        return
    for series in found.values() if isinstance(found, dict) else [found]:
        if len(set(map(len, [*series.fields, *([series.dates] if series.dates else [])]))) != 1:
            raise WrongError("columns differ in length")
        if not np.isfinite(series.fields).all():
            raise WrongError("a number is not finite")


def _feed_graph(body: bytes) -> None:
    with suppress(ArtifactError):
        check_graph(body)


def _saved(rows: NDArray[np.float32]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, rows)
    return stream.getvalue()


def _arrow() -> bytes:
    table = pa.table(dict(zip(NAMES, _ROWS.T.copy(), strict=True)))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _tensor(rows: NDArray[np.float32]) -> bytes:
    features = {"name": "features", "shape": rows.shape, "datatype": "FP32", "data": rows.tolist()}
    return json.dumps({"inputs": [features], "outputs": [{"name": "label"}]}).encode()


_GRAPH = bytes.fromhex("080a3a150a0b0a017812017922034164641201672a03420178")

TARGETS = {
    "row": Target(_feed_row, (b'{"features":[1,-2.5e3,0]}', '{"features":{"a":1,"b c":2,"\u011d":3}}'.encode())),
    "json": Target(
        _feed_json,
        (
            b'{"features":[[1,2,3],[4,5.5,-6e-7],[1e400,null,"x"]]}',
            '{"columns":{"a":[1,2],"b c":[3,4],"\u011d":[5,6]}}'.encode(),
        ),
    ),
    "npy": Target(
        _same_in_any_pieces(lambda: NpyBatch(len(NAMES), _MOST_ROWS)), (_saved(_ROWS), _saved(np.asfortranarray(_ROWS)))
    ),
    "raw": Target(_same_in_any_pieces(lambda: RawBatch(len(NAMES))), (_ROWS.tobytes(),)),
    "arrow": Target(_same_in_any_pieces(lambda: ArrowBatch(NAMES)), (_arrow(),)),
    "tensor": Target(_feed_tensor, (_tensor(_ROWS), _tensor(_ROWS[:1]))),
    "bars": Target(
        _feed_bars,
        (
            b'{"bars":[{"open":1,"high":2,"low":1,"close":2,"volume":3,"date":"2026-01-02"}]}',
            b'{"bars":[[1,2,1,2,3],[2,3,2,3,4]]}',
        ),
    ),
    "csv": Target(
        _feed_csv,
        (
            b"Date,Open,High,Low,Close,Volume\n2026-01-02,1,2,1,2,3\n2026-01-05,2,3,2,3,4\n",
            b'Date;Symbol;Open;High;Low;Price;Vol.\n15.01.2026;A;1,5;2,5;"1,5";2.000,25;4,5M\n',
            b"1768435200\t1\t2\t1\t2\t3\n1768521600\t-\tnull\t\tnan\t-\n",
        ),
    ),
    "graph": Target(_feed_graph, (_GRAPH,)),
}
"""Every decoder of bytes that come from outside, by name."""
