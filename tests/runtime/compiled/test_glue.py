"""Operators around the models give what onnxruntime gives, bit for bit where they only round once."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from runtime.compiled.errors import MalformedGraph, UnsupportedGraph
from runtime.compiled.lowering import read_program
from tests.runtime.compiled.graphs import ML, answers, model
from tests.runtime.compiled.interpreter import run

COLUMNS = np.array([0.5, -3.0, 1e-40], np.float32)
_LAST_BITS = 3e-7


def rows() -> NDArray[np.float32]:
    """Return rows of three columns: plain, awkward, and missing values."""
    rng = np.random.default_rng(1)
    plain = rng.normal(size=(20, 3)) * [1, 100, 1e-3]
    awkward = [
        [0, -0.0, 0],
        [-1, -2, -4],
        [np.nan, 1, 2],
        [3e38, 3e38, 1],
        [np.inf, 1, -np.inf],
        [1e-45, -1e-45, 1e-38],
    ]
    return np.concatenate([plain, awkward]).astype(np.float32)


def check(nodes: list[onnx.NodeProto], bound: float = 0.0, **others: Any) -> None:
    """Assert that program and onnxruntime give the same block."""
    content = model(nodes, 3, **others).SerializeToString()
    expected, found = answers(content, rows()), run(read_program(content), rows())
    assert found.shape == expected.shape
    if bound:
        np.testing.assert_allclose(found, expected, rtol=bound, atol=bound)
    else:
        np.testing.assert_array_equal(found, expected)


def node(operator: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    """Return a node from `features`, and others, to `probabilities`."""
    return helper.make_node(operator, ["features", *inputs], ["probabilities"], **attributes)


def ml(operator: str, **attributes: Any) -> onnx.NodeProto:
    """Return a node of the machine learning domain."""
    return node(operator, domain=ML, **attributes)


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize(
    "constant", [COLUMNS, COLUMNS[None], COLUMNS[:1], COLUMNS[:1].reshape(1, 1), COLUMNS[1].reshape(())]
)
def test_arithmetic_with_a_constant_on_either_side(operator: str, constant: NDArray[np.float32]) -> None:
    check([node(operator, "c")], constants={"c": constant})
    check([helper.make_node(operator, ["c", "features"], ["probabilities"])], constants={"c": constant})


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
def test_arithmetic_of_two_results(operator: str) -> None:
    column = helper.make_node("ArrayFeatureExtractor", ["features", "two"], ["column"], domain=ML)
    constants = {"two": np.array([2]), "c": COLUMNS}
    check([helper.make_node("Add", ["features", "c"], ["sum"]), node(operator, "sum")], constants=constants)
    check([column, node(operator, "column")], constants=constants)


def test_arithmetic_in_float64_rounds_once_at_the_end() -> None:
    constants = {"mean": np.array([0.1, 1e-12, 3.3]), "scale": np.array([0.3, 7.7, 1.1])}
    nodes = [
        helper.make_node("Cast", ["features"], ["double"], to=11),
        helper.make_node("Sub", ["double", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["probabilities"], to=1),
    ]
    check(nodes, constants=constants)


def test_sum_adds_from_left_to_right() -> None:
    constants = {"c": COLUMNS}
    check([helper.make_node("Neg", ["features"], ["n"]), node("Sum", "n", "features")], constants=constants)
    check([node("Sum")])


@pytest.mark.parametrize(
    "given",
    [
        ml("Scaler", offset=COLUMNS.tolist(), scale=[2.0, 0.1, 3.0]),
        ml("Scaler", offset=[0.5], scale=[0.1]),
        ml("Imputer", imputed_value_floats=[7.0, 8.0, 9.0], replaced_value_float=float("nan")),
        ml("Imputer", imputed_value_floats=[7.0], replaced_value_float=0.0),
        ml("Imputer", imputed_value_floats=[7.0, 8.0], replaced_value_float=0.0),
        ml("Normalizer", norm="MAX"),
        ml("Normalizer", norm="L1"),
        ml("Normalizer", norm="L2"),
        ml("Normalizer"),
        node("Neg"),
        node("Relu"),
        node("Reciprocal"),
        node("Identity"),
        node("Cast", to=1),
    ],
    ids=str,
)
def test_exact_operators(given: onnx.NodeProto) -> None:
    check([given])


@pytest.mark.parametrize("given", [node("Sigmoid"), node("Exp")], ids=str)
def test_functions_of_single_values(given: onnx.NodeProto) -> None:
    check([given], 1e-6)


@pytest.mark.parametrize(("axis", "version"), [(1, 11), (-1, 21), (None, 21), (None, 11)])
def test_softmax(axis: int | None, version: int) -> None:
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    nodes = [
        helper.make_node("Clip", ["features", "low", "high"], ["finite"]),
        helper.make_node("Softmax", ["finite"], ["probabilities"], **attributes),
    ]
    bounds = {"low": np.array(-50, np.float32), "high": np.array(50, np.float32)}
    check(nodes, _LAST_BITS, constants=bounds, main=version)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (None, 0.0), (0.0, None), (None, None)])
def test_clip(low: float | None, high: float | None) -> None:
    constants = {
        name: np.array(bound, np.float32) for name, bound in (("low", low), ("high", high)) if bound is not None
    }
    check(
        [node("Clip", *("" if bound is None else name for name, bound in (("low", low), ("high", high))))],
        constants=constants,
    )
    attributes = {name: bound for name, bound in (("min", low), ("max", high)) if bound is not None}
    check([node("Clip", **attributes)], main=10)


@pytest.mark.parametrize("bounds", [[1, 2], [0, 2, 1], [-2, 2**62, 1], [0, 3, 1, 2], [2, 3, -1]])
def test_slices_of_columns(bounds: list[int]) -> None:
    names = ["start", "stop", "axis", "step"][: len(bounds)]
    constants = {name: np.array([bound]) for name, bound in zip(names, bounds, strict=True)}
    constants.setdefault("axis", np.array([1]))
    check([node("Slice", *("start", "stop", "axis", "step")[: max(3, len(bounds))])], constants=constants)


def test_columns_by_their_indices() -> None:
    constants = {"some": np.array([2, 0, 2]), "last": np.array([-1])}
    check([node("Gather", "some", axis=1)], constants=constants)
    check([node("Gather", "last", axis=-1)], constants=constants)
    check([node("ArrayFeatureExtractor", "some", domain=ML)], constants=constants)


def test_concatenation_of_columns() -> None:
    nodes = [helper.make_node("Neg", ["features"], ["n"]), node("Concat", "n", "features", axis=1)]
    check(nodes)
    check([node("Concat", axis=-1)])


def test_the_l1_norm_of_a_row() -> None:
    positive = helper.make_node("Sigmoid", ["features"], ["positive"])
    check([positive, helper.make_node("LpNormalization", ["positive"], ["probabilities"], axis=1, p=1)], 1e-6)


@pytest.mark.parametrize(
    "attributes",
    [
        {"value": onnx.numpy_helper.from_array(COLUMNS)},
        {"value_float": 0.1},
        {"value_floats": COLUMNS.tolist()},
    ],
)
def test_constants_that_are_nodes(attributes: dict[str, Any]) -> None:
    check([helper.make_node("Constant", [], ["c"], **attributes), node("Mul", "c")])


@pytest.mark.parametrize(
    ("given", "constants", "reason"),
    [
        (node("Cast", to=7), {}, "a cast to data type 7"),
        (node("Concat", axis=0), {}, "axis 0, where the columns are 1 or -1"),
        (node("Softmax", axis=0), {}, "axis 0"),
        (node("Gather", "i", axis=0), {"i": np.array([0])}, "axis 0"),
        (node("Gather", "i", axis=1), {"i": np.array(0)}, "indices of 0 dimensions"),
        (node("Slice", "i", "i"), {"i": np.array([0])}, "axes 0"),
        (node("Slice", "i", "i", "i", "i"), {"i": np.array([1, 1])}, "more than one integer"),
        (node("Mul", "c"), {"c": np.ones((2, 3), np.float32)}, r"a constant of shape \(2, 3\) with 3 columns"),
        (node("Mul", "c"), {"c": np.ones(4, np.float32)}, r"a constant of shape \(4,\) with 3 columns"),
        (node("Clip", "c", "d"), {"c": np.array(2, np.float32), "d": np.array(1, np.float32)}, "out of order"),
        (helper.make_node("Exp", ["c"], ["probabilities"]), {"c": COLUMNS}, "input 0 is a constant"),
        (helper.make_node("Add", ["c", "c"], ["probabilities"]), {"c": COLUMNS}, "both inputs are constants"),
    ],
)
def test_what_is_no_operation_on_columns_is_not_supported(
    given: onnx.NodeProto, constants: dict[str, NDArray[Any]], reason: str
) -> None:
    with pytest.raises(UnsupportedGraph, match=reason):
        read_program(model([given], 3, constants=constants).SerializeToString())


@pytest.mark.parametrize(
    ("given", "constants", "reason"),
    [
        (node("Mul", "c"), {"c": np.ones(3)}, "expected float32 as constant, got float64"),
        (node("Gather", "i", axis=1), {"i": np.array([3])}, "expected indices of 3 columns"),
        (node("Gather", "i", axis=1), {"i": np.array([0.0])}, "expected integers as input 1"),
        (node("MatMul", "c"), {"c": np.ones((2, 3), np.float32)}, "expected 3 rows as input 1"),
        (node("Clip", "c"), {"c": np.ones(2, np.float32)}, "expected 1 float32 as input 1, got 2 float32"),
        (node("Concat"), {}, "expected axis"),
        (ml("Scaler", offset=[1.0]), {}, "expected as many numbers in offset and scale, got 1 and 0"),
        (ml("Scaler", offset=[1.0, 2.0], scale=[1.0, 2.0]), {}, "offset: expected 1 or 3 numbers, got 2"),
        (ml("Imputer", imputed_value_floats=[1.0]), {}, "expected imputed_value_floats and replaced_value_float"),
        (ml("Normalizer", norm="L3"), {}, "norm: expected MAX, L1, L2, got L3"),
        (ml("Normalizer", norm=2), {}, r"attribute\[0\] \(norm\): expected a string, got an int"),
    ],
)
def test_operands_that_do_not_fit_are_malformed(
    given: onnx.NodeProto, constants: dict[str, NDArray[Any]], reason: str
) -> None:
    with pytest.raises(MalformedGraph, match=reason):
        read_program(model([given], 3, constants=constants).SerializeToString())


def test_float64_reaches_no_operator_of_float32() -> None:
    nodes = [helper.make_node("Cast", ["features"], ["double"], to=11), helper.make_node("Exp", ["double"], ["powers"])]
    with pytest.raises(UnsupportedGraph, match=r"powers \(Exp.*its input is float64"):
        read_program(
            model([*nodes, helper.make_node("Cast", ["powers"], ["probabilities"], to=1)], 3).SerializeToString()
        )
