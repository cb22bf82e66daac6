"""One row through the predictor, by each engine, beside onnxruntime and scikit-learn as their manuals call them."""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import cycle
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bench.models import NAMES, fitted, model_file, random_rows
from bench.work import Work
from runtime.model import load_model
from runtime.predictor import Predictor

_ROWS = 500
_ENGINES = {"compiled": "AUTO", "onnxruntime": "ONNXRUNTIME"}


def plain_session(path: Path) -> onnxruntime.InferenceSession:
    """Return a session with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def predictor_work(folder: Path) -> Iterator[Work]:
    """Yield single rows by both engines, on both models; an engine that a model does not get is left out."""
    rows = [row[None] for row in random_rows(_ROWS, seed=2)]
    for name in NAMES:
        path = model_file(name, folder)
        yardsticks = {
            "session.run": in_turn(_session_call(path), rows),
            "scikit-learn": in_turn(_pipeline_call(name), rows),
        }
        for engine, wish in _ENGINES.items():
            predictor = load_model(path, 1, wish).predictor
            if predictor.engine.name == engine:
                yield Work(f"predictor, {name}, {engine}", in_turn(_row_call(predictor), rows), yardsticks)


def _session_call(path: Path) -> Callable[[NDArray[np.float32]], object]:
    session = plain_session(path)
    return lambda row: session.run(["probabilities"], {"features": row})


def _pipeline_call(name: str) -> Callable[[NDArray[np.float32]], object]:
    """Return scikit-learn's own call; its first one fits the model."""
    made = cache(lambda: fitted(name))
    return lambda row: made().predict_proba(row)


def _row_call(predictor: Predictor) -> Callable[[NDArray[np.float32]], object]:
    def predict(row: NDArray[np.float32]) -> object:
        predictor.row[:] = row[0]
        return predictor.predict_row()

    return predict


def in_turn(call: Callable[[NDArray[np.float32]], object], rows: list[NDArray[np.float32]]) -> Callable[[], object]:
    """Return a function that calls with one of the rows after the other."""
    turn = cycle(rows).__next__
    return lambda: call(turn())
