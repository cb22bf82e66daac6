"""What of a graph becomes a program, and how everything else is named."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from runtime.compiled.errors import MalformedGraph, UnsupportedGraph, UnsupportedNode
from runtime.compiled.lowering import read_program
from runtime.compiled.program import Arithmetic, Linear, Summary
from tests.runtime.compiled.graphs import ML, model


def node(operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> onnx.NodeProto:
    """Return a node of the main domain."""
    return helper.make_node(operator, inputs, outputs, **attributes)


def read(nodes: list[onnx.NodeProto], **others: Any) -> Any:
    """Return the program of a graph of two features."""
    return read_program(model(nodes, 2, **others).SerializeToString())


def test_nodes_that_the_probabilities_do_not_depend_on_are_left_out() -> None:
    program = read(
        [
            node("Unknown", ["features"], ["other"]),
            node("Exp", ["features"], ["powers"]),
            node("Unknown", ["powers"], ["label"]),
            node("Identity", ["powers"], ["probabilities"]),
        ]
    )
    assert (program.features, program.classes, len(program.steps)) == (2, 2, 1)


def test_a_graph_that_only_gives_its_input_a_name_is_a_program_without_steps() -> None:
    program = read([node("Identity", ["features"], ["probabilities"])])
    assert program.steps == ()
    assert program.summary() == Summary(steps=0, trees=0, nodes=0, leaves=0, depth=0)


def test_constants_that_change_nothing_are_no_steps() -> None:
    constants = {"one": np.array(1, np.float32), "ones": np.ones(2, np.float32), "zero": np.zeros(1, np.float32)}
    nodes = [
        node("Mul", ["features", "one"], ["a"]),
        node("Div", ["a", "ones"], ["b"]),
        node("Sub", ["b", "zero"], ["c"]),
        node("Add", ["c", "zero"], ["probabilities"]),  # which turns -0.0 into 0.0
    ]
    (step,) = read(nodes, constants=constants).steps
    assert isinstance(step, Arithmetic)


def test_every_node_that_is_not_supported_is_named() -> None:
    nodes = [
        node("Erf", ["features"], ["a"], name="first"),
        node("Relu", ["features"], ["b"]),
        node("LpNormalization", ["b"], ["c"], name="second", p=2),
        helper.make_node("ZipMap", ["c"], ["d"], domain=ML, classlabels_int64s=[0, 1]),
        node("Concat", ["a", "c", "d"], ["e"], axis=1),
        node("Tanh", ["e"], ["probabilities"]),
    ]
    with pytest.raises(UnsupportedGraph) as error:
        read(nodes)
    assert error.value.nodes == (
        UnsupportedNode("first", "Erf", "ai.onnx", 21, "this operator"),
        UnsupportedNode("second", "LpNormalization", "ai.onnx", 21, "p is 2, where 1 is supported"),
        UnsupportedNode("d", "ZipMap", ML, 3, "this operator"),
        UnsupportedNode("probabilities", "Tanh", "ai.onnx", 21, "this operator"),
    )
    assert "first (Erf, ai.onnx 21): this operator; second (LpNormalization" in str(error.value)


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([node("Exp", ["other"], ["probabilities"])], r"node\[0\] \(Exp\): expected other to be given before"),
        ([node("Exp", ["features"], ["other"])], "outputs: expected probabilities to be given before"),
        (
            [node("Exp", ["b"], ["a"]), node("Exp", ["a"], ["b"]), node("Exp", ["b"], ["probabilities"])],
            r"node\[0\] \(Exp\): expected b to be given before",
        ),
        ([node("Exp", ["probabilities"], ["probabilities"])], "expected probabilities to be given before"),
        (
            [node("Exp", ["features"], ["probabilities"]), node("Neg", ["features"], ["probabilities"])],
            r"node\[1\] \(Neg\): expected every name once, got probabilities again",
        ),
        ([node("Exp", ["features"], ["features"])], "expected every name once, got features again"),
        ([node("Exp", ["features", "features"], ["probabilities"])], "expected 1 to 1 inputs, got 2"),
        ([node("Exp", [], ["probabilities"])], "expected 1 to 1 inputs, got 0"),
        ([node("Exp", [""], ["probabilities"])], "expected input 0, got none"),
        (
            [helper.make_node("Exp", ["features"], ["probabilities"], domain="of.others")],
            "expected an operator set of domain of.others, got none",
        ),
    ],
)
def test_a_graph_out_of_order_is_malformed(nodes: list[onnx.NodeProto], reason: str) -> None:
    with pytest.raises(MalformedGraph, match=reason):
        read(nodes)


def test_the_operator_set_must_be_one_that_is_known() -> None:
    with pytest.raises(UnsupportedGraph, match=r"Exp, ai\.onnx 99\): this version of ai\.onnx"):
        read([node("Exp", ["features"], ["probabilities"])], main=99)


def test_attributes_that_are_not_known_are_not_supported() -> None:
    with pytest.raises(UnsupportedGraph, match=r"probabilities \(Exp, .*attribute broadcast"):
        read([node("Exp", ["features"], ["probabilities"], broadcast=1)])


def test_the_label_of_a_classifier_is_not_supported_where_it_is_used() -> None:
    classifier = helper.make_node(
        *("LinearClassifier", ["features"], ["probabilities", "scores"]),
        domain=ML,
        coefficients=[1.0] * 4,
        intercepts=[0.0, 0.0],
        classlabels_ints=[0, 1],
    )
    with pytest.raises(UnsupportedGraph, match="output 0 is used"):
        read([classifier])


def value(name: str, kind: int, shape: list[Any] | None) -> onnx.ValueInfoProto:
    """Return the description of an input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        ([value("rows", 1, ["n", 2])], None, "input .*: expected features, got rows"),
        ([value("features", 11, ["n", 2])], None, "features .*: it is no float32 matrix"),
        ([value("features", 1, ["n", 2, 3])], None, "features .*: it is no float32 matrix"),
        ([value("features", 1, None)], None, "features .*: it is no float32 matrix"),
        ([value("features", 1, ["n", "m"])], None, "features .*: any number of columns"),
        ([value("features", 1, ["n", 65537])], None, "features .*: 65537 columns"),
        ([value("features", 1, ["n", 2]), value("more", 1, ["n"])], None, "inputs beside features: more"),
        (None, [value("other", 1, ["n", 2])], "output .*: expected probabilities, got other"),
        (None, [value("probabilities", 7, ["n", 2])], "probabilities .*: it is no float32 matrix"),
    ],
)
def test_inputs_and_outputs_other_than_an_artifacts_are_not_supported(
    inputs: list[onnx.ValueInfoProto] | None, outputs: list[onnx.ValueInfoProto] | None, reason: str
) -> None:
    proto = model([node("Exp", ["features"], ["probabilities"])], 2)
    for field, values in ((proto.graph.input, inputs), (proto.graph.output, outputs)):
        if values is not None:
            del field[:]
            field.extend(values)
    with pytest.raises(UnsupportedGraph, match=reason):
        read_program(proto.SerializeToString())


def test_probabilities_must_have_the_columns_that_the_graph_says() -> None:
    with pytest.raises(MalformedGraph, match="expected float32 of 2 columns, got 3 columns of float32"):
        read([node("Exp", ["features"], ["probabilities"])], columns=3)


def test_constants_may_be_inputs_too_as_in_old_files() -> None:
    proto = model(
        [node("MatMul", ["features", "w"], ["probabilities"])], 2, constants={"w": np.eye(2, dtype=np.float32)}
    )
    proto.graph.input.append(value("w", TensorProto.FLOAT, [2, 2]))
    (step,) = read_program(proto.SerializeToString()).steps
    assert isinstance(step, Linear)


def test_functions_and_sparse_constants_are_not_supported() -> None:
    proto = model([node("Exp", ["features"], ["probabilities"])], 2)
    proto.functions.add(name="own", domain="of.mine")
    proto.graph.sparse_initializer.add()
    with pytest.raises(UnsupportedGraph) as error:
        read_program(proto.SerializeToString())
    assert [part.name for part in error.value.nodes] == ["functions", "sparse_initializer"]


def test_programs_are_of_bounded_width_and_length() -> None:
    doubling = [node("Identity", ["features"], ["x0"])]
    doubling += [node("Concat", [f"x{n}"] * 2, [f"x{n + 1}"], axis=1) for n in range(40)]
    with pytest.raises(MalformedGraph, match=r"\(Concat\): columns: expected 1 to 65536, got 131072"):
        read([*doubling, node("Exp", ["x40"], ["probabilities"])])
    wide = [*doubling[:16], *(node("Exp", [f"x{n}"], [f"x{n + 1}"]) for n in range(15, 40))]
    with pytest.raises(MalformedGraph, match="expected at most 1048576 columns together"):
        read([*wide, node("Exp", ["x40"], ["probabilities"])])
    long = [node("Identity", ["features"], ["x0"])]
    long += [node("Neg", [f"x{n}"], [f"x{n + 1}"]) for n in range(4097)]
    with pytest.raises(UnsupportedGraph, match=r"x4097 \(Neg, .*more than 4096 steps"):
        read([*long, node("Exp", ["x4097"], ["probabilities"])])
