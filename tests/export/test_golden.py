from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from export import ExportError
from export.golden import MINIMUM_ROWS, choose_golden_rows, threshold_pairs
from export.reference import Reference, margins
from tests.export.samples import MODEL_TYPES, fitted, market, three_classes

TOLERANCE = 1e-5


class Step(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Class 1 where the first feature is above a threshold; refuses rows in which any value is above a limit."""

    def __init__(self, threshold: float = 0.0, limit: float = np.inf, certainty: float = 0.9) -> None:
        self.threshold = threshold
        self.limit = limit
        self.certainty = certainty

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> "Step":
        self.classes_ = np.unique(y)
        self.n_features_in_ = X.shape[1]
        return self

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        if np.abs(X).max() > self.limit:
            raise ValueError("too large")
        up = np.where(X[:, 0] > np.float64(self.threshold), self.certainty, 1 - self.certainty)
        return np.column_stack([1 - up, up])


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_chooses_enough_rows_of_every_kind(model_type: str) -> None:
    rows = market()[0]
    reference = Reference(fitted(model_type))
    golden = choose_golden_rows(reference, rows, rows[-1:], TOLERANCE)
    assert len(golden.rows) == len(golden.probabilities) == len(golden.kinds) >= MINIMUM_ROWS
    assert set(golden.kinds) >= {"real", "quantile", "threshold", "extreme"}
    np.testing.assert_array_equal(golden.rows[0], rows[-1])
    assert golden.rows.dtype == np.float32
    assert np.isfinite(golden.rows).all()
    assert (margins(golden.probabilities) > 2 * TOLERANCE).all()
    np.testing.assert_array_equal(golden.probabilities, reference.probabilities(golden.rows))


def test_is_deterministic() -> None:
    rows = market()[0]
    first, second = (
        choose_golden_rows(Reference(fitted("gradient_boosting")), rows, rows[-1:], TOLERANCE) for _ in range(2)
    )
    assert first.rows.tobytes() == second.rows.tobytes()
    assert first.probabilities.tobytes() == second.probabilities.tobytes()


def test_extremes_lie_far_outside_the_data_and_at_zero() -> None:
    rows = market()[0]
    golden = choose_golden_rows(Reference(fitted("random_forest")), rows, rows[-1:], TOLERANCE)
    extremes = golden.rows[np.array(golden.kinds) == "extreme"]
    width = np.ptp(rows, axis=0)
    assert (extremes > rows.max(axis=0) + 999 * width).all(axis=1).any()
    assert (extremes < rows.min(axis=0) - 999 * width).all(axis=1).any()
    zeros = extremes[(extremes == 0).all(axis=1)]
    assert {bool(sign) for sign in np.signbit(zeros[:, 0])} == {False, True}
    assert (np.abs(extremes) == np.finfo(np.float32).smallest_subnormal).all(axis=1).sum() == 2


@pytest.mark.parametrize("threshold", [0.3, -0.7, 0.0, 1e-30, -3e-41, np.float32(0.1)])
def test_pairs_enclose_a_step_to_the_last_bit(threshold: float) -> None:
    rows = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    model = Step(threshold).fit(rows, np.arange(200) % 2)
    reference = Reference(model)
    pairs = threshold_pairs(reference, rows, reference.probabilities(rows)).reshape(-1, 2, 3)
    assert len(pairs) > 0
    below, above = pairs[:, 0, 0], pairs[:, 1, 0]
    assert (below.astype(np.float64) <= threshold).all()
    assert (above.astype(np.float64) > threshold).all()
    # Beside zero, one step crosses the other zero, which is equal.
    np.testing.assert_array_equal(np.nextafter(below, np.float32(np.inf)), above)
    np.testing.assert_array_equal(pairs[:, 0, 1:], pairs[:, 1, 1:])


def test_every_feature_that_matters_has_pairs() -> None:
    rows, targets = three_classes()
    model = DecisionTreeClassifier(max_depth=8, random_state=0).fit(rows, targets)
    reference = Reference(model)
    pairs = threshold_pairs(reference, rows, reference.probabilities(rows)).reshape(-1, 2, 5)
    moved = {int(column) for column in np.argwhere(pairs[:, 0] != pairs[:, 1])[:, 1]}
    assert moved == set(model.tree_.feature[model.tree_.feature >= 0].tolist())
    before, after = (model.predict_proba(pairs[:, side]) for side in (0, 1))
    assert (np.abs(before - after).max(axis=1) > 0).all()


def test_a_model_without_thresholds_has_no_pairs() -> None:
    rows = three_classes()[0]
    model = Step(np.inf).fit(rows, np.arange(600) % 2)
    reference = Reference(model)
    assert threshold_pairs(reference, rows, reference.probabilities(rows)).shape == (0, 5)


def test_leaves_out_rows_that_the_reference_refuses() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    model = Step(limit=100.0).fit(rows, np.arange(500) % 2)
    golden = choose_golden_rows(Reference(model), rows, rows[-1:], TOLERANCE)
    assert len(golden.rows) >= MINIMUM_ROWS
    assert 10 < np.abs(golden.rows).max() <= 100


def test_random_rows_fill_up_where_the_data_are_few() -> None:
    rows = np.array([[1.0, 2.0], [3.0, 2.0]], np.float32)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, [0, 1])
    golden = choose_golden_rows(Reference(model), rows, rows[-1:], TOLERANCE)
    assert len(golden.rows) == MINIMUM_ROWS
    assert golden.kinds[-1] == "random"


def test_refuses_a_model_that_prefers_no_class() -> None:
    rows = three_classes()[0]
    model = Step(certainty=0.5).fit(rows, np.arange(600) % 2)
    with pytest.raises(ExportError, match="expected 256 rows with a leading class, Step gives only 0"):
        choose_golden_rows(Reference(model), rows, rows[-1:], TOLERANCE)
