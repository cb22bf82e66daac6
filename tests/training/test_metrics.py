import numpy as np
import pytest

from features_fast import FEATURE_NAMES
from training.metrics import accuracy_gain, baseline_predictions, baseline_probabilities, classification_metrics

UP, DOWN = 1, 0


def test_metrics_by_hand() -> None:
    y = np.array([UP, UP, UP, DOWN, DOWN])
    predicted = np.array([UP, UP, DOWN, UP, DOWN])
    score = np.array([0.9, 0.8, 0.2, 0.7, 0.1])
    assert classification_metrics(y, predicted, score) == {
        "accuracy": pytest.approx(3 / 5),
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(2 / 3),
        "roc_auc": pytest.approx(5 / 6),
    }


def test_undefined_metrics_are_none() -> None:
    never = np.zeros(4, dtype=np.int64)
    mixed = np.array([UP, DOWN, UP, DOWN])
    assert classification_metrics(mixed, never, never.astype(float)) == {
        "accuracy": 0.5,
        "precision": None,
        "recall": 0.0,
        "f1": 0.0,
        "roc_auc": 0.5,
    }
    assert classification_metrics(never, never, never.astype(float)) == {
        "accuracy": 1.0,
        "precision": None,
        "recall": None,
        "f1": None,
        "roc_auc": None,
    }


def test_baselines_by_hand() -> None:
    X = np.zeros((3, len(FEATURE_NAMES)), dtype=np.float32)
    X[:, FEATURE_NAMES.index("Return_1d")] = [0.01, 0.0, -0.02]
    guesses = baseline_predictions(np.array([UP, DOWN, DOWN]), X)
    assert guesses["majority_class"].tolist() == [DOWN, DOWN, DOWN]
    assert guesses["persistence"].tolist() == [UP, DOWN, DOWN]
    assert baseline_predictions(np.array([UP, DOWN]), X)["majority_class"].tolist() == [UP, UP, UP]


def test_baseline_probabilities_by_hand() -> None:
    moves = np.zeros((5, len(FEATURE_NAMES)), dtype=np.float32)
    moves[:, FEATURE_NAMES.index("Return_1d")] = [0.01, 0.02, 0.03, -0.01, 0.0]
    probabilities = baseline_probabilities(moves, np.array([UP, UP, DOWN, DOWN, UP]), moves[[4, 0]])
    assert probabilities["majority_class"].tolist() == [4 / 7, 4 / 7]
    assert probabilities["persistence"].tolist() == [2 / 4, 3 / 5]


def test_a_baseline_without_rows_of_one_kind_is_undecided() -> None:
    still = np.zeros((3, len(FEATURE_NAMES)), dtype=np.float32)
    moved = still + np.float32(1)
    probabilities = baseline_probabilities(still, np.array([UP, UP, UP]), moved)
    assert probabilities["persistence"].tolist() == [0.5, 0.5, 0.5]


def test_gain_counts_only_rows_on_which_the_two_differ() -> None:
    y = np.array([UP, UP, DOWN, DOWN])
    gain, error = accuracy_gain(y, y, np.array([UP, UP, DOWN, UP]))
    assert gain == pytest.approx(0.25)
    assert error == pytest.approx(np.sqrt(3 / 16) / 2)
    assert accuracy_gain(y, y, y) == (0.0, 0.0)
