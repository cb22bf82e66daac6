"""The dialects in which servers are asked: how rows become requests, and replies probabilities."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.servers import Request

Rows = NDArray[np.float32]
Probabilities = NDArray[np.float64]

_JSON = {"Content-Type": "application/json"}
_NPY = "application/x-npy"
_RAW = "application/octet-stream"
_HEAD_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True)
class Form:
    """One form of requests.

    Attributes
    ----------
    name : str
        What tables call it.
    request : callable
        Makes a request of rows, float32 (n, features).
    read : callable
        Reads the reply to so many rows; returns float64 (n, classes).
    """

    name: str
    request: Callable[[Rows], Request]
    read: Callable[[bytes, int], Probabilities]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server understands.

    Attributes
    ----------
    single : Form
        Of one row, as JSON.
    batches : tuple of Form
        Of many rows: first as JSON, then in binary forms where there are any.
    """

    single: Form
    batches: tuple[Form, ...]


def own(batch_path: str = "/predict/batch", binary: bool = False) -> Dialect:
    """Return this server's own routes, which apps of frameworks have too."""

    def batch(rows: Rows) -> Request:
        return _post(batch_path, {"features": rows.tolist()})

    forms = [Form("JSON", batch, _predictions)]
    if binary:
        forms += [Form(".npy", npy_batch, _npy_reply), Form("raw float32", raw_batch, _npy_reply)]
    return Dialect(Form("JSON", _single, _predictions), tuple(forms))


def inference(model: str, binary: bool = False) -> Dialect:
    """Return the Open Inference Protocol, version 2, for a model of some name, with its binary tensors or without."""
    path = f"/v2/models/{model}/infer"

    def tensor(rows: Rows) -> Request:
        return _post(path, {"inputs": [{**_tensor(rows), "data": rows.ravel().tolist()}]})

    def binary_tensor(rows: Rows) -> Request:
        data = np.ascontiguousarray(rows, "<f4").tobytes()
        described = {**_tensor(rows), "parameters": {"binary_data_size": len(data)}}
        asked = {"name": "probabilities", "parameters": {"binary_data": True}}
        head = json.dumps({"inputs": [described], "outputs": [asked]}).encode()
        return Request(path, head + data, {"Content-Type": _RAW, _HEAD_LENGTH: str(len(head))})

    form = Form("JSON", tensor, _outputs)
    return Dialect(form, (form, Form("binary tensor", binary_tensor, _binary_output)) if binary else (form,))


def invocations() -> Dialect:
    """Return the route of MLflow's scoring server."""

    def inputs(rows: Rows) -> Request:
        return _post("/invocations", {"inputs": rows.tolist()})

    form = Form("JSON", inputs, lambda reply, _: np.array(json.loads(reply)["predictions"]["probabilities"], float))
    return Dialect(form, (form,))


def npy_batch(rows: Rows) -> Request:
    """Return a batch in NumPy's own format, to be answered in it."""
    stream = io.BytesIO()
    np.save(stream, rows)
    return Request("/predict/batch", stream.getvalue(), {"Content-Type": _NPY, "Accept": _NPY})


def raw_batch(rows: Rows) -> Request:
    """Return a batch as its bare bytes, to be answered in NumPy's format."""
    return Request("/predict/batch", rows.tobytes(), {"Content-Type": _RAW, "Accept": _NPY})


def _post(path: str, document: dict[str, Any]) -> Request:
    return Request(path, json.dumps(document).encode(), _JSON)


def _single(rows: Rows) -> Request:
    (row,) = rows.tolist()
    return _post("/predict", {"features": row})


def _predictions(reply: bytes, count: int) -> Probabilities:
    """Read the members `probabilities`, whose order is that of the classes."""
    document = json.loads(reply)
    predictions = document.get("predictions", [document])
    return np.array([list(prediction["probabilities"].values()) for prediction in predictions], float)


def _npy_reply(reply: bytes, count: int) -> Probabilities:
    found: Probabilities = np.load(io.BytesIO(reply)).astype(float)
    return found


def _tensor(rows: Rows) -> dict[str, Any]:
    return {"name": "features", "shape": list(rows.shape), "datatype": "FP32"}


def _outputs(reply: bytes, count: int) -> Probabilities:
    """Read the one output that has a column for each class."""
    (output,) = [output for output in json.loads(reply)["outputs"] if len(output["shape"]) == 2]
    return np.array(output["data"], float).reshape(output["shape"])


def _binary_output(reply: bytes, count: int) -> Probabilities:
    """Read the tensor that ends the reply: two classes, float32."""
    return np.frombuffer(reply[-8 * count :], "<f4").reshape(count, 2).astype(float)
