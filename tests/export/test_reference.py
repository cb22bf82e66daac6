import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from export import ExportError
from export.reference import Reference, margins
from tests.export.samples import three_classes


def test_knows_columns_classes_and_probabilities() -> None:
    rows, targets = three_classes()
    model = make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=4)).fit(rows, targets)
    reference = Reference(model)
    assert (reference.features, reference.labels, reference.feature_names) == (5, ("down", "flat", "up"), None)
    assert reference.name.startswith("scikit-learn ")
    answers = reference.probabilities(rows)
    assert answers.dtype == np.float64
    np.testing.assert_array_equal(answers, model.predict_proba(rows))


def test_a_model_fitted_on_a_frame_is_asked_by_its_own_names() -> None:
    rows, targets = three_classes()
    frame = pd.DataFrame(rows, columns=list("abcde"))
    reference = Reference(make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, targets))
    assert reference.feature_names == ("a", "b", "c", "d", "e")
    np.testing.assert_array_equal(reference.probabilities(rows), reference.model.predict_proba(frame))


def test_a_forest_with_many_jobs_gives_the_same_last_bit() -> None:
    rows, targets = three_classes()
    model = RandomForestClassifier(30, max_depth=6, random_state=0, n_jobs=4).fit(rows, targets)
    answers = Reference(model).probabilities(rows)
    np.testing.assert_array_equal(answers, model.set_params(n_jobs=1).predict_proba(rows))


def unfitted_scaler() -> Pipeline:
    rows, targets = three_classes()
    return Pipeline([("scaler", StandardScaler()), ("classifier", DecisionTreeClassifier().fit(rows, targets))])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("model.joblib", "expected a scikit-learn classifier or a pipeline that ends in one, got str"),
        (RandomForestRegressor().fit([[0.0], [1.0]], [0.0, 1.0]), "got RandomForestRegressor"),
        (make_pipeline(StandardScaler()), "got Pipeline(StandardScaler)"),
        (LogisticRegression(), "expected a fitted classifier, got LogisticRegression before its `fit`"),
        (
            make_pipeline(StandardScaler(), LinearSVC()).fit([[0.0], [1.0]], [0, 1]),
            "expected a classifier with `predict_proba`, Pipeline(StandardScaler, LinearSVC) has none",
        ),
        (
            DecisionTreeClassifier().fit([[0.0], [1.0]], [[0, 1], [1, 0]]),
            "expected one target, DecisionTreeClassifier was fitted on 2",
        ),
        (DecisionTreeClassifier().fit([[0.0], [1.0]], [1, 1]), "expected two classes or more"),
    ],
)
def test_refuses_what_is_no_fitted_classifier(model: Any, message: str) -> None:
    with pytest.raises(ExportError, match=re.escape(message)):
        Reference(model)


def test_refuses_a_pipeline_with_a_step_that_is_not_fitted() -> None:
    with pytest.raises(ExportError, match=r"a step of Pipeline.* is not: This StandardScaler"):
        Reference(unfitted_scaler()).probabilities(three_classes()[0])


def test_refuses_probabilities_of_classes_that_do_not_exclude_each_other() -> None:
    rows, targets = three_classes()
    several = np.column_stack([targets == "up", targets != "down"]).astype(int)
    model = OneVsRestClassifier(LogisticRegression()).fit(rows / rows.std(axis=0), several)
    with pytest.raises(ExportError, match="probabilities that sum to 1, got a sum of"):
        Reference(model).probabilities(rows)


def test_refuses_answers_of_another_shape() -> None:
    rows, targets = three_classes()
    model = MLPClassifier(max_iter=2000, random_state=0).fit(rows[:50] / rows.std(axis=0), targets[:50])
    model.classes_ = model.classes_[:2]
    with pytest.raises(ExportError, match=re.escape("expected shape (600, 2), got (600, 3)")):
        Reference(model).probabilities(rows)


def test_margin_is_the_lead_of_the_most_probable_class() -> None:
    np.testing.assert_allclose(margins(np.array([[0.2, 0.5, 0.3], [0.5, 0.5, 0.0]])), [0.2, 0.0])
