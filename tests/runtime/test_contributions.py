"""Contributions beside their definition: every coalition of features asked of scikit-learn, and averaged."""

import itertools
from math import factorial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from export import export_classifier
from runtime.artifact import ArtifactError, ModelCard, parse_metadata
from runtime.contributions import LOG_ODDS, PROBABILITY, Explainer
from runtime.onnxruntime_engine import OnnxruntimeEngine
from tests.runtime.conftest import random_rows

WIDTH = 5
CLASSIFIERS = {
    "random_forest": (RandomForestClassifier(8, max_depth=5, random_state=0), PROBABILITY),
    "gradient_boosting": (GradientBoostingClassifier(n_estimators=10, max_depth=3, random_state=0), LOG_ODDS),
    "logistic": (LogisticRegression(), LOG_ODDS),
}

Matrix = NDArray[np.float32]


def fitted(classifier: ClassifierMixin, path: Path) -> tuple[Pipeline, bytes, ModelCard]:
    """Fit a classifier of two classes that depends on all features in company, and export it."""
    rows = random_rows(300, WIDTH, seed=2)
    scaled = rows / np.geomspace(0.01, 1000, WIDTH)
    target = (scaled[:, 0] * scaled[:, 1] + scaled[:, 2] - scaled[:, 3] * (scaled[:, 4] > 0) > 0).astype(int)
    pipeline = make_pipeline(StandardScaler(), classifier).fit(rows, target)
    export_classifier(pipeline, path, rows=rows, test_rows=rows, name="small", version="1", labels=("DOWN", "UP"))
    content = path.read_bytes()
    card, _ = parse_metadata(OnnxruntimeEngine(content).metadata)
    return pipeline, content, card


def scores(pipeline: Pipeline, rows: Matrix, scale: str) -> NDArray[np.float64]:
    """Return the score of the last class as scikit-learn computes it, (n,)."""
    if scale == PROBABILITY:
        return np.asarray(pipeline.predict_proba(rows)[:, 1])
    return np.asarray(pipeline.decision_function(rows))


def by_definition(pipeline: Pipeline, row: Matrix, background: Matrix, scale: str) -> NDArray[np.float64]:
    """Return Shapley values, (features,): each feature's gain, averaged over all orders in which features can join."""
    worth = {}
    for chosen in itertools.product([False, True], repeat=WIDTH):
        mixed = np.where(chosen, row, background).astype(np.float32)
        worth[chosen] = scores(pipeline, mixed, scale).mean()
    values = np.zeros(WIDTH)
    for feature in range(WIDTH):
        for chosen, value in worth.items():
            if not chosen[feature]:
                size = sum(chosen)
                joined = tuple(flag or place == feature for place, flag in enumerate(chosen))
                weight = factorial(size) * factorial(WIDTH - size - 1) / factorial(WIDTH)
                values[feature] += weight * (worth[joined] - value)
    return values


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_they_are_shapley_values(kind: str, tmp_path: Path) -> None:
    classifier, scale = CLASSIFIERS[kind]
    pipeline, content, card = fitted(classifier, tmp_path / "model.onnx")
    assert card.background
    background = np.frombuffer(card.background, "<f4").reshape(-1, WIDTH)
    assert len(background) == 100
    explainer = Explainer(content, card)
    assert explainer.scale == scale
    for row in random_rows(4, WIDTH, seed=7):
        found = explainer.explain(row, 1, float(pipeline.predict_proba(row[None])[0, 1]))
        expected = by_definition(pipeline, row, background, scale)
        assert list(found.contributions.values()) == pytest.approx(expected.tolist(), abs=2e-6)
        assert found.score == pytest.approx(scores(pipeline, row[None], scale)[0], abs=2e-6)
        assert found.base == pytest.approx(scores(pipeline, background, scale).mean(), abs=2e-6)
        assert found.base + sum(found.contributions.values()) == pytest.approx(found.score, abs=1e-12)


def test_a_forest_of_three_classes_has_a_score_a_class(tmp_path: Path) -> None:
    rows = random_rows(300, WIDTH, seed=2)
    target = np.digitize(rows[:, 4], [-300, 300])
    pipeline = make_pipeline(StandardScaler(), RandomForestClassifier(8, max_depth=4, random_state=0)).fit(rows, target)
    path = tmp_path / "model.onnx"
    export_classifier(pipeline, path, rows=rows, test_rows=rows, name="three", version="1")
    content = path.read_bytes()
    card, _ = parse_metadata(OnnxruntimeEngine(content).metadata)
    explainer = Explainer(content, card)
    row = random_rows(1, WIDTH, seed=9)
    parts = [
        explainer.explain(row[0], label, float(probability))
        for label, probability in enumerate(pipeline.predict_proba(row)[0])
    ]
    total = np.sum([list(part.contributions.values()) for part in parts], axis=0)
    np.testing.assert_allclose(total, 0, atol=1e-7)


def test_a_sum_that_is_not_the_engines_is_refused(tmp_path: Path) -> None:
    _, content, card = fitted(LogisticRegression(), tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match="expected a sum of probability 0"):
        Explainer(content, card).explain(random_rows(1, WIDTH, seed=7)[0], 1, 0.0)


def test_softmax_scores_and_broken_backgrounds_are_refused(three_class_path: Path) -> None:
    content = three_class_path.read_bytes()
    card, _ = parse_metadata(OnnxruntimeEngine(content).metadata)
    with pytest.raises(ArtifactError, match="expected scalers, then one forest, boosted trees or a linear model"):
        Explainer(content, card)
    with pytest.raises(ArtifactError, match="background: expected rows of 5 float32"):
        Explainer(content, msgspec.structs.replace(card, background=b"abc"))
