import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from export import ExportError
from export.trained import read_trained_model
from features_fast.specification import specification_hash
from tests.export.samples import three_classes


def test_reads_estimators_metadata_and_rows(model_directory: Path) -> None:
    trained = read_trained_model(model_directory)
    rows = three_classes()[0]
    assert [type(step).__name__ for _, step in trained.pipeline.steps] == ["StandardScaler", "LogisticRegression"]
    assert trained.pipeline.predict_proba(rows).shape == (600, 3)
    assert (trained.name, trained.version) == ("logistic", "1.4.0")
    assert (trained.feature_names, trained.labels) == (list("abcde"), ["down", "flat", "up"])
    assert trained.feature_specification is None
    assert trained.libraries == {"pandas": "3.0.0"}
    assert trained.training == {"seed": 42, "params": {"max_iter": 1000}}
    np.testing.assert_array_equal(trained.rows, rows)
    np.testing.assert_array_equal(trained.test_rows, rows[500:])


def change(directory: Path, **fields: Any) -> None:
    path = directory / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_accepts_the_present_definitions_of_the_features(model_directory: Path) -> None:
    change(model_directory, feature_specification=specification_hash())
    assert read_trained_model(model_directory).feature_specification == specification_hash()


@pytest.mark.parametrize("name", ["metadata.json", "scaler.joblib", "model.joblib", "datasets.npz"])
def test_a_missing_file_is_named_with_the_command_that_makes_it(model_directory: Path, name: str) -> None:
    (model_directory / name).unlink()
    with pytest.raises(ExportError, match=re.escape(name) + r": cannot be read: No such file.*`tickline train`"):
        read_trained_model(model_directory)


@pytest.mark.parametrize("name", ["metadata.json", "scaler.joblib", "model.joblib", "datasets.npz"])
def test_a_damaged_file_is_named(model_directory: Path, name: str) -> None:
    (model_directory / name).write_bytes(b"damaged")
    with pytest.raises(ExportError, match=re.escape(name) + r": expected .*`tickline train`"):
        read_trained_model(model_directory)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda directory: change(directory, name=None), "expected text as `name`, got None"),
        (lambda directory: change(directory, labels=[0, 1, 2]), "expected a list of text as `labels`, got [0, 1, 2]"),
        (lambda directory: (directory / "metadata.json").write_text("[]"), "expected an object, got list"),
        (lambda directory: change(directory, feature_specification="old"), "got old: the features were defined"),
        (lambda directory: change(directory, feature_names=["a"]), "datasets.npz: expected rows of 1 features"),
        (
            lambda directory: joblib.dump(LogisticRegression(), directory / "scaler.joblib"),
            "scaler.joblib: expected a StandardScaler, got LogisticRegression",
        ),
        (
            lambda directory: np.savez(directory / "datasets.npz", X_train=np.ones((2, 5))),
            "datasets.npz: expected X_train, X_validation and X_test",
        ),
    ],
)
def test_refuses_what_does_not_fit_together(
    model_directory: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(model_directory)
    with pytest.raises(ExportError, match=re.escape(message)):
        read_trained_model(model_directory)


def test_refuses_estimators_of_another_scikit_learn(model_directory: Path) -> None:
    path = model_directory / "model.joblib"
    model = joblib.load(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sklearn.base.__version__", "1.0")
        joblib.dump(model, path)
    with pytest.raises(ExportError, match=r"model\.joblib: stored by scikit-learn 1\.0, which is not the installed"):
        read_trained_model(model_directory)
