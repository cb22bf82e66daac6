from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from export.graph import convert
from runtime.artifact import compare
from runtime.onnxruntime_engine import OnnxruntimeEngine
from tests.export.samples import three_classes


def answers(model: Any, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return OnnxruntimeEngine(convert(model, 5, len(model.classes_)).SerializeToString()).predict(rows)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("nested", [False, True])
def test_histogram_boosting_branches_as_scikit_learn_does(classes: int, nested: bool) -> None:
    real, targets = three_classes()
    rows = real.astype(np.float64) / 3  # so that thresholds, means of two values, are no float32 numbers
    boosting = HistGradientBoostingClassifier(max_iter=10, random_state=0)
    known = targets if classes == 3 else targets == "up"
    model: Any = boosting.fit(rows, known)
    if nested:
        model = VotingClassifier([("boosting", boosting)], voting="soft", flatten_transform=False).fit(rows, known)
        boosting = model.estimators_[0]
    before = [tree.nodes.copy() for iteration in boosting._predictors for tree in iteration]
    nodes = np.concatenate(before)
    splits = nodes[nodes["is_leaf"] == 0]
    nudged = rows[np.arange(20_000) % len(rows)].astype(np.float32)
    chosen = splits[np.arange(len(nudged)) % len(splits)]
    index, columns = np.arange(len(nudged)), chosen["feature_idx"]
    nudged[index, columns] = chosen["num_threshold"].astype(np.float32)
    rounded_up = nudged[index, columns].astype(np.float64) > chosen["num_threshold"]
    assert rounded_up.any()
    found = compare(answers(model, nudged), model.predict_proba(nudged))
    assert found.label_flips == 0
    assert found.max_probability_difference < 1e-6
    after = [tree.nodes for iteration in boosting._predictors for tree in iteration]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize("classes", [2, 3])
def test_linear_discriminant_analysis_answers_as_scikit_learn_does(classes: int) -> None:
    rows, targets = three_classes()
    known = targets if classes == 3 else targets == "up"
    model = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()).fit(rows, known)
    assert compare(answers(model, rows), model.predict_proba(rows)).max_probability_difference < 1e-6
