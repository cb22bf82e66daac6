"""A body of `/predict` into a row and probabilities into its reply, beside what the standard library does."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import numpy as np

from bench.models import LABELS, LOGISTIC, model_file, random_rows
from bench.payloads import json_body
from bench.work import Work
from features_fast import FEATURE_NAMES
from runtime.model import load_model

_ROWS = 500


def codec_work(folder: Path) -> Iterator[Work]:
    """Yield reading a row by place and by name, and writing a reply."""
    model = load_model(model_file(LOGISTIC, folder), 1)
    rows = random_rows(_ROWS, seed=3)
    named = [dict(zip(FEATURE_NAMES, row.tolist(), strict=True)) for row in rows]
    target = np.zeros(len(FEATURE_NAMES), np.float32)
    for form, bodies in (
        ("JSON list", [json_body(row) for row in rows]),
        ("JSON names", [json.dumps({"features": row}).encode() for row in named]),
    ):
        ours, plain = cycle(bodies).__next__, cycle(bodies).__next__
        yield Work(
            f"codec, {form} to row",
            lambda body=ours: model.decode_row(body(), target),  # type: ignore[misc]
            {"json and numpy": lambda body=plain: _plain_row(body())},  # type: ignore[misc]
        )
    first = np.random.default_rng(4).random((_ROWS, 1)).astype(np.float32)
    probabilities = [row[None] for row in np.concatenate([first, 1 - first], axis=1)]
    turn, other = cycle(probabilities).__next__, cycle(probabilities).__next__
    replies: Callable[[], object] = lambda: model.replies.rows(turn())  # noqa: E731
    yield Work("codec, reply", replies, {"json": lambda: plain_reply(other()[0].tolist())})


def _plain_row(body: bytes) -> object:
    values = json.loads(body)["features"]
    if isinstance(values, dict):
        values = [values[name] for name in FEATURE_NAMES]
    return np.array([values], np.float32)


def plain_reply(probabilities: list[float]) -> bytes:
    """Return the reply of a prediction as a handler of a few lines writes it."""
    index = probabilities.index(max(probabilities))
    return json.dumps(
        {
            "prediction": index,
            "prediction_label": LABELS[index],
            "probability": probabilities[index],
            "probabilities": dict(zip(LABELS, probabilities, strict=True)),
            "model_version": "1",
            "timestamp": datetime.now(UTC).isoformat(),
        }
    ).encode()
