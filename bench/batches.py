"""Batches in every format, each beside its yardsticks: ``python -m bench.batches`` prints the table of docs/batches.md.

Ours is all that a server does with a body between its bytes and the reply's. The yardsticks are onnxruntime alone on
the same rows, and the plain JSON service that one writes in ten lines, without any web framework around it.
"""

import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from export import export_classifier
from features_fast import FEATURE_NAMES
from runtime.batch_arrays import NpyBatch, RawBatch
from runtime.batch_json import JsonBatch
from runtime.batch_replies import BatchReply, JsonColumns, JsonRows, NpyReply
from runtime.batches import Batch, BatchBody
from runtime.codec import BACKEND
from runtime.model import Model, load_model

ROWS = 10_000
LABELS = ("DOWN", "UP")
_PIECE = 1 << 18
_ROUNDS = 15

MODELS = {
    "logistic": LogisticRegression(),
    "forest 100 x 10": RandomForestClassifier(100, max_depth=10, random_state=0, n_jobs=-1),
}


@dataclass(frozen=True)
class Work:
    """One format with its yardsticks; each does all rows once."""

    name: str
    ours: Callable[[], object]
    engine: Callable[[], object]
    plain: Callable[[], object]


def random_rows(count: int, seed: int) -> NDArray[np.float32]:
    """Return rows of different scales, float32 (count, features)."""
    scales = np.geomspace(0.01, 1000, len(FEATURE_NAMES))
    return (np.random.default_rng(seed).normal(size=(count, len(scales))) * scales).astype(np.float32)


@cache
def exported(name: str) -> Model:
    """Train, export and load a model."""
    rows = random_rows(6000, seed=0)
    scaled = rows / np.geomspace(0.01, 1000, rows.shape[1])
    noise = np.random.default_rng(1).normal(size=len(rows))
    pipeline = make_pipeline(StandardScaler(), MODELS[name]).fit(
        rows, (scaled[:, :6].sum(axis=1) + noise > 0).astype(int)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_classifier(
            *(pipeline, path),
            rows=rows,
            test_rows=rows,
            name="benchmark",
            version="1",
            feature_names=FEATURE_NAMES,
            labels=LABELS,
        )
        return load_model(path, threads=1)


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


def all_work() -> list[Work]:
    """Return all work."""
    rows = random_rows(ROWS, seed=2)
    listed = json.dumps({"features": rows.tolist()}).encode()
    by_name = [dict(zip(FEATURE_NAMES, row, strict=True)) for row in rows.tolist()]
    named = json.dumps({"features": by_name}).encode()
    columns = json.dumps({"columns": dict(zip(FEATURE_NAMES, rows.T.tolist(), strict=True))}).encode()
    stream = io.BytesIO()
    np.save(stream, rows)
    forms: list[tuple[str, Callable[[Model], BatchBody], Callable[[Model], BatchReply], bytes]] = [
        ("JSON rows", _json_body, _json_rows, listed),
        ("JSON named rows", _json_body, _json_rows, named),
        ("JSON columns, both ways", _json_body, _json_columns, columns),
        (
            ".npy, both ways",
            lambda model: NpyBatch(len(FEATURE_NAMES), ROWS),
            lambda model: NpyReply(),
            stream.getvalue(),
        ),
        (
            "raw float32, .npy back",
            lambda model: RawBatch(len(FEATURE_NAMES)),
            lambda model: NpyReply(),
            rows.tobytes(),
        ),
    ]
    works = []
    for name in MODELS:
        model = exported(name)
        engine, plain = partial(model.predictor.engine.predict, rows), partial(plain_service, model, listed)
        for form, body, reply, content in forms:
            works.append(Work(f"{name}, {form}", partial(answer, model, body, reply, content), engine, plain))
    return works


def _json_body(model: Model) -> JsonBatch:
    return JsonBatch(model.decoder, ROWS)


def _json_rows(model: Model) -> JsonRows:
    return JsonRows(model.card, model.replies)


def _json_columns(model: Model) -> JsonColumns:
    return JsonColumns(model.card, model.replies)


def processor_seconds(run: Callable[[], object]) -> float:
    """Return the time that the processor spends on a call, which other processes disturb least."""
    started = time.thread_time()
    run()
    return time.thread_time() - started


def main() -> int:
    """Print the table."""
    sys.stdout.write(f"{ROWS:,} rows; kernels: {BACKEND}; medians of {_ROUNDS} rounds, all three in turn\n\n")
    sys.stdout.write("| batch | us a row | times onnxruntime alone | plain JSON service takes |\n|---|---|---|---|\n")
    for work in all_work():
        times = np.array(
            [[processor_seconds(run) for run in (work.ours, work.engine, work.plain)] for _ in range(_ROUNDS + 1)][1:]
        )
        ours, engine, plain = times.T
        cells = (
            f"{1e6 * np.median(ours) / ROWS:.2f}",
            f"{np.median(ours / engine):.2f}",
            f"{np.median(plain / ours):.1f} times as long",
        )
        sys.stdout.write(f"| {work.name} | {' | '.join(cells)} |\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
