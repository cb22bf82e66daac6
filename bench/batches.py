"""Batches in every format, each beside its yardsticks: ``python -m bench.batches`` prints the table of docs/batches.md.

Ours is all that a server does with a body between its bytes and the reply's. The yardsticks are the engine alone on
the same rows, and the plain JSON service that one writes in ten lines, without any web framework around it.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from bench.models import FOREST, LABELS, LOGISTIC, NAMES, model_file, random_rows
from bench.payloads import npy_body
from bench.work import Work
from features_fast import FEATURE_NAMES
from runtime.batch_arrays import NpyBatch, RawBatch
from runtime.batch_json import JsonBatch
from runtime.batch_replies import BatchReply, JsonColumns, JsonRows, NpyReply
from runtime.batches import Batch, BatchBody
from runtime.codec import BACKEND
from runtime.engines import ONNXRUNTIME
from runtime.model import Model, load_model

ROWS = 10_000
ENGINE = "onnxruntime alone"
PLAIN = "plain JSON service"

_PIECE = 1 << 18  # bytes of a body that come at once
_GATED = {(LOGISTIC, "JSON rows"), (FOREST, ".npy, both ways")}
_ROUNDS = 15


def answer(
    model: Model, new_body: Callable[[Model], BatchBody], new_reply: Callable[[Model], BatchReply], content: bytes
) -> list[bytes]:
    """Answer one batch as the server does, from the pieces of its body on."""
    body = new_body(model)
    work = Batch(model.predictor, body, new_reply(model), False, ROWS)
    for start in range(0, len(content), _PIECE):
        body.feed(content[start : start + _PIECE])
    body.close()
    while (pieces := work.conclude()) is None:
        pass
    return pieces


def plain_service(model: Model, content: bytes) -> bytes:
    """Answer a batch in JSON as a handler of ten lines does."""
    rows = np.array(json.loads(content)["features"], np.float32)
    probabilities = model.predictor.engine.predict(rows).tolist()
    predictions = []
    for row in probabilities:
        index = row.index(max(row))
        shares = dict(zip(LABELS, row, strict=True))
        predictions.append(
            {"prediction": index, "prediction_label": LABELS[index], "probability": row[index], "probabilities": shares}
        )
    return json.dumps({"predictions": predictions, "count": len(predictions)}).encode()


def batch_work(folder: Path) -> Iterator[Work]:
    """Yield a batch in all formats to both models; the yardsticks run onnxruntime."""
    rows = random_rows(ROWS, seed=2)
    listed = json.dumps({"features": rows.tolist()}).encode()
    by_name = [dict(zip(FEATURE_NAMES, row, strict=True)) for row in rows.tolist()]
    named = json.dumps({"features": by_name}).encode()
    columns = json.dumps({"columns": dict(zip(FEATURE_NAMES, rows.T.tolist(), strict=True))}).encode()
    forms: list[tuple[str, Callable[[Model], BatchBody], Callable[[Model], BatchReply], bytes]] = [
        ("JSON rows", _json_body, _json_rows, listed),
        ("JSON named rows", _json_body, _json_rows, named),
        ("JSON columns, both ways", _json_body, _json_columns, columns),
        (
            ".npy, both ways",
            lambda model: NpyBatch(len(FEATURE_NAMES), ROWS),
            lambda model: NpyReply(),
            npy_body(rows),
        ),
        (
            "raw float32, .npy back",
            lambda model: RawBatch(len(FEATURE_NAMES)),
            lambda model: NpyReply(),
            rows.tobytes(),
        ),
    ]
    for name in NAMES:
        path = model_file(name, folder)
        model, plain = load_model(path, 1), load_model(path, 1, ONNXRUNTIME)
        engine: tuple[str, Callable[[], object]] = ENGINE, partial(plain.predictor.engine.predict, rows)
        service: tuple[str, Callable[[], object]] = PLAIN, partial(plain_service, plain, listed)
        for form, body, reply, content in forms:
            # What is compared with is what a reader of the format would write: JSON by hand, arrays by the engine.
            yardsticks = dict((service, engine) if "JSON" in form else (engine, service))
            ours = partial(answer, model, body, reply, content)
            yield Work(f"batch, {name}, {form}", ours, yardsticks, (name, form) in _GATED)


def _json_body(model: Model) -> JsonBatch:
    return JsonBatch(model.decoder, ROWS)


def _json_rows(model: Model) -> JsonRows:
    return JsonRows(model.replies)


def _json_columns(model: Model) -> JsonColumns:
    return JsonColumns(model.replies)


def processor_seconds(run: Callable[[], object]) -> float:
    """Return the time that the processor spends on a call, which other processes disturb least."""
    started = time.thread_time()
    run()
    return time.thread_time() - started


def main() -> int:
    """Print the table."""
    sys.stdout.write(f"{ROWS:,} rows; kernels: {BACKEND}; medians of {_ROUNDS} rounds, all three in turn\n\n")
    sys.stdout.write("| batch | us a row | times onnxruntime alone | plain JSON service takes |\n|---|---|---|---|\n")
    with tempfile.TemporaryDirectory() as folder:
        for work in batch_work(Path(folder)):
            calls = (work.ours, work.yardsticks[ENGINE], work.yardsticks[PLAIN])
            times = np.array([[processor_seconds(run) for run in calls] for _ in range(_ROUNDS + 1)][1:])
            ours, engine, plain = times.T
            cells = (
                f"{1e6 * np.median(ours) / ROWS:.2f}",
                f"{np.median(ours / engine):.2f}",
                f"{np.median(plain / ours):.1f} times as long",
            )
            sys.stdout.write(f"| {work.name.removeprefix('batch, ')} | {' | '.join(cells)} |\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
