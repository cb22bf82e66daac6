"""The models on which engines are measured, each as the files that engines read."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from export.graph import convert

FEATURES = 22
_TRAINING_ROWS = 3_000
_SCALES = np.geomspace(0.01, 1000, FEATURES)


@dataclass(frozen=True, slots=True)
class Spec:
    """A model: its kind, and trees and depth where it has any."""

    kind: str
    trees: int = 0
    depth: int = 0

    @property
    def name(self) -> str:
        """What the tables call it."""
        return f"{self.kind} {self.trees} x {self.depth}" if self.trees else self.kind

    @property
    def stem(self) -> str:
        """What its files are called."""
        return f"{self.kind}-{self.trees}-{self.depth}".replace(" ", "-")


FOREST, BOOSTING, LOGISTIC = Spec("forest", 100, 10), Spec("boosting", 100, 3), Spec("logistic")
LIGHTGBM = Spec("LightGBM", 100, 8)
MAIN = (FOREST, BOOSTING, LOGISTIC, LIGHTGBM)
SWEEP = tuple(Spec("forest", trees, 10) for trees in (10, 30, 100, 300, 1_000)) + tuple(
    Spec("forest", 100, depth) for depth in (3, 6, 15, 20)
)


def random_rows(count: int, seed: int) -> NDArray[np.float32]:
    """Return rows of different scales, float32 (count, features)."""
    return (np.random.default_rng(seed).normal(size=(count, FEATURES)) * _SCALES).astype(np.float32)


@cache
def _training() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rows = random_rows(_TRAINING_ROWS, seed=0)
    noise = np.random.default_rng(1).normal(size=len(rows))
    return rows, ((rows / _SCALES)[:, :6].sum(axis=1) + noise > 0).astype(np.int64)


@cache
def fitted(spec: Spec) -> Any:
    """Train a model of scikit-learn behind its scaler."""
    models = {
        "forest": RandomForestClassifier(spec.trees or 1, max_depth=spec.depth or None, random_state=0, n_jobs=-1),
        "boosting": GradientBoostingClassifier(
            n_estimators=spec.trees or 1, max_depth=spec.depth or None, random_state=0
        ),
        "logistic": LogisticRegression(),
    }
    return make_pipeline(StandardScaler(), models[spec.kind]).fit(*_training())


@cache
def graph(spec: Spec) -> bytes:
    """Return the ONNX graph of a model."""
    content: bytes = convert(fitted(spec), FEATURES, 2).SerializeToString()
    return content


def write_files(spec: Spec, folder: Path) -> None:
    """Write a model as an ONNX graph, and as a pickle or in LightGBM's own text."""
    path = folder / spec.stem
    if spec.kind == "LightGBM":
        _write_lightgbm(spec, path)
    else:
        path.with_suffix(".onnx").write_bytes(graph(spec))
        joblib.dump(fitted(spec), path.with_suffix(".joblib"))


def _write_lightgbm(spec: Spec, path: Path) -> None:
    # Imported here, since no other benchmark needs them.
    from lightgbm import LGBMClassifier
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    model = LGBMClassifier(n_estimators=spec.trees, max_depth=spec.depth, num_leaves=31, verbose=-1, n_jobs=1)
    model.fit(*_training())
    model.booster_.save_model(str(path.with_suffix(".txt")))
    types = [("features", FloatTensorType([None, FEATURES]))]
    proto = convert_lightgbm(model, initial_types=types, zipmap=False, target_opset=15)
    path.with_suffix(".onnx").write_bytes(proto.SerializeToString())


def write_plan(folder: Path, main: tuple[Spec, ...], sweep: tuple[Spec, ...], seconds: float) -> None:
    """Say what is measured, for the process that does it."""
    plan = {
        "seconds": seconds,
        "main": [{"name": spec.name, "stem": spec.stem} for spec in main],
        "sweep": [{"name": spec.name, "stem": spec.stem, "trees": spec.trees, "depth": spec.depth} for spec in sweep],
    }
    (folder / "plan.json").write_text(json.dumps(plan))
