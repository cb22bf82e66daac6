"""Real models of every kind: labels as scikit-learn gives them, probabilities as onnxruntime gives them.

``python -m tests.runtime.compiled.test_models`` counts flipped labels over a million rows of each model type, on S&P
500 and NASDAQ.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import tickline
from export.graph import convert
from runtime.artifact import read
from runtime.compiled.engine import CompiledEngine
from runtime.compiled.lowering import read_program
from runtime.onnxruntime_engine import OnnxruntimeEngine
from tests.nudged import nudged_rows

MODEL_TYPES = ("random_forest", "gradient_boosting", "logistic")
FEATURES = 12
AGREEMENT = 1e-6
"""Largest difference from onnxruntime's probability, which sums trees in float32."""

MODELS: dict[str, Any] = {
    "random forest": RandomForestClassifier(40, max_depth=10, random_state=0),
    "random forest to the last row": RandomForestClassifier(20, random_state=0),
    "extra trees": ExtraTreesClassifier(40, max_depth=12, random_state=0),
    "decision tree": DecisionTreeClassifier(random_state=0),
    "gradient boosting": GradientBoostingClassifier(n_estimators=40, random_state=0),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=10, random_state=0),
    "logistic": LogisticRegression(),
}


def training_rows(classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return rows of different scales and their classes."""
    rng = np.random.default_rng(5)
    normal = rng.normal(size=(1_500, FEATURES))
    score = normal[:, :4].sum(axis=1) + rng.normal(size=len(normal))
    rows = (normal * np.geomspace(0.01, 1000, FEATURES)).astype(np.float32)
    return rows, np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_as_its_reference_does(name: str, classes: int) -> None:
    rows, target = training_rows(classes)
    pipeline = make_pipeline(StandardScaler(), MODELS[name]).fit(rows, target)
    content = convert(pipeline, FEATURES, classes).SerializeToString()
    engine, reference = CompiledEngine(read_program(content), {}), OnnxruntimeEngine(content)
    found = engine.predict(rows)
    assert np.abs(found - reference.predict(rows)).max() <= AGREEMENT
    expected = pipeline.predict_proba(rows)
    clear = np.sort(expected, axis=1)
    flips = (found.argmax(axis=1) != expected.argmax(axis=1)) & (clear[:, -1] - clear[:, -2] > 2e-6)
    assert not flips.any()


def flips(folder: Path, count: int, seed: int) -> tuple[int, int, float]:
    """Count rows whose label is not scikit-learn's: test rows, rows near thresholds, and random ones, half and half.

    Returns
    -------
    tuple
        Rows, flipped labels, and the largest difference of a probability.
    """
    pipeline: Pipeline = make_pipeline(joblib.load(folder / "scaler.joblib"), joblib.load(folder / "model.joblib"))
    engine = CompiledEngine(read_program(read(folder / "model.onnx")), {})
    test_rows = np.load(folder / "datasets.npz")["X_test"].astype(np.float32)
    rng = np.random.default_rng(seed)
    near = nudged_rows(pipeline, test_rows, count // 2, seed)
    spread = test_rows.std(axis=0) * 1.5
    drawn = test_rows[rng.integers(0, len(test_rows), count - count // 2)]
    random = (drawn + rng.normal(size=drawn.shape) * spread).astype(np.float32)
    rows = np.concatenate([test_rows, near, random])
    flipped, largest = 0, 0.0
    for start in range(0, len(rows), 50_000):
        part = rows[start : start + 50_000]
        found, expected = engine.predict(part), pipeline.predict_proba(part)
        differ = found.argmax(axis=1) != expected.argmax(axis=1)
        if isinstance(pipeline[-1], LogisticRegression):
            differ &= np.abs(expected[:, 1] - 0.5) > 1e-6
        flipped += int(differ.sum())
        largest = max(largest, float(np.abs(found - expected).max()))
    return len(rows), flipped, largest


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_no_label_flips(model_type: str, sp500_model: Callable[[str], Path]) -> None:
    rows, flipped, largest = flips(sp500_model(model_type), 100_000, seed=17)
    assert rows > 100_000
    assert flipped == 0
    assert largest < AGREEMENT


def main(count: int) -> None:
    """Print the flips of every model type on both series."""
    for source in ("sp500", "nasdaq"):
        for model_type in MODEL_TYPES:
            with tempfile.TemporaryDirectory() as folder:
                where = ["--model-path", folder]
                tickline.main(["train", "--source", source, "--model", model_type, *where])
                tickline.main(["export", *where])
                rows, flipped, largest = flips(Path(folder), count, seed=23)
            sys.stdout.write(f"{source} {model_type}: {rows:,} rows, {flipped} flips, off by {largest:.1e} at most\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
