"""The linear operators give what onnxruntime gives."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from runtime.compiled.errors import MalformedGraph, UnsupportedGraph
from runtime.compiled.lowering import read_program
from tests.runtime.compiled.graphs import ML, answers, model
from tests.runtime.compiled.interpreter import run

_FEATURES = 7


def check(node: onnx.NodeProto, **constants: Any) -> None:
    """Assert that program and onnxruntime agree."""
    content = model([node], _FEATURES, constants=constants).SerializeToString()
    rows = np.random.default_rng(0).normal(size=(50, _FEATURES)).astype(np.float32)
    assert np.abs(run(read_program(content), rows) - answers(content, rows)).max() <= 2e-6


def classifier(targets: int, classes: int, **attributes: Any) -> onnx.NodeProto:
    """Return a linear classifier."""
    rng = np.random.default_rng(targets)
    given = {
        "coefficients": rng.normal(size=targets * _FEATURES).tolist(),
        "intercepts": rng.normal(size=targets).tolist(),
        "classlabels_ints": list(range(classes)),
    }
    return helper.make_node(
        "LinearClassifier", ["features"], ["label", "probabilities"], domain=ML, **(given | attributes)
    )


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("targets", [2, 3, 20])
def test_a_score_for_each_class(targets: int, transform: str) -> None:
    check(classifier(targets, targets, post_transform=transform, multi_class=1))


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC"])
def test_one_score_for_two_classes(transform: str) -> None:
    check(classifier(1, 2, post_transform=transform))


@pytest.mark.parametrize(
    ("targets", "classes", "attributes", "reason"),
    [
        (1, 2, {"post_transform": "SOFTMAX"}, "post_transform SOFTMAX of one score"),
        (2, 2, {"post_transform": "PROBIT"}, "post_transform PROBIT"),
        (2, 3, {}, "2 scores for 3 classes"),
        (1, 1, {}, "1 class, where 2 and more are supported"),
    ],
)
def test_what_onnxruntime_does_otherwise_is_not_supported(
    targets: int, classes: int, attributes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UnsupportedGraph, match=reason):
        read_program(model([classifier(targets, classes, **attributes)], _FEATURES).SerializeToString())


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"coefficients": [1.0]}, "coefficients: expected 2 times 7, got 1"),
        ({"intercepts": []}, "intercepts.*: expected floats"),
        ({"intercepts": [0.0] * 3}, "intercepts: expected one for each of 2 classes, got 3"),
        ({"coefficients": [np.inf] * 14}, "coefficients: expected finite numbers, got inf"),
        ({"intercepts": [np.nan] * 2}, "intercepts: expected finite numbers, got nan"),
    ],
)
def test_numbers_that_do_not_fit_are_malformed(attributes: dict[str, Any], reason: str) -> None:
    node = classifier(2, 2, **{name: value or [0.0] for name, value in attributes.items()})
    if attributes.get("intercepts") == []:
        node.attribute[2].ClearField("floats")
        node.attribute[2].type = onnx.AttributeProto.INTS
    with pytest.raises(MalformedGraph, match=reason):
        read_program(model([node], _FEATURES).SerializeToString())


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("intercepts", [False, True])
def test_regressors(targets: int, intercepts: bool) -> None:
    rng = np.random.default_rng(0)
    check(
        helper.make_node(
            *("LinearRegressor", ["features"], ["probabilities"]),
            domain=ML,
            targets=targets,
            coefficients=rng.normal(size=targets * _FEATURES).tolist(),
            **({"intercepts": rng.normal(size=targets).tolist()} if intercepts else {}),
        )
    )


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("added", [None, (3,), (1, 3), (1,), ()])
def test_products_with_a_constant(transposed: int, added: tuple[int, ...] | None) -> None:
    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(size=(3, _FEATURES) if transposed else (_FEATURES, 3)).astype(np.float32)}
    inputs = ["features", "w"]
    if added is not None:
        inputs.append("b")
        constants["b"] = np.asarray(rng.normal(size=added), np.float32)
    check(helper.make_node("Gemm", inputs, ["probabilities"], transB=transposed), **constants)
    if not transposed:
        check(helper.make_node("MatMul", ["features", "w"], ["probabilities"]), **constants)


def test_a_scaled_product_is_not_supported() -> None:
    node = helper.make_node("Gemm", ["features", "w"], ["probabilities"], alpha=2.0)
    content = model([node], _FEATURES, constants={"w": np.ones((_FEATURES, 2), np.float32)}).SerializeToString()
    with pytest.raises(UnsupportedGraph, match="transA, alpha or beta"):
        read_program(content)
