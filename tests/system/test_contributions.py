"""Contributions beside those of the package shap, which has an environment of its own."""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from export import export_classifier
from features_fast import FEATURE_NAMES
from runtime.artifact import parse_metadata
from runtime.contributions import Explainer
from runtime.onnxruntime_engine import OnnxruntimeEngine
from tests.runtime.conftest import made_up
from tests.system.containers import TOOLS, run

pytestmark = pytest.mark.system

CLASSIFIERS = {
    "random_forest": RandomForestClassifier(30, max_depth=8, random_state=0),
    "gradient_boosting": GradientBoostingClassifier(n_estimators=40, random_state=0),
    "logistic": LogisticRegression(),
}

SHAP = """
import json, sys
import joblib, numpy, shap
pipeline, rows, background = joblib.load(sys.argv[1])
scaler, classifier = pipeline[0], pipeline[-1]
rows, background = (scaler.transform(part).astype(numpy.float32) for part in (rows, background))
if hasattr(classifier, "coef_"):
    explainer = shap.LinearExplainer(classifier, shap.maskers.Independent(background, len(background)))
else:
    explainer = shap.TreeExplainer(classifier, background, feature_perturbation="interventional", model_output="raw")
values, base = explainer.shap_values(rows), numpy.ravel(explainer.expected_value)[-1]
values = values[..., 1] if values.ndim == 3 else values
print(json.dumps({"values": values.tolist(), "base": float(base)}))
"""


def by_shap(
    pipeline: object, rows: NDArray[np.float32], background: NDArray[np.float32], folder: Path
) -> dict[str, Any]:
    """Return the contributions to the last class and the base, as shap finds them."""
    joblib.dump((pipeline, rows, background), folder / "given.joblib")
    found: dict[str, Any] = json.loads(run(TOOLS / "python", "-c", SHAP, folder / "given.joblib").splitlines()[-1])
    return found


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_they_are_those_of_shap(kind: str, tmp_path: Path) -> None:
    rows, target = made_up(0)
    pipeline = make_pipeline(StandardScaler(), CLASSIFIERS[kind]).fit(rows, target)
    path = tmp_path / "model.onnx"
    export_classifier(
        pipeline, path, rows=rows, test_rows=rows, name=kind, version="1", feature_names=FEATURE_NAMES, tolerance=1e-4
    )
    content = path.read_bytes()
    card, _ = parse_metadata(OnnxruntimeEngine(content).metadata)
    assert card.background
    background = np.frombuffer(card.background, "<f4").reshape(-1, len(FEATURE_NAMES))
    explained = made_up(5)[0][:20]
    theirs = by_shap(pipeline, explained, background, tmp_path)
    explainer = Explainer(content, card)
    for row, expected in zip(explained, theirs["values"], strict=True):
        found = explainer.explain(row, 1, float(pipeline.predict_proba(row[None])[0, 1]))
        assert list(found.contributions.values()) == pytest.approx(expected, abs=1e-5)
        assert found.base == pytest.approx(theirs["base"], abs=1e-5)
