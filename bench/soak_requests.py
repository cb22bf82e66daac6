"""What a soak sends: every form of body, good and bad, each with what says whether its reply is right."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.connections import Reply, post
from bench.payloads import json_body, npy_body
from bench.reference import Reference
from bench.verification import PROBABILITY, SHAPE, TOLERANCE, Checker

BATCH_ROWS = 50
BAD = "bad input"
REFUSED = (400, 415, 422)

_NPY, _RAW, _ARROW = "application/x-npy", "application/octet-stream", "application/vnd.apache.arrow.stream"
_BATCH = "/predict/batch"


class Check(Protocol):
    """Says what is wrong with a reply, empty where nothing is."""

    def __call__(self, reply: Reply) -> str: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """A request, its form in a word, and what checks its reply."""

    form: str
    request: bytes
    check: Check


class _EitherModel:
    """Accepts a reply that is wholly one model's; a mixture of two is neither's."""

    def __init__(self, checkers: Sequence[Checker]) -> None:
        self._checkers = checkers

    def __call__(self, reply: Reply) -> str:
        found = [checker.fault(0, reply) for checker in self._checkers]
        return "" if ("", "") in found else ": ".join(found[0])


class _EitherTensor:
    """The same for a reply of the Open Inference Protocol."""

    def __init__(self, expected: Sequence[NDArray[np.float32]]) -> None:
        self._expected = expected

    def __call__(self, reply: Reply) -> str:
        if reply.status != 200:
            return f"{reply.fault or f'status {reply.status}'}: {reply.body[:200]!r}"
        try:
            outputs = {output["name"]: output for output in json.loads(reply.body)["outputs"]}
            found = np.array(outputs["probabilities"]["data"]).reshape(self._expected[0].shape)
        except (ValueError, KeyError, TypeError) as error:
            return f"{SHAPE}: {error}: {reply.body[:200]!r}"
        if any(np.abs(found - expected).max() <= TOLERANCE for expected in self._expected):
            return ""
        return f"{PROBABILITY}: {reply.body[:200]!r}"


def _is_refused(reply: Reply) -> str:
    return "" if reply.status in REFUSED else f"bad input was answered with {reply.status} {reply.fault}"


def make_samples(models: Sequence[Path], rows: NDArray[np.float32], count: int) -> list[Sample]:
    """Return requests in random order, in equal parts of every form, and among them bad ones.

    Parameters
    ----------
    models : sequence of Path
        The model files that may be served meanwhile, with the same features and labels.
    rows : ndarray
        Rows to choose from, float32 (n, features).
    count : int
        How many.
    """
    references, random = [Reference(model) for model in models], np.random.default_rng(0)
    described = references[0].described
    makers = (_single, _json, _columns, _npy, _raw, _arrow, _tensor)
    bad = _bad_bodies(rows)
    samples = []
    for number in range(count):
        place = number % (len(makers) + 1)
        if place == len(makers):
            path, kind, body = bad[random.integers(len(bad))]
            samples.append(Sample(BAD, post(path, body, kind=kind), _is_refused))
            continue
        make = makers[place]
        chosen = rows[random.integers(0, len(rows), 1 if make is _single else BATCH_ROWS)]
        expected = [reference.predict(chosen) for reference in references]
        request, binary = make(chosen, described.features)
        form = make.__name__[1:]
        if make is _tensor:
            samples.append(Sample(form, request, _EitherTensor(expected)))
            continue
        checkers = [
            Checker(described.labels, len(chosen), make is not _single, binary, each[None]) for each in expected
        ]
        samples.append(Sample(form, request, _EitherModel(checkers)))
    random.shuffle(samples)
    return samples


def _single(rows: NDArray[np.float32], names: Sequence[str]) -> tuple[bytes, bool]:
    return post("/predict", json_body(rows[0])), False


def _json(rows: NDArray[np.float32], names: Sequence[str]) -> tuple[bytes, bool]:
    return post(_BATCH, json_body(rows)), False


def _columns(rows: NDArray[np.float32], names: Sequence[str]) -> tuple[bytes, bool]:
    columns = {name: column.tolist() for name, column in zip(names, rows.T, strict=True)}
    return post(_BATCH, json.dumps({"columns": columns}).encode()), False


def _npy(rows: NDArray[np.float32], names: Sequence[str]) -> tuple[bytes, bool]:
    return post(_BATCH, npy_body(rows), kind=_NPY, accept=_NPY), True


def _raw(rows: NDArray[np.float32], names: Sequence[str]) -> tuple[bytes, bool]:
    return post(_BATCH, rows.tobytes(), kind=_RAW, accept=_NPY), True


def _arrow(rows: NDArray[np.float32], names: Sequence[str]) -> tuple[bytes, bool]:
    table = pa.table(dict(zip(names, rows.T.copy(), strict=True)))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return post(_BATCH, sink.getvalue().to_pybytes(), kind=_ARROW, accept=_NPY), True


def _tensor(rows: NDArray[np.float32], names: Sequence[str]) -> tuple[bytes, bool]:
    features = {"name": "features", "shape": rows.shape, "datatype": "FP32", "data": rows.ravel().tolist()}
    asked = {"inputs": [features], "outputs": [{"name": "probabilities"}]}
    return post("/v2/models/random_forest/infer", json.dumps(asked).encode()), False


def _bad_bodies(rows: NDArray[np.float32]) -> list[tuple[str, str, bytes]]:
    """Return routes, media types and bodies that are each refused."""
    good, text = json_body(rows[0]), "application/json"
    whole = npy_body(rows[:5])
    return [
        ("/predict", text, good[:-2]),
        ("/predict", text, b""),
        ("/predict", text, b'{"features":[1,2,3]}'),
        ("/predict", text, good.replace(b"[", b"[NaN,", 1)),
        ("/predict", text, b'{"features":' + b"[" * 2000),
        ("/predict", "text/plain", good),
        (_BATCH, text, b'{"features":[]}'),
        (_BATCH, text, b'{"columns":{"a":[1]}}'),
        (_BATCH, _NPY, whole[:-7]),
        (_BATCH, _NPY, b"\x93NUMPY\x01\x00\x05\x00{'a'}"),
        (_BATCH, _RAW, rows[:2].tobytes()[:-3]),
        (_BATCH, _RAW, np.full((1, rows.shape[1]), np.nan, np.float32).tobytes()),
        (_BATCH, _ARROW, b"\xff\xff\xff\xff" * 20),
        ("/v2/models/random_forest/infer", text, b'{"inputs":[{"name":"features"}]}'),
    ]
