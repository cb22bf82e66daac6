"""The models of the scaling curves: forests of many sizes that are served, and graphs of many features."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.engine_models import Spec, fitted, random_rows
from bench.models import certify

WIDTHS = (5, 10, 22, 50, 100, 200, 500)

_BODIES = 500
_TRAINING_ROWS = 3_000
_INFORMATIVE = 5


def model_file(spec: Spec, folder: Path) -> Path:
    """Return a certified model file in a folder of its own, made where it is not there."""
    path = folder / spec.stem / "model.onnx"
    if not path.exists():
        certify(fitted(spec), path, "scaling", random_rows(_TRAINING_ROWS, seed=0))
    return path


def bodies() -> list[bytes]:
    """Return different rows as bodies of `/predict`."""
    return [json.dumps({"features": row.tolist()}).encode() for row in random_rows(_BODIES, seed=3)]


def wide_rows(width: int, count: int, seed: int = 1) -> NDArray[np.float32]:
    """Return rows, float32 (count, width)."""
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def wide_graph(kind: str, width: int, folder: Path) -> Path:
    """Return the graph of a model on many features, `logistic` or `forest` (100 x 10), made where it is not there."""
    path = folder / f"{kind}-{width}-features" / "model.onnx"
    if not path.exists():
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        from export.graph import convert

        forest = RandomForestClassifier(100, max_depth=10, random_state=0, n_jobs=-1)
        rows = wide_rows(width, _TRAINING_ROWS, seed=0)
        noise = np.random.default_rng(2).normal(size=len(rows))
        target = (rows[:, :_INFORMATIVE].sum(axis=1) + noise > 0).astype(int)
        model = make_pipeline(StandardScaler(), forest if kind == "forest" else LogisticRegression())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(convert(model.fit(rows, target), width, 2).SerializeToString())
    return path
