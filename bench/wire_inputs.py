"""What the servers are measured on: models made by the project's own commands, and real rows of the S&P 500."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.dialects import npy_batch, raw_batch
from bench.features import bars
from bench.servers import MeasureError, Request, clean_environ

BODIES = 500
BATCH_ROWS = 10_000
SMALL_ROWS = 32
WINDOW_BARS = 60

LOGISTIC = "logistic"
FOREST = "random_forest"
_PARAMETERS = {LOGISTIC: (), FOREST: ("--set", "n_estimators=100", "--set", "max_depth=10")}

_BATCH = "/predict/batch"
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Inputs:
    """One model and what is sent to it.

    Attributes
    ----------
    model : Path
        Folder with `model.onnx`, `model.joblib` and `scaler.joblib`.
    rows : ndarray
        Different rows of the test set, float32 (BODIES, 22).
    bodies : list of bytes
        The same rows as bodies of `/predict`.
    batch_rows : ndarray
        Rows of a batch, float32 (BATCH_ROWS, 22).
    batches : dict
        The same batch as requests, by its form: json, npy and raw; each is answered in its own form, raw as npy.
    small : dict
        The first `SMALL_ROWS` of its rows in the same forms.
    large : Request
        A batch of ten times as many rows.
    others : dict
        A request of `bars`, the newest of `WINDOW_BARS`, and of `inference`, a row by the Open Inference Protocol.
    """

    model: Path
    rows: NDArray[np.float32]
    bodies: list[bytes]
    batch_rows: NDArray[np.float32]
    batches: dict[str, Request]
    small: dict[str, Request]
    large: Request
    others: dict[str, Request]

    def single(self, place: int) -> Request:
        """Return the request of one row."""
        return Request("/predict", self.bodies[place], _JSON)


def make_inputs(kind: str, folder: Path, *options: str) -> Inputs:
    """Train and export a model on the S&P 500 in a folder, with further options, and return what is sent to it."""
    model = folder / kind
    chosen = (*_PARAMETERS[kind], *options)
    _tickline("train", "--source", "sp500", "--model", kind, *chosen, "--model-path", str(model))
    _tickline("export", "--model-path", str(model))
    return read_inputs(model)


def kept_inputs(kind: str, folder: Path) -> Inputs:
    """Return what is sent to the model that a folder has from before; it is made where it is not there."""
    model = folder / kind
    return read_inputs(model) if (model / "model.onnx").exists() else make_inputs(kind, folder)


def read_inputs(model: Path) -> Inputs:
    """Return what is sent to the model in a folder."""
    with np.load(model / "datasets.npz") as datasets:
        test = datasets["X_test"]
    random = np.random.default_rng(0)
    rows = test[random.permutation(len(test))[:BODIES]]
    # The test set is shorter than a batch: its rows come again, each value nudged by about 1 %.
    nudge = 1.0 + 0.01 * random.standard_normal((BATCH_ROWS, test.shape[1]))
    batch_rows = np.ascontiguousarray(test[np.arange(BATCH_ROWS) % len(test)] * nudge, np.float32)
    large = npy_batch(np.tile(batch_rows, (10, 1)))
    documents = [_document(row) for row in rows]
    others = {"bars": _bars(), "inference": _inference(model.name, rows[0])}
    small = _batches(batch_rows[:SMALL_ROWS])
    return Inputs(model, rows, documents, batch_rows, _batches(batch_rows), small, large, others)


def _bars() -> Request:
    names = ("open", "high", "low", "close", "volume")
    columns = {name: values.tolist() for name, values in zip(names, bars(WINDOW_BARS), strict=True)}
    return Request("/predict/bars", json.dumps({"bars": columns}).encode(), _JSON)


def _inference(name: str, row: NDArray[np.float32]) -> Request:
    tensor = {"name": "features", "shape": [1, len(row)], "datatype": "FP32", "data": row.tolist()}
    return Request(f"/v2/models/{name}/infer", json.dumps({"inputs": [tensor]}).encode(), _JSON)


def _document(rows: NDArray[np.float32]) -> bytes:
    return json.dumps({"features": rows.tolist()}).encode()


def _batches(rows: NDArray[np.float32]) -> dict[str, Request]:
    return {"json": Request(_BATCH, _document(rows), _JSON), "npy": npy_batch(rows), "raw": raw_batch(rows)}


def _tickline(*arguments: str) -> None:
    command = [sys.executable, "-m", "tickline", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environ())
    if done.returncode:
        raise MeasureError(f"tickline {arguments[0]} failed:\n{done.stderr[-2000:]}")
