import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from export import ExportError
from export.graph import IR_VERSION, OPSETS, convert
from runtime.artifact import compare
from runtime.onnxruntime_engine import OnnxruntimeEngine
from tests.export.samples import MODEL_TYPES, fitted, market, three_classes
from tests.nudged import nudged_rows


def run(proto: onnx.ModelProto, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return OnnxruntimeEngine(proto.SerializeToString()).predict(rows)


def shape(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dimension.dim_param or dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_pins_everything_that_a_server_relies_on(model_type: str) -> None:
    proto = convert(fitted(model_type), 22, 2)
    assert {opset.domain: opset.version for opset in proto.opset_import} == OPSETS
    assert proto.ir_version == IR_VERSION
    assert [node.op_type for node in proto.graph.node][:2] == ["Sub", "Div"]
    assert "ZipMap" not in {node.op_type for node in proto.graph.node}
    assert [shape(value) for value in proto.graph.input] == [["rows", 22]]
    assert [value.name for value in proto.graph.output] == ["label", "probabilities"]
    assert shape(proto.graph.output[1]) == ["rows", 2]


@pytest.mark.parametrize("model_type", ["random_forest", "gradient_boosting"])
def test_no_label_flips_on_and_beside_split_thresholds(model_type: str) -> None:
    model = fitted(model_type)
    rows = nudged_rows(model, market()[0], 60_000, seed=3)
    found = compare(run(convert(model, 22, 2), rows), model.predict_proba(rows))
    assert found.label_flips == 0
    assert found.max_probability_difference < 1e-6


def test_nudged_rows_find_the_flips_of_a_scaler_that_multiplies() -> None:
    model = fitted("random_forest")
    rows = nudged_rows(model, market()[0], 60_000, seed=3)
    proto = convert_sklearn(
        model, initial_types=[("features", FloatTensorType([None, 22]))], target_opset=OPSETS, options={"zipmap": False}
    )
    found = compare(run(proto, rows), model.predict_proba(rows))
    assert found.label_flips > 0
    assert found.max_probability_difference > 1e-4


def test_a_logistic_model_flips_only_where_the_reference_is_undecided() -> None:
    model = fitted("logistic")
    rows = nudged_rows(model, market()[0], 60_000, seed=3)
    answers, reference = run(convert(model, 22, 2), rows), model.predict_proba(rows)
    assert compare(answers, reference).max_probability_difference < 1e-6
    away = np.abs(reference[:, 1] - 0.5) > 1e-6
    flips = answers.argmax(axis=1) != reference.argmax(axis=1)
    assert not flips[away].any()
    assert np.abs(reference[:, 1] - 0.5).max() < 1e-3


@pytest.mark.parametrize("scaler", [StandardScaler(), StandardScaler(with_mean=False), MaxAbsScaler()])
def test_scalers_anywhere_in_a_pipeline_round_as_scikit_learn_does(scaler: Any) -> None:
    rows, targets = market()
    inner = make_pipeline(scaler, DecisionTreeClassifier(max_depth=12, random_state=0))
    model = VotingClassifier([("inner", inner)], voting="soft", flatten_transform=False).fit(rows, targets)
    tree = model.estimators_[0][-1].tree_
    fitted_scaler = model.estimators_[0][0]
    splits = np.flatnonzero(tree.feature >= 0)
    nudged = rows[np.arange(30_000) % len(rows)].copy()
    chosen = splits[np.arange(len(nudged)) % len(splits)]
    columns = tree.feature[chosen]
    mean = getattr(fitted_scaler, "mean_", np.zeros(22)) * getattr(fitted_scaler, "with_mean", True)
    values = (tree.threshold[chosen] * fitted_scaler.scale_[columns] + mean[columns]).astype(np.float32)
    nudged[np.arange(len(nudged)), columns] = np.nextafter(values, np.float32(np.inf) * (-1) ** np.arange(len(nudged)))
    assert compare(run(convert(model, 22, 2), nudged), model.predict_proba(nudged)).max_probability_difference < 1e-6


def test_the_batch_dimension_is_dynamic() -> None:
    rows = market()[0]
    engine = OnnxruntimeEngine(convert(fitted("gradient_boosting"), 22, 2).SerializeToString())
    assert [len(engine.predict(rows[:count])) for count in (1, 7, 500)] == [1, 7, 500]


def test_two_processes_make_the_same_bytes() -> None:
    program = (
        "import hashlib\n"
        "from sklearn.ensemble import GradientBoostingClassifier\n"
        "from sklearn.neural_network import MLPClassifier\n"
        "from export.graph import convert\n"
        "from tests.export.samples import three_classes\n"
        "rows, targets = three_classes()\n"
        "for classifier in (GradientBoostingClassifier(n_estimators=3), MLPClassifier((4,), max_iter=5000)):\n"
        "    model = classifier.set_params(random_state=0).fit(rows[:100] / rows.std(axis=0), targets[:100])\n"
        "    print(hashlib.sha256(convert(model, 5, 3).SerializeToString(deterministic=True)).hexdigest())\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0].split()) == 2


def test_names_the_estimator_that_cannot_be_converted() -> None:
    rows, targets = three_classes()
    model = make_pipeline(StandardScaler(), DummyClassifier(strategy="prior")).fit(rows, targets)
    with pytest.raises(
        ExportError, match=r"Pipeline\(StandardScaler, DummyClassifier\): skl2onnx cannot convert it: .*Dummy"
    ):
        convert(model, 5, 3)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda proto: setattr(proto.graph.node[0], "op_type", "ZipMap"), "expected probabilities as one tensor"),
        (lambda proto: setattr(proto.graph.node[0], "domain", "com.example"), "got one of com.example"),
        (
            lambda proto: setattr(proto.graph.output[1], "name", "scores"),
            "expected label, probabilities, got label, scores",
        ),
        (lambda proto: setattr(proto.graph.node[0], "op_type", "Nonsense"), "No Op registered for Nonsense"),
        (
            lambda proto: setattr(proto.graph.output[1].type.tensor_type, "elem_type", onnx.TensorProto.DOUBLE),
            "graph output probabilities: expected float32",
        ),
        (
            lambda proto: setattr(proto.graph.initializer[0], "data_location", onnx.TensorProto.EXTERNAL),
            "expected every weight in the file itself",
        ),
    ],
)
def test_refuses_a_graph_that_a_server_could_not_run(
    break_it: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, targets = three_classes()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, targets)

    def broken(*arguments: Any, **keywords: Any) -> onnx.ModelProto:
        proto: onnx.ModelProto = convert_sklearn(*arguments, **keywords)
        break_it(proto)
        return proto

    monkeypatch.setattr("export.graph.convert_sklearn", broken)
    with pytest.raises(ExportError, match=re.escape(message)):
        convert(model, 5, 3)
