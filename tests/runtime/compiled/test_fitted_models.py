"""Models that libraries fitted, converted by their converters, give what onnxruntime gives."""

import warnings
from typing import Any

import lightgbm
import numpy as np
import onnx
import pytest
import xgboost
from numpy.typing import NDArray
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from export.graph import convert
from runtime.compiled.errors import UnsupportedGraph
from runtime.compiled.lowering import read_program
from runtime.compiled.program import Trees
from tests.runtime.compiled.graphs import answers
from tests.runtime.compiled.interpreter import run

_FEATURES = 5
_ROWS = 60
_BOUND = 1e-6
"""Largest difference of a probability: onnxruntime adds up in float32, a program in float64."""


def data(classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return rows on several scales and their targets."""
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(400, _FEATURES)) * np.geomspace(0.01, 100, _FEATURES)
    signal = rows[:, 2] + rng.normal(scale=0.3, size=len(rows))
    return rows.astype(np.float32), np.digitize(signal, np.linspace(-0.6, 0.6, classes - 1))


def check(content: bytes, classes: int, nan: bool = False) -> None:
    """Assert that program and onnxruntime agree on rows of the data, on splits of the model, and where values miss."""
    program = read_program(content)
    assert (program.features, program.classes) == (_FEATURES, classes)
    rows = data(classes)[0][:_ROWS].copy()
    if len(program.steps) and isinstance(program.steps[0], Trees):  # without a scaler, rows can lie on thresholds
        forest = program.steps[0].forest
        nodes = np.flatnonzero(forest.features >= 0)[: _ROWS // 2]
        rows[np.arange(len(nodes)), forest.features[nodes]] = forest.thresholds[nodes]
    if nan:
        rows[np.random.default_rng(4).random(rows.shape) < 0.2] = np.nan
    assert np.abs(run(program, rows) - answers(content, rows)).max() <= _BOUND


CLASSIFIERS = [
    LogisticRegression(max_iter=300),
    SGDClassifier(loss="log_loss", random_state=0),
    LinearDiscriminantAnalysis(),
    DecisionTreeClassifier(random_state=0),
    DecisionTreeClassifier(max_depth=1, random_state=0),
    RandomForestClassifier(20, max_depth=6, random_state=0),
    ExtraTreesClassifier(20, random_state=0),
    GradientBoostingClassifier(n_estimators=10, random_state=0),
    GradientBoostingClassifier(n_estimators=10, init="zero", random_state=0),
    GradientBoostingClassifier(n_estimators=10, loss="exponential", random_state=0),
    HistGradientBoostingClassifier(max_iter=10, random_state=0),
    OneVsRestClassifier(LogisticRegression()),
    MLPClassifier((4,), max_iter=400, tol=0.1, random_state=0),
]
TWO_CLASSES_ONLY = (
    "loss='exponential'",  # of scikit-learn
    "init='zero'",  # its converter writes one base value for three classes, which onnxruntime refuses
    "SGDClassifier",  # its converter divides by a sum unless it is 0
)
CASES = [
    pytest.param(classifier, classes, id=f"{classifier}-{classes}")
    for classifier in CLASSIFIERS
    for classes in (2, 3)
    if classes == 2 or not any(part in str(classifier) for part in TWO_CLASSES_ONLY)
]


@pytest.mark.parametrize(("classifier", "classes"), CASES)
def test_classifiers_of_scikit_learn(classifier: Any, classes: int) -> None:
    model = make_pipeline(StandardScaler(), classifier)
    check(convert(model.fit(*data(classes)), _FEATURES, classes).SerializeToString(), classes)


@pytest.mark.parametrize(
    "step",
    [
        StandardScaler(),
        StandardScaler(with_mean=False),
        StandardScaler(with_std=False),
        MinMaxScaler(),
        MinMaxScaler(clip=True),
        MaxAbsScaler(),
        RobustScaler(),
        Normalizer("l1"),
        Normalizer("l2"),
        Normalizer("max"),
        SimpleImputer(),
        None,
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "classifier", [LogisticRegression(max_iter=300), DecisionTreeClassifier(random_state=0)], ids=str
)
def test_steps_before_the_classifier(step: Any, classifier: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a solver did not converge
        model = (classifier if step is None else make_pipeline(step, classifier)).fit(*data(2))
    check(convert(model, _FEATURES, 2).SerializeToString(), 2, nan=isinstance(step, SimpleImputer))


def test_an_ensemble_without_a_step_for_it_is_named_node_by_node() -> None:
    model = BaggingClassifier(n_estimators=2, random_state=0).fit(*data(2))
    with pytest.raises(UnsupportedGraph) as error:
        read_program(convert(model, _FEATURES, 2).SerializeToString())
    assert sorted(node.operator for node in error.value.nodes) == ["ReduceMean", "Reshape", "Reshape"]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("nan", [False, True])
def test_lightgbm(classes: int, nan: bool) -> None:
    rows, targets = data(classes)
    if nan:
        rows[np.random.default_rng(0).random(rows.shape) < 0.2] = np.nan
    model = lightgbm.LGBMClassifier(n_estimators=12, num_leaves=15, verbose=-1).fit(rows, targets)
    types = [("features", FloatTensorType([None, _FEATURES]))]
    check(_named(convert_lightgbm(model, initial_types=types, target_opset=15, zipmap=False)), classes, nan)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("nan", [False, True])
def test_xgboost(classes: int, nan: bool) -> None:
    rows, targets = data(classes)
    if nan:
        rows[np.random.default_rng(0).random(rows.shape) < 0.2] = np.nan
    model = xgboost.XGBClassifier(n_estimators=12, max_depth=4, n_jobs=1).fit(rows, targets)
    types = [("features", FloatTensorType([None, _FEATURES]))]
    check(_named(convert_xgboost(model, initial_types=types, target_opset=15)), classes, nan)


def _named(proto: onnx.ModelProto) -> bytes:
    """Return the bytes of a model whose outputs have the names of an artifact's."""
    assert [value.name for value in proto.graph.output] == ["label", "probabilities"]
    content: bytes = proto.SerializeToString()
    return content
